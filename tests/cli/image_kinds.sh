#!/bin/sh
# image_kinds.sh - what people's folders hold: WebP written and judged by Pillow, files that are odd but whole, damage and
# --lenient in every command that reads images, what the programs say of what they found, and folders of tars.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip image_kinds "no Python with PIL and h5py"
    finish
fi
tokenize --version | grep -q 'libwebp: yes' && webp=yes || webp=
tokenize --version | grep -q 'libarchive: yes' && tars=yes || tars=
photo=$(find "$top/data/photos" -name '*.jpg' | LC_ALL=C sort | head -n 1)
small_model m 1
train() { # DATA OUT ARGUMENTS...: two steps
    data=$1 run=$2
    shift 2
    vqvae train --data "$data" --out "$run" --seed 1 --steps 2 --threads 1 --set model.block_out_channels=[8,8] model.norm_num_groups=4 \
        model.num_vq_embeddings=16 model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=0 train.batch=2 train.tensorboard=false "$@" >out 2>err
}

# --- a mixed folder, odd files, damaged files
cat >write.py <<'X'
import os, struct, sys, zlib
from PIL import Image
photo = Image.open(sys.argv[1]).convert("RGB").resize((64, 48))
for d in "odd", "hurt", "mixed/deep":
    os.makedirs(d)
photo.save("x.jpg", quality=90)
photo.save("x.png")
jpg, png = open("x.jpg", "rb").read(), open("x.png", "rb").read()
def put(name, data): open(name, "wb").write(data)
def chunk(kind, data, bad=0): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ bad)
sos = jpg.index(b"\xff\xda")
put("odd/samsung.jpg", jpg[:sos + 12] + b"\0" + jpg[sos + 13:])
put("odd/jfif.jpg", jpg.replace(b"JFIF\0\1\1", b"JFIF\0\2\1"))
put("odd/between.jpg", jpg[:sos] + b"\0\0\0" + jpg[sos:])
put("odd/behind.jpg", jpg + b"behind")
put("odd/plain.jpg", jpg)
put("odd/behind.png", png + b"\n")
put("odd/plain.png", png)
put("hurt/crc.png", png[:33] + chunk(b"tEXt", b"Title\0x", 1) + png[33:])
put("hurt/end.png", png[:-12])
put("hurt/cut.jpg", jpg[:len(jpg) * 2 // 3])
put("hurt/good.jpg", jpg)
put("mixed/a.jpg", jpg)
put("mixed/deep/b.JPG", jpg)
put("mixed/c.png", png)
for ext in "gif", "tiff", "bmp":
    photo.save("mixed/y." + ext)
photo.save("mixed/z.gif")
put("mixed/x.avif", b"\0\0\0\x1cftypavif" + bytes(100))
put("mixed/notes.txt", b"notes")
put("mixed/.hidden.png", png)
X
python write.py "$photo"
verdict $? "files of all kinds"

works "odd files" images --in odd --out odd.lmdb --keep-pixels
grep -q '"records":7,"skipped":0,"bad":0,' out
verdict $? "odd but whole: none is bad"
grep -q "5 images with harmless warnings: 1 JPEG with invalid SOS parameters, 1 JPEG of an unknown JFIF revision, 1 JPEG with extraneous bytes before a marker, 1 JPEG with bytes behind its end, 1 PNG with bytes behind its end" err
verdict $? "odd but whole: counted by kind"
cat >alike.py <<'X'
import sys
sys.path.insert(0, sys.argv[1] + "/tests")
from tokenize_oracle import shard
pixels = {p["key"].decode(): p["pixels"] for (tag, sub, i), (head, p) in shard("odd.lmdb").items() if tag == 1}
assert len(pixels) == 7 and all(v == pixels["plain." + k[-3:]] for k, v in pixels.items())
X
python alike.py "$top"
verdict $? "odd but whole: the pixels of the plain file: $(tail -n 1 err)"
train odd odd.run && grep -q "5 images with harmless warnings" err && grep -q "'odd': 7 images (5 JPEG, 2 PNG)\$" err
verdict $? "odd but whole: trains"

# --- damage, and --lenient
said="3 images with damage that --lenient takes: 1 JPEG with damaged or missing data, 1 PNG with a wrong checksum in an ancillary chunk, 1 PNG without an end"
train hurt no.run
[ $? -eq 3 ] && grep -q "crc.png.*CRC" err && grep -q "end.png.*ends early" err && grep -q "cut.jpg.*Premature" err
verdict $? "damage: vqvae train refuses and names it"
train hurt hurt.run --lenient && grep -q "$said" err
verdict $? "--lenient: vqvae train"
vqvae eval --model m --data hurt --split all >out 2>err
[ $? -eq 3 ]
verdict $? "damage: vqvae eval"
vqvae eval --model m --data hurt --split all --lenient >out 2>err && grep -q '"images":4,' out && grep -q "$said" err
verdict $? "--lenient: vqvae eval"
vqvae reconstruct --model m --data hurt --out hurt.out --lenient >out 2>err && grep -q '"images":4' out
verdict $? "--lenient: vqvae reconstruct"
vqvae trace --model m --image hurt/end.png --out t >out 2>err
[ $? -eq 3 ] && vqvae trace --model m --image hurt/end.png --out t --lenient >out 2>err
verdict $? "--lenient: vqvae trace"
exits 3 "3 of 4 items are bad" images --in hurt --out no.lmdb --model m
works "--lenient" images --in hurt --out hurt.lmdb --model m --lenient
grep -q '"records":4,"skipped":0,"bad":0,' out && grep -q "$said" err
verdict $? "--lenient: tokenize images"
for f in crc.png end.png cut.jpg good.jpg; do echo "{\"image\":\"hurt/$f\",\"caption\":\"$f\"}"; done >hurt.jsonl
exits 3 "3 of 4 items are bad" text --in hurt.jsonl --out no2.lmdb --model m
works "--lenient" text --in hurt.jsonl --out text.lmdb --model m --lenient
grep -q '"records":4,"skipped":0,"bad":0,' out
verdict $? "--lenient: tokenize text"

# --- what is told
left="'mixed': 3 images (2 JPEG, 1 PNG); left out: 1 AVIF, 1 BMP, 2 GIF, 1 TIFF (unsupported formats), 1 other file, 1 hidden file or folder"
train mixed mixed.run && [ "$(grep -c -F "$left" err)" -eq 1 ]
verdict $? "what a folder held: vqvae train"
vqvae eval --model m --data mixed --split all >out 2>err && grep -q -F "$left" err
verdict $? "what a folder held: vqvae eval"
vqvae reconstruct --model m --data mixed --out mixed.out >out 2>err && grep -q -F "$left" err
verdict $? "what a folder held: vqvae reconstruct"
works "a mixed folder" images --in mixed --out mixed.lmdb --model m
grep -q -F "$left" err && grep -q '"records":3,"skipped":5,' out
verdict $? "what a folder held: tokenize images"
mkdir none && cp mixed/y.gif mixed/x.avif none
exits 3 "no images found under 'none' (looked for .png .jpg .jpeg.*not read: 1 AVIF, 1 GIF" images --in none --out n.lmdb --model m

# --- tars
if [ -n "$tars" ]; then
    mkdir shards odds
    for n in 00 01 02; do
        cp x.jpg $n.jpg && tar -cf shards/pics-$n.tar $n.jpg
    done
    exits 3 "3 tars: give them by name, --in 'shards/pics-{00..02}.tar'" images --in shards --out s.lmdb --model m
    train shards no.run
    [ $? -eq 3 ] && grep -q -F "3 tars: give them by name, --data 'shards/pics-{00..02}.tar'" err
    verdict $? "a folder of tars: vqvae"
    works "as it was said" images --in 'shards/pics-{00..02}.tar' --out s.lmdb --model m
    grep -q '"records":3,' out && grep -q -F "3 images (3 JPEG)" err
    verdict $? "a folder of tars: what is said works"
    cp shards/pics-00.tar odds/red.tar && cp shards/pics-01.tar odds/blue.tar
    exits 3 "2 tars: give them by name, --in 'odds/{blue,red}.tar'" images --in odds --out o.lmdb --model m
    works "as it was said" images --in 'odds/{blue,red}.tar' --out o.lmdb --model m
    rm odds/red.tar
    exits 3 "1 tar: give it by name, --in 'odds/blue.tar'" images --in odds --out o2.lmdb --model m
    mkdir -p below/one below/two && cp shards/pics-0[01].tar below/two && cp shards/pics-02.tar below/one
    exits 3 "3 tars: give them by name, --in 'below/one/pics-02.tar'" images --in below --out o3.lmdb --model m
    mkdir kinds && cp x.jpg kinds/a.jpg && cp x.png kinds/b.png && cp mixed/y.gif kinds/c.gif && echo words >kinds/d.txt && cp mixed/x.avif kinds/e.avif
    tar -C kinds -cf kinds.tar a.jpg b.png c.gif d.txt e.avif && tar -C kinds -czf kinds.tar.gz a.jpg b.png c.gif d.txt e.avif
    for f in kinds.tar kinds.tar.gz; do
        works "$f" images --in $f --out $f.lmdb --model m
        grep -q '"records":2,"skipped":3,"bad":0,' out &&
            grep -q -F "'$f': 2 images (1 JPEG, 1 PNG); left out: 1 AVIF, 1 GIF (unsupported formats), 1 sample without one image" err
        verdict $? "$f: what it held"
        grep -q "skipped 'c' .*unsupported format: GIF" err
        verdict $? "$f: named"
    done
else
    skip "tars" "built without libarchive"
fi

# --- WebP
if [ -n "$webp" ]; then
    cat >webp.py <<'X'
import os, sys
from PIL import Image
os.makedirs("webp")
photo = Image.open(sys.argv[1]).convert("RGB").resize((60, 44))
fade = photo.copy()
fade.putalpha(Image.linear_gradient("L").resize(photo.size))
photo.save("webp/lossless.webp", lossless=True)
photo.save("webp/lossy.webp", quality=80)
fade.save("webp/alpha.webp", lossless=True, exact=True)
fade.save("webp/soft.webp", quality=80)
photo.save("webp/named.png", "WEBP", lossless=True)
for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    photo.save(f"webp/exif{o}.webp", exif=exif, lossless=True)
    photo.save(f"webp/moves{o}.webp", exif=exif, save_all=True, append_images=[photo.rotate(180)], lossless=True)
fade.save("webp/moves.webp", save_all=True, append_images=[photo.convert("RGBA")], lossless=True)
X
    python webp.py "$photo"
    verdict $? "WebP by Pillow: $(tail -n 1 err)"
    cat >judge.py <<'X'
import io, sys
import numpy as np
from PIL import Image
sys.path.insert(0, sys.argv[1] + "/tests")
from tokenize_oracle import shard
seen = 0
for (tag, sub, i), (head, parts) in shard("webp.lmdb").items():
    if tag != 1: continue
    name = parts["key"].decode()
    want = Image.open("webp/" + name)
    want.load()
    turn = want.getexif().get(0x0112, 1)
    want = Image.alpha_composite(Image.new("RGBA", want.size, "white"), want.convert("RGBA")).convert("RGB")
    how = [None, None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"][turn]
    if how: want = want.transpose(getattr(Image, how))
    want, got = np.asarray(want, int), np.asarray(Image.open(io.BytesIO(parts["pixels"])), int)
    assert got.shape == want.shape, (name, got.shape, want.shape)
    assert abs(got - want).max() <= 1, (name, abs(got - want).max())
    seen += 1
print(seen)
X
    works "WebP" images --in webp --out webp.lmdb --keep-pixels
    grep -q "'webp': 22 images (22 WebP)\$" err
    verdict $? "WebP: counted"
    python judge.py "$top" && grep -qx 22 out
    verdict $? "WebP: pixels and orientations are those of Pillow: $(tail -n 1 err)"
    train webp webp.run
    verdict $? "WebP: trains"
    echo '{"image":"webp/lossy.webp","caption":"a photo"}' >w.jsonl
    works "captions of WebP" text --in w.jsonl --out w.lmdb --model m
    grep -q '"images":1,' out
    verdict $? "captions of WebP"
    mkdir cut && cp x.jpg cut && head -c 400 webp/lossy.webp >cut/lossy.webp && head -c 700 webp/moves1.webp >cut/moves.webp
    printf 'no WebP' >cut/text.webp
    tokenize images --in cut --out cut.lmdb --model m --max-bad 1 >out 2>err
    [ $? -eq 0 ] && grep -q '"records":1,"skipped":0,"bad":3,' out && [ "$(grep -c "skipped '.*damaged WebP: the file ends early" err)" -eq 2 ] && grep -q "skipped 'text.webp'" err
    verdict $? "WebP: damaged files are named"
    if [ -n "$tars" ]; then
        tar -C webp -cf w.tar lossy.webp exif6.webp
        works "WebP in a tar" images --in w.tar --out wt.lmdb --model m
        grep -q '"records":2,"skipped":0,"bad":0,' out && grep -q "2 images (2 WebP)\$" err
        verdict $? "WebP in a tar"
    fi
else
    skip "WebP" "built without libwebp"
fi

# --- frames of a dataset
if vqvae --version | grep -q 'hdf5: yes'; then
    cat >frames.py <<'X'
import io, json, os, sys
import h5py, numpy as np
from PIL import Image
act = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-1.0], "high": [1.0]}
def write(name, side, episodes, bad):  # `bad` has a frame that ends early
    space = {"type": "Box", "dtype": "uint8", "shape": [side, side, 3], "low": np.zeros((side, side, 3), int).tolist(), "high": np.full((side, side, 3), 255).tolist()}
    frame = np.indices((side, side, 3)).sum(0) * 2
    os.makedirs(name + "/data")
    with h5py.File(name + "/data/main_data.hdf5", "w") as f:
        for e in range(episodes):
            g = f.create_group("episode_%d" % e)
            g.attrs["total_steps"] = 5
            rows = g.create_dataset("observations", (6,), h5py.vlen_dtype(np.uint8))
            for t in range(6):
                b = io.BytesIO()
                Image.fromarray(np.uint8(frame + 9 * t + e)).save(b, format="JPEG")
                v = b.getvalue()
                rows[t] = np.frombuffer(v[:-40] if (e, t) == (bad, 3) else v, np.uint8)
            g["actions"] = np.zeros((5, 1), np.float32)
            g["rewards"] = np.zeros(5)
            g["terminations"] = g["truncations"] = np.zeros(5, bool)
    meta = {"total_episodes": episodes, "total_steps": 5 * episodes, "dataset_id": "test/x-v0"}
    json.dump({**meta, "observation_space": json.dumps(space), "action_space": json.dumps(act)}, open(name + "/data/metadata.json", "w"))
write("set", 32, 4, 2)
write("large", 512, 60, 7)  # 283 MB of frames: read when they are needed
X
    python frames.py
    verdict $? "a dataset with a damaged frame: $(tail -n 1 err)"
    train set no.run
    [ $? -eq 3 ] && grep -q "skipped 'episode_2' of 'set'.*row 3: damaged JPEG" err && grep -q "1 of 4 items are bad" err
    verdict $? "a lost episode counts: vqvae train"
    train set set.run --max-bad 0.25 && grep -q "'set': 24 images (frames of 4 episodes)\$" err && [ "$(grep -c "skipped 'episode_2'" err)" -eq 1 ]
    verdict $? "a lost episode is named once: vqvae train"
    train set lenient.run --lenient && ! grep -q skipped err
    verdict $? "--lenient: frames, vqvae train"
    vqvae eval --model m --data set --split all --max-bad 0.25 >out 2>err && grep -q '"images":18,' out
    verdict $? "a lost episode: vqvae eval measures the others"
    vqvae eval --model m --data large --split all >out 2>err
    [ $? -eq 3 ] && grep -q "skipped 'episode_7' of 'large'" err && grep -q "1 of 60 items are bad" err
    verdict $? "a lost episode of a large dataset counts when it is met"
    vqvae eval --model m --data large --split all --max-bad 0.02 >out 2>err && grep -q '"images":354,' out && [ "$(grep -c "skipped 'episode_7'" err)" -eq 1 ]
    verdict $? "a lost episode of a large dataset is named once"
    exits 3 "1 of 4 items are bad" episodes --in set --out no3.lmdb --model m
    works "--lenient" episodes --in set --out set.lmdb --model m --lenient
    grep -q '"episodes":4,"records":4,"skipped":0,"bad":0,' out
    verdict $? "--lenient: tokenize episodes"
    works "verify" verify set.lmdb --model m --in set --sample 0
    exits 3 "6 of 24 items are bad" images --in set --out no4.lmdb --model m
    works "--lenient" images --in set --out frames.lmdb --model m --lenient
    grep -q '"records":24,' out
    verdict $? "--lenient: frames, tokenize images"
else
    skip "frames of a dataset" "built without HDF5"
fi
finish

#!/bin/sh
# image_faults.sh - odd images and folders through the programs: files written by Pillow and judged by Pillow, formats that are
# not read, giants, folders full of bad files, and images that vanish while a tokenizer trains.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip image_faults "no Python with PIL and lmdb"
    finish
fi
small_model m 1

# --- what Pillow writes: kept pixels must be those that Pillow reads back
cat >write.py <<'X'
import os, sys
from PIL import Image
os.makedirs("odd")
photo = Image.open(sys.argv[1]).convert("RGB")
photo.save("odd/progressive.jpg", progressive=True, quality=90)
photo.convert("L").save("odd/gray.jpg")
photo.convert("P").save("odd/palette.png")
photo.convert("1").save("odd/bits.png")
photo.convert("LA").save("odd/la.png")
photo.resize((1, 1)).save("odd/1x1.png")
photo.resize((1, 10000)).save("odd/strip.png")
photo.resize((17, 31)).save("odd/small.jpg", quality=95, subsampling=0)
for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    photo.resize((48, 32)).save(f"odd/exif{o}.jpg", exif=exif, quality=95)
os.makedirs("cmyk")
photo.save("cmyk/good.png")
os.makedirs("inks")
photo.convert("CMYK").save("inks/adobe.jpg", quality=95)
data = open("inks/adobe.jpg", "rb").read()
at = data.index(b"\xff\xee\0\x0eAdobe")
open("inks/plain.jpg", "wb").write(data[:at] + data[at + 16:])
os.makedirs("formats")
photo.save("formats/good.png")
for ext in "webp", "gif", "tiff", "bmp":
    photo.save("formats/x." + ext)
open("formats/x.svg", "w").write('<svg xmlns="http://www.w3.org/2000/svg"/>')
open("formats/x.heic", "wb").write(b"\0\0\0\x18ftypheic" + bytes(100))
X
python write.py "$(find "$top/data/photos" -name '*.jpg' | LC_ALL=C sort | head -n 1)"
verdict $? "odd images"
cat >judge.py <<'X'
import io, os, sys
import numpy as np
from PIL import Image, ImageOps
sys.path.insert(0, sys.argv[1] + "/tests")
from tokenize_oracle import shard
seen = 0
for (tag, sub, i), (head, parts) in shard(sys.argv[2]).items():
    if tag != 1: continue
    name = parts["key"].decode()
    want = ImageOps.exif_transpose(Image.open(os.path.join(sys.argv[3], name))) if len(sys.argv) < 5 else Image.open(os.path.join(sys.argv[3], name))
    if want.mode == "LA": want = Image.alpha_composite(Image.new("RGBA", want.size, "white"), want.convert("RGBA"))
    want, got = np.asarray(want.convert("RGB"), int), np.asarray(Image.open(io.BytesIO(parts["pixels"])), int)
    assert got.shape == want.shape, (name, got.shape, want.shape)
    # two decoders of JPEG may differ by rounding, in chroma by a little more; nothing else may
    most = 0 if name.endswith("png") else 3
    assert abs(got - want).max() <= most, (name, abs(got - want).max())
    seen += 1
print(seen)
X
works "as they are" images --in odd --out odd.lmdb --keep-pixels
python judge.py "$top" odd.lmdb odd
verdict $? "fault_018: pixels and orientations are those of Pillow: $(tail -n 1 err)"
grep -qx 16 out
verdict $? "fault_018: all sixteen"
works "--no-exif" images --in odd --out raw.lmdb --keep-pixels --no-exif
python judge.py "$top" raw.lmdb odd no-exif
verdict $? "fault_018: --no-exif: $(tail -n 1 err)"
works "fault_019: all sizes fit a model" images --in odd --out fit.lmdb --model m
grep -q '"records":16,"skipped":0,"bad":0,' out
verdict $? "fault_019: 1x1, 1x10000 and smaller than the crop"
works "fault_014: CMYK" images --in inks --out inks.lmdb --keep-pixels
cat >inks.py <<'X'
import io, sys
import numpy as np
from PIL import Image, ImageChops
sys.path.insert(0, sys.argv[1] + "/tests")
from tokenize_oracle import dump, shard
raw = shard("inks.lmdb")
for i, r in enumerate(dump("inks.lmdb")):
    want = Image.open("inks/" + r["key"])  # Pillow takes all four-ink files for Adobe's, which hold 255 - ink
    want = (want if "adobe" in r["key"] else ImageChops.invert(want)).convert("RGB")
    got = Image.open(io.BytesIO(raw[1, 0, i][1]["pixels"])).convert("RGB")
    print(r["key"], int(np.abs(np.int32(got) - np.int32(want)).max()))
X
python inks.py "$top"
[ "$(tr '\n' ' ' <out)" = "adobe.jpg 0 plain.jpg 0 " ]
verdict $? "fault_014: colors of CMYK files are those of Pillow: $(cat out) $(tail -n 1 err)"
works "fault_020: other formats" images --in formats --out formats.lmdb --model m
if tokenize --version | grep -q 'libwebp: yes'; then records=2 skipped=5; else records=1 skipped=6; fi
grep -q "\"records\":$records,\"skipped\":$skipped,\"bad\":0," out
verdict $? "fault_020: other formats counted apart from bad files: $(cat out)"
head -c $(($(wc -c <odd/progressive.jpg) * 9 / 10)) odd/progressive.jpg >cmyk/cut.jpg
tokenize images --in cmyk --out cut.lmdb --model m --max-bad 0.5 >out 2>err
[ $? -eq 0 ] && grep -q '"records":1,"skipped":0,"bad":1,' out
verdict $? "fault_015: progressive and truncated"
tokenize images --in cmyk --out lenient.lmdb --model m --lenient >out 2>err
[ $? -eq 0 ] && grep -q '"records":2,"skipped":0,"bad":0,' out
verdict $? "fault_015: --lenient takes it"

# --- giants: 30,000 x 30,000 in a small file
"$PYTHON" - >out 2>err <<'X'
import os, struct, zlib
os.makedirs("giant")
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
z, row = zlib.compressobj(9), b"\0" + b"\xF0" * 3750
body = b"".join(z.compress(row * 100) for _ in range(300)) + z.flush()
open("giant/bits.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0)) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
X
verdict $? "a giant of $(wc -c <giant/bits.png) bytes"
cat >peak.py <<'X'
import resource, subprocess, sys
rc = subprocess.call(sys.argv[2:])
mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
print("peak", mb, "MB", file=sys.stderr)
sys.exit(rc or mb > int(sys.argv[1]))
X
if [ -z "${SANITIZED:-}" ]; then
    "$PYTHON" peak.py 64 tokenize images --in giant --out giant.lmdb --model m --threads 1 >out 2>err
    rc=$?
    [ $rc -eq 0 ] && grep -q '"records":1,' out
    verdict $? "fault_004: a giant is streamed: status $rc, $(tail -n 1 err)"
fi
exits 3 "none of 1 items" images --in giant --out g.lmdb --model m --max-pixels 100000000 --max-bad 1
grep -q 'more than --max-pixels 100000000' err
verdict $? "fault_004: --max-pixels refuses it"
exits 3 "none of 1 items" images --in giant --out h.lmdb --keep-pixels --max-bad 1
verdict $? "fault_004: of native size it would be whole in memory"

# --- names
mkdir names
"$PYTHON" - odd/small.jpg >out 2>err <<'X'
import os, sys
data = open(sys.argv[1], "rb").read()
for name in [b"new\nline.jpg", b"tab\t.jpg", b"quote\"'.jpg", b"bad\xff\xfe.jpg", b"%s%n%d.jpg", b"-rf.jpg", b"\x01.jpg", b"back\\slash.jpg", b"x" * 251 + b".jpg"]:
    open(b"names/" + name, "wb").write(data)
X
verdict $? "odd names"
works "fault_031: odd names" images --in names --out names.lmdb --model m
tokenize dump names.lmdb >dump 2>err
"$PYTHON" - >out 2>err <<'X'
import json
keys = [json.loads(line)["key"] for line in open("dump", encoding="utf-8")]
assert len(set(keys)) == 9 and {"new\nline.jpg", "tab\t.jpg", "quote\"'.jpg", "%s%n%d.jpg", "-rf.jpg", "\x01.jpg", "back\\slash.jpg", "x" * 251 + ".jpg"} < set(keys), keys
X
verdict $? "fault_031: legal JSON"
rm -rf names/*
printf x >"names/%s%n.png"
printf x >"names/$(printf 'a\033[31m').png"
cp odd/small.jpg names/good.jpg
tokenize images --in names --out names2.lmdb --model m --max-bad 1 >out 2>err
[ $? -eq 0 ] && grep -qF '%s%n.png' err && ! grep -q "$(printf '\033')" err
verdict $? "fault_031: names in messages are printed, not obeyed"

# --- thousands of bad files, few descriptors
mkdir bad
cp odd/small.jpg bad/good.jpg
"$PYTHON" - >out 2>err <<'X'
for i in range(3000):
    open(f"bad/{i}.png", "wb").write([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17), b""][i % 4])
X
(
    ulimit -n 20
    tokenize images --in bad --out bad.lmdb --model m --max-bad 1 --threads 2 >out 2>err
)
[ $? -eq 0 ] && grep -q '"records":1,"skipped":0,"bad":3000,' out && [ "$(wc -l <err)" -lt 60 ]
verdict $? "fault_034: 3,000 bad files with 20 descriptors"

# --- an image vanishes while vqvae trains
mkdir pics
n=0
for f in "$top"/data/clipart/*.png; do
    n=$((n + 1)) && cp "$f" "pics/$n.png"
    [ $n -eq 30 ] && break
done
steps=400 # a second or two, longer than the files below take to go
[ -z "${SANITIZED:-}" ] || steps=80
vqvae train --data pics --out v --steps $steps --threads 1 --set model.block_out_channels=[8,8] model.norm_num_groups=4 model.num_vq_embeddings=16 \
    model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=8 train.log_every=1 >out 2>err &
pid=$!
for i in $(seq 200); do
    [ -s v/metrics.jsonl ] && break
    sleep 0.05
done
rm pics/7.png pics/9.png
mv pics/8.png pics/8.jpg
kill -0 $pid
verdict $? "fault_028: still training"
wait $pid
rc=$?
lost=$(sed -n 's/.*skipped \([0-9]*\) bad items.*/\1/p' err | tail -n 1)
[ $rc -eq 0 ] && [ "${lost:-0}" -ge 2 ] && [ "$lost" -le 3 ] && grep -q "skipped '[789].png'" err && [ -e v/done ]
verdict $? "fault_028: the run goes on and counts them: status $rc, $lost lost"
mkdir pipe && mkfifo pipe/x.png && cp odd/small.jpg pipe/y.jpg && ln -s x.png pipe/z.png && ln -s . pipe/loop && ln -s nowhere pipe/dangling.png
timeout 20 tokenize images --in pipe --out pipe.lmdb --model m >out 2>err
[ $? -eq 0 ] && grep -q '"records":1,' out && grep -q "dangling link 'dangling.png'" err
verdict $? "fault_027: pipes, loops and dangling links"
finish

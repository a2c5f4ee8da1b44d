#!/bin/sh
# tokenize_images.sh - `tokenize images` and the commands that read its shards: usage, one record an image in the order of
# the names, codes as `vqvae trace` gives them, kept pixels, parts, and the same dump for any batch and thread count.
. "$(dirname "$0")/../tokenize_common.sh"

tokenize --help >out 2>err && [ ! -s err ]
verdict $? "--help leaves with 0"
for word in images episodes text decode info verify merge dump; do
    grep -q "^  $word " out || { verdict 1 "--help does not list $word"; continue; }
    passed=$((passed + 1))
done
tokenize images --help >out 2>err
for word in --in --out --model --keep-pixels --limit --shard --batch --threads --max-bad --max-map --max-pixels --background --force --strict; do
    grep -q -e "$word " out || { verdict 1 "images --help does not tell $word"; continue; }
    passed=$((passed + 1))
done
tokenize --version >out 2>err && grep -q '^tokenize [0-9]' out && grep -q lmdb out
verdict $? "--version"

small_model m 1
small_model other 2
mkdir -p p/b/deep p/a
i=0
for f in "$top"/data/clipart/food_*.png; do
    i=$((i + 1))
    case $((i % 3)) in 0) to=p/b/deep ;; 1) to=p/a ;; 2) to=p ;; esac
    cp "$f" "$to/$i.png"
    [ "$i" -eq 23 ] && break
done
cp p/a/1.png 'p/odd "name".png'
cp p/a/1.png "p/$(printf 'tab\tin it.png')"
cp "$(ls "$top"/data/photos/*.jpg | head -n 1)" p/photo.jpg
cp "$top/tests/reference/image2_24x40.png" p/tall.png
echo words >p/notes.txt

exits 2 "y.lmdb. does not exist" merge --out x.lmdb y.lmdb
exits 2 "cannot open 'nowhere'" images --in nowhere --out x.lmdb --model m
exits 2 "'nowhere' is no tokenizer" images --in p --out x.lmdb --model nowhere
exits 2 "--model is needed" images --in p --out x.lmdb
exits 2 "I/N is needed" images --in p --out x.lmdb --model m --shard 3/3
exits 2 "I/N is needed" images --in p --out x.lmdb --model m --shard -1/3
exits 2 "I/N is needed" images --in p --out x.lmdb --model m --shard 1
exits 2 "R,G,B" images --in p --out x.lmdb --model m --background red
exits 2 "max-bad" images --in p --out x.lmdb --model m --max-bad 2
exits 2 "batch" images --in p --out x.lmdb --model m --batch 0
exits 2 "negative" images --in p --out x.lmdb --model m --limit -3
exits 2 "is --in" images --in p --out p --model m
exits 2 "is --in" images --in p --out ./p/../p --model m
exits 2 "is no token shard" images --in p --out seed --model m
exits 2 "is no token shard" images --in p --out seed --model m --force
[ ! -e x.lmdb ] && [ ! -e x.lmdb.lock ]
verdict $? "a refused command leaves nothing behind"

works "images" images --in p --out a.lmdb --model m
[ "$(wc -l <out)" -eq 1 ] && grep -q '^{"images":27,"episodes":0,"records":27,"skipped":0,"bad":0,"tokens":6912,"seconds":[0-9.]*,"images_per_s":[0-9.]*}$' out
verdict $? "one line of counts"
[ -f a.lmdb/done ] && grep -q '"records":27' a.lmdb/done && [ ! -e a.lmdb.lock ]
verdict $? "done is written, the lock is gone"
cp a.lmdb/data.mdb before && works "again" images --in p --out a.lmdb --model m && cmp before a.lmdb/data.mdb
verdict $? "a complete shard is left alone"
grep -q '"records":27' out
verdict $? "and its counts are told again"

for n in 1 3 16; do
    for t in 1 2 5; do
        works "batch $n, threads $t" images --in p --out "b$n$t.lmdb" --model m --batch $n --threads $t
        same "the same dump with --batch $n --threads $t" a.lmdb "b$n$t.lmdb"
    done
done
LC_ALL=de_DE.UTF-8 works "locale" images --in p --out l.lmdb --model m
same "the same dump in another locale" a.lmdb l.lmdb
works "with pixels" images --in p --out k.lmdb --model m --keep-pixels
same "the same dump with --keep-pixels" a.lmdb k.lmdb

for i in 0 1 2; do works "part $i" images --in p --out "s$i.lmdb" --model m --shard $i/3; done
cat_dump() { for s in "$@"; do tokenize dump "$s"; done; }
cat_dump s0.lmdb s1.lmdb s2.lmdb >parts 2>err && cmp parts a.lmdb.json >out
verdict $? "the parts one after another are the whole"
works "limit" images --in p --out five.lmdb --model m --limit 5
head -n 5 a.lmdb.json >first && tokenize dump five.lmdb | cmp first - >out
verdict $? "--limit takes the first ones"
tokenize dump a.lmdb --id 7 >out 2>err && sed -n 8p a.lmdb.json | cmp - out
verdict $? "dump --id"
tokenize dump a.lmdb --source b/deep/3.png >out 2>err && [ "$(wc -l <out)" -eq 1 ] && grep -q '^{"key":"b/deep/3.png","source":"p",' out
verdict $? "dump --source with a key"
tokenize dump a.lmdb --source p >out 2>err && cmp out a.lmdb.json
verdict $? "dump --source with the source"
exits 2 "records 0 to 26" dump a.lmdb --id 27
exits 2 "no record" dump a.lmdb --source nowhere
exits 2 "does not exist" dump nowhere
exits 2 "does not exist" info nowhere
exits 2 "no token shard" verify p

works "verify" verify a.lmdb
grep -q '"records":27,"defects":0,"complete":true,"images_encoded_again":0,' out
verdict $? "verify reads all records"
works "verify from the source" verify a.lmdb --model m --in p
grep -q '"images_encoded_again":27,"codes_compared":6912,"codes_different":0}' out
verdict $? "and encodes them again"
works "verify from kept pixels" verify k.lmdb --model m --sample 9
grep -q '"images_encoded_again":9,"codes_compared":2304,"codes_different":0}' out
verdict $? "and a sample of them"
exits 4 "fingerprint" verify a.lmdb --model other --in p
exits 4 "fingerprint" decode --model other --in a.lmdb --out d
[ ! -e d ]
verdict $? "decode with another model leaves nothing"
cp -r p changed && cp p/a/1.png changed/b/deep/3.png
tokenize verify a.lmdb --model m --in changed >out 2>err
[ $? -eq 3 ] && grep -q 'differ when encoded again' err
verdict $? "verify sees that an image changed"

works "decode" decode --model m --in a.lmdb --out d
[ "$(ls d/*.png | wc -l)" -eq 28 ] && [ -f d/contact.png ] && [ -f d/done ] && [ -f d/000000-11.png ] && [ -f d/000025-tab_in_it.png ]
verdict $? "a PNG file a record and a contact sheet"
exits 2 "not empty" decode --model m --in a.lmdb --out d
works "decode --sheet" decode --model m --in a.lmdb --out dsheet --sheet
[ "$(ls dsheet/*.png | wc -l)" -eq 28 ]
verdict $? "--sheet writes the same files"
works "decode --force --limit" decode --model m --in a.lmdb --out d --force --limit 2
exits 2 "is --in" decode --model m --in a.lmdb --out a.lmdb
works "info" info a.lmdb
grep -q '"complete":true,"records":27,"images":27,.*"codes":16,"code_dim":4,.*"text_tokenizer":null,"text_vocab":0,"tasks":\[{"kind":"image","name":"image","slots":\[{"grid":\[16,16\],"image":\[32,32\],"kind":"image","name":"image","side":"observed"}\]}\]' out
verdict $? "info tells sizes"

works "images alone" images --in p --out pixels.lmdb --keep-pixels
exits 4 "no codes" decode --model m --in pixels.lmdb --out e
mkdir bare && cp m/config.json m/diffusion_pytorch_model.safetensors bare/
works "native size" images --in p --out native.lmdb --model bare
works "native size, batch 3" images --in p --out native3.lmdb --model bare --batch 3 --threads 1
same "mixed sizes: the same dump for any batch" native.lmdb native3.lmdb
works "verify mixed sizes" verify native.lmdb --model bare --in p
works "decode mixed sizes" decode --model bare --in native.lmdb --out n
works "info of mixed sizes" info native.lmdb
grep -q '"slots":\[{"kind":"image","name":"image","side":"observed"}\]' out
verdict $? "mixed sizes have no common grid"

if ! has_python; then
    skip "comparison with other readers" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
cat >check.py <<'P'
import sys, os, glob, io
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

def files(folder):
    return sorted(os.fsencode(os.path.relpath(os.path.join(d, f), folder)) for d, _, names in os.walk(folder) for f in names if not f.endswith('.txt'))

def rgb(path):
    im = Image.open(path).convert('RGBA')
    a = np.asarray(im).astype(int)
    return np.uint8((a[..., :3] * a[..., 3:] + 255 * (255 - a[..., 3:]) + 127) // 255)

records = dump('a.lmdb')
names = files('p')
assert [os.fsencode(r['key']) for r in records] == names and len(names) == 27
for r in records:
    assert r['kind'] == 'image' and r['source'] == 'p' and r['grid'] == [16, 16] and len(r['codes']) == 256 and 0 <= min(r['codes']) and max(r['codes']) < 16
    assert all(r[k] is None for k in ('text', 'continuous', 'discrete', 'actions', 'label_actions', 'rewards', 'terminated', 'truncated'))
assert len({str(r['codes']) for r in records}) > 15 and len({c for r in records for c in r['codes']}) > 4

# What the encoder saw is kept; vqvae trace must find the same codes in it.
raw = shard('k.lmdb')
kept = [np.asarray(Image.open(io.BytesIO(raw[1, 0, i][1]['pixels']))) for i in range(27)]
for i, k in enumerate(kept):
    assert k.shape == (32, 32, 3) and raw[1, 0, i][1]['pixel_size'].tolist() == [len(raw[1, 0, i][1]['pixels'])]
assert (trace('m', kept)['indices'].reshape(27, -1) == np.array([r['codes'] for r in records])).all()
# ... and it is the image, shrunk: Pillow's triangle filter agrees within rounding. None of these is enlarged.
for name, k in zip(names, kept):
    im = rgb(os.path.join(b'p', name))
    h, w = im.shape[:2]
    s = min(h, w)
    if s < 32 or name == b'photo.jpg':
        continue
    W, H = (round(w * 32 / h), 32) if w > h else (32, round(h * 32 / w))
    small = np.asarray(Image.fromarray(im).resize((W, H), Image.BILINEAR)).astype(int)
    x, y = (W - 32) // 2, (H - 32) // 2
    assert np.abs(small[y:y + 32, x:x + 32] - k).mean() < 3, name

# info's histogram
said = json.loads(subprocess.run(['tokenize', 'info', 'k.lmdb'], check=True, capture_output=True).stdout)
count = np.bincount([c for r in records for c in r['codes']], minlength=16)
p = count[count > 0] / count.sum()
assert said['histogram']['used'] == (count > 0).sum() and abs(said['histogram']['perplexity'] - np.exp(-(p * np.log(p)).sum())) < 1e-3
assert said['histogram']['top'] == [[int(k), int(count[k])] for k in sorted(range(16), key=lambda k: (-count[k], k))[:10] if count[k]]
assert said['bits_per_pixel'] == 4 / 4 and said['image_tokens'] == 27 * 256 and said['sources'] == [{'source': 'p', 'records': 27}]
assert said['bytes'] == os.path.getsize('k.lmdb/data.mdb') and said['kept_pixels_bytes'] == sum(len(raw[1, 0, i][1]['pixels']) for i in range(27))

# verify: one code of 6,912 is another one, far from a tie; then one that is the second nearest
z = trace('m', kept)['prequant'].transpose(0, 2, 3, 1).reshape(27, 256, 4).astype(float)
book = raw[0, 1, 0][1]['codebook'].reshape(16, 4).astype(float)
d = ((z[:, :, None] - book) ** 2).sum(-1)
near = np.sort(d, -1)
gap = (near[..., 1] - near[..., 0]) / near[..., 0]
tie = np.unravel_index(gap.argmin(), gap.shape)
import shutil
for (i, k), code in (((3, 100), d[3, 100].argmax()), (tie, np.argsort(d[tie])[1])):
    shutil.rmtree('forged.lmdb', ignore_errors=True)
    shutil.copytree('k.lmdb', 'forged.lmdb')
    forge_code('forged.lmdb', int(i), int(k), int(code))
    run = subprocess.run(['tokenize', 'verify', 'forged.lmdb', '--model', 'm'], capture_output=True, text=True)
    said, want = json.loads(run.stdout), (d[i, k, code] - d[i, k].min()) / d[i, k].min()
    assert said['codes_different'] == 1 and said['defects'] == 0 and abs(said['largest_gap'] - want) < 1e-3 * want + 1e-5, (said, want)
    assert run.returncode == (3 if said['largest_gap'] > 1e-4 else 0) and ('further away than the nearest' in run.stderr) == (run.returncode == 3), run

# meta: the codebook is the model's
weights = tensors('m/diffusion_pytorch_model.safetensors')
assert (raw[0, 1, 0][1]['codebook'].reshape(16, 4) == weights['quantize.embedding.weight']).all()
assert raw[0, 0, 0][1]['fingerprint'].decode() == json.load(open('m/tokenizer.json'))['fingerprint']
assert 'text_tokenizer' not in raw[0, 0, 0][1]

# without a model, pixels are those of the file
raw = shard('pixels.lmdb')
for i, name in enumerate(names):
    if name == b'photo.jpg':
        continue
    a, b = np.asarray(Image.open(io.BytesIO(raw[1, 0, i][1]['pixels']))), rgb(os.path.join(b'p', name))
    assert a.shape == b.shape and np.abs(a.astype(int) - b).max() <= 1, name
    assert 'codes' not in raw[1, 0, i][1]
assert all(r['codes'] is None and r['grid'] is None for r in dump('pixels.lmdb'))

# native size: padded to the stride by repeating the edge
native = dump('native.lmdb')
for i in (0, 3, 9, 26):
    a = np.asarray(Image.open(io.BytesIO(raw[1, 0, i][1]['pixels'])))
    h, w = a.shape[:2]
    a = np.pad(a, ((0, h % 2), (0, w % 2), (0, 0)), 'edge')
    assert native[i]['grid'] == [a.shape[0] // 2, a.shape[1] // 2]
    assert (trace('bare', [a])['indices'].ravel() == native[i]['codes']).all()
os.mkdir('odd')
rng = np.random.default_rng(1)
odd = [rng.integers(0, 256, size + (3,), np.uint8) for size in ((33, 21), (1, 1), (7, 50), (2, 3))]
for i, a in enumerate(odd):
    Image.fromarray(a).save('odd/%d.png' % i)
subprocess.run(['tokenize', 'images', '--in', 'odd', '--out', 'odd.lmdb', '--model', 'bare'], check=True, capture_output=True)
for a, r in zip(odd, dump('odd.lmdb')):
    h, w = a.shape[:2]
    a = np.pad(a, ((0, h % 2), (0, w % 2), (0, 0)), 'edge')
    assert r['grid'] == [a.shape[0] // 2, a.shape[1] // 2]
    assert (trace('bare', [a])['indices'].ravel() == r['codes']).all()

# decoded images are trace's
out = trace('m', kept[:2])['decoder_out'].transpose(0, 2, 3, 1)
want = np.clip(np.round((out.astype(float) + 1) * 127.5), 0, 255)
for i, f in enumerate(sorted(glob.glob('d/0000*.png'))[:2]):
    assert np.abs(np.asarray(Image.open(f)).astype(int) - want[i]).max() <= 1
P
python check.py "$top/tests"
verdict $? "codes, pixels, codebook and order as other readers see them"
finish

#!/bin/sh
# tokenize_tar.sh - WebDataset tars written by Python's tarfile: the same codes as from a folder, by index, from a packed stream
# and from stdin; captions and labels; damaged members; killed and resumed. And `vqvae` trains from them.
. "$(dirname "$0")/../tokenize_common.sh"
if ! "$PYTHON" -c 'import tarfile' 2>/dev/null; then
    skip "tokenize_tar" "no Python"
    finish
fi
small_model m 1
if ! tokenize --version | grep -q 'libarchive: yes'; then
    skip "tokenize_tar" "built without libarchive"
    finish
fi
# make.py FORMAT SHARDS NAME...: 60 samples of clipart and photographs, named so that folder order and tar order are one.
cat >make.py <<'X'
import glob, io, os, sys, tarfile
top, form, names = sys.argv[1], sys.argv[2], sys.argv[3:]
files = (sorted(glob.glob(top + "/data/clipart/*.png"))[::20] + sorted(glob.glob(top + "/data/photos/*.jpg"))[::13])[:60]
os.makedirs("folder", exist_ok=True)
def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
per = -(-len(files) // len(names))
for s, name in enumerate(names):
    with tarfile.open(name, "w:gz" if name.endswith("gz") else "w", format=getattr(tarfile, form)) as tar:
        for k in range(s * per, min(len(files), (s + 1) * per)):
            data, ext = open(files[k], "rb").read(), files[k][-3:]
            open(f"folder/{k:03d}.{ext}", "wb").write(data)
            add(tar, f"set/{k:03d}.{ext}", data)
            if k % 2 == 0: add(tar, f"set/{k:03d}.txt", f"caption {k} é\n".encode())
            if k % 3 == 0: add(tar, f"set/{k:03d}.cls", str(k).encode())
            add(tar, f"set/{k:03d}.json", b'{"width": 64}')
X
python make.py "$top" USTAR_FORMAT u.tar
verdict $? "a ustar archive"
python make.py "$top" PAX_FORMAT p.tar.gz
verdict $? "a packed pax archive"
python make.py "$top" GNU_FORMAT g-00.tar g-01.tar g-02.tar
verdict $? "three GNU archives"

codes() { tokenize dump "$1" 2>err | sed 's/.*"codes":\[\([0-9,]*\)\].*/\1/'; }
records() { tokenize dump "$1" 2>err | sed 's/"source":"[^"]*",//'; }
works "a folder" images --in folder --out folder.lmdb --model m
works "a tar" images --in u.tar --out u.lmdb --model m
grep -q '"images":60,"episodes":0,"records":60,"skipped":0,"bad":0,' out
verdict $? "all samples of it"
codes folder.lmdb >a && codes u.lmdb >b && [ "$(wc -l <a)" -eq 60 ] && cmp a b >out 2>&1
verdict $? "the same codes as from a folder, in the same order"
works "a packed tar" images --in p.tar.gz --out p.lmdb --model m
tokenize images --in - --out s.lmdb --model m --threads 1 <p.tar.gz >out 2>err
verdict $? "stdin"
works "three shards" images --in 'g-{00..02}.tar' --out g.lmdb --model m
records u.lmdb >a
for s in p s g; do
    records $s.lmdb | cmp - a >out 2>&1
    verdict $? "$s.lmdb holds the same records"
done
"$PYTHON" - a >out 2>err <<'X'
import json, sys
for k, line in enumerate(open(sys.argv[1])):
    r = json.loads(line)
    text = f"caption {k} é" if k % 2 == 0 else str(k) if k % 3 == 0 else None
    assert r["key"] == f"set/{k:03d}", r["key"]
    assert r["text"] == (None if text is None else list(text.encode()) + [256]), r
    assert r.get("label") == (str(k) if k % 3 == 0 else None), r
X
verdict $? "captions end with 256, labels are kept, a label alone is the text"
works "shards of a tar" images --in 'g-{00..02}.tar' --out part.lmdb --model m --shard 1/2
records part.lmdb >b && tail -n 30 a | cmp - b >out 2>&1
verdict $? "--shard 1/2 is the second half"
works "--limit of a stream" images --in p.tar.gz --out l.lmdb --model m --limit 7
records l.lmdb >b && head -n 7 a | cmp - b >out 2>&1
verdict $? "--limit 7 of a stream"
exits 2 "length is not known" images --in p.tar.gz --out x.lmdb --model m --shard 0/2
exits 2 "g-03.tar': No such file" images --in 'g-{00..03}.tar' --out x.lmdb --model m
works "verify encodes again" verify u.lmdb --model m --in u.tar
works "verify finds the shards of a range by itself" verify g.lmdb --model m
grep -q '"codes_compared":[1-9]' out
verdict $? "and compares codes"
works "verify of a shard of a packed tar, whose images cannot be read again" verify p.lmdb --model m
grep -q '"codes_compared":0' out
verdict $? "compares none"
exits 2 "is a stream" verify p.lmdb --model m --in p.tar.gz

# killed in the middle of a stream: the same command goes on
"$PYTHON" - "$top" >out 2>err <<'X'
import glob, sys, tarfile
with tarfile.open("many.tar", "w", format=tarfile.USTAR_FORMAT) as t:
    for k, f in enumerate(sorted(glob.glob(sys.argv[1] + "/data/clipart/*.png"))): t.add(f, f"{k}.png")
X
works "a plain tar of many" images --in many.tar --out whole.lmdb --keep-pixels
{ head -c $(($(wc -c <many.tar) * 7 / 10)) many.tar && sleep 20; } | tokenize images --in - --out killed.lmdb --keep-pixels >out 2>err &
pid=$!
for i in $(seq 100); do
    tokenize info killed.lmdb 2>/dev/null | grep -q '"records":[1-9]' && break
    sleep 0.1
done
kill -9 $pid
wait $pid 2>/dev/null
tokenize info killed.lmdb >out 2>err
grep -q '"complete":false' out && ! grep -q '"records":0' out
verdict $? "killed between batches: $(cat out)"
tail -c 100000 many.tar | tokenize images --in - --out killed.lmdb --keep-pixels >out 2>err
[ $? -eq 4 ] && grep -Eq "is not|ends after" err
verdict $? "another stream is refused"
tokenize images --in - --out killed.lmdb --keep-pixels <many.tar >out 2>err
records killed.lmdb >b && records whole.lmdb | cmp - b >out 2>&1 && [ "$(wc -l <b)" -eq 600 ]
verdict $? "and goes on to the same records"

# damage
cat >spoil.py <<'X'
import io, os, sys, tarfile
src = tarfile.open("u.tar")
def copy(name, change):
    with tarfile.open(name, "w", format=tarfile.USTAR_FORMAT) as out:
        for m in src.getmembers():
            for info, data in change(m, src.extractfile(m).read()):
                info.size = len(data) if info.isreg() else 0
                out.addfile(info, io.BytesIO(data))
def info(name, kind=tarfile.REGTYPE, link=""):
    i = tarfile.TarInfo(name)
    i.type, i.linkname = kind, link
    return i
def odd(m, d):
    if m.name == "set/004.png": return [(info(m.name, tarfile.LNKTYPE, "set/003.png"), b"")]
    if m.name == "set/005.png": return [(m, d[:100])]
    if m.name == "set/006.png": return []
    if m.name == "set/007.png": return [(m, d), (info("set/007.jpg"), d)]
    if m.name == "set/008.png": return [(info("../../../up.png"), d), (m, d)]
    if m.name == "set/009.png": return [(info(os.path.join(os.getcwd(), "abs/olute.png")), d), (info("set/009.png", tarfile.SYMTYPE, "set/003.png"), b""), (m, d)]
    if m.name == "set/010.txt": return [(m, b"x" * (1 << 20) + b"y")]
    return [(m, d)]
copy("odd.tar", odd)
data = open("u.tar", "rb").read()
open("cut.tar", "wb").write(data[:len(data) // 2 + 100])
bad = bytearray(data)
at = len(data) // 2 // 512 * 512
while bad[at + 257:at + 262] != b"ustar": at += 512
bad[at + 150] ^= 3
open("sum.tar", "wb").write(bad)
X
python spoil.py
verdict $? "damaged archives"
for way in "odd.tar odd" "- odds"; do
    set -- $way
    tokenize images --in "$1" --out "$2.lmdb" --model m --max-bad 0.1 <odd.tar >out 2>err
    rc=$?
    [ $rc -eq 0 ] && grep -q '"records":57,"skipped":2,"bad":3,' out
    verdict $? "fault_035: $1 with bad members: status $rc: $(cat out)"
    tokenize info "$2.lmdb" >info 2>err && grep -q '{"key":"set/004","reason":"member .png. is a hard link"}' info && grep -q '"set/005"' info &&
        grep -q '{"key":"set/010","reason":"member .txt. is too large"}' info
    verdict $? "fault_035: $1: named with their reasons in the shard"
    grep -q "set/006.*no image" err
done
[ ! -e ../../../up.png ] && [ ! -e abs ]
verdict $? "fault_035: nothing was written by ../ and absolute names"
tokenize images --in odd.tar --out x.lmdb --model m --max-bad 0.1 >out 2>err
grep -q "set/006.*no image" err && grep -q "set/007.*two images" err
verdict $? "fault_036: skipped, counted and named"
records odd.lmdb | grep -v '"key":"set/0[0-9][0-9]",' | grep -c key | grep -qx 2
verdict $? "fault_035: ../ and absolute names are keys as others"
for f in cut sum; do
    tokenize images --in $f.tar --out $f.lmdb --model m --max-bad 0.1 >out 2>err
    rc=$?
    tokenize images --in - --out $f-s.lmdb --model m --max-bad 0.1 <$f.tar >out2 2>err
    [ $rc -eq 0 ] && grep -q '"skipped":0,"bad":1,' out && records $f.lmdb >b && [ "$(wc -l <b)" -gt 20 ] && head -n "$(wc -l <b)" a | cmp -s - b &&
        records $f-s.lmdb | cmp -s - b
    verdict $? "fault_035: $f.tar: what stands before the damage is good: status $rc"
done
tokenize images --in cut.tar --out strict.lmdb --model m --max-bad 0 >out 2>err
[ $? -eq 3 ]
verdict $? "fault_035: --max-bad 0 refuses it"

# a packed nothing: 500 MB of zeros as a caption and as an image
cat >bomb.py <<'X'
import gzip, tarfile, sys
class Zeros:
    def read(self, n): return bytes(n)
with gzip.open("bomb.tar.gz", "wb", compresslevel=1) as z, tarfile.open(fileobj=z, mode="w|") as t:
    src = tarfile.open("u.tar")
    for m in src.getmembers():
        if m.name == "set/004.txt":
            m.size = 300 << 20
            t.addfile(m, Zeros())
        elif m.name == "set/008.png":
            m.size = 300 << 20
            t.addfile(m, Zeros())
        else: t.addfile(m, src.extractfile(m))
X
python bomb.py
verdict $? "a bomb"
cat >peak.py <<'X'
import resource, subprocess, sys
rc = subprocess.call(sys.argv[2:])
kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print("peak", kb >> 10, "MB", file=sys.stderr)
sys.exit(rc or kb >> 10 > int(sys.argv[1]))
X
"$PYTHON" peak.py "${SANITIZED:+9}200" tokenize images --in bomb.tar.gz --out bomb.lmdb --model m --max-bad 0.1 >out 2>err
rc=$?
[ $rc -eq 0 ] && grep -q '"records":58,"skipped":0,"bad":2,' out
verdict $? "fault_037: members have a cap: status $rc: $(tail -n 1 err)"

# vqvae
train() { vqvae train --out "$1" --data "$2" --steps 3 --set model.block_out_channels=[8,8] model.norm_num_groups=4 model.num_vq_embeddings=16 \
    model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=2 --seed 3 --threads "$3" >out 2>err; }
train v1 'g-{00..02}.tar' 1 && train v2 'g-{00..02}.tar' 2 && cmp v1/diffusion_pytorch_model.safetensors v2/diffusion_pytorch_model.safetensors >out 2>&1
verdict $? "vqvae trains from shards, the same with two threads"
train v3 p.tar.gz 1
rc=$?
[ $rc -eq 2 ] && grep -q "unpack it to a plain .tar first" err && [ ! -e v3 ]
verdict $? "vqvae refuses a packed tar: status $rc"
vqvae eval --model v1 --data u.tar=1 --split all >out 2>err && grep -q '"images":60' out
verdict $? "vqvae eval"
train v4 odd.tar 1
[ $? -eq 3 ] && grep -q 'max-bad' err
verdict $? "fault_035: vqvae counts bad members"
# a stream without end whose second image is damaged: only --max-bad 0 can be decided before its end
cat >endless.py <<'X'
import io, sys, tarfile
from PIL import Image
image = io.BytesIO()
Image.new("RGB", (8, 8), (9, 99, 199)).save(image, "png")
tar = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
try:
    for i in range(10 ** 9):
        data = image.getvalue()[:-20] if i == 1 else image.getvalue()
        info = tarfile.TarInfo("%09d.png" % i)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
except BrokenPipeError:
    pass
X
"$PYTHON" endless.py 2>/dev/null | timeout 60 tokenize images --in - --out endless.lmdb --keep-pixels --max-bad 0 >out 2>err
rc=$?
[ $rc -eq 3 ] && tail -n 1 err | grep -q '1 bad item, and --max-bad 0 allows none'
verdict $? "--max-bad 0 stops a stream at its first bad item: status $rc"
finish

#!/bin/sh
# tokenize_readers.sh - readers of shards that are not ours: the one printed in common/io/FORMATS.md, and a PyTorch data set.
# The first needs lmdb, numpy and PIL (its xxhash may be replaced), the second a python3 with torch: $TORCH_PYTHON, or $PYTHON.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip "readers" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
small_model m 1
mkdir p
cp "$top"/data/clipart/food_a*.png p/
head -c 100 "$(ls p/*.png | head -n 1)" >p/broken.png
{ for f in p/food*.png; do echo "{\"image\":\"$f\",\"question\":\"what?\",\"answer\":\"$f\"}"; done; } >c.jsonl
works "images" images --in p --model m --out i.lmdb --keep-pixels --dedupe --max-bad 0.5
echo '{"text":"words alone"}' >>c.jsonl
works "captions" text --in c.jsonl --model m --out c.lmdb
works "both, four tasks" merge --mix i.lmdb c.lmdb --out x.lmdb
sed -n '/^```python$/,/^```$/p' "$top/common/io/FORMATS.md" | sed '1d;$d' >reader.py
[ "$(grep -c . reader.py)" -le 40 ] && [ -s reader.py ]
verdict $? "the reader of FORMATS.md is short"
mkdir stub # where the xxhash module is not installed
cat >stub/xxhash.py <<P
import sys
sys.path.insert(0, "$top/tests")
from tokenize_oracle import xxh64
def xxh64_intdigest(data, seed=0):
    return xxh64(bytes(data), seed)
P
stub=
"$PYTHON" -c 'import xxhash' 2>/dev/null || stub=$dir/stub:
for s in i c x; do
    PYTHONPATH=$stub${PYTHONPATH:-} "$PYTHON" reader.py $s.lmdb >out 2>err
    verdict $? "FORMATS.md's reader reads $s.lmdb"
    cp out $s.read
done
cat >check.py <<'P'
import json, re, subprocess, sys
for s in 'icx':
    lines = open(s + '.read').read().splitlines()
    records = [json.loads(l) for l in subprocess.run(['tokenize', 'dump', s + '.lmdb'], check=True, capture_output=True).stdout.splitlines()]
    assert len(lines) == len(records) + 1 and lines[0].startswith('('), len(lines)
    for i, (line, r) in enumerate(zip(lines[1:], records)):
        number, task, T, first, key, read = eval('(' + re.sub(r"^(\d+) (\w+) (\d+) (\d+) (b.*?) ({.*)$", r"\1, '\2', \3, \4, \5, \6", line) + ')')
        assert (number, task, T, first, key.decode()) == (i, r['task'], 1, 0, r['key'])
        for part, value in (('image codes', r['codes']), ('text text', r['text'])):
            assert read.get(part) == (value and value[:8]), (line, r)
        assert not r['codes'] or read['image sizes'] == r['grid'] + [32, 32]
    assert s != 'x' or {r['task'] for r in records} == {'image', 'vqa', 'text'}
P
python check.py
verdict $? "and sees what dump prints"
torch=${TORCH_PYTHON:-$PYTHON}
if "$torch" -c 'import torch, lmdb, numpy, xxhash' 2>/dev/null; then
    for s in i c x; do
        want=$(tokenize info $s.lmdb | sed 's/.*"records":\([0-9]*\),.*"tokens":\([0-9]*\),"skipped.*/\1 \2/')
        [ "$("$torch" "$top/tests/interop/torch_shard.py" $s.lmdb 2>err)" = "$want" ]
        verdict $? "PyTorch reads $s.lmdb: $want"
    done
else
    skip "the PyTorch data set" "$torch lacks torch, lmdb, numpy or xxhash"
fi
finish

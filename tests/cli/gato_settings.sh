#!/bin/sh
# gato_settings.sh - policies that would not learn what they are asked for: no targets, a horizon beyond the sequence, keys
# without effect, names to freeze that match nothing; lone records; evaluation of nothing. Shards of images, captions, text.
. "$(dirname "$0")/../vqvae_common.sh"

images 8 pics
train tokenizer
verdict $? "a tokenizer"
first=$(find pics -name '*.png' | LC_ALL=C sort | head -n 1)
shard() { # NAME WHAT ARGUMENTS...
    name=$1 what=$2
    shift 2
    tokenize "$what" --out "$name" "$@" >out 2>err
    verdict $? "shard $name"
}
shard pics.lmdb images --in pics --model tokenizer
i=0
: >plain.txt
while [ $i -lt 12 ]; do
    i=$((i + 1))
    printf 'line %d of a text that is long enough\n' $i >>plain.txt
done
shard text.lmdb text --in plain.txt --split 40

learn() { # DATA WORDS...: a word with '=' is a setting
    data=$1 options=
    shift
    for word in "$@"; do
        case $word in
        *=*) options="$options --set $word" ;;
        *) options="$options $word" ;;
        esac
    done
    # shellcheck disable=SC2086
    gato train --data $data --out new --force --threads 1 --steps 2 --set model.width=16 model.layers=1 model.heads=2 model.context=128 train.batch=2 \
        train.tensorboard=false optim.warmup=0 $options >out 2>err
}
refused() { # PATTERN DATA WORDS...
    pattern=$1
    shift
    rm -rf new
    learn "$@"
    rc=$?
    [ $rc -eq 2 ] && grep -q -e "$pattern" err && [ ! -e new ]
    verdict $? "refused: $pattern: status $rc: $*"
}
told() { # KEY DATA WORDS...: one warning
    key=$1
    shift
    learn "$@"
    rc=$?
    [ $rc -eq 0 ] && [ "$(grep -c "warning: $key has no effect" err)" -eq 1 ] && [ "$(grep -c warning err)" -eq 1 ]
    verdict $? "told: $key: status $rc: $*"
}
silent() {
    learn "$@"
    rc=$?
    [ $rc -eq 0 ] && ! grep -q warning err
    verdict $? "nothing to tell: status $rc: $*"
}

# --- nothing to learn
refused 'nothing to learn.*loss.image above 0' pics.lmdb
refused 'nothing to learn.*loss.text above 0' text.lmdb loss.text=0
silent pics.lmdb loss.image=1
silent text.lmdb
silent "pics.lmdb text.lmdb" loss.image=1
learn "pics.lmdb text.lmdb" && grep -q "warning: nothing is learned from task '[^']*image" err
verdict $? "a task from which nothing is learned"
learn "pics.lmdb=1000 text.lmdb" train.batch=1 optim.lr=0
cp new/model.safetensors start.safetensors
learn "pics.lmdb=1000 text.lmdb" train.batch=1 optim.lr=0.1 && grep -q 'warning: 2 of 2 steps had nothing to learn' err && grep -q '"loss":null' new/metrics.jsonl &&
    cmp start.safetensors new/model.safetensors
verdict $? "fault_091: samples without targets move nothing"
learn "pics.lmdb text.lmdb" train.batch=1 optim.lr=0.1 && grep -q 'warning: 1 of 2 steps had nothing to learn' err && ! cmp -s start.safetensors new/model.safetensors
verdict $? "fault_091: the others do"

# --- a loss that would never run
refused 'loss.image = 1 would never run: the shards hold no images' text.lmdb loss.image=1
refused 'loss.horizon is set.*loss.image above 0' text.lmdb loss.horizon=2
refused 'horizon 2 of loss.horizon would never run.*3 timesteps' pics.lmdb loss.image=1 loss.horizon=2
refused 'horizon 5 of loss.horizon would never run' pics.lmdb loss.image=1 'loss.horizon=[1,5]'
refused 'must rise' pics.lmdb loss.image=1 'loss.horizon=[5,1]'
refused 'loss.vector = 1 would never run: the shards hold no observed vectors' text.lmdb loss.vector=1
refused 'loss.image = 1 would never run.*model.merge = 8' pics.lmdb loss.image=1 model.merge=8
silent pics.lmdb loss.image=1 model.merge=4
refused 'model.image_last would never have an effect.*two images in a row' pics.lmdb loss.image=1 model.image_last=true
refused 'model.image_last is set.*loss.image above 0' text.lmdb model.image_last=true
refused 'loss.image_first = 0, and no sequence holds two' pics.lmdb loss.image=1 loss.image_first=0
told loss.image_first pics.lmdb loss.image=1 loss.image_first=0.5
refused 'loss.horizon has no 1' pics.lmdb loss.image=1 loss.horizon=2 model.image_last=true
refused 'model.image_in has none' pics.lmdb loss.image=1 model.image_in=table model.image_last=true

# --- weights of shards that leave another one out; a shard twice
refused "loss.discrete = 1 would never run" pics.lmdb loss.image=1 loss.discrete=1
refused "loss.vector = 1 would never run" pics.lmdb loss.image=1 loss.vector=1
refused "'text.lmdb' would never be drawn" "pics.lmdb=1e30 text.lmdb" loss.image=1
refused "'pics.lmdb' would never be drawn" "pics.lmdb=1e-30 text.lmdb" loss.image=1
refused "'text.lmdb' twice" "text.lmdb pics.lmdb text.lmdb=2"
learn "pics.lmdb text.lmdb=0.2" loss.image=1 && [ "$(grep -c "warning: 'text.lmdb' gives 0.67 of the 4 samples" err)" -eq 1 ] && [ "$(grep -c warning err)" -eq 1 ]
verdict $? "a shard that is hardly drawn is told"
silent "pics.lmdb=3 text.lmdb" loss.image=1

# --- train.freeze
refused "did you mean 'transformer'" pics.lmdb loss.image=1 train.freeze=transfomer
refused "did you mean 'predict_future'" pics.lmdb loss.image=1 train.freeze=transformer,predict_futrue
refused 'empty prefix' pics.lmdb loss.image=1 train.freeze=transformer,
refused "no parameter begins with 'quantize'" pics.lmdb loss.image=1 train.freeze=quantize
silent pics.lmdb loss.image=1 train.freeze=transformer,image_codes
many=$(awk 'BEGIN { for (i = 0; i < 48; i++) printf "%stransformer.h.0.attn", i ? "," : "" }') # as long as that of many tasks
silent pics.lmdb loss.image=1 "train.freeze=$many"
python=$(numpy_python)
if [ -n "$python" ]; then
    cat >tensors.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from st import load
a, b = (load(f)[0] for f in ('start.safetensors', 'new/model.safetensors'))
moved = {n for n in a if n.split('.')[0] in ('transformer', 'image_codes', 'predict_future') and (a[n] != b[n]).any()}
print(' '.join(sorted({n.split('.')[0] for n in moved})))
P
    learn pics.lmdb loss.image=1 optim.lr=0
    cp new/model.safetensors start.safetensors
    learn pics.lmdb loss.image=1 train.freeze=transformer,image_codes
    [ "$("$python" tensors.py "$top/tests/interop" 2>err)" = predict_future ]
    verdict $? "both prefixes stay: moved $("$python" tensors.py "$top/tests/interop" 2>&1 | tail -n 1)"
    learn pics.lmdb loss.image=1
    [ "$("$python" tensors.py "$top/tests/interop" 2>err)" = 'image_codes predict_future transformer' ]
    verdict $? "and move without train.freeze"
else
    skip "what train.freeze keeps" "no numpy"
fi

# --- keys without effect
told model.patch pics.lmdb loss.image=1 model.patch=8
told model.patch_mid pics.lmdb loss.image=1 model.patch_mid=64
told model.patch_groups pics.lmdb loss.image=1 model.patch_groups=16
told model.code_norm pics.lmdb loss.image=1 model.image_in=table model.code_norm=white
told model.code_pos_random pics.lmdb loss.image=1 model.code_pos_random=true model.patch_pos=none
told model.merge text.lmdb model.merge=2
told model.patch_pos text.lmdb model.patch_pos=gato
told 'model.vector_in = linear' pics.lmdb loss.image=1 model.vector_in=linear
told model.vector_first pics.lmdb loss.image=1 model.vector_first=true
told loss.image_changed text.lmdb loss.image_changed=3
told loss.image_changed pics.lmdb loss.image=1 loss.image_changed=3
told loss.image_first text.lmdb loss.image_first=0.5
told model.text_first pics.lmdb loss.image=1 model.text_first=true
told model.mu_law text.lmdb model.mu_law=outside
told loss.action text.lmdb loss.action=2
told loss.action_kind text.lmdb loss.action_kind=mix
told loss.ce_weight text.lmdb loss.ce_weight=0.2
told loss.text pics.lmdb loss.image=1 loss.text=2
told train.window text.lmdb train.window=2
told train.prompt text.lmdb train.prompt=0.5
told data.balance text.lmdb data.balance=task
told act.temperature text.lmdb act.temperature=0.5
silent text.lmdb act.temperature=0.5 act.decode=sample
told optim.min_ratio text.lmdb optim.schedule=constant optim.min_ratio=0.5
silent text.lmdb train.prompt=0

# --- lone records: trained on, whatever they are called
for name in n28 n58 photo; do
    rm -rf lone && mkdir lone && cp "$first" "lone/$name.png"
    rm -rf lone.lmdb
    shard lone.lmdb images --in lone --model tokenizer
    learn lone.lmdb loss.image=1 data.holdout=0.9 && [ "$(grep -c "'lone.lmdb' has one record alone.*nothing is held out" err)" -eq 1 ] &&
        grep -q '"loss_held_out":null' new/metrics.jsonl
    verdict $? "$name.png alone"
done
gato eval --model new --data lone.lmdb >out 2>err && grep -q '"records":0,"tokens":0,"loss":null,' out && grep -q 'nothing is held out.*data.holdout.*--split all' err
verdict $? "eval of nothing: null, and what to do"
gato eval --model new --data lone.lmdb --split all >out 2>err && grep -q '"records":1,"tokens":[0-9]*,"loss":[0-9]' out && ! grep -q 'held out of' err
verdict $? "--split all"
learn pics.lmdb loss.image=1 data.holdout=0 && ! grep -q 'held out' err
verdict $? "holdout = 0 is asked for: nothing is said"
gato eval --model new --data pics.lmdb >out 2>err && grep -q '"records":0,"tokens":0,"loss":null,' out && grep -q 'data.holdout=F' err
verdict $? "eval with data.holdout = 0"
gato eval --model new --data pics.lmdb lone.lmdb --set data.holdout=0.2 >out 2>err && [ "$(grep -c '"loss":null' out)" -eq 1 ] && [ "$(wc -l <out)" -eq 3 ]
verdict $? "one of two sources is empty"
cp "$first" k25.png
for j in 1 2 3 4 5; do echo "{\"image\":\"k25.png\",\"caption\":\"words $j\"}"; done >captions.jsonl
shard captions.lmdb text --in captions.jsonl --model tokenizer
learn captions.lmdb data.holdout=0.9
verdict $? "five captions of one image"

# --- fault_062: a loss that is not finite moves nothing; after three such steps the training ends
learn pics.lmdb loss.image=1 train.save_every=1
"${PYTHON:-python3}" - new/model.safetensors <<'X'
import json, struct, sys
raw = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", raw[:8])[0]
head = json.loads(raw[8:8 + n])
head.pop("__metadata__", None) # its checksum
first, last = head["transformer.h.0.ln_1.weight"]["data_offsets"]
for at in range(first, last, 4): # finite, and too large for what comes behind it
    raw[8 + n + at:12 + n + at] = struct.pack("<f", 3e38)
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + n:])
X
gato train --init new --data pics.lmdb --out wild --threads 1 --steps 9 --set loss.image=1 optim.warmup=0 train.batch=2 train.tensorboard=false >out 2>err
rc=$?
[ "$rc" -eq 1 ] && grep -q 'not finite' err && [ ! -e wild/model.safetensors ] && [ ! -e wild/done ]
verdict $? "fault_062: status $rc: $(tail -n 1 err)"

# --- --dry-run counts evaluation
expected() {
    gato train --data pics.lmdb --out dry --dry-run --threads 1 --steps 100 --set model.width=16 model.layers=1 model.heads=2 loss.image=1 "$@" 2>err |
        awk -F'[:,}]' '{ print ($10 - 100 * $8) / $8 }'
}
# Times of a busy machine: the factor of 100 between one evaluation and one a step shows in one of a few tries.
for try in 1 2 3 4 5; do
    none=$(expected data.holdout=0) last=$(expected train.eval_every=0) each=$(expected train.eval_every=1)
    awk -v a="$none" -v b="$last" -v c="$each" 'BEGIN { exit !(a < 0.001 && a > -0.001 && b > 0 && c > 10 * b) }' && break
done
verdict $? "evaluation in steps: none $none, at the end $last, at each step $each"
finish

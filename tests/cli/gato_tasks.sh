#!/bin/sh
# gato_tasks.sh - one policy, several tasks: metrics by task, shares by task, the same bytes for any number of threads and after a
# stop; tasks that are added with --init, and what stays as it was.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"

cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 128, "bins": 32, "vector_in": "linear"},
 "loss": {"action_kind": "mse"}, "optim": {"warmup": 2},
 "train": {"steps": 6, "batch": 4, "save_every": 2, "eval_every": 3, "log_every": 3, "tensorboard": false},
 "data": {"holdout": 0.3, "split_by": "episode"}}
Y
vqvae train --data "$top/data/reacher" --config vq.json --out vq --threads 1 >out 2>err
verdict $? "a tokenizer"
i=0
while [ $i -lt 12 ]; do
    i=$((i + 1))
    printf 'line %d of a text that is long enough\n' $i
done >plain.txt
tokenize episodes --in "$top/data/reacher" --limit 4 --out arm.lmdb --model vq --task arm >out 2>err &&
    tokenize episodes --in "$top/data/reacher" --limit 6 --out leg.lmdb --model vq --task 'a leg/2' >out 2>err &&
    tokenize episodes --in "$top/data/reacher" --limit 6 --frames 4 --spread --out spread.lmdb --model vq --task arm >out 2>err &&
    tokenize text --in plain.txt --out text.lmdb >out 2>err
verdict $? "shards of three tasks"

learn() { # RUN ARGUMENTS...
    run=$1
    shift
    gato train --out "$run" --threads 1 "$@" >out 2>err
}
all="arm.lmdb leg.lmdb=2 text.lmdb=0.5"
# shellcheck disable=SC2086
learn three --data $all --config policy.json --vqvae vq
verdict $? "three tasks in one training"
grep -q '"loss_held_out":[0-9.]*,"action_mae_held_out":[0-9.]*,"loss_arm":[0-9.]*,"loss_a leg/2":[0-9.]*,"loss_text":[0-9.]*,' three/metrics.jsonl
verdict $? "held-out metrics by task: $(tail -n 1 three/metrics.jsonl)"
gato eval --model three --data arm.lmdb leg.lmdb text.lmdb >out 2>err
[ "$(wc -l <out)" -eq 4 ] && sed -n 1p out | grep -q '^{"source":"arm.lmdb","task":"arm",.*"loss_text":null' && sed -n 2p out | grep -q '"task":"a leg/2"' &&
    sed -n 3p out | grep -q '"task":"text",.*"loss_action":null,.*"perplexity_text":[0-9]' && sed -n 4p out | grep -q '^{"source":null,"task":null'
verdict $? "a line a task, then all"
sum=$(sed -n 1,3p out | sed 's/.*"tokens":\([0-9]*\).*/\1/' | awk '{ s += $1 } END { print s }')
sed -n 4p out | grep -q "\"tokens\":$sum,"
verdict $? "all of them together: $sum tokens"
# shellcheck disable=SC2086
learn threads --data $all --config policy.json --vqvae vq --threads 3
same "--threads 3" three threads
# shellcheck disable=SC2086
learn stopped --data $all --config policy.json --vqvae vq --stop-at 3
# shellcheck disable=SC2086
learn stopped --data $all --resume
same "--stop-at and --resume" three stopped
# shellcheck disable=SC2086
learn balanced --data $all --config policy.json --vqvae vq --set data.balance=task
verdict $? "data.balance = task"
! cmp -s three/model.safetensors balanced/model.safetensors
verdict $? "and learns from other samples"
gato train --data arm.lmdb leg.lmdb text.lmdb --config policy.json --out dry --dry-run --threads 1 --set train.batch=32 model.context=256 >out 2>err
awk -v p="$(json_last out padding)" 'BEGIN { exit !(p != "" && p >= 0 && p < 0.1) }'
verdict $? "padding of mixed training: $(cat out)"

# --- a task is added
learn one --data arm.lmdb --config policy.json --vqvae vq
old=transformer,embed_token,predict_token,separator_token,pos_embed_observation,image_codes,vector_embedding.arm,predict_action.arm
learn two --init one --data leg.lmdb --steps 4 --set train.freeze=$old data.holdout=0.3 data.split_by=episode train.tensorboard=false
verdict $? "--init with another task"
gato info two >out 2>err && grep -q '"timesteps":{"arm":3,"a leg/2":3}' out
verdict $? "it plays both: $(cat err)"
gato eval --model one --data arm.lmdb --split all >one.json 2>err && gato eval --model two --data arm.lmdb --split all >out 2>err && cmp one.json out
verdict $? "the old task's actions are bit-equal when its parameters are frozen"
for f in config.json diffusion_pytorch_model.safetensors tokenizer.json; do
    cmp "vq/$f" "two/vqvae/$f" >out 2>&1
    verdict $? "the tokenizer comes along: $f"
done
refuses 4 "does not know the task 'a leg/2'" eval --model one --data leg.lmdb
python=$(numpy_python)
if [ -n "$python" ]; then
    cat >tensors.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from st import load
a, b = (load(f + '/model.safetensors')[0] for f in ('one', 'two'))
assert all((a[n] == b[n]).all() for n in a), [n for n in a if (a[n] != b[n]).any()]
assert sorted(set(b) - set(a)) == ['predict_action.a%20leg%2F2.bias', 'predict_action.a%20leg%2F2.weight',
                                   'vector_embedding.a%20leg%2F2.vector.bias', 'vector_embedding.a%20leg%2F2.vector.weight'], set(b) - set(a)
P
    "$python" tensors.py "$top/tests/interop" >out 2>err
    verdict $? "its tensors too, and the new ones bear the task's name"
fi
learn parted --init one --data leg.lmdb --steps 4 --stop-at 2 --set train.freeze=$old data.holdout=0.3 data.split_by=episode train.tensorboard=false
learn parted --data leg.lmdb --resume
same "--init, a stop, --resume" two parted
refuses 4 '^gato:   model.width: 16 vs 32$' train --init one --data leg.lmdb --out new --set model.width=32
refuses 2 'give one of them' train --init one --data leg.lmdb --out new --resume
refuses 2 'both --init and --out' train --init one --data leg.lmdb --out one
tokenize episodes --in "$top/data/reacher" --limit 3 --out quiet.lmdb --model vq --task arm --obs image=image,vector=vector >out 2>err &&
    learn quiet --data quiet.lmdb --config policy.json --vqvae vq
verdict $? "a policy without text"
gato info quiet 2>err | grep -q '"vocabulary":{"text":0,'
verdict $? "has no text in its vocabulary"
refuses 4 'vocabulary would grow.*without text' train --init quiet --data text.lmdb --out new
refuses 2 'nowhere' train --init nowhere --data leg.lmdb --out new
[ ! -e new ]
verdict $? "nothing is left of what was refused"

# --- steps that are no neighbors
learn lone --data spread.lmdb --config policy.json --vqvae vq && grep -q "spread over its episodes" err && grep -q "warning: task 'arm': .*single timesteps.*set train.window=1" err
verdict $? "spread steps are sequences of their own, and the attention window should be theirs"
learn lone --data spread.lmdb --config policy.json --vqvae vq --set train.window=1 --force && ! grep -q warning err && gato info lone 2>err | grep -q '"timesteps":{"arm":1}'
verdict $? "an attention window of one timestep"
gato train --init lone --data arm.lmdb --out wider --threads 1 --steps 2 >out 2>err && gato info wider 2>err | grep -q '"timesteps":{"arm":1}'
verdict $? "--init keeps the attention window"
refuses 2 'loss.vector = 1 would never run: no sequence holds two' train --data spread.lmdb --config policy.json --out new --set loss.vector=1
refuses 2 'horizon 2 of loss.horizon would never run' train --data spread.lmdb --config policy.json --out new --set loss.image=1 'loss.horizon=[1,2]'
learn next --data arm.lmdb --config policy.json --vqvae vq --set loss.vector=1 loss.image=1 'loss.horizon=[1,2]' && gato eval --model next --data arm.lmdb >out 2>err &&
    grep -q '"loss_image":[0-9].*"loss_vector":[0-9]' out
verdict $? "the next vector and images at two horizons are learned"
refuses 2 'horizon 3 of loss.horizon would never run' train --data arm.lmdb --config policy.json --out new --set loss.image=1 'loss.horizon=[1,3]'

# --- pixels of two sizes in one task
tokenize episodes --in "$top/data/reacher" --limit 3 --out large.lmdb --keep-pixels --task arm >out 2>err &&
    tokenize episodes --in "$top/data/reacher" --limit 3 --out small.lmdb --keep-pixels --model vq --task arm >out 2>err
verdict $? "images of 64 x 64 and of 16 x 16"
learn patches --data large.lmdb small.lmdb --config policy.json --set model.image_in=patches model.patch=8 model.patch_mid=8 model.patch_groups=4
verdict $? "one policy of both: $(cat err)"
tokens_of() { grep -ao '"tokens":{[^}]*' "$1" | sed 's/.*"shape":\[\([0-9]*\)\].*/\1/'; }
for size in large small; do
    gato trace --model patches --data $size.lmdb --out $size.st >out 2>err
    verdict $? "trace of $size images"
done
# beside 64 or 4 patches: a mission of 19 bytes, the vector, the separator, two actions. The attention window is that of the larger ones.
gato info patches 2>err | grep -q '"tokens":{"arm":87},"timesteps":{"arm":1}'
verdict $? "tokens of a timestep: $(cat err)"
[ "$(tokens_of large.st)" -eq 87 ] && [ "$(tokens_of small.st)" -eq 27 ]
verdict $? "one timestep of 87 or of 27 tokens: $(tokens_of large.st), $(tokens_of small.st)"

# --- texts that the policy never learned
learn mute --data arm.lmdb text.lmdb --config policy.json --set loss.text=0 && gato eval --model mute --data text.lmdb >out 2>err &&
    grep -q '"loss_text":null.*"perplexity_text":null' out && grep -q 'not trained on texts' err
verdict $? "no perplexity of an untrained kind: $(cat out)"
finish

#!/bin/sh
# gato_train.sh - `gato train`, `eval` and `act` on three recorded episodes: the same bytes for any number of threads and after any
# kill, stops on request, what a resume refuses, artifacts that do not fit each other, and playing from a policy's folder alone.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"

keys() { grep -o '"[a-z_0-9]*":' "$1" | tr -d '\n'; }
near() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= t && -d <= t) }'; }

# --- three episodes, two tokenizers, a shard of each
playing=yes
gato record --episodes 3 --out episodes --seed 1 --threads 1 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q HDF5 err; then
    skip "everything" "$(head -n 1 err)"
    finish
elif [ "$rc" -eq 1 ] && grep -q 'built without' err; then
    playing=
    skip "act and record --policy model" "$(head -n 1 err)"
    cp -r "$top/data/reacher" episodes
else
    verdict "$rc" "record three episodes"
fi
cat >vq.json <<'Y'
{"model": {"block_out_channels": [8, 8, 8], "latent_channels": 8, "vq_embed_dim": 4, "num_vq_embeddings": 16, "norm_num_groups": 2},
 "train": {"steps": 3, "batch": 2, "warmup_no_quant": 1}, "data": {"size": [16, 16]}}
Y
for n in 1 2; do
    vqvae train --data episodes --config vq.json --out "v$n" --seed "$n" --threads 1 >out 2>err &&
        tokenize episodes --in episodes --limit 3 --out "x$n.lmdb" --model "v$n" --threads 1 >out 2>err
    verdict $? "tokenizer and shard $n"
done

# 16 codes, a mission of 19 bytes, a vector, the separator, two actions: 39 tokens a timestep, 20 where the mission is left out.
cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 128, "bins": 32, "vector_in": "linear", "dropout": 0.1},
 "train": {"steps": 6, "batch": 2, "save_every": 2, "eval_every": 3, "log_every": 2}, "optim": {"warmup": 2},
 "data": {"holdout": 0.3, "split_by": "episode"}}
Y
learn() { # RUN ARGUMENTS...
    run=$1
    shift
    gato train --data x1.lmdb --config policy.json --vqvae v1 --threads 1 --out "$run" "$@" >out 2>err
}
learn base
verdict $? "a run of six steps"

# --- the RUN
files_of base >names
cat >want <<'Y'
./config.json
./done
./metrics.jsonl
./model.safetensors
./training.json
./training.safetensors
./vqvae/config.json
./vqvae/diffusion_pytorch_model.safetensors
./vqvae/tokenizer.json
Y
cmp names want >out 2>&1
verdict $? "the files of a RUN, its tokenizer among them"
for f in config.json diffusion_pytorch_model.safetensors tokenizer.json; do
    cmp "v1/$f" "base/vqvae/$f" >out 2>&1
    verdict $? "vqvae/$f is a copy"
done
[ "$(wc -l <base/metrics.jsonl)" -eq 4 ] && [ "$(step_of base)" -eq 6 ]
verdict $? "four log lines (2, 3, 4, 6), six steps"
number='-?[0-9][0-9.e+-]*'
grep -Evq "^\{\"step\":$number,\"wall\":$number,\"loss\":$number,\"lr\":$number,\"grad_norm\":$number,\"tokens_per_s\":$number[,}]" base/metrics.jsonl
[ $? -eq 1 ]
verdict $? "members of every line of metrics.jsonl"
grep -c '"loss_held_out":[0-9.]*,"action_mae_held_out":[0-9.]*,"loss_[^"]*":[0-9]' base/metrics.jsonl | grep -qx 2
verdict $? "held-out metrics twice, those of the task beside"

# --- the same bytes
learn again
same "the same command again" base again
for n in 2 3; do
    learn threads --force --threads "$n"
    same "--threads $n" base threads
done
LC_ALL=de_DE.UTF-8 learn locale
same "fault_073: another locale" base locale
(mkdir elsewhere && cd elsewhere && gato train --data "$dir/x1.lmdb" --config ../policy.json --vqvae "$dir/v1" --threads 1 --out "$dir/elsewhere/run" >../out 2>../err)
same "other paths to the same data" base elsewhere/run
learn other --seed 1
! cmp -s base/model.safetensors other/model.safetensors
verdict $? "fault_078: another seed gives other weights"
learn other --force
same "--force replaces a run" base other
learn longer --steps 9
learn longer --force
same "--force leaves nothing of a longer run" base longer
for kind in 'loss.action_kind=mse' 'loss.action_kind=mix' 'loss.image=0.5' 'train.accumulate=2' 'model.code_norm=white'; do
    learn one --force --set "$kind" && learn two --force --set "$kind" --threads 2
    same "$kind: --threads 2" one two
done

# --- stops on request
for n in 1 2 5; do
    learn stopped --stop-at "$n" --force
    rc=$?
    [ "$rc" -eq 75 ] && [ "$(step_of stopped)" -eq "$n" ] && [ ! -e stopped/done ]
    verdict $? "--stop-at $n: status $rc"
    learn stopped --resume
    same "fault_058: --stop-at $n and --resume" base stopped
done
learn stopped --resume
same "--resume of a finished run changes nothing" base stopped
learn fresh --resume
same "--resume without a checkpoint starts one" base fresh
gato train --data x1.lmdb --config policy.json --vqvae v1 --threads 1 --out term --steps 1000000 --set train.save_every=0 >out 2>err &
pid=$!
wait_for 20 grep -q step term/metrics.jsonl
kill -s TERM $pid
wait $pid
rc=$?
at=$(step_of term)
[ "$rc" -eq 75 ] && [ "${at:-0}" -gt 0 ] && [ ! -e term/done ]
verdict $? "fault_057: SIGTERM: status $rc at step '$at'"
learn twin --steps 1000000 --set train.save_every=0 --stop-at "${at:-1}"
same "fault_057: SIGTERM is as --stop-at $at" term twin

# --- kill -9 at any moment
learn long --steps 60
for t in 0.02 0.04 0.07 0.1 0.15; do
    rm -rf killed
    for _ in 1 2; do
        gato train --data x1.lmdb --config policy.json --vqvae v1 --threads 1 --out killed --steps 60 --resume >out 2>err &
        pid=$!
        sleep "$t"
        kill -s KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    learn killed --steps 60 --resume
    same "fault_055: kill -9 twice after $t s, then --resume" long killed
done
if strace -o /dev/null true 2>/dev/null; then
    # At the entry of the n-th rename: the tokenizer is three of them, then the checkpoints', done the last.
    for n in 1 3 4 5 6 7 8 11 14; do
        rm -rf killed
        strace -f -o /dev/null -e trace=rename -e "inject=rename:signal=KILL:when=$n" \
            gato train --data x1.lmdb --config policy.json --vqvae v1 --threads 1 --out killed >out 2>err
        rc=$?
        [ "$rc" -ne 0 ] && [ ! -e killed/done ]
        verdict $? "killed at rename $n: status $rc"
        learn killed --resume
        same "fault_055: killed at rename $n, then --resume" base killed
    done
else
    skip "fault_055 at every rename" "strace does not work here"
fi

# --- what a resume compares
learn part --stop-at 3
resume_refuses() { # STATUS PATTERN ARGUMENTS...
    want=$1 pattern=$2
    shift 2
    refuses "$want" "$pattern" train --data x1.lmdb --config policy.json --vqvae v1 --threads 1 --out part --resume "$@"
}
resume_refuses 4 'model.width' --set model.width=32
resume_refuses 4 'model.bins' --set model.bins=64
resume_refuses 4 'model.context' --set model.context=150
resume_refuses 4 'loss.action_kind' --set loss.action_kind=mse
resume_refuses 4 'seed' --seed 3
tokenize episodes --in episodes --limit 2 --out few.lmdb --model v1 >out 2>err
refuses 4 'data' train --data few.lmdb --config policy.json --threads 1 --out part --resume
[ "$(step_of part)" -eq 3 ]
verdict $? "a refused resume changes nothing"
cp -r part fewer
gato train --data few.lmdb --config policy.json --threads 1 --out fewer --resume --allow-data-change >out 2>err && grep -q 'other data' err
verdict $? "fault_059: --allow-data-change goes on, and says so: $(cat err)"
resume_refuses 4 'loss.image was 0' --set loss.image=1
learn seeing --set loss.image=0.5 --stop-at 2
refuses 4 'loss.image was 0.5.* is 0 now' train --data x1.lmdb --out seeing --resume --set loss.image=0
learn seeing --resume && grep -aq '"predict_future.weight"' seeing/model.safetensors
verdict $? "and its head stays: $(cat err)"
resume_refuses 2 'one of them' --init base
cp -r part alone
learn part --resume
same "and the run goes on" base part
gato train --data x1.lmdb --resume --out alone >out 2>err
same "--resume needs no --config, --set or --vqvae" base alone
learn part --resume --set optim.lr=0.5 train.steps=8
grep -qx 'gato:   optim.lr: 0.001 vs 0.5' err && grep -qx 'gato:   train.steps: 6 vs 8' err
verdict $? "other settings are listed one per line: $(cat err)"
learn part2 --stop-at 3
refuses 4 '^gato:   model.bins: 32 vs 64$' train --data x1.lmdb --out part2 --resume --set model.width=32 model.bins=64
grep -q '^gato:   model.width: 16 vs 32$' err
verdict $? "and so is another network"
gato train --data x1.lmdb --config policy.json --out unseen --threads 1 >out 2>err && [ "$(grep -c 'warning: no --vqvae' err)" -eq 1 ]
verdict $? "without --vqvae, what act will miss is said once"

# --- artifacts that do not fit each other
print() { sed -n 's/.*"fingerprint":"\([0-9a-f]*\)".*/\1/p' "$1/tokenizer.json"; }
refuses 4 "$(print v2).*$(print v1)" train --data x1.lmdb --config policy.json --out new --vqvae v2
[ ! -e new ]
verdict $? "fault_047: nothing is left behind"
learn twin --force
refuses 4 "$(print v2)" train --data x1.lmdb --config policy.json --out twin --vqvae v2 --force
same "fault_047: a refused --force replaces nothing" base twin
refuses 4 "$(print v1).*$(print v2)" eval --model base --data x2.lmdb
refuses 4 'fingerprint' train --data x1.lmdb x2.lmdb --config policy.json --out new
rm -rf mixed && cp -r base mixed && cp v2/* mixed/vqvae 2>/dev/null
[ -z "$playing" ] || refuses 4 "$(print v2)" act --model mixed --episodes 1

# --- shards that are damaged: what tokenize verify finds, eval and train refuse
size=$(wc -c <x1.lmdb/data.mdb)
hits=0 alone=0
for tenth in 1 2 3 4 5 6 7 8 9; do
    rm -rf bad.lmdb && cp -r x1.lmdb bad.lmdb
    at=$((size / 10 * tenth + 77))
    byte=$(od -An -tu1 -j "$at" -N 1 bad.lmdb/data.mdb)
    printf "\\$(printf %o $((byte ^ 32)))" | dd of=bad.lmdb/data.mdb bs=1 seek="$at" conv=notrunc 2>/dev/null
    tokenize verify bad.lmdb >out 2>err
    [ $? -eq 3 ] || continue
    hits=$((hits + 1))
    refuses 3 'bad.lmdb' eval --model base --data bad.lmdb --split all
    traced=0
    for id in 0 1 2; do
        gato trace --model base --data bad.lmdb --id $id --out bad.st >out 2>err && gato trace --model base --data x1.lmdb --id $id --out good.st >out 2>err &&
            cmp -s bad.st good.st && traced=$((traced + 1))
    done
    [ "$traced" -ne 2 ] || alone=$((alone + 1))
done
[ "$hits" -gt 0 ]
verdict $? "fault_046: $hits flips hit what is read"
[ "$alone" -gt 0 ]
verdict $? "trace reads its record alone: after $alone flips two of three could still be traced"
rm -rf bad.lmdb && cp -r x1.lmdb bad.lmdb && head -c $((size / 2 + 100)) x1.lmdb/data.mdb >bad.lmdb/data.mdb
refuses 3 'bad.lmdb' train --data bad.lmdb --config policy.json --out new
refuses 3 'bad.lmdb' eval --model base --data bad.lmdb
: >bad.lmdb/data.mdb
gato train --data bad.lmdb --config policy.json --out new >out 2>err
rc=$?
[ "$rc" -eq 3 ] || [ "$rc" -eq 2 ]
verdict $? "an empty shard file: status $rc"
cp -r base broken && head -c 1000 base/model.safetensors >broken/model.safetensors
refuses 3 'broken' eval --model broken --data x1.lmdb
echo '{"format": "gato"' >broken/config.json
refuses 3 'config.json' eval --model broken --data x1.lmdb

# --- existing folders, typing mistakes
refuses 2 'resume' train --data x1.lmdb --config policy.json --out base
refuses 2 'is a file' train --data x1.lmdb --config policy.json --out policy.json
refuses 1 'cannot' train --data x1.lmdb --config policy.json --out /proc/none/run
refuses 2 'data' train --out new
refuses 2 'out' train --data x1.lmdb
refuses 2 'nowhere' train --data nowhere.lmdb --out new
refuses 2 'nowhere' train --data x1.lmdb --out new --vqvae nowhere
refuses 2 "did you mean '--steps'" train --data x1.lmdb --out new --stepz 3
refuses 2 "did you mean 'optim.lr'" train --data x1.lmdb --out new --set optim.lrr=3
refuses 2 "did you mean 'model.vector_in'" train --data x1.lmdb --out new --set model.vektor_in=bins
refuses 2 'loss.action_kind' train --data x1.lmdb --out new --set loss.action_kind=mae
refuses 2 'model.heads' train --data x1.lmdb --out new --config policy.json --set model.heads=3
refuses 2 'merge' train --data x1.lmdb --out new --config policy.json --set model.merge=3
refuses 2 '39 tokens.*context of 38' train --data x1.lmdb --out new --config policy.json --set model.context=38
refuses 2 '20 tokens.*context of 19' train --data x1.lmdb --out new --config policy.json --set model.context=19 model.control_text=false
refuses 2 'weight' train --data x1.lmdb=0 --out new --config policy.json
refuses 2 'split' eval --model base --data x1.lmdb --split both
refuses 2 'nowhere' eval --model nowhere --data x1.lmdb
refuses 2 'nowhere' eval --model base --data nowhere.lmdb
refuses 2 'model.width' eval --model base --data x1.lmdb --set model.width=64
refuses 2 'negative' eval --model base --data x1.lmdb --limit -1
[ ! -e new ]
verdict $? "a refused command leaves nothing behind"
gato train --help-config >out 2>err
verdict $? "--help-config needs no other option"
for key in model.width model.layers model.heads model.context model.bins model.image_in model.merge model.vector_in model.patch_pos model.inner_pos \
    model.dropout model.activation loss.action loss.action_kind loss.text loss.image loss.horizon optim.kind optim.lr optim.betas optim.eps \
    optim.weight_decay optim.clip optim.warmup optim.schedule optim.min_ratio train.steps train.batch train.accumulate train.weight_average \
    train.save_every train.eval_every train.freeze train.tensorboard data.holdout data.split_by; do
    grep -q "^ *$key " out || { verdict 1 "--help-config does not tell $key"; continue; }
    passed=$((passed + 1))
done
for word in train:--data train:--vqvae train:--resume train:--stop-at train:--dry-run eval:--model eval:--split act:--env act:--policy act:--model \
    act:--episodes act:--blank-image act:--decode act:--context act:--seed act:--threads; do
    gato "${word%%:*}" --help 2>err | grep -q -e " ${word#*:} "
    verdict $? "gato ${word%%:*} --help tells ${word#*:}"
done
gato --help >out 2>err
for word in train eval act record info trace; do
    grep -q -e "^ *$word " out
    verdict $? "gato --help lists $word"
done
does "a dry run" train --data x1.lmdb --config policy.json --out dry --dry-run --threads 1
[ ! -e dry ] && grep -Eq '^\{"parameters":[0-9]+,"flops_per_step":[0-9.e+]+,"memory_bytes":[0-9.e+]+,"seconds_per_step":[0-9.e-]+,"expected_seconds":[0-9.e-]+,"padding":[0-9.e-]+\}$' out
verdict $? "one JSON object, nothing made: $(cat out)"

# --- info: tables of the task and its slots on stderr, one JSON object on stdout
task=$(sed -n 's/.*"kind":"episode".*"name":"\([^"]*\)","random_return".*/\1/p' base/config.json)
[ -n "$task" ] || task=$(gato info base 2>err | sed -n 's/.*"tokens":{"\([^"]*\)":.*/\1/p')
does "info" info base
[ "$(wc -l <out)" -eq 1 ] && grep -q "^{\"parameters\":$(sed -n 's/^gato: parameters  *\([0-9][0-9]*\)$/\1/p' err)," out &&
    grep -qx 'gato: transformer  *width 16, 1 layers, 2 heads, context 128' err && grep -qx 'gato: codebook  *16 codes of width 4' err &&
    grep -q "\"tokens\":{\"$task\":39},\"timesteps\":{\"$task\":3}" out && grep -q '"scaling":\["declared","declared"\]' out
verdict $? "info's JSON: $(cat err)"
grep -q "^gato: $task  *episode  *39  *3  " err && grep -q "^gato: $task  *[^ ]*  *image  *16 x 16  *16  *-$" err &&
    grep -q "^gato: $task  *[^ ]*  *acted vector  *2  *2  *2 by declared bounds$" err
verdict $? "info's tables: $(cat err)"
refuses 4 'tokenizer' info v1
refuses 2 'nowhere' info nowhere
refuses 2 'one RUN' info base again

# --- trace: the first sequence of a record, as CONTRACTS say
does "trace" trace --model base --data x1.lmdb --id 1 --out t.safetensors --threads 1
python=$(numpy_python)
if [ -n "$python" ]; then
    cat >trace.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from st import load
t, w = load('t.safetensors')[0], load('base/model.safetensors')[0]
T = 3 * 39  # three timesteps fit
assert set(t) == {'tokens', 'target_mask', 'embeddings', 'hidden', 'logits', 'loss'}, set(t)
assert t['tokens'].shape == t['target_mask'].shape == (T,) and t['embeddings'].shape == t['hidden'].shape == (T, 16)
assert t['logits'].shape == (T, len(w['predict_token.weight']))
assert list(t['target_mask']) == 3 * (37 * [0] + 2 * [1])  # two actions at the end of each timestep
assert np.allclose(t['logits'], t['hidden'] @ w['predict_token.weight'].T, atol=1e-4)
sep = t['embeddings'][36]
assert np.allclose(sep, w['separator_token'], atol=1e-6)
# the loss: cross entropy of the action tokens, each predicted by the token before it
at = np.flatnonzero(t['target_mask'])
z = np.float64(t['logits'][at - 1])
ce = np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1) - z[np.arange(len(at)), t['tokens'][at]]
assert abs(ce.mean() - t['loss'][0]) < 1e-4, (ce.mean(), t['loss'])
P
    "$python" trace.py "$top/tests/interop" >out 2>err
    verdict $? "trace's members agree with each other and with the weights"
fi
cp t.safetensors t1.safetensors
does "trace again" trace --model base --data x1.lmdb --id 1 --out t.safetensors --threads 2
cmp t.safetensors t1.safetensors
verdict $? "trace with --threads 2"
does "trace --train" trace --model base --data x1.lmdb --id 1 --out t.safetensors --train --steps 2
for name in loss loss/2 grad/separator_token param/1/predict_token.weight param/2/transformer.ln_f.bias; do
    head -c 100000 t.safetensors | grep -aq "\"$name\""
    verdict $? "trace --train writes $name"
done
# train.window: so many timesteps of the record, and no token sees more: the first is the same as with the whole window
for window in 1 2; do
    does "trace with a window of $window" trace --model base --data x1.lmdb --id 1 --out w$window.safetensors --set train.window=$window
done
if [ -n "$python" ]; then
    cat >window.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from st import load
whole, one, two = (load(f)[0] for f in ('t1.safetensors', 'w1.safetensors', 'w2.safetensors'))
assert len(one['tokens']) == 39 and len(two['tokens']) == 2 * 39 and len(whole['tokens']) == 3 * 39
for short in (one, two):
    n = len(short['tokens'])
    for name in ('tokens', 'target_mask', 'embeddings'):
        assert np.array_equal(short[name], whole[name][:n]), name
    assert np.allclose(short['hidden'], whole['hidden'][:n], atol=1e-5)
    assert short['loss'][0] != whole['loss'][0]
P
    "$python" window.py "$top/tests/interop" >out 2>err
    verdict $? "trace with train.window is the beginning of the whole: $(cat err)"
fi
refuses 2 'no record 3' trace --model base --data x1.lmdb --id 3 --out t.safetensors
refuses 4 'model.width: 16 vs 32' trace --model base --data x1.lmdb --out t.safetensors --set model.width=32
refuses 4 'no head' trace --model base --data x1.lmdb --out t.safetensors --set loss.image=1

# --- eval
does "eval" eval --model base --data x1.lmdb --threads 1
cp out figures.json
[ "$(keys figures.json)" = '"source":"task":"records":"tokens":"loss":"loss_action":"loss_image":"loss_text":"action_accuracy":"action_mae":"perplexity_text":"loss_vector":"loss_observed":' ]
verdict $? "eval's members: $(keys figures.json)"
grep -q "^{\"source\":\"x1.lmdb\",\"task\":\"$task\",\"records\":1,.*\"loss_image\":null,\"loss_text\":null,.*\"perplexity_text\":null,\"loss_vector\":null,\"loss_observed\":null}\$" figures.json && [ "$(wc -l <figures.json)" -eq 1 ]
verdict $? "one line of one source, null where there is nothing"
near "$(json_last figures.json loss)" "$(json_last base/metrics.jsonl loss_held_out)" 1e-5 &&
    near "$(json_last figures.json action_mae)" "$(json_last base/metrics.jsonl action_mae_held_out)" 1e-5
verdict $? "the metrics that training wrote last: $(cat figures.json)"
does "eval again" eval --model base --data x1.lmdb --threads 2
cmp figures.json out
verdict $? "eval with --threads 2"
for side in train all; do gato eval --model base --data x1.lmdb --split "$side" >"$side.json" 2>err; done
[ "$(json_last train.json records)" -eq 2 ] && [ "$(json_last all.json records)" -eq 3 ] &&
    [ "$(($(json_last train.json tokens) + $(json_last figures.json tokens)))" -eq "$(json_last all.json tokens)" ]
verdict $? "the sides of the split are all there is"
cp -r x1.lmdb copy.lmdb
does "eval of two" eval --model base --data x1.lmdb copy.lmdb
[ "$(wc -l <out)" -eq 3 ] && grep -q '^{"source":null,"task":null,"records":2,' out && near "$(json_last out loss)" "$(json_last figures.json loss)" 1e-5
verdict $? "a line a source, then all"
does "eval --weights f32" eval --model base --data x1.lmdb --weights f32
cmp figures.json out
verdict $? "--weights f32 is the default"
for bits in bf16 q8 q4; do
    does "eval --weights $bits" eval --model base --data x1.lmdb --weights "$bits"
    ! cmp -s figures.json out && near "$(json_last out loss)" "$(json_last figures.json loss)" 0.05 &&
        grep -q "\"weights\":\"$bits\",\"loss_f32\":$(json_last figures.json loss)}\$" out
    verdict $? "fewer bits per weight, nearly the same loss: $(json_last out loss) and $(json_last figures.json loss)"
done
refuses 2 "--weights: 'q5'" eval --model base --data x1.lmdb --weights q5
if [ -e /dev/full ]; then
    for command in "eval --model base --data x1.lmdb" "train --data x1.lmdb --config policy.json --out dry --dry-run" "info base" "--help"; do
        gato $command >/dev/full 2>err
        [ $? -eq 1 ]
        verdict $? "fault_063: gato $command >/dev/full"
    done
fi

# --- act
if [ -n "$playing" ]; then
    act() { # FILE ARGUMENTS...: what does not depend on the clock
        file=$1
        shift
        gato act "$@" >out 2>err
        rc=$?
        sed -E 's/,"step_ms_p(50|99)":[^,}]*//g' out >"$file"
        return "$rc"
    }
    act one.json --model base --episodes 3 --threads 1
    verdict $? "act"
    [ "$(keys out)" = '"env":"task":"policy":"seed":"episodes":"failed":"return_mean":"return_std":"success_rate":"success_ci":"length_mean":"normalized_score":"step_ms_p50":"step_ms_p99":' ] &&
        [ "$(wc -l <out)" -eq 1 ]
    verdict $? "act's members: $(keys out)"
    grep -q '^{"env":"reacher","task":"reacher","policy":"model","seed":0,"episodes":3,"failed":0,' out && awk -v a="$(json_last out step_ms_p50)" -v b="$(json_last out step_ms_p99)" 'BEGIN { exit !(0 < a && a <= b) }' &&
        near "$(json_last out length_mean)" 50 0
    verdict $? "act's values: $(cat out)"
    for n in 2 3; do
        act two.json --model base --episodes 3 --threads "$n"
        cmp one.json two.json
        verdict $? "act with --threads $n"
    done
    act two.json --model base --episodes 3 --threads 1 --seed 1
    ! cmp -s one.json two.json
    verdict $? "another seed, other episodes"
    act two.json --model base --episodes 1 --threads 1 --seed 18446744073709551615 && grep -q '"seed":18446744073709551615,' two.json
    verdict $? "a seed of 64 bits: $(cat two.json)"
    act two.json --model base --episodes 3 --threads 1 --blank-image && ! cmp -s one.json two.json
    verdict $? "--blank-image plays otherwise"
    mkdir away && mv v1 v1.away && cp -r base away/run
    act two.json --model away/run --episodes 3 --threads 1 && cmp one.json two.json
    verdict $? "a policy folder is complete"
    mv v1.away v1
    act two.json --model base --episodes 3 --threads 1 --decode mean && cmp one.json two.json
    verdict $? "--decode mean is the default"
    act two.json --model base --episodes 3 --threads 1 --weights f32 && cmp one.json two.json
    verdict $? "act --weights f32 is the default"
    for bits in bf16 q8 q4; do
        act "$bits.json" --model base --episodes 3 --threads 1 --weights "$bits" && ! cmp -s one.json "$bits.json" &&
            act two.json --model base --episodes 3 --threads 2 --weights "$bits" && cmp "$bits.json" two.json
        verdict $? "act --weights $bits"
    done
    if KERNEL_LEVEL=base gato --version >out 2>err; then
        KERNEL_LEVEL=base gato act --model base --episodes 1 --weights q4 >out 2>err
        [ $? -eq 0 ] && [ "$(grep -c '^gato: warning: --weights q4: slower than f32 ' err)" -eq 1 ]
        verdict $? "4 bits do not pay at level base: $(cat err)"
    fi
    refuses 2 "--weights 'f64'" act --model base --episodes 1 --weights f64
    for how in center left greedy sample; do
        act "$how.json" --model base --episodes 3 --threads 1 --decode "$how" && ! cmp -s one.json "$how.json"
        verdict $? "--decode $how is another"
    done
    cmp center.json greedy.json
    verdict $? "greedy is center"
    act two.json --model base --episodes 3 --threads 2 --decode sample && cmp sample.json two.json
    verdict $? "draws do not depend on --threads"
    learn short --set model.context=30 model.control_text=false && act cache.json --model short --episodes 3 --threads 1 && act rebuild.json --model short --episodes 3 --threads 1 --context rebuild
    near "$(json_last cache.json return_mean)" "$(json_last rebuild.json return_mean)" 1e-3 && ! cmp -s one.json cache.json
    verdict $? "--context rebuild of one timestep: $(json_last cache.json return_mean) $(json_last rebuild.json return_mean)"
    does "--strip" act --model base --episodes 1 --threads 1 --strip strip.png
    [ "$(head -c 4 strip.png | tr -d '\211')" = PNG ]
    verdict $? "--strip writes a PNG"
    learn white --set model.code_norm=white && act white.json --model white --episodes 2 --threads 1 &&
        act two.json --model white --episodes 2 --threads 2 && cmp white.json two.json
    verdict $? "a policy of whitened codes plays"
    for kind in mse mix; do
        learn "$kind" --set "loss.action_kind=$kind" && act two.json --model "$kind" --episodes 2 --threads 1
        verdict $? "a policy of $kind plays"
    done
    tokenize episodes --in episodes --out pixels.lmdb --model v1 --keep-pixels >out 2>err
    gato train --data pixels.lmdb --config policy.json --out patches --threads 1 --set model.image_in=patches model.patch=8 model.patch_mid=8 model.patch_groups=4 \
        model.context=200 >out 2>err && gato eval --model patches --data pixels.lmdb >out 2>err
    verdict $? "patches learn"
    gato eval --model patches --data x2.lmdb --split all >out 2>err
    rc=$?
    [ "$rc" -ne 0 ] && [ "$rc" -lt 5 ]
    verdict $? "patches of a shard without pixels: status $rc"

    refuses 2 '--model' act --policy model --episodes 1
    refuses 2 'nowhere' act --model nowhere --episodes 1
    refuses 2 'nobody' act --policy nobody --episodes 1
    refuses 2 "environment 'nowhere'" act --env nowhere --model base --episodes 1
    refuses 2 '--episodes' act --model base --episodes 0
    refuses 2 "--decode 'best'" act --model base --episodes 1 --decode best
    refuses 2 "--context 'window'" act --model base --episodes 1 --context window
    refuses 2 "did you mean '--episodes'" act --model base --episods 1
    refuses 3 'broken' act --model broken --episodes 1
    cp -r base blind && rm -r blind/vqvae
    refuses 2 'vqvae' act --model blind --episodes 1
    gato act --model base --episodes 1 --threads 1 >/dev/full 2>err
    [ $? -eq 1 ]
    verdict $? "fault_063: gato act >/dev/full"
    does "act of the expert" act --policy expert --episodes 3 --threads 1
    [ "$(keys out)" = "$(gato act --policy random --episodes 3 --threads 1 2>err | grep -o '"[a-z_0-9]*":' | tr -d '\n')" ] &&
        awk -v r="$(json_last out return_mean)" 'BEGIN { exit !(r > -20) }'
    verdict $? "the expert plays well: $(json_last out return_mean)"

    does "record the policy" record --policy model --model base --episodes 2 --out played --seed 4 --threads 1
    grep -q '"policy":"model","seed":4,"episodes":2,"failed":0,"steps":100,' out && tokenize episodes --in played --out played.lmdb --model v1 >out 2>err
    verdict $? "what it plays is a dataset"
    does "record with two workers" record --policy model --model base --episodes 2 --out played2 --seed 4 --threads 2
    diff -r played played2 >out 2>&1
    verdict $? "record --policy model --threads 2"
    refuses 2 '--model' record --policy model --episodes 1 --out record1
    refuses 2 'nowhere' record --policy model --model nowhere --episodes 1 --out record2
fi
finish

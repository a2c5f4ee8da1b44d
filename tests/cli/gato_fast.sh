#!/bin/sh
# gato_fast.sh - chunks as tokens of FAST from recording to acting: fitted to the training side, the same bytes for any number of threads and
# after a stop, a folder of the library (tests/reference/fast), what cannot be meant, files that do not fit. Oracles: the world of
# env_child.py, which notes the actions it gets; tests/test_fast.c has the library's ids.
. "$(dirname "$0")/../vqvae_common.sh"

child="exec ${PYTHON:-python3} -S '$top/tests/env_child.py'"
reference=$top/tests/reference/fast
refuses() { # STATUS PATTERN ARGUMENTS...
    want=$1 pattern=$2
    shift 2
    gato "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ]
    verdict $? "gato $*: status $rc, wanted $want and '$pattern': $(tail -n 1 err)"
}
gato record --env-cmd "$child numbers" --policy expert --burst 0.5 --episodes 60 --seed 2 --out walks --threads 1 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q HDF5 err; then
    skip "everything" "$(head -n 1 err)"
    finish
fi
verdict $rc "recordings"
tokenize episodes --in walks --obs vector=state,discrete=phase --out walks.lmdb >out 2>err
verdict $? "a shard"
tokenize episodes --in walks --obs vector=state,discrete=phase --frames 2 --spread --out spread.lmdb >out 2>err
verdict $? "single steps"
cat >policy.json <<'Y'
{"model": {"width": 32, "layers": 1, "heads": 2, "context": 40, "bins": 128, "vector_in": "linear", "chunk": 3, "bin_kind": "fast", "fast_scale": 20},
 "optim": {"warmup": 2, "lr": 0.01},
 "train": {"steps": 300, "batch": 16, "window": 1, "save_every": 150, "eval_every": 150, "log_every": 10, "tensorboard": false}}
Y
learn() { # RUN ARGUMENTS...
    run=$1
    shift
    gato train --out "$run" --data walks.lmdb --config policy.json --threads 1 "$@" >out 2>err
}
learn base
rc=$?
if [ "$rc" -eq 2 ] && grep -q PCRE2 err; then
    skip "everything" "$(tail -n 1 err)"
    finish
fi
verdict $rc "a policy of FAST"
grep -q '"scale":20' base/fast/processor_config.json && grep -q '"time_horizon":3' base/fast/processor_config.json && grep -q '"type":"BPE"' base/fast/tokenizer.json
verdict $? "its files, as the library has them"
gato info base >info.json 2>err && grep -q 'fast *[0-9]* ids, scale 20' err && grep -q 'push .* quantiles' err
verdict $? "info tells"
gato eval --model base --data walks.lmdb --threads 1 >out 2>err && grep -q '"loss_action":[0-9.e-]*,.*"action_accuracy":[0-9.]*,"action_mae":null' out
verdict $? "eval measures tokens: $(cat out)"
awk -F'"loss":' 'NR == 1 { first = $2 + 0 } { last = $2 + 0 } END { exit !(last < 0.6 * first) }' base/metrics.jsonl
verdict $? "and the loss falls"

# --- the same bytes
learn threads --threads 3
verdict $? "three threads"
learn stopped --stop-at 150
[ $? -eq 75 ] && learn stopped --resume
verdict $? "stopped and resumed"
learn again --fast base/fast
verdict $? "trained with the files of another RUN"
for run in threads stopped again; do
    for file in model.safetensors config.json fast/processor_config.json fast/tokenizer.json; do
        cmp base/$file $run/$file >out 2>err || break
    done
    verdict $? "$run: the same bytes"
done

# --- at play: the expert pushes 0.9, 0.1, -0.6, 0.3, -0.9 and frees t mod 3. Chunks of three that begin at steps 0 to 2 were learned; what is
# done may be off by half a step of each coefficient, here 0.5 sqrt(3) / 20 at most, times half the range
acts() { # NAME OPTIONS...
    name=$1
    shift
    rm -f env_child.log
    gato act --env-cmd "$child numbers" --policy model --model base --episodes 6 --seed 7 --threads 1 "$@" >"$name.json" 2>err
    verdict $? "act $*: $(tail -n 1 err)"
    mv env_child.log "$name.log"
}
acts one
acts one_said --execute 1 --decode greedy
acts three --execute 3
acts mean --ensemble 0.1
acts drawn --decode sample --temperature 20
acts drawn_again --decode sample --temperature 20
acts rebuilt --execute 2 --context rebuild
acts two --execute 2
awk 'BEGIN { split("0.9 0.1 -0.6 0.3 -0.9", push) }
    $2 < 4 { p = $3 - push[$2 + 1]; f = $4 - $2 % 3; if (p * p > 0.0025 || f * f > 0.0025) bad++; n++ } END { exit bad > 0 || n != 24 }' two.log
verdict $? "the policy does what the expert does: $(head -n 4 two.log | tr '\n' ';')"
cmp one.log one_said.log >out 2>err && cmp drawn.log drawn_again.log >>out 2>>err && ! cmp -s one.log drawn.log
verdict $? "the likeliest tokens unless drawn, and draws are the seed's"
[ "$(head -n 1 three.log)" = "$(head -n 1 one.log)" ] && [ "$(wc -l <three.log)" -eq 30 ] && ! cmp -s three.log one.log
verdict $? "the first action is that of every use, later ones are not"
awk 'NR == FNR { a[FNR] = $0; n = FNR; next }
    { split(a[FNR], x, " "); for (i = 1; i <= 4; i++) if ((x[i] - $i)^2 > 1e-6) bad++ } END { exit bad > 0 || n != FNR }' two.log rebuilt.log
verdict $? "a rebuilt context gives the same actions"
awk '{ if ($3 < -1.001 || $3 > 1.001 || $4 != $4 + 0) bad = 1 } END { exit bad }' drawn.log
verdict $? "actions lie within the bounds that scale them"

# --- other tasks, and texts beside
gato train --init base --data walks.lmdb --out tuned --steps 3 --threads 1 --set train.batch=2 train.tensorboard=false >out 2>err && cmp base/fast/tokenizer.json tuned/fast/tokenizer.json
verdict $? "--init keeps the files"

# --- what cannot be meant
try() { # PATTERN SETTINGS...
    pattern=$1
    shift
    refuses 2 "$pattern" train --out new --data walks.lmdb --config policy.json --set "$@"
}
try 'makes tokens of chunks, and model.chunk is 1' model.chunk=1
try 'it needs loss.action_kind = ce' loss.action_kind=mse
try 'it needs loss.action_kind = ce' loss.action_kind=mix
try 'needs train.window = 1' train.window=2
try 'needs train.window = 1' train.window=0
try 'the tokens of model.bin_kind = fast have no left edge' act.decode=left
try 'alone need' model.bins=8
try 'spreads the coefficients' model.fast_scale=4000 model.bins=1024
try 'no whole chunk of 9 actions' model.chunk=9
refuses 2 'model.fast_scale' train --out new --data walks.lmdb --config policy.json --set model.fast_scale=0
refuses 2 'needs model.bin_kind = fast' train --out new --data walks.lmdb --config policy.json --set model.bin_kind=uniform model.chunk=1 --fast base/fast
refuses 2 'no whole chunk\|single timesteps' train --out new --data spread.lmdb --config policy.json
refuses 2 'nowhere' train --out new --data walks.lmdb --config policy.json --fast nowhere
refuses 2 'and --fast .* has scale 20' train --out new --data walks.lmdb --config policy.json --fast base/fast --set model.fast_scale=30
gato record --env-cmd "$child sure" --policy expert --episodes 4 --seed 2 --out grips --threads 1 >out 2>err && tokenize episodes --in grips --obs vector=state --out grips.lmdb >out 2>err
verdict $? "recordings with discrete actions"
refuses 2 "acts discrete values too" train --out new --data grips.lmdb --config policy.json
gato train --data walks.lmdb --out told --threads 1 --steps 1 --set model.width=16 model.layers=1 model.heads=2 model.context=60 model.fast_scale=5 train.tensorboard=false >out 2>err &&
    grep -q 'model.fast_scale has no effect: it needs model.bin_kind = fast' err
verdict $? "told where nobody reads the scale"
[ ! -e new ]
verdict $? "nothing is left of what was refused"
refuses 2 'act.decode = left' act --env-cmd "$child numbers" --policy model --model base --episodes 1 --decode left

# --- files that do not fit
refuses 4 'time_horizon is 6, and model.chunk is 3' train --out new --data walks.lmdb --config policy.json --fast "$reference/library" --set model.fast_scale=10
refuses 4 'fitted to actions of 2 numbers (action_dim), not of 1' train --out new --data walks.lmdb --config policy.json --fast "$reference/library" --set model.chunk=6 model.fast_scale=10
mkdir library && cp "$reference/library/tokenizer.json" library && sed 's/"action_dim": 2/"action_dim": null/; s/"time_horizon": 6/"time_horizon": null/' "$reference/library/processor_config.json" >library/processor_config.json
learn theirs --fast library --set model.fast_scale=10 --steps 3 && cmp library/tokenizer.json theirs/fast/tokenizer.json && cmp library/processor_config.json theirs/fast/processor_config.json
verdict $? "the library's files for any action, kept byte by byte"
gato act --env-cmd "$child numbers" --policy model --model theirs --episodes 2 --threads 1 >out 2>err
verdict $? "and play"
refuses 4 'has scale 60' train --init base --data walks.lmdb --out new --fast library
sed -i 's/"scale": 60/"scale": 20/' library/processor_config.json
refuses 4 'is .*, and the policy was trained with' train --init base --data walks.lmdb --out new --fast library
rm -rf bad && cp -r base bad && rm bad/fast/tokenizer.json
refuses 3 'fast/tokenizer.json' eval --model bad --data walks.lmdb
cp library/*.json bad/fast
refuses 4 'the policy was trained with' eval --model bad --data walks.lmdb
rm -rf bad && cp -r base bad && sed 's/"fast":[[:space:]]*[0-9]*,//' base/config.json >bad/config.json
refuses 3 "'fast' is missing" eval --model bad --data walks.lmdb
finish

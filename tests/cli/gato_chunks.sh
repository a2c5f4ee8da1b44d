#!/bin/sh
# gato_chunks.sh - chunks of actions from recording to acting: the same bytes for any number of threads and after a stop, what cannot be
# meant is refused, and `act` uses chunks as asked. Oracles: the world of env_child.py, which notes the actions it gets; exit codes.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"

child="exec ${PYTHON:-python3} -S '$top/tests/env_child.py'"
gato record --env-cmd "$child sure" --policy expert --burst 0.3 --episodes 12 --seed 2 --out walks --threads 1 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q HDF5 err; then
    skip "everything" "$(head -n 1 err)"
    finish
fi
verdict $rc "recordings"
runs "a shard" tokenize episodes --in walks --obs vector=state,discrete=phase --out walks.lmdb
runs "single steps" tokenize episodes --in walks --obs vector=state,discrete=phase --frames 2 --spread --out spread.lmdb
cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 40, "bins": 32, "vector_in": "linear", "chunk": 4},
 "loss": {"action_kind": "mse"}, "optim": {"warmup": 2, "lr": 0.01},
 "train": {"steps": 20, "batch": 8, "save_every": 10, "eval_every": 10, "log_every": 5, "tensorboard": false}}
Y
learn() { # RUN ARGUMENTS...
    run=$1
    shift
    gato train --out "$run" --data walks.lmdb --config policy.json --threads 1 "$@" >out 2>err
}
learn chunks
verdict $? "a policy of chunks"

# --- the same bytes
learn threads --threads 3
verdict $? "three threads"
learn stopped --stop-at 10
[ $? -eq 75 ] && learn stopped --resume
verdict $? "stopped and resumed"
for run in threads stopped; do
    cmp chunks/model.safetensors $run/model.safetensors >out 2>err && cmp chunks/config.json $run/config.json >>out 2>>err
    verdict $? "$run: the same bytes"
done
gato info chunks >info.json 2>err && grep -q 'chunks *4 actions at once, 1 used before the next' err && grep -q '"chunk": *4' info.json
verdict $? "info tells"

# --- observed discrete values alone are something to learn
runs "discrete values alone" gato train --out phases --data walks.lmdb --config policy.json --set loss.action=0 loss.discrete=1 model.chunk=1 --threads 1
grep -q '"loss":0[,.]*0*[,}]' phases/metrics.jsonl
[ $? -ne 0 ]
verdict $? "and their loss is above 0"

# --- what cannot be meant
try() { # PATTERN SETTINGS...
    pattern=$1
    shift
    refuses 2 "$pattern" train --out new --data walks.lmdb --config policy.json --set "$@"
}
try 'model.chunk = 4 needs loss.action_kind = mse' loss.action_kind=ce
try 'act.execute = 5 is more than a chunk holds' act.execute=5
try 'act.ensemble = 0.01 needs a chunk in every step' act.ensemble=0.01 act.execute=2
try 'act.ensemble = 0.01 averages chunks, and model.chunk is 1' act.ensemble=0.01 model.chunk=1
refuses 2 "task '.*' has single timesteps" train --out new --data spread.lmdb --config policy.json --set train.window=1
[ ! -e new ]
verdict $? "nothing is left of what was refused"
play="act --env-cmd"
refuses 2 'act.execute = 5 is more' $play "$child log" --policy model --model chunks --episodes 2 --execute 5
refuses 2 'act.execute = 2' $play "$child log" --policy model --model chunks --episodes 2 --execute 2 --ensemble 0.01
refuses 2 '--execute must be 1' $play "$child log" --policy model --model chunks --episodes 2 --execute 0
refuses 2 '--ensemble must be 0' $play "$child log" --policy model --model chunks --episodes 2 --ensemble -1
gato act --env-cmd "$child log" --policy expert --episodes 2 --execute 2 --threads 1 >out 2>err && grep -q 'execute does nothing with --policy expert' err
verdict $? "told where nobody reads it"

# --- at play: the first action of an episode is the same however chunks are used, later ones are not
acts() { # NAME OPTIONS...
    name=$1
    shift
    rm -f env_child.log
    gato act --env-cmd "$child log" --policy model --model chunks --episodes 6 --seed 7 --threads 1 "$@" >"$name.json" 2>err
    verdict $? "act $*"
    mv env_child.log "$name.log"
}
acts one
acts one_said --execute 1
acts four --execute 4
acts mean --ensemble 0.1
cmp one.log one_said.log >out 2>err
verdict $? "one action of each chunk unless said otherwise"
for name in four mean; do
    [ "$(head -n 1 $name.log)" = "$(head -n 1 one.log)" ] && [ "$(wc -l <$name.log)" -eq "$(wc -l <one.log)" ] && ! cmp -s $name.log one.log
    verdict $? "$name: the first action is that of every use, later ones are not"
done
acts four_rebuilt --execute 4 --context rebuild
awk 'NR == FNR { a[FNR] = $0; n = FNR; next }
    { split(a[FNR], x, /[^-0-9.e]+/); k = split($0, y, /[^-0-9.e]+/); for (i = 1; i <= k; i++) if ((x[i] - y[i])^2 > 1e-6) bad++ }
    END { exit bad > 0 || n != FNR }' four.log four_rebuilt.log
verdict $? "a rebuilt context gives the same actions"
learn four_run --set act.execute=4 && gato act --env-cmd "$child log" --policy model --model four_run --episodes 2 --threads 1 >out 2>err &&
    grep -q '4 actions at once, 4 used before the next' err
verdict $? "act says how the RUN uses its chunks"
finish

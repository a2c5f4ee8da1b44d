#!/bin/sh
# gato_mixed.sh - trainings of several tasks that are killed at any moment, whose rows are of awkward lengths, and what an added task
# leaves as it was: hidden states, logits and play.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"

cat >policy.json <<'X'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 128, "bins": 32, "vector_in": "linear"},
 "loss": {"action_kind": "mse"}, "optim": {"warmup": 2},
 "train": {"steps": 60, "batch": 4, "save_every": 3, "eval_every": 20, "log_every": 10, "tensorboard": false},
 "data": {"holdout": 0.3, "split_by": "episode", "balance": "task"}}
X
lines() { # LENGTH: twelve lines of that many bytes
    awk -v n="$1" 'BEGIN { for (i = 0; i < 12; i++) { s = sprintf("%d ", i); while (length(s) < n) s = s "abcdefgh"; print substr(s, 1, n) } }'
}
lines 40 >plain.txt
vqvae train --data "$top/data/reacher" --config vq.json --out vq --threads 1 >out 2>err &&
    tokenize episodes --in "$top/data/reacher" --limit 4 --out arm.lmdb --model vq --task arm >out 2>err &&
    tokenize episodes --in "$top/data/reacher" --limit 6 --out leg.lmdb --model vq --task leg >out 2>err &&
    tokenize text --in plain.txt --out text.lmdb >out 2>err
verdict $? "shards of three tasks"

# --- kill -9
learn() { # RUN ARGUMENTS...
    run=$1
    shift
    gato train --data arm.lmdb leg.lmdb=2 text.lmdb --config policy.json --vqvae vq --out "$run" --threads 1 "$@"
}
learn whole >out 2>err
verdict $? "three tasks"
# The program itself is what is killed: a function in the background would be a shell around it. Status 137: it was still running.
# Each try lives a little longer, until one comes to its end: a slow machine takes more tries.
kills=0 saved=0 tries=0 status=137
while [ "$status" -eq 137 ] && [ "$tries" -lt 60 ]; do
    tries=$((tries + 1))
    gato train --data arm.lmdb leg.lmdb=2 text.lmdb --config policy.json --vqvae vq --out killed --threads 1 --resume >out 2>err &
    pid=$!
    sleep "$(awk -v n=$tries 'BEGIN { print 0.02 * n }')"
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    status=$?
    [ "$status" -eq 137 ] || continue
    kills=$((kills + 1))
    [ ! -f killed/training.json ] || saved=$((saved + 1))
done
learn killed --resume >out 2>err
verdict $? "--resume after $kills kills"
[ "$saved" -ge 1 ]
verdict $? "kills of a running program: $kills, of these with a checkpoint: $saved"
same "kill -9 at any moment" whole killed

# --- padding of lengths just above a multiple of 64, or below
for n in 66 100 112 114 116 150 200; do
    rm -rf long.lmdb
    lines "$n" >long.txt
    tokenize text --in long.txt --out long.lmdb >out 2>err
    gato train --data long.lmdb --config policy.json --out dry --dry-run --threads 1 --set model.context=256 train.batch=7 >out 2>err
    awk -v p="$(json_last out padding)" 'BEGIN { exit !(p != "" && p >= 0 && p < 0.1) }'
    verdict $? "padding of $n bytes a line: $(json_last out padding)"
done

# --- a task is added, and the old parameters are frozen: the old task is bit for bit the same
frozen=transformer,embed_token,predict_token,separator_token,pos_embed_observation,image_codes,vector_embedding.arm,predict_action.arm
gato train --data arm.lmdb --config policy.json --vqvae vq --out one --threads 1 --steps 4 >out 2>err &&
    gato train --init one --data leg.lmdb --out two --threads 1 --steps 4 --set train.freeze=$frozen data.holdout=0.3 data.split_by=episode train.tensorboard=false >out 2>err
verdict $? "--init with another task"
for run in one two; do
    gato trace --model $run --data arm.lmdb --id 1 --out $run.st >out 2>err
    verdict $? "trace of $run"
    gato act --env reacher --model $run --task arm --episodes 2 --seed 5 --threads 1 >out 2>err
    verdict $? "act of $run"
    sed 's/,"step_ms.*//' out >$run.act
done
cmp one.st two.st && cmp one.act two.act
verdict $? "the old task's hidden states, logits and play"
gato train --init one --data leg.lmdb --out free --threads 1 --steps 4 --set data.holdout=0.3 data.split_by=episode train.tensorboard=false >out 2>err &&
    gato trace --model free --data arm.lmdb --id 1 --out free.st >out 2>err
! cmp -s one.st free.st
verdict $? "without freeze, all of it trains"
# --- a fourth task beside three, all of whose parameters are frozen
gato record --env pusher --episodes 4 --out pushed --seed 3 --threads 1 >out 2>err && tokenize episodes --in pushed --out pusher.lmdb --model vq >out 2>err
verdict $? "a fourth task"
old=transformer,embed_token,predict_token,separator_token,pos_embed_observation,image_codes
for task in arm leg; do old=$old,vector_embedding.$task,predict_action.$task; done
gato train --init whole --data pusher.lmdb --out four --threads 1 --steps 8 --set train.freeze=$old data.holdout=0.3 data.split_by=episode train.tensorboard=false optim.lr=0.05 >out 2>err
verdict $? "it is added"
gato info four 2>err | grep -q '"timesteps":{"arm":[0-9]*,"leg":[0-9]*,"text":1,"pusher":2}'
verdict $? "to the three: $(cat err)"
for run in whole four; do
    for task in arm leg text; do
        gato trace --model $run --data $task.lmdb --id 1 --out $run.$task.st >out 2>err
        verdict $? "trace of $task by $run"
    done
    for task in arm leg; do
        gato act --env reacher --model $run --task $task --episodes 2 --seed 5 --threads 1 >out 2>err
        verdict $? "act of $task by $run"
        sed 's/,"step_ms.*//' out >$run.$task.act
    done
done
for file in arm.st leg.st text.st arm.act leg.act; do
    cmp whole.$file four.$file
    verdict $? "the others stay as they were: $file"
done
gato act --env pusher --model four --episodes 1 --max-steps 3 --threads 1 >out 2>err
verdict $? "the fourth plays"
parameters_of() { gato info "$1" 2>err | sed -n 's/^{"parameters":\([0-9]*\),.*/\1/p'; }
# its vector of 4 and a bias into 16 numbers, and 2 actions from them
[ "$(parameters_of four)" -eq $(($(parameters_of whole) + 5 * 16 + 17 * 2)) ]
verdict $? "info counts what is frozen, too: $(parameters_of whole), $(parameters_of four)"
gato train --init whole --data pusher.lmdb --out start --threads 1 --steps 1 --set train.freeze=$old optim.lr=0 data.split_by=episode train.tensorboard=false >out 2>err &&
    gato trace --model start --data pusher.lmdb --id 1 --out start.st >out 2>err && gato trace --model four --data pusher.lmdb --id 1 --out learned.st >out 2>err
! cmp -s start.st learned.st
verdict $? "and has learned"

gato info one >one.info 2>err && gato info two >two.info 2>err
[ "$(sed 's/.*"vocabulary":\({[^}]*}\).*/\1/' one.info)" = "$(sed 's/.*"vocabulary":\({[^}]*}\).*/\1/' two.info)" ]
verdict $? "and the vocabulary is the same"
finish

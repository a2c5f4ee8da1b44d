#!/bin/sh
# gato_goals.sh - policies that are shown a goal: trained on the last timestep of each episode (data.goal), played with a file, with
# what the environment shows, and without one; what cannot be meant is refused.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"

refused() { # STATUS PATTERN COMMAND...
    want=$1 pattern=$2
    shift 2
    "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err
    verdict $? "status $rc, wanted $want and '$pattern': $*"
}
cat >policy.json <<'X'
{"model": {"width": 16, "layers": 2, "heads": 2, "context": 256, "bins": 32, "vector_in": "linear"},
 "optim": {"warmup": 2}, "train": {"steps": 4, "batch": 2, "tensorboard": false, "save_every": 2},
 "data": {"holdout": 0.3, "split_by": "episode"}}
X
runs "a tokenizer" vqvae train --data "$top/data/reacher" --config vq.json --out vq --threads 1
runs "record" gato record --env grid --episodes 12 --seed 4 --out grid --threads 1
runs "tokenize" tokenize episodes --in grid --model vq --out grid.lmdb
learn() { # OUT OPTION...
    run=$1
    shift
    gato train --data grid.lmdb --config policy.json --vqvae vq --out "$run" "$@" >out 2>err
}
learn plain
verdict $? "train without goals"
for kind in end ahead; do
    more="--set data.goal_share=0.5"
    [ $kind = ahead ] && more="--set data.goal_ahead=2"
    learn $kind --set data.goal=$kind $more --threads 1
    verdict $? "train with goals, $kind"
    learn $kind.two --set data.goal=$kind $more --threads 2 --stop-at 2
    [ $? -eq 75 ] && learn $kind.two --set data.goal=$kind $more --threads 2 --resume
    cmp $kind/model.safetensors $kind.two/model.safetensors
    verdict $? "$kind: the same bytes with two threads, stopped and resumed"
done
cmp end/model.safetensors ahead/model.safetensors >cmp.out 2>&1
[ $? -eq 1 ]
verdict $? "the end and ten steps ahead are different goals"

# --- a timestep has one image more, and the window counts it
tokens() { gato info "$1" 2>/dev/null | sed -n 's/.*"tokens":{"grid":\([0-9]*\)}.*/\1/p'; }
[ "$(tokens end)" -eq $(($(tokens plain) + 16)) ]
verdict $? "tokens of a timestep: $(tokens end) with a goal, $(tokens plain) without"
gato info end >out 2>err
grep -q '^gato: grid *goal *image *16 x 16 *16 ' err
verdict $? "info shows the slot: $(cat err)"
runs "eval with goals" gato eval --model end --data grid.lmdb --split all
with=$(json_last out tokens)
runs "eval without" gato eval --model end --data grid.lmdb --split all --set data.goal=none
without=$(json_last out tokens)
[ "$with" -gt "$without" ]
verdict $? "eval reads $with tokens with goals, $without without"
runs "trace" gato trace --model end --data grid.lmdb --id 1 --out goal.st
runs "go on" gato train --init end --data grid.lmdb --set data.goal=end --set train.steps=1 --out more
runs "go on without a word of goals" gato train --init end --data grid.lmdb --set train.steps=1 --out kept
[ "$(tokens kept)" -eq "$(tokens end)" ] && grep -q '"goal": *"end"' kept/config.json
verdict $? "--init keeps data.goal"

refused 2 "has a slot of goals, which would stay empty" gato train --init end --data grid.lmdb --set data.goal=none --out x4
[ ! -e x4 ]
verdict $? "and nothing is left behind"

# --- at play: a goal changes what the policy does, and is the same for any number of workers
act() { gato act --env grid --episodes 6 --decode sample --seed 2 "$@" 2>err | sed 's/"step_ms.*//'; }
play() { act --model end "$@"; }
learn played --set data.goal=end train.eval_env=grid train.eval_episodes=1 --threads 1
[ $? -eq 0 ] && grep -q "'grid'.*shown a goal" err && ! grep -q "without the goals" err
verdict $? "train.eval_env shows goals"
# What a killed run has left of the weights that played goes before the next begins, also a file that was being written.
mkdir played/eval
cp played/config.json played/model.safetensors played/eval
mkdir played/eval/fast
echo half | tee played/eval/fast/.tokenizer.json.tmp >played/eval/.model.safetensors.tmp
ln -s ../vqvae played/eval/vqvae
learn played --set data.goal=end train.eval_env=grid train.eval_episodes=1 train.steps=5 --threads 1 --resume
[ $? -eq 0 ] && [ ! -e played/eval ]
verdict $? "nothing is left of RUN/eval: $(ls -A played/eval 2>&1)"
mkdir played/eval
cp played/config.json played/eval
learn played --set data.goal=end train.steps=6 'train.eval_env=""' --threads 1 --resume
[ $? -eq 0 ] && [ ! -e played/eval ]
verdict $? "nor where nothing plays any more"
gato act --env grid --model played --episodes 1 >out 2>err
grep -q "'grid'.*without the goals of its training" err
verdict $? "act says that it plays without"
cp "$top/data/clipart/$(ls "$top/data/clipart" | grep png | head -n 1)" goal.png
play --threads 1 >none.out
play --goal env --threads 1 >env.out
play --goal env --threads 2 >env2.out
play --goal env --threads 1 --context rebuild >rebuild.out
play --goal goal.png --threads 2 >file.out
[ -s none.out ] && [ -s env.out ] && cmp env.out env2.out
verdict $? "--goal env, 1 and 2 workers: $(cat env.out env2.out)"
cmp env.out rebuild.out
verdict $? "--goal env over the cache and with the whole context: $(cat rebuild.out)"
[ -s file.out ]
verdict $? "--goal FILE: $(cat err)"
refused 4 "no slot of goals" gato act --env grid --model plain --episodes 1 --goal env
refused 2 "no file 'nowhere.png'" gato act --env grid --model end --episodes 1 --goal nowhere.png
child="exec ${PYTHON:-python3} -S '$top/tests/env_child.py'"
refused 2 "knows no goal to show" gato act --env-cmd "$child" --model end --episodes 1 --goal env
refused 2 "horizon must be 1 to" gato act --env grid --model end --episodes 1 --goal env --plan 4 --horizon 0
refused 2 "prompt does nothing with --policy plan" gato act --env grid --model end --episodes 1 --goal env --plan 4 --prompt grid.lmdb
echo nothing >bad.png
refused 3 "bad.png" gato act --env grid --model end --episodes 1 --goal bad.png
refused 0 "goal does nothing with --policy random" gato act --env grid --policy random --episodes 1 --goal env
refused 0 "goal_ahead has no effect" gato train --data grid.lmdb --config policy.json --out x1 --set data.goal_ahead=3
refused 4 "no task of the policy has a slot of goals" gato train --init plain --data grid.lmdb --set data.goal=end --out x2
runs "texts" tokenize text --in "$top/README.md" --out text.lmdb
# --- prompts: the end of a record is fed before each episode
play --prompt grid.lmdb:3 --threads 1 >prompt.out
play --prompt grid.lmdb:3 --threads 2 >prompt2.out
play --prompt grid.lmdb:3 --threads 1 --context rebuild >prompt3.out
play --prompt grid.lmdb:3 --goal env --threads 1 >both.out
play --prompt grid.lmdb --threads 2 >any.out
[ -s prompt.out ] && cmp prompt.out prompt2.out && cmp prompt.out prompt3.out
verdict $? "a prompt, 1 and 2 workers, over the cache and rebuilt: $(cat prompt.out prompt2.out prompt3.out)"
[ -s any.out ] && [ -s both.out ]
verdict $? "a prompt drawn by each episode, and one with a goal"
# --prompt-top: the best by return, as the dump adds it up
best=$(tokenize dump grid.lmdb 2>err | "${PYTHON:-python3}" -c 'import json, sys
ret = [sum(json.loads(line)["rewards"]) for line in sys.stdin]
print(max(range(len(ret)), key=lambda i: (ret[i], -i)))')
learn eager --set data.goal=end model.block_init=0.5 --threads 1 # attention counts
eager() { act --model eager --episodes 40 "$@"; }
eager --prompt "grid.lmdb:$best" --threads 1 >one.out
eager --prompt grid.lmdb --prompt-top 1 --threads 2 >top.out
eager --prompt grid.lmdb --threads 2 >any.out
[ -s one.out ] && cmp one.out top.out
verdict $? "the best episode is record $best: $(cat one.out top.out)"
cmp any.out top.out >cmp.out 2>&1
[ $? -eq 1 ]
verdict $? "a prompt of the best is another than one of all: $(cat any.out top.out)"
refused 2 "has 12 episodes of task 'grid'" gato act --env grid --model end --episodes 1 --prompt grid.lmdb --prompt-top 13
refused 2 "is one record" gato act --env grid --model end --episodes 1 --prompt grid.lmdb:3 --prompt-top 2
refused 2 "needs --prompt" gato act --env grid --model end --episodes 1 --prompt-top 2
refused 2 "prompt-top must be 1" gato act --env grid --model end --episodes 1 --prompt grid.lmdb --prompt-top 0
refused 2 "no such record of task 'grid'" gato act --env grid --model end --episodes 1 --prompt grid.lmdb:99
refused 2 "nowhere.lmdb" gato act --env grid --model end --episodes 1 --prompt nowhere.lmdb:1
runs "another tokenizer" vqvae train --data "$top/data/reacher" --config vq.json --out vq2 --seed 9 --threads 1
runs "its codes" tokenize episodes --in grid --model vq2 --out grid2.lmdb
refused 4 "does not fit the policy" gato act --env grid --model end --episodes 1 --prompt grid2.lmdb:0
refused 4 "does not know the task" gato act --env grid --model end --episodes 1 --prompt text.lmdb:0
# --- a recording goes on with its own goal and prompt alone, by name and by content
records() { # STATUS PATTERN OUT OPTION...
    want=$1 pattern=$2 to=$3
    shift 3
    gato record --env grid --policy model --model end --episodes 1 --max-steps 3 --out "$to" "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err
    verdict $? "record into $to $*: status $rc, wanted $want and '$pattern'"
}
records 0 "" told --goal goal.png --prompt grid.lmdb:3
records 0 "holds 1 episodes" told --goal goal.png --prompt grid.lmdb:3
records 4 'goal is "goal.png", not null; prompt is "grid.lmdb:3", not null' told
records 4 'prompt is "grid.lmdb:3", not "grid.lmdb:4" (' told --goal goal.png --prompt grid.lmdb:4
records 4 'prompt_top is null, not 2' told --goal goal.png --prompt grid.lmdb --prompt-top 2
records 4 'goal is "goal.png", not "env"' told --goal env --prompt grid.lmdb:3
cp goal.png kept.png
cp "$top/data/clipart/$(ls "$top/data/clipart" | grep png | tail -n 1)" goal.png
records 4 'weights is ' told --goal goal.png --prompt grid.lmdb:3
mv kept.png goal.png
mv grid.lmdb kept.lmdb
runs "other codes of the same name" tokenize episodes --in grid --model vq --out grid.lmdb --limit 5
records 4 'weights is ' told --goal goal.png --prompt grid.lmdb:3
rm -r grid.lmdb
mv kept.lmdb grid.lmdb
records 0 "" alone
sed 's/"\(elite\|ensemble\|execute\|goal\|horizon\|iterations\|plan\|prompt\|prompt_top\)":null,//g' alone/record.json >old.json
cp old.json alone/record.json
records 0 "holds 1 episodes" alone
! grep -q -e elite -e prompt alone/record.json
verdict $? "a recording of a former version goes on"
learn single --set train.window=1
refused 2 "no room for a prompt" gato act --env grid --model single --episodes 1 --prompt grid.lmdb:0
refused 0 "prompt does nothing with --policy expert" gato act --env grid --policy expert --episodes 1 --prompt grid.lmdb:0
refused 2 "data.goal would do nothing" gato train --data text.lmdb --config policy.json --out x3 --set data.goal=end
finish

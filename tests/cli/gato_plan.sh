#!/bin/sh
# gato_plan.sh - `gato act --plan`: an arm and a grid, goals from the environment and from a file, several actions of a plan, threads,
# what the JSON line says, what is refused. What plans are worth is not asked: the policies are hardly trained.
. "$(dirname "$0")/../tokenize_common.sh"
. "$top/tests/gato_common.sh"
always='act --episodes 1 --threads 1'
# plays NAME ARGUMENTS...: four episodes of the arm; the line without its times goes to NAME.
plays() {
    name=$1
    shift
    gato act --model arm --env reacher --episodes 4 --max-steps 6 --seed 3 "$@" >out 2>err && without_times <out >"$name" && [ -s "$name" ]
    verdict $? "$name: gato act --model arm $*"
}
without_times() { sed 's/"[a-z]*_ms_p[0-9]*":[^,]*,//g'; }
differ() { # A B
    cmp "$1" "$2" >out 2>err
    [ $? -eq 1 ]
}
small="model.block_out_channels=[8,8,8] model.norm_num_groups=4 model.vq_embed_dim=4 model.num_vq_embeddings=32"
learn_codes() { # DATA NAME SETTINGS...
    data=$1 to=$2
    shift 2
    runs "a small tokenizer" vqvae train --data "$data" --out "$to.vq" --seed 1 --steps 20 --set $small train.warmup_no_quant=5 \
        train.batch=8 "$@"
    runs "shards" tokenize episodes --in "$data" --model "$to.vq" --limit 12 --out "$to.lmdb"
}
net="model.width=32 model.layers=1 model.heads=2 model.context=256 model.bins=16 model.merge=2 train.prompt=0"
learn() { # DATA NAME SETTINGS...
    data=$1 to=$2
    shift 2
    runs "a policy" gato train --data "$data.lmdb" --vqvae "$data.vq" --out "$to" --steps 30 --seed 1 --set $net optim.lr=0.003 \
        optim.warmup=5 train.batch=4 "$@"
}
learn_codes "$top/data/reacher" arm data.size=32
runs "episodes of the grid" gato record --env grid --episodes 12 --seed 4 --out rooms --threads 1
learn_codes rooms grid data.size=32
linear="model.vector_in=linear loss.action_kind=mse"
learn arm arm $linear loss.image=1 loss.vector=1
learn arm blind $linear loss.vector=1
learn arm numb $linear loss.image=1
learn arm short $linear loss.image=1 train.window=1
learn grid grid loss.image=1 loss.discrete=1

# --- the same play for any threads, and again
plan="--plan 8 --iterations 2 --elite 3"
plays one $plan --horizon 3 --goal env --threads 1
cp out one.json
plays again $plan --horizon 3 --goal env --threads 1
plays two $plan --horizon 3 --goal env --threads 2
cmp one again >out 2>err && cmp one two >out 2>err
verdict $? "the same again, and with two threads"
"$PYTHON" - one.json >out 2>err <<'X'
import json, sys
line = json.load(open(sys.argv[1]))
keys = list(line)
assert keys[-6:] == ["step_ms_p50", "step_ms_p99", "plan_ms_p50", "plan_ms_p99", "plan_distance", "plan_gap"], keys
assert line["policy"] == "plan" and line["episodes"] == 4 and line["failed"] == 0
assert 0 < line["plan_ms_p50"] <= line["plan_ms_p99"] <= line["step_ms_p99"] and line["plan_ms_p50"] < line["step_ms_p50"]
assert line["plan_distance"] > 0 and isinstance(line["plan_gap"], float)
X
verdict $? "the JSON line"
gato act --policy random --env reacher --episodes 1 --max-steps 3 >out 2>err && ! grep -q plan_ out
verdict $? "no members of plans without plans"

# --- what the options do
plays shooting $plan --horizon 3 --goal env --iterations 1 --threads 1
differ shooting one
verdict $? "random shooting is another play"
plays three $plan --horizon 3 --goal env --execute 3 --threads 2
differ three one
verdict $? "three actions of each plan are another play"
plays six $plan --horizon 6 --goal env --execute 6 --threads 1
grep -q '"plan_gap":null' six
verdict $? "no gap where no plan's end is seen"
plays alone $plan --horizon 6 --goal env --execute 6 --forget --threads 1
cmp alone six >out 2>err
verdict $? "the first plan of an episode has nothing to forget"
plays black $plan --horizon 3 --goal env --blank-image --threads 1
plays file $plan --horizon 3 --goal "$top/data/images/arm.png" --threads 1
differ file one
verdict $? "a file is another goal"
runs "the presets" gato act --model arm --env reacher --goal env --policy plan --episodes 1 --max-steps 1 --threads 1
for n in 1 2; do
    gato act --model grid --env grid $plan --horizon 3 --goal env --execute 2 --episodes 4 --max-steps 6 --seed 3 --threads $n >out 2>err &&
        without_times <out >grid.$n && grep -q '"plan_gap":[-0-9]' grid.$n
    verdict $? "plans of discrete actions"
done
cmp grid.1 grid.2 >out 2>err
verdict $? "discrete actions: the same with two threads"
gato act --model arm --env reacher $plan --goal env --decode left --ensemble 1 --episodes 1 --max-steps 1 >out 2>err &&
    grep -q 'decode does nothing' err && grep -q 'ensemble does nothing' err
verdict $? "a plan decodes no actions"
runs "plans are recorded" gato record --model arm --env reacher --policy plan $plan --goal env --execute 3 --episodes 1 --max-steps 4 --out plans
# A recording goes on under its own plan alone; what is not said is the preset.
goes_on() { # STATUS PATTERN OPTION...
    want=$1 pattern=$2
    shift 2
    gato record --model arm --env reacher --policy plan --episodes 1 --max-steps 4 --out plans "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err
    verdict $? "record again with $*: status $rc, wanted $want and '$pattern'"
}
same="--goal env --execute 3 $plan"
goes_on 0 "holds 1 episodes" $same
goes_on 0 "holds 1 episodes" $same --horizon 5
goes_on 4 "plan is 8, not 64; *policy\|plan is 8, not 64 (" --goal env --execute 3 --iterations 2 --elite 3
goes_on 4 "horizon is 5, not 3 (" $same --horizon 3
goes_on 4 "iterations is 2, not 1 (" $same --iterations 1
goes_on 4 "elite is 3, not 2 (" $same --elite 2
goes_on 4 "execute is 3, not 1 (" $plan --goal env
goes_on 4 'goal is "env", not ' $plan --execute 3 --goal "$top/data/images/arm.png"

# --- refused
arm="--model arm --env reacher --goal env"
refuses 2 'loss.image' --model blind --env reacher --goal env --plan 8
refuses 2 'loss.vector' --model numb --env reacher --goal env --plan 8
refuses 2 'train.window' --model short --env reacher --goal env --plan 8
refuses 2 'rebuild' $arm --plan 8 --context rebuild
refuses 2 'needs --goal' --model arm --env reacher --plan 8
refuses 2 'needs --goal' --model arm --env reacher --policy plan
refuses 2 'no file' --model arm --env reacher --goal none.png --plan 8
echo no image >bad.png
refuses 3 'bad.png' --model arm --env reacher --goal bad.png --plan 8
for n in 0 -1 1 4097; do refuses 2 'plan must be 2' $arm --plan $n; done
for n in 0 -2 9; do refuses 2 'elite must be 1 to 8' $arm --plan 8 --elite $n; done
refuses 2 'horizon must be 1' $arm --plan 8 --horizon 0
refuses 2 'iterations must be 1' $arm --plan 8 --iterations 0
for n in 0 4; do refuses 2 'execute must be 1 to 3' $arm --plan 8 --horizon 3 --execute $n; done
for r in -0.1 1 nan; do refuses 2 'smooth must be 0 or more and below 1\|smooth' $arm --plan 8 --smooth $r; done
refuses 2 'expert does not plan' $arm --plan 8 --policy expert
refuses 2 'random does not plan' --env reacher --plan 8 --policy random
gato act --help >help 2>&1
verdict $? "--help"
for option in plan horizon iterations elite smooth forget execute goal; do
    grep -q -e "--$option " help
    verdict $? "--help names --$option"
done
finish

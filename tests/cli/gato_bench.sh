#!/bin/sh
# gato_bench.sh - `gato bench`: of a configuration and of a RUN, what its line says, and what is refused. How fast things are is not
# asked; tokens are counted by hand, and rates must agree with the times beside them.
. "$(dirname "$0")/../tokenize_common.sh"
. "$top/tests/gato_common.sh"
always='bench --threads 1 --seconds 0'
benches() { # NAME ARGUMENTS...
    name=$1
    shift
    gato bench --threads 1 --seconds 0 "$@" >out 2>err && [ "$(wc -l <out)" -eq 1 ] && [ ! -s err ]
    verdict $? "$name: gato bench $*"
    cp out "$name"
}
says() { # FILE KEY VALUE
    is=$(json_last "$1" "$2")
    [ "$is" = "$3" ]
    verdict $? "$1: $2 is $is, wanted $3"
}
measured() { # FILE KEY: a number above 0
    json_last "$1" "$2" | awk '{ exit !($1 > 0) }'
    verdict $? "$1: $2 is $(json_last "$1" "$2")"
}
cat >small.json <<'X2'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 300, "bins": 16}, "train": {"batch": 3, "window": 2}}
X2

# --- a configuration: 64 codes, 8 numbers, a separator and 4 acted numbers in a timestep
benches config --config small.json
says config tokens 77
says config window 2
says config batch 3
says config task '"body"'
for key in train_tokens_per_s train_step_ms forward_tokens_per_s step_ms_p50 step_ms_p99; do measured config $key; done
for key in imagine_tokens_per_s imagine_of_forward plan_ms_p50; do says config $key null; done
says config step_encodes false
"${PYTHON:-python3}" - config <<'X2'
import json, sys
o = json.load(open(sys.argv[1]))
rate = 3 * 2 * 77 / o["train_step_ms"] * 1000
assert abs(rate - o["train_tokens_per_s"]) < 1e-3 * rate, (rate, o)
assert o["step_ms_p50"] <= o["step_ms_p99"]
X2
verdict $? "tokens of 3 sequences of 2 timesteps"
# Regression reads at the separator: the last actions of a training sequence are left out, so 3 * (2 * 77 - 4) tokens.
benches mse --config small.json --set loss.action_kind=mse model.chunk=3 act.execute=2 --measure train,step
says mse chunk 3
says mse forward_tokens_per_s null
"${PYTHON:-python3}" - mse <<'X2'
import json, sys
o = json.load(open(sys.argv[1]))
rate = 3 * (2 * 77 - 4) / o["train_step_ms"] * 1000
assert abs(rate - o["train_tokens_per_s"]) < 1e-3 * rate, (rate, o)
X2
verdict $? "tokens of a regression's training"
benches dreams --config small.json --set loss.image=1 loss.vector=1 model.merge=2 --weights q8 --measure forward,imagine --batch 2
says dreams weights '"q8"'
says dreams tokens 29
says dreams batch 2
measured dreams imagine_tokens_per_s
measured dreams imagine_of_forward
says dreams train_tokens_per_s null
benches patches --config small.json --set model.image_in=patches model.patch_mid=8 model.patch_groups=2 --measure forward,step
says patches tokens 29
benches shares --config small.json --set model.bin_kind=quantile --measure train,forward,step

# --- a RUN: its tasks, its tokenizer in the control step, and plans
small="model.block_out_channels=[8,8,8] model.norm_num_groups=4 model.vq_embed_dim=4 model.num_vq_embeddings=32"
vqvae train --data "$top/data/reacher" --out vq --seed 1 --steps 6 --set $small train.warmup_no_quant=2 train.batch=4 data.size=32 >out 2>err &&
    tokenize episodes --in "$top/data/reacher" --model vq --limit 6 --out arm.lmdb >out 2>err &&
    gato train --data arm.lmdb --vqvae vq --out arm --steps 2 --config small.json --set model.merge=2 model.vector_in=linear \
        loss.action_kind=mse loss.image=1 loss.vector=1 train.prompt=0 >out 2>err
verdict $? "a small policy"
benches run --model arm --plan 4 --horizon 2 --iterations 1 --weights q4 --execute 1
says run task '"reacher"'
says run step_encodes true
says run tokens "$(gato info arm 2>/dev/null | sed -n 's/.*"tokens":{"reacher":\([0-9]*\)}.*/\1/p')"
for key in train_tokens_per_s forward_tokens_per_s step_ms_p50 imagine_tokens_per_s plan_ms_p50 plan_ms_p99; do measured run $key; done
benches plan --model arm --measure plan --plan 4 --horizon 2 --iterations 1 --elite 2 --task reacher
says plan train_tokens_per_s null
measured plan plan_ms_p50
rm -r arm/vqvae
benches alone --model arm --measure step
says alone step_encodes false

# --- refused
refuses 2 'one of them is needed'
refuses 2 'one of them is needed' --model arm --config small.json
refuses 2 'can be measured' --config small.json --measure speed
refuses 2 'loss.image = 0' --config small.json --measure imagine
refuses 2 'there is none' --config small.json --plan 4 --set loss.image=1 loss.vector=1
refuses 2 'plan N is missing' --config small.json --horizon 3
refuses 2 'has no plan' --config small.json --plan 3 --measure step
refuses 2 'do nothing: --measure .train. has none of step' --config small.json --measure train --temperature 2
refuses 2 'weights does nothing' --config small.json --measure train --weights q8
refuses 2 'no chunks to fit FAST to' --config small.json --set model.bin_kind=fast model.chunk=3 train.window=1
refuses 2 'elite must be 1 to 4' --model arm --plan 4 --elite 5
refuses 2 'no storage of weights' --config small.json --weights q5
refuses 2 'act.execute' --config small.json --execute 2 --measure step
refuses 2 'longer than the context' --config small.json --set model.context=50
refuses 2 'no goals' --config small.json --set data.goal=end
refuses 2 'no such task' --model arm --task chess
refuses 2 'width' --config small.json --set model.widht=3
refuses 2 'missing\|nowhere' --model nowhere
finish

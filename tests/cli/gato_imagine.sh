#!/bin/sh
# gato_imagine.sh - `gato imagine` on the committed episodes of the arm: its metrics computed anew from the images that it wrote, its
# teacher-forced cross entropy against `gato eval`, actions, threads, and what is refused.
. "$(dirname "$0")/../tokenize_common.sh"
. "$top/tests/gato_common.sh"
always='imagine'
episodes=$top/data/reacher
imagines() { # NAME ARGUMENTS...
    name=$1
    shift
    gato imagine --split all "$@" >out 2>err && [ -s out ]
    verdict $? "$name: gato imagine $*"
}
value() { # KEY: of the first line
    head -n 1 out | sed 's/.*"'"$1"'":\([^,}]*\).*/\1/'
}
small="model.block_out_channels=[8,8,8] model.norm_num_groups=4 model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=5 train.batch=8"
vqvae train --data "$episodes" --out m --seed 1 --steps 60 --set $small model.num_vq_embeddings=32 >out 2>err
verdict $? "a small tokenizer"
tokenize episodes --in "$episodes" --model m --limit 12 --out plain.lmdb >out 2>err &&
    tokenize episodes --in "$episodes" --model m --limit 4 --frames 8 --head --keep-pixels --out kept.lmdb >out 2>err &&
    tokenize episodes --in "$episodes" --model m --limit 3 --frames 4 --spread --out spread.lmdb >out 2>err &&
    tokenize episodes --in "$episodes" --model m --limit 1 --frames 1 --head --out one.lmdb >out 2>err &&
    tokenize episodes --in "$episodes" --model m --limit 1 --frames 2 --head --out two.lmdb >out 2>err
verdict $? "shards"
net="model.width=32 model.layers=1 model.heads=2 model.context=128 model.bins=16 model.merge=2 model.vector_in=linear loss.action_kind=mse train.prompt=0"
train() { # OUT SETTINGS...
    out=$1
    shift
    gato train --data plain.lmdb --vqvae m --out "$out" --steps 40 --seed 1 --set $net optim.lr=0.003 optim.warmup=5 train.batch=4 "$@" \
        >out 2>err
    verdict $? "a policy: $*"
}
train run loss.image=1 loss.vector=1
train blind loss.vector=1
train numb loss.image=1
train far loss.image=1 loss.vector=1 loss.horizon=[2]
train short loss.image=1 train.window=1
gato train --data plain.lmdb --vqvae m --out none --steps 1 --set $net loss.image=1 train.window=1 model.image_last=true >out 2>err
[ $? -eq 2 ] && grep -q 'model.image_last would never have an effect' err
verdict $? "sequences of one timestep have no image before"

# The metrics, from the images.
tokenize decode --model m --in kept.lmdb --out codes >out 2>err
verdict $? "the codes decoded"
imagines metrics --model run --data kept.lmdb --context 2 --object 255,0,0 --out a
[ "$(wc -l <out)" -eq 3 ] && [ -f a/done ] && [ "$(ls a/*.apng | wc -l)" -eq 4 ]
verdict $? "horizons 1, 2 and 5 of 8 timesteps, and files of 4 episodes"
cp out one.out
"$PYTHON" "$top/tests/imagine_oracle.py" a codes 2 255,0,0 <one.out >out 2>err
verdict $? "metrics from the strips"
imagines samples --model run --data kept.lmdb --context 3 --steps 2 --object 255,0,0 --samples 2 --temperature 1 --seed 3 --out s
cp out two.out
"$PYTHON" "$top/tests/imagine_oracle.py" s codes 3 255,0,0 <two.out >out 2>err
verdict $? "metrics of two samples from the strips"

# Same bytes.
for n in 1 2; do
    imagines "threads $n" --model run --data kept.lmdb --context 2 --object 255,0,0 --out t$n --threads $n
    cmp out one.out >err 2>&1 && diff -r a t$n >err 2>&1
    verdict $? "the same bytes with --threads $n"
done

# The cross entropy of timestep 1 behind timestep 0 is what eval says of two timesteps, less what it says of the first alone: 16 and
# 15 predicted tokens (the first of all has none before it).
loss() { # SHARD
    gato eval --model run --data "$1" --split all 2>err | sed 's/.*"loss_image":\([^,}]*\).*/\1/'
}
both=$(loss two.lmdb) first=$(loss one.lmdb)
imagines "two timesteps" --model run --data two.lmdb --context 1
awk -v b="$both" -v f="$first" -v c="$(value ce_teacher)" 'BEGIN { d = (31 * b - 15 * f) / 16 - c; exit !(d < 1e-4 && d > -1e-4) }'
verdict $? "ce_teacher $(value ce_teacher) is eval's, from $both and $first"
grep -q '"ceiling_psnr":null' out && grep -q 'keeps no pixels' err
verdict $? "without pixels there is no ceiling"
# At horizon 1 nothing has been imagined yet: a frame alone and a free one are the same.
[ "$(value ce_frame)" = "$(value ce_free)" ]
verdict $? "horizon 1: ce_frame is ce_free"

# Under the truth it makes no difference what counts as shown: horizon 2 behind one timestep is horizon 1 behind two.
imagines "one shown" --model run --data kept.lmdb --context 1 --steps 2
tail -n 1 out | grep -o '"ce_teacher":[^,]*,"ce_frame":[^,]*' >second
imagines "two shown" --model run --data kept.lmdb --context 2 --steps 1
grep -o '"ce_teacher":[^,]*,"ce_frame":[^,]*' out | cmp - second >err 2>&1
verdict $? "ce_teacher and ce_frame do not depend on the context"

# Actions: the recorded ones from a file give what the recorded ones give.
"$PYTHON" -c "
import json, subprocess
line = json.loads(subprocess.run(['tokenize', 'dump', 'kept.lmdb', '--id', '0'], capture_output=True, text=True).stdout)
json.dump(line['actions'][1:], open('actions.json', 'w'))
json.dump(line['actions'][1:3], open('few.json', 'w'))
json.dump([[0]] * 9, open('narrow.json', 'w'))" >out 2>err
verdict $? "a file of actions"
imagines "recorded" --model run --data kept.lmdb --id 0 --context 2 --steps 5
cp out recorded.out
imagines "from a file" --model run --data kept.lmdb --id 0 --context 2 --steps 5 --actions actions.json
cut -d, -f1-10 out >given && cut -d, -f1-10 recorded.out | cmp - given >err 2>&1
verdict $? "the recorded actions from a file"
imagines "its own actions" --model run --data kept.lmdb --context 2 --steps 5 --actions policy
grep -q '"shuffled_psnr_changed":null' out
verdict $? "no shuffled actions beside its own"

refuses 2 'loss.image' --model blind --data kept.lmdb --split all
refuses 2 'loss.vector' --model numb --data kept.lmdb --split all
refuses 2 'horizon' --model far --data kept.lmdb --split all
refuses 2 'train.window' --model short --data kept.lmdb --split all
refuses 2 'spread' --model run --data spread.lmdb --split all
refuses 2 'no episode' --model run --data kept.lmdb --split all --context 8
refuses 2 'no record 4' --model run --data kept.lmdb --id 4
refuses 2 'do nothing' --model run --data kept.lmdb --samples 2
refuses 2 'not empty' --model run --data kept.lmdb --out a
refuses 2 'three numbers' --model run --data kept.lmdb --object red
refuses 2 'actions' --model run --data kept.lmdb --split all --actions none.json
refuses 3 'a list of 5 rows' --model run --data kept.lmdb --split all --steps 5 --actions few.json
refuses 3 'row 1' --model run --data kept.lmdb --split all --steps 5 --actions narrow.json
vqvae train --data "$episodes" --out other --seed 2 --steps 8 --set $small model.num_vq_embeddings=32 >out 2>err &&
    tokenize episodes --in "$episodes" --model other --limit 3 --out other.lmdb >out 2>err
verdict $? "another tokenizer"
refuses 4 '' --model run --data other.lmdb --split all
finish

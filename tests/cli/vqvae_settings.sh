#!/bin/sh
# vqvae_settings.sh - trainings that would not do what they are asked for: a quantizer or a discriminator that never runs, keys
# without effect, a lone image, and evaluation of few images. Oracles: exit codes, the key in the message, sizes of sample sheets.
. "$(dirname "$0")/../vqvae_common.sh"

images 12 pics
quick() { # RUN WORDS...: the tiny network without tiny.json's steps; a word with '=' is a setting
    run=$1 options=
    shift
    for word in "$@"; do
        case $word in
        *=*) options="$options --set $word" ;;
        *) options="$options $word" ;;
        esac
    done
    # shellcheck disable=SC2086
    vqvae train --data pics --out "$run" --threads 1 $replace --set model.block_out_channels=[8,8] model.norm_num_groups=4 data.size=16 \
        model.num_vq_embeddings=16 model.vq_embed_dim=4 train.batch=4 train.tensorboard=false optim.warmup=0 $options >out 2>err
}
replace=--force

# --- the first steps without quantizer are a tenth of all
recorded() { grep -o '"warmup_no_quant": *[0-9]*' "$1/training.json" | tr -dc 0-9; }
for steps in 1 9 10 25; do
    quick tenth --steps $steps
    verdict $? "--steps $steps"
    [ "$(recorded tenth)" = $((steps / 10)) ]
    verdict $? "a tenth of $steps is '$(recorded tenth)'"
    ! grep -q trained tenth/tokenizer.json
    verdict $? "$steps steps train the codebook"
done
quick tenth --steps 10 train.warmup_no_quant=7
[ "$(recorded tenth)" = 7 ]
verdict $? "a value that is said stays"
quick grown --steps 20 --stop-at 15
replace=--resume
quick grown --steps 300 && [ "$(recorded grown)" = 2 ]
verdict $? "a resume with more steps keeps the quantizer on"
replace=--force
vqvae train --help-config | grep -q '^train.warmup_no_quant .*a tenth of train.steps'
verdict $? "--help-config tells it"

# --- refused, with the key to change
refused() { # KEY ARGUMENTS...
    key=$1
    shift
    quick new "$@"
    rc=$?
    [ $rc -eq 2 ] && grep -q -e "$key" err && [ ! -e new ]
    verdict $? "refused for $key: status $rc: $*"
}
refused optim.betas --steps 20 'optim.betas=[0.9,1]'
refused optim.betas --steps 20 'optim.betas=[1,0.99]'
refused train.warmup_no_quant --steps 20 train.warmup_no_quant=20
refused train.warmup_no_quant --steps 20 train.warmup_no_quant=2000
refused train.warmup_no_quant --steps 20 train.warmup_no_quant=20 quantizer.kind=ste
refused loss.disc_start --steps 20 loss.disc=0.1 loss.disc_start=20
refused 'loss.disc_start.*loss.disc above 0' --steps 20 loss.disc_start=3
refused 'loss.disc_ramp.*loss.disc above 0' --steps 20 loss.disc_ramp=3
refused 'loss.disc_kind.*loss.disc above 0' --steps 20 loss.disc_kind=vanilla
refused 'loss.disc_adaptive.*loss.disc above 0' --steps 20 loss.disc_adaptive=false
refused 'loss.disc_channels.*loss.disc above 0' --steps 20 loss.disc_channels=8
refused 'loss.disc_layers.*loss.disc above 0' --steps 20 loss.disc_layers=2
refused 'loss.perceptual above 0' --steps 20 loss.perceptual_weights=vgg.safetensors
refused 'quantizer.kind = fsq' --steps 20 'quantizer.levels=[4,4]'
refused "did you mean 'encoder'" --steps 20 train.freeze=encodr

# --- one warning for what has no say, and none for what has
told() { # KEY ARGUMENTS...
    key=$1
    shift
    quick new --steps 3 "$@"
    rc=$?
    [ $rc -eq 0 ] && [ "$(grep -c "warning: $key has no effect" err)" -eq 1 ] && [ "$(grep -c warning err)" -eq 1 ]
    verdict $? "told: $key: status $rc: $*"
}
silent() {
    quick new --steps 3 "$@"
    rc=$?
    [ $rc -eq 0 ] && ! grep -q warning err
    verdict $? "nothing to tell: status $rc: $*"
}
told quantizer.codebook_weight quantizer.codebook_weight=2
silent quantizer.codebook_weight=2 quantizer.kind=l2
told quantizer.decay quantizer.decay=0.9 quantizer.kind=ste
silent quantizer.decay=0.9
told data.crop_scale 'data.crop_scale=[0.5,1]' data.crop=random
told data.crop_ratio 'data.crop_ratio=[1,1]'
silent 'data.crop_scale=[0.5,1]' 'data.crop_ratio=[1,1]' data.crop=resized
told optim.min_ratio optim.min_ratio=0.5 optim.schedule=constant
silent optim.min_ratio=0.5 optim.schedule=linear
told data.split_by data.split_by=folder
mkdir -p deep/a deep/b && cp pics/* deep/a && cp pics/*1.png deep/b
vqvae train --data deep --config tiny.json --threads 1 --out folders --set data.split_by=folder >out 2>err && ! grep -q warning err
verdict $? "folders to split by"
vqvae train --data pics --threads 1 --out levels --steps 3 --set model.block_out_channels=[8,8] model.norm_num_groups=4 data.size=16 train.batch=4 optim.warmup=0 \
    quantizer.kind=fsq 'quantizer.levels=[4,4]' quantizer.commitment_weight=1 train.freeze=quantize >out 2>err &&
    [ "$(grep -c 'quantizer.commitment_weight has no effect' err)" -eq 1 ] && [ "$(grep -c 'train.freeze = quantize has no effect' err)" -eq 1 ]
verdict $? "keys of a codebook beside fsq"
quick new --steps 3 optim.warmup=3 && grep -q 'warning: optim.warmup = 3 is not over in 3 steps' err
verdict $? "a rise of the learning rate that is not over"
quick new --steps 3 optim.lr=0 && grep -q 'warning: optim.lr = 0' err
verdict $? "a learning rate of 0"
quick new --steps 9 loss.disc=0.1 loss.disc_channels=4 loss.disc_layers=1 loss.disc_start=5 loss.disc_ramp=5 && grep -q 'warning: loss.disc_ramp = 5 does not end within 9 steps' err
verdict $? "a ramp of the GAN term that does not end in time"

# --- a RUN whose codes are not trained says so wherever it is used
quick early --steps 40 --stop-at 4
[ $? -eq 75 ] && grep -q '"trained":false' early/tokenizer.json
verdict $? "stopped before the quantizer"
warned() { # NAME COMMAND...
    name=$1
    shift
    "$@" >out 2>err && [ "$(grep -c "warning: the codes of 'early' are not trained" err)" -eq 1 ]
    verdict $? "$name: one warning"
}
warned eval vqvae eval --model early --data pics --split all
warned info vqvae info early
grep -q '"trained":false' out
verdict $? "info has it as a member"
warned reconstruct vqvae reconstruct --model early --data pics --out shown
warned tokenize tokenize images --in pics --model early --out early.lmdb
warned gato gato train --data early.lmdb --vqvae early --out policy --steps 1 --set model.width=16 model.layers=1 model.heads=2 loss.image=1 train.batch=1
grep -q '"trained":false' policy/vqvae/tokenizer.json
verdict $? "the policy's copy knows it"
quick early --steps 40 --stop-at 5
! grep -q trained early/tokenizer.json && vqvae eval --model early --data pics --split all >out 2>err && ! grep -q warning err
verdict $? "one step with quantizer, and nothing is said"
vqvae info early >out 2>err && grep -q '"trained":true' out
verdict $? "info of a trained one"

# --- a lone image, whatever its name: it is trained on, and evaluation says what to do
first=$(find pics -name '*.png' | LC_ALL=C sort | head -n 1)
for name in input baboon photo n28 n58 a_1; do
    rm -rf lone && mkdir lone && cp "$first" "lone/$name.png"
    vqvae train --data lone --config tiny.json --threads 1 --out lone.run --force --set data.holdout=0.9 >out 2>err &&
        [ "$(grep -c 'nothing is held out' err)" -eq 1 ] && [ "$(grep -c '"psnr_held_out":null' lone.run/metrics.jsonl)" -eq 2 ]
    verdict $? "$name.png alone"
    vqvae eval --model lone.run --data lone >out 2>err && grep -q '"images":0,"psnr":null' out && grep -q 'nothing is held out.*data.holdout.*--split all' err
    verdict $? "eval of $name.png alone: null, and what to do"
done
exits 2 "no image to reconstruct.*--split all" reconstruct --model lone.run --data lone --split val --out lone.out
[ ! -e lone.out ] && grep -q "nothing is held out of 'lone'" err
verdict $? "nothing to reconstruct leaves no folder"
for command in 'report lone.run --data lone --out lone.html' 'report lone.run --data lone --data pics --out lone.html' \
    'reconstruct --model lone.run --data lone --data pics --split val --out lone.out'; do
    # shellcheck disable=SC2086
    vqvae $command >out 2>err && [ "$(grep -c 'nothing is held out.*--split all' err)" -eq 1 ]
    verdict $? "$command: what to do is said"
done
vqvae eval --model lone.run --data lone --split all >out 2>err && grep -q '"images":1,"psnr":[0-9]' out
verdict $? "--split all"
vqvae train --data lone --config tiny.json --threads 1 --out lone.run --force --set loss.focus=9 >out 2>err && grep -q "warning: loss.focus has no effect on 'lone'" err
verdict $? "focus with one image"
vqvae train --data lone --data pics --config tiny.json --threads 1 --out lone.run --force >out 2>err && [ "$(grep -c 'nothing is held out' err)" -eq 1 ] &&
    ! grep -q '"psnr_held_out":null' lone.run/metrics.jsonl
verdict $? "a lone image beside a folder"

# --- each held-out image once: a sheet shows one pair an image, eight images a row of 32 pixels and 2 between
width() { od -An -tu1 -j16 -N8 "$1" | awk '{ print $1 * 16777216 + $2 * 65536 + $3 * 256 + $4 "x" $5 * 16777216 + $6 * 65536 + $7 * 256 + $8 }'; }
mkdir two && find pics -name '*.png' | LC_ALL=C sort | head -n 2 | while read -r f; do cp "$f" two; done
vqvae train --data two --config tiny.json --threads 1 --out pair --set data.holdout=0.001 >out 2>err
one=$(width pair/samples/step-000012.png)
vqvae train --data pics --config tiny.json --threads 1 --out some --set data.holdout=0.3 >out 2>err
held=$(vqvae eval --model some --data pics 2>err | grep -o '"images":[0-9]*' | tr -dc 0-9)
[ "$one" = "$(width pair/samples/step-000006.png)" ] && [ "${one%x*}" -lt 90 ] && [ "${one#*x}" -lt 50 ]
verdict $? "one held-out image is shown once: $one"
rows=$(((2 * held + 7) / 8)) high=$(width some/samples/step-000012.png)
[ "$held" -ge 2 ] && [ "$held" -lt 12 ] && [ "${high#*x}" -ge $((rows * 32)) ] && [ "${high#*x}" -lt $((rows * 32 + 8 * rows + 8)) ]
verdict $? "$held held-out images take $rows rows: $high"
# eval rounds pixels, training does not: nearly the same, over the same images
evaluated=$(vqvae eval --model some --data pics --threads 1 2>err | grep -o '"psnr":[0-9.]*' | cut -d: -f2)
trained=$(tail -n 1 some/metrics.jsonl | grep -o '"psnr_held_out":[0-9.]*' | cut -d: -f2)
awk -v a="$evaluated" -v b="$trained" 'BEGIN { d = a - b; exit !(a > 0 && d < 0.1 && d > -0.1) }'
verdict $? "eval agrees with the last evaluation of training: $evaluated and $trained"

# --- --dry-run counts evaluation
expected() { # ARGUMENTS...: expected seconds beyond the steps', in steps
    vqvae train --data pics --config tiny.json --threads 1 --out dry --dry-run --steps 100 "$@" 2>err |
        awk -F'[:,}]' '{ print ($10 - 100 * $8) / $8 }'
}
# Times of a busy machine: the factor of 100 between one evaluation and one a step shows in one of a few tries.
for try in 1 2 3 4 5; do
    none=$(expected --set data.holdout=0) last=$(expected --set train.eval_every=0) each=$(expected --set train.eval_every=1)
    awk -v a="$none" -v b="$last" -v c="$each" 'BEGIN { exit !(a < 0.001 && a > -0.001 && b > 0 && c > 10 * b) }' && break
done
verdict $? "evaluation in steps: none $none, at the end $last, at each step $each"

# --- the bar says what it waits for
if script -qec true /dev/null >out 2>err; then
    TERM=xterm script -qec "vqvae train --data pics --out bar --threads 1 --steps 2 --set train.batch=32 data.holdout=0.5" /dev/null >out 2>err
    tr '\r' '\n' <out | grep -q 'train .*2/2.*evaluating'
    verdict $? "the bar says evaluating"
else
    skip "the bar" "no script(1)"
fi
finish

#!/bin/sh
# vqvae_adversary.sh - the discriminator and LPIPS: losses, gradients and steps against PyTorch's (tests/reference), what a RUN
# holds of them, the same bytes after any stop, and what is refused.
. "$(dirname "$0")/../vqvae_common.sh"
reference=$top/tests/reference
python=$(numpy_python)
images="$reference/image0_32x32.png $reference/image1_32x32.png"
narrow=$reference/lpips_narrow.safetensors

# step OUT ARGUMENTS...: two steps of Adam on two images.
step() {
    t=$1
    shift
    # shellcheck disable=SC2086
    vqvae trace --train --steps 2 --model "$reference/vq" --image $images --out "$t" --set loss.rec=l1 --set quantizer.kind=ste --set quantizer.commitment_weight=0.25 \
        --set quantizer.codebook_weight=1 --set optim.lr=0.001 --set 'optim.betas=[0.5,0.9]' --threads 1 "$@" >out 2>err
}
hinge() {
    t=$1
    shift
    step "$t" --set loss.disc=0.8 --set loss.disc_channels=5 --set loss.disc_layers=2 --disc "$reference/disc_5x2.safetensors" "$@"
}
vanilla() {
    t=$1
    shift
    step "$t" --set loss.disc=0.1 --set loss.disc_kind=vanilla --set loss.disc_channels=4 --disc "$reference/disc_4x3.safetensors" --set loss.perceptual=0.5 \
        --set "loss.perceptual_weights=$narrow" "$@"
}

hinge t && cp t hinge.t
verdict $? "two steps with a discriminator"
vanilla t && cp t vanilla.t
verdict $? "two steps with another, and LPIPS"
hinge t --threads 3 && cmp t hinge.t >>err
verdict $? "the same bytes with three threads"
if [ -n "$python" ]; then
    for k in loss loss_rec loss_vq loss_gan d_weight loss_disc 'grad/decoder.*' 'grad/encoder.*' 'grad/discriminator.*' 'param/2/discriminator.*' 'param/2/encoder.*'; do
        set -- "$@" --need "$k"
    done
    compared "hinge" hinge.t "$reference/gan_hinge.safetensors" --tol 'param/*=2e-5,0' "$@"
    compared "vanilla and LPIPS" vanilla.t "$reference/gan_vanilla_lpips.safetensors" --tol 'param/*=2e-5,0' --need loss_perceptual "$@"
    for other in loss.disc_kind=vanilla loss.disc=0.7 loss.disc_adaptive=false loss.disc_ramp=9 loss.disc_start=1; do
        hinge t --set "$other" && ! "$python" "$top/tests/interop/compare_trace.py" t "$reference/gan_hinge.safetensors" --quiet >out 2>err
        verdict $? "$other is told from it"
    done
    vanilla t --set train.accumulate=2
    compared "twice the same images, accumulated, are the images once" t vanilla.t --abs 0 --rel 1e-6 --tol 'param/*=1e-6,0' --skip 'grad/*' --skip '*to_k.bias' --need 'param/2/*' --need d_weight
    vanilla t --set loss.perceptual=0.4 && ! "$python" "$top/tests/interop/compare_trace.py" t "$reference/gan_vanilla_lpips.safetensors" --quiet >out 2>err
    verdict $? "another weight of LPIPS is told from it"
else
    skip "numbers of others" "no python3 with numpy"
fi

# --- a discriminator that starts by the seed, or comes with the model
small="--set loss.disc=0.2 --set loss.disc_channels=4 --set loss.disc_layers=2"
# shellcheck disable=SC2086
step a $small --seed 5 && step b $small --seed 5 && cmp a b >>err
verdict $? "the same seed, the same discriminator"
# shellcheck disable=SC2086
step b $small --seed 6 && ! cmp -s a b
verdict $? "another seed, another discriminator"

if [ -n "$python" ]; then
    mkdir both && cp "$reference/vq/config.json" both
    "$python" - "$top" both <<'X' >err 2>&1
import sys
sys.path.insert(0, sys.argv[1] + "/tests/interop")
import st
tensors = st.load(sys.argv[1] + "/tests/reference/vq/diffusion_pytorch_model.safetensors")[0]
tensors.update(st.load(sys.argv[1] + "/tests/reference/disc_4x3.safetensors")[0])
st.save(sys.argv[2] + "/diffusion_pytorch_model.safetensors", tensors)
X
    # shellcheck disable=SC2086
    vqvae trace --train --model both --image $images --out a --set loss.disc=1 --set loss.disc_channels=4 --threads 1 >out 2>err &&
        vqvae trace --train --model "$reference/vq" --image $images --out b --set loss.disc=1 --set loss.disc_channels=4 --threads 1 \
            --disc "$reference/disc_4x3.safetensors" >out 2>err && cmp a b >out
    verdict $? "the discriminator inside of a model's weights file"
fi

# --- the RUN
images 24 pics
gan="$small --set loss.disc_start=5 --set loss.disc_ramp=4 --set train.log_every=1"
# shellcheck disable=SC2086
train base $gan --set loss.perceptual=0.5 --set "loss.perceptual_weights=$narrow" --set train.weight_average=0.9
verdict $? "a run of twelve steps"
again() { # RUN ARGUMENTS...
    run=$1
    shift
    # shellcheck disable=SC2086
    train "$run" $gan --set loss.perceptual=0.5 --set "loss.perceptual_weights=$narrow" --set train.weight_average=0.9 "$@"
}
! grep -q -e discriminator -e perceptual base/diffusion_pytorch_model.safetensors base/config.json base/tokenizer.json
verdict $? "the inference files know nothing of it"
for name in value/discriminator.main.0.weight m/discriminator.main.2.weight v/discriminator.main.8.bias state/discriminator.main.3.running_mean \
    state/discriminator.main.6.running_var state/discriminator.updates; do
    grep -aq "\"$name\"" base/training.safetensors
    verdict $? "the training state holds $name"
done
grep -aq '"average/encoder.conv_in.weight"' base/training.safetensors && ! grep -aq '"average/discriminator' base/training.safetensors
verdict $? "the discriminator is not averaged"
grep -q '"perceptual_weights": "lpips_narrow.safetensors"' base/training.json && ! grep -q "$top" base/training.json
verdict $? "the RUN names the file, not its place"
number='-?[0-9][0-9.e+-]*'
[ "$(grep -Ec "\"loss_perceptual\":$number,\"loss_gan\":null,\"d_weight\":null,\"loss_disc\":null" base/metrics.jsonl)" -eq 5 ] &&
    [ "$(grep -Ec "\"loss_perceptual\":$number,\"loss_gan\":$number,\"d_weight\":$number,\"loss_disc\":$number" base/metrics.jsonl)" -eq 7 ]
verdict $? "five steps without, seven with a discriminator"
sed -n 6p base/metrics.jsonl | grep -q '"d_weight":0,' && sed -n 7p base/metrics.jsonl | grep -Eq '"d_weight":[0-9.e-]*[1-9]'
verdict $? "the term rises from 0"
again more
same "the same command again" base more
again more --force --threads 2
same "--threads 2" base more
for n in 3 5 6 9; do
    again stopped --stop-at "$n" --force
    [ $? -eq 75 ]
    verdict $? "--stop-at $n"
    again stopped --resume
    same "--stop-at $n and --resume" base stopped
done
for t in 0.1 0.2 0.3 0.5; do
    rm -rf killed
    for _ in 1 2; do
        # shellcheck disable=SC2086
        vqvae train --data pics --config tiny.json --threads 1 --out killed --resume $gan --set loss.perceptual=0.5 --set "loss.perceptual_weights=$narrow" \
            --set train.weight_average=0.9 >out 2>err &
        pid=$!
        sleep "$t"
        kill -s KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    again killed --resume
    same "kill -9 twice after $t s, then --resume" base killed
done
cp "$narrow" elsewhere.safetensors
mkdir place && cp "$narrow" place
again more --force --set loss.perceptual_weights=place/lpips_narrow.safetensors
same "the weights from another place" base more

# --- before it starts, and joining later
train plain --set train.log_every=1
# shellcheck disable=SC2086
train late $small --set loss.disc_start=11 --set train.log_every=1 --stop-at 11
train plain --set train.log_every=1 --stop-at 11 --force
cmp plain/diffusion_pytorch_model.safetensors late/diffusion_pytorch_model.safetensors >out 2>&1
verdict $? "a discriminator changes nothing before it starts"
train part --stop-at 6
# shellcheck disable=SC2086
train part --resume $small
[ $? -eq 0 ] && grep -q '"loss_gan":-*[0-9]' part/metrics.jsonl && grep -aq '"value/discriminator.main.0.weight"' part/training.safetensors
verdict $? "a run goes on with a discriminator"
train part --stop-at 6 --force
for n in 1 2; do
    # shellcheck disable=SC2086
    train part$n --stop-at 6
    # shellcheck disable=SC2086
    [ $n -eq 1 ] || train part$n --resume $small --stop-at 9
    # shellcheck disable=SC2086
    train part$n --resume $small
done
same "stopped again after it joined" part1 part2
# shellcheck disable=SC2086
train part1 --resume --steps 14
[ $? -eq 0 ] && ! grep -aq discriminator part1/training.safetensors
verdict $? "and without one again"
# shellcheck disable=SC2086
train whole $small --set train.batch=4 --set train.accumulate=2 --set train.log_every=1
verdict $? "accumulation"

# shellcheck disable=SC2086
of_run() { vqvae trace --train --model base --image $images --threads 1 --set train.weight_average=0 --set loss.perceptual=0 "$@" >out 2>err; }
of_run --out a --disc base/training.safetensors && of_run --out b && cmp a b >>err
verdict $? "a trace of a RUN takes the RUN's recipe and discriminator"
of_run --out b --disc "$reference/disc_5x2.safetensors" --set loss.disc_channels=5 && ! cmp -s a b
verdict $? "--disc goes before it"

# --- fine-tuning goes on with the discriminator of the RUN, if it is asked for one like it
tune() { # OUT SET...
    t=$1
    shift
    vqvae train --data pics --init base --out "$t" --threads 1 --steps 1 --force --set optim.lr=0 --set optim.warmup=0 --set data.holdout=0.2 --set train.batch=4 "$@" >out 2>err
}
# shellcheck disable=SC2086
tune tuned $small && ! grep -q 'discriminator' err
verdict $? "--init of a RUN with a discriminator"
# shellcheck disable=SC2086
tune seeded $small --set loss.disc_layers=1 && grep -q "training.safetensors' holds a discriminator of another shape" err
verdict $? "one of other layers starts by the seed, and is told"
# shellcheck disable=SC2086
tune wider $small --set loss.disc_channels=6 && grep -q 'of another shape' err
verdict $? "one of another width as well"
tune without && ! grep -q discriminator err && ! grep -aq '"value/discriminator' without/training.safetensors
verdict $? "none without loss.disc"
if [ -n "$python" ]; then
    cat >parts.py <<'X'
import sys
sys.path.insert(0, sys.argv[1] + "/tests/interop")
import numpy as np, st
a, b, seeded = (st.load(f"{f}/training.safetensors")[0] for f in ("base", "tuned", "seeded"))
names = [k for k in a if k.startswith("value/discriminator.")]
same = [np.array_equal(a[k], b[k]) for k in names]
moved = [k for k in a if "running_" in k and not np.array_equal(a[k], b[k])]
fresh = not np.array_equal(a["value/discriminator.main.0.weight"], seeded["value/discriminator.main.0.weight"])
print(len(names), same, len(moved), fresh, b["state/discriminator.updates"])
sys.exit(not (len(names) >= 8 and all(same) and moved and fresh and b["state/discriminator.updates"][0] == 1))
X
    "$python" parts.py "$top" >out 2>err
    verdict $? "its weights and statistics are the RUN's, its optimizer begins anew: $(cat out)"
fi

# --- what is refused
exits 2 'perceptual_weights' train --data pics --config tiny.json --out new --set loss.perceptual=1
exits 2 'no such file' train --data pics --config tiny.json --out new --set loss.perceptual=1 --set loss.perceptual_weights=none
exits 4 "lin0.model.1.weight.*missing\|missing" train --data pics --config tiny.json --out new --set loss.perceptual=1 --set "loss.perceptual_weights=$reference/disc_5x2.safetensors"
head -c 9000 "$narrow" >cut.safetensors
exits 3 'cut.safetensors' train --data pics --config tiny.json --out new --set loss.perceptual=1 --set loss.perceptual_weights=cut.safetensors
exits 2 'too small' train --data pics --config tiny.json --out new --set data.size=8 --set loss.perceptual=1 --set "loss.perceptual_weights=$narrow"
exits 2 'at least 24 x 24' train --data pics --config tiny.json --out new --set loss.disc=0.1
exits 2 'disc_kind' train --data pics --config tiny.json --out new --set loss.disc_kind=wgan
# shellcheck disable=SC2086
exits 2 '\-\-disc needs' trace --train --model "$reference/vq" --image $images --out new --disc "$reference/disc_5x2.safetensors"
# shellcheck disable=SC2086
exits 2 'no such file' trace --train --model "$reference/vq" --image $images --out new --set loss.disc=1 --disc none
# shellcheck disable=SC2086
exits 4 'discriminator: tensor .*another shape' trace --train --model "$reference/vq" --image $images --out new --set loss.disc=1 --disc "$reference/disc_5x2.safetensors"
# shellcheck disable=SC2086
exits 3 'cut.safetensors' trace --train --model "$reference/vq" --image $images --out new --set loss.disc=1 --disc cut.safetensors
[ ! -e new ]
verdict $? "a refused command leaves nothing behind"

finish

#!/bin/sh
# diffusers.sh - a RUN that was trained here opens in diffusers as a VQModel and gives the same codes and images. Needs a
# python3 with diffusers: $DIFFUSERS_PYTHON, or $PYTHON.
. "$(dirname "$0")/../vqvae_common.sh"
python=${DIFFUSERS_PYTHON:-${PYTHON:-python3}}

# agrees NAME TRAINING-ARGUMENTS...: trains for a few steps, traces two images, lets diffusers look.
agrees() {
    r=$1
    shift
    train "$r" "$@"
    verdict $? "$r: a run"
    works "$r: trace" trace --model "$r" --image square0.png square1.png --out "$r.t" --threads 1
    "$python" "$top/tests/interop/check_diffusers.py" "$r" "$r.t" square0.png square1.png >out 2>err
    rc=$?
    if [ "$rc" -eq 77 ]; then skip "$r" "$(head -n 1 out)"; else
        verdict "$rc" "$r in diffusers"
    fi
}
images 8 pics
n=0
for f in $(find pics -name '*.png' | LC_ALL=C sort | head -n 2); do
    cp "$f" "square$n.png"
    n=$((n + 1))
done
agrees plain
agrees attention --set 'model.block_out_channels=[8,12,16]' --set model.norm_num_groups=4 --set 'model.attention_levels=[0,2]' --set model.layers_per_block=2 \
    --set train.weight_average=0.5 --steps 6
agrees no_middle --set model.mid_attention=false --set model.vq_embed_dim=8 --set quantizer.kind=ste --steps 6
agrees simvq --set quantizer.kind=simvq --set train.weight_average=0.5 --steps 6
agrees l2 --set quantizer.kind=l2 --steps 6
finish

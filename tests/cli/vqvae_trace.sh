#!/bin/sh
# vqvae_trace.sh - `vqvae trace`: its tensors against those that diffusers and PyTorch computed for the same small networks
# (tests/reference), and what it refuses.
. "$(dirname "$0")/../vqvae_common.sh"
reference=$top/tests/reference
python=$(numpy_python)
one=$reference/image0_32x32.png
two=$reference/image1_32x32.png

if [ -n "$python" ]; then
    works "trace" trace --model "$reference/vq" --image "$one" "$two" --out t --threads 1
    compared "two images" t "$reference/vq_32x32.safetensors" --rel 5e-5 --need indices --need encoder_out --need prequant --need quantized --need decoder_out
    for m in vq vq2; do
        works "trace $m" trace --model "$reference/$m" --image "$reference/image2_24x40.png" --out t --threads 2
        compared "$m at its own size" t "$reference/${m}_24x40.safetensors" --rel 5e-5 --need indices --need decoder_out
    done
    paper_step t "$reference/vq" "$one" "$two"
    verdict $? "two steps"
    compared "losses, gradients, parameters" t "$reference/vq_train_l1_paper.safetensors" --tol 'param/*=2e-5,0' --tol 'grad/*to_k.bias=1e-6,0' \
        --tol 'param/*to_k.bias=2.1e-3,0' --need loss --need loss_rec --need loss_vq --need 'grad/*' --need 'param/1/*' --need 'param/2/*'
    cp t t1
    paper_step t "$reference/vq" "$one" "$two" && cmp t t1 >>err
    verdict $? "the same trace again"
    vqvae trace --train --steps 2 --model "$reference/vq" --image "$two" "$one" --out t --threads 1 >out 2>err &&
        ! "$python" "$top/tests/interop/compare_trace.py" t "$reference/vq_train_l1_paper.safetensors" --quiet >out 2>err
    verdict $? "other settings and another order are told from it"
else
    skip "numbers of others" "no python3 with numpy"
fi

images 4 pics
train deep --set 'model.block_out_channels=[4,4,4,4,4]' --set train.warmup_no_quant=0 --steps 1 # a stride of 16
exits 2 'multiple of the stride 16' trace --model deep --image "$reference/image2_24x40.png" --out t2
exits 2 'one batch needs one size' trace --model "$reference/vq" --image "$one" "$reference/image2_24x40.png" --out t2
exits 2 'steps' trace --train --steps 0 --model "$reference/vq" --image "$one" --out t2
exits 2 "'optim.lr'" trace --train --model "$reference/vq" --image "$one" --out t2 --set optim.lr=fast
exits 1 'cannot' trace --model "$reference/vq" --image "$one" --out /proc/none/t2
[ ! -e t2 ]
verdict $? "a refused trace leaves nothing behind"

finish

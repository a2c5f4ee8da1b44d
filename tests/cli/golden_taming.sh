#!/bin/sh
# golden_taming.sh - the numbers of the original VQGAN code, where they lie beside the project ($GOLDENS, or ../shared/goldens):
# its weights through `vqvae import`, one forward pass, one training step with all gradients, and the parameters after two. Adam's step
# is lr = 1e-3 wherever a gradient is well above eps; a few single ones are as small as eps, and then rounding decides a part of the step.
. "$(dirname "$0")/../vqvae_common.sh"
goldens=${GOLDENS:-$top/../shared/goldens}/taming
python=$(numpy_python)
interop=$top/tests/interop

if [ ! -f "$goldens/taming_weights.safetensors" ]; then
    skip "numbers of taming-transformers" "no '$goldens'"
elif [ -z "$python" ]; then
    skip "numbers of taming-transformers" "no python3 with numpy"
else
    works "import" import --from taming --weights "$goldens/taming_weights.safetensors" --config "$goldens/taming_config.json" --out model
    "$python" -c 'import json, sys; a, b = (json.load(open(f)) for f in sys.argv[1:]); sys.exit(a != b)' model/config.json "$goldens/diffusers/config.json" >out 2>err
    verdict $? "config.json as diffusers has it"
    "$python" "$interop/golden_taming.py" "$goldens" twin >out 2>err
    verdict $? "weights renamed by a table"
    compared "the same weights" model/diffusion_pytorch_model.safetensors twin/diffusion_pytorch_model.safetensors --abs 0 --rel 0 --need 'decoder.up_blocks.*'
    works "trace" trace --model model --image "$goldens/image0_64x64.png" "$goldens/image1_64x64.png" --out t --threads 1
    compared "forward" t "$goldens/fwd_64x64_b2.safetensors" --tol '*=1e-5,1e-5' --need indices --need encoder_out --need prequant --need decoder_out
    paper_step t model "$goldens/image0_64x64.png" "$goldens/image1_64x64.png"
    verdict $? "two steps"
    compared "training" t "$goldens/train_l1_fixed.safetensors" --map taming "$goldens/diffusers/name_map.txt" \
        --tol 'param/*=4e-5,0' --tol 'param/*conv_shortcut.weight=1e-4,0' --tol 'param/2/quantize.embedding.weight=1.5e-3,0' --need loss --need loss_rec --need loss_vq --need 'grad/*' --need 'param/1/*' --need 'param/2/*'
    works "info" info model
fi
finish

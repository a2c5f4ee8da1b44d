#!/bin/sh
# vqvae_import.sh - `vqvae import`: a VQGAN under taming's names and under diffusers' becomes the same RUN, gives the numbers that
# PyTorch computed for it (tests/reference), works in every program; and what does not fit is refused before anything is written.
. "$(dirname "$0")/../vqvae_common.sh"
reference=$top/tests/reference
python=$(numpy_python)
if [ -z "$python" ]; then
    skip "import" "no python3 with numpy"
    finish
fi
# net FOLDER OPTIONS...: weights.safetensors, config.json, map.txt
net() {
    "$python" "$reference/taming_net.py" "$@" >out 2>err || verdict 1 "taming_net.py $*"
}
taming() { # FOLDER RUN OPTIONS...
    f=$1 r=$2
    shift 2
    vqvae import --from taming --weights "$f/weights.safetensors" --config "$f/config.json" --out "$r" --threads 1 "$@" >out 2>err
}

# --- the numbers of PyTorch
net t
taming t run
verdict $? "import"
grep -qx '{"tensors":1[0-9]*,"parameters":[0-9]*,"ignored":5,"codes":48,"stride":4,"fingerprint":"[0-9a-f]*"}' out && [ ! -s err ]
verdict $? "what import tells: $(cat out)"
(cd run && find . -type f | LC_ALL=C sort | tr '\n' ' ') >names
[ "$(cat names)" = "./config.json ./diffusion_pytorch_model.safetensors ./done ./tokenizer.json " ]
verdict $? "the files of the RUN: $(cat names)"
works "trace" trace --model run --image "$reference/image3_32x48.png" --out trace --threads 1
compared "32 x 48" trace "$reference/taming_32x48.safetensors" --rel 5e-5 --need indices --need encoder_out --need prequant --need quantized --need decoder_out
# Two steps of Adam, squared error, commitment 1, codebook 0.25.
vqvae trace --train --steps 2 --model run --image "$reference/image0_32x32.png" "$reference/image1_32x32.png" --out trace --set loss.rec=mse --set quantizer.kind=ste \
    --set quantizer.commitment_weight=1 --set quantizer.codebook_weight=0.25 --set optim.kind=adam --set optim.lr=0.001 --set 'optim.betas=[0.5,0.9]' --threads 1 >out 2>err
verdict $? "two steps"
compared "losses, gradients, parameters" trace "$reference/taming_train_mse_legacy.safetensors" --map taming t/map.txt --rel 5e-5 --tol 'param/*=3e-5,0' \
    --need loss --need loss_rec --need loss_vq --need 'grad/*' --need 'param/1/*' --need 'param/2/*'
cat >norms.py <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, st
ours, theirs = st.load("trace")[0], st.load(sys.argv[2])[0]
names = dict(line.split("\t")[0:3:2] for line in open("t/map.txt"))
bad = []
for name, n in zip(sorted(names), theirs["norms"], strict=True):
    have = np.linalg.norm(ours["grad/" + names[name]].astype(np.float64))
    if abs(have - n) > 2e-6 + 1e-4 * n:
        bad.append((name, have, n))
print(len(names), "norms", bad[:3])
sys.exit(bool(bad) or len(names) < 100)
PY
"$python" norms.py "$top/tests/interop" "$reference/taming_train_mse_legacy.safetensors" >out 2>err
verdict $? "the norm of every gradient: $(cat out)"

# --- the same network in other types and under other names
cat >equal.py <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, st
ours, theirs = st.load(sys.argv[2])[0], st.load(sys.argv[3])[0]
rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[4])]
bad = [o for t, _, o, s in rows if list(ours[o].shape) != eval(s) or not np.array_equal(ours[o].ravel(), theirs[t].astype(np.float32).ravel())]
print(len(rows), "tensors", bad[:3])
sys.exit(bool(bad) or set(ours) != {r[2] for r in rows})
PY
for type in F16 F32 F64 BF16; do
    net "$type" --type "$type"
    taming "$type" "run.$type" && "$python" equal.py "$top/tests/interop" "run.$type/diffusion_pytorch_model.safetensors" "$type/weights.safetensors" "$type/map.txt" >out 2>>err
    verdict $? "fault_064: $type is converted: $(cat out)"
done
for f in F32 F64; do
    cmp run/diffusion_pytorch_model.safetensors "run.$f/diffusion_pytorch_model.safetensors" >out 2>err
    verdict $? "the same bytes from $f"
done
for how in 1 old; do
    net "d$how" --type F32 --spoil "diffusers=$how"
    works "import of diffusers' names ($how)" import --from diffusers --weights "d$how/weights.safetensors" --config "d$how/config.json" --out "run.d$how"
    sed 's/"ignored":[0-9]*/"ignored":5/; s/"arguments": "[0-9a-f]*"/"arguments": ""/' "run.d$how/done" >done.d
    sed 's/"arguments": "[0-9a-f]*"/"arguments": ""/' run/done >done.t
    cmp done.t done.d >out 2>err && for f in config.json tokenizer.json diffusion_pytorch_model.safetensors; do cmp "run/$f" "run.d$how/$f" >>out 2>>err || echo no; done | grep -q no
    [ $? -eq 1 ]
    verdict $? "it is the same RUN"
done
net flat
"$python" -c 'import json; p = json.load(open("t/config.json"))["model"]["params"]; d = p["ddconfig"]; d.update(embed_dim=p["embed_dim"], n_embed=p["n_embed"]); json.dump(d, open("flat/config.json", "w"))'
taming flat run.flat
verdict $? "a flat configuration"
same "the same RUN" run run.flat
net square --spoil square=quant_conv.weight --spoil square=encoder.mid.attn_1.q.weight --spoil square=decoder.up.1.block.0.nin_shortcut.weight
taming square run.square
verdict $? "1x1 convolutions as matrices"
cmp run/diffusion_pytorch_model.safetensors run.square/diffusion_pytorch_model.safetensors >out 2>err
verdict $? "the same bytes"

# --- it works everywhere
images 6 pics
works "info" info run
grep -q '"codes":48,"code_dim":8,"stride":4,"block_out_channels":\[32,32,64\],"size":null,"tokens":null,"quantizer":{"kind":"vq"},"preprocess":{"range":\[-1,1\],"size":null},' out
verdict $? "info: $(cat out)"
works "eval" eval --model run --data pics --split all
works "reconstruct" reconstruct --model run --data pics --out shown
mkdir bare
cp run/config.json run/diffusion_pytorch_model.safetensors bare
works "without tokenizer.json" info bare
[ "$(grep -o '"fingerprint":"[0-9a-f]*' out)" = "$(grep -o '"fingerprint":"[0-9a-f]*' run/tokenizer.json)" ]
verdict $? "the fingerprint of a bare folder"
taming t sized --size 32x64
verdict $? "--size"
works "info of it" info sized
grep -q '"size":\[32,64\],"tokens":128,' out
verdict $? "a size of its own: $(cat out)"
works "fine-tuning" train --init sized --data pics --out tuned --steps 2 --set train.batch=2 --set data.holdout=0.2
works "info of the tuned" info tuned
grep -q '"size":\[32,64\]' out
verdict $? "keeps the size"
tokenize images --in pics --model run --out shard.lmdb >out 2>err && grep -q '"images":6' out && tokenize verify shard.lmdb --model run >out 2>err
verdict $? "tokenize"
gato train --data shard.lmdb --vqvae run --out policy --steps 1 --set model.width=16 --set model.heads=2 --set model.layers=1 --set model.context=512 --set train.batch=1 --set loss.image=1 >out 2>err &&
    cmp run/diffusion_pytorch_model.safetensors policy/vqvae/diffusion_pytorch_model.safetensors >>out
verdict $? "gato train --vqvae"

# --- what does not fit
refused() { # NAME STATUS PATTERN FOLDER OPTIONS...: nothing is left behind
    name=$1 want=$2 pattern=$3 f=$4
    shift 4
    taming "$f" refused.run "$@"
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ] && [ ! -e refused.run ] && [ "$(wc -l <err)" -eq 1 ]
    verdict $? "fault_$name: status $rc, wanted $want and '$pattern': $(cat err)"
}
spoilt() { # NAME STATUS PATTERN SPOIL...
    name=$1 want=$2 pattern=$3
    shift 3
    rm -rf bad
    # shellcheck disable=SC2046
    net bad --type F32 $(for s in "$@"; do echo "--spoil $s"; done)
    refused "$name" "$want" "$pattern" bad
}
spoilt 064_missing 4 "1 places: missing tensor 'decoder.up.2.block.1.conv2.bias'" drop=decoder.up.2.block.1.conv2.bias
spoilt 064_extra 4 "unknown tensor 'encoder.extra.weight'" add=encoder.extra.weight
spoilt 064_extra_level 4 "unknown tensor 'decoder.up.3.upsample.conv.bias'" add=decoder.up.3.upsample.conv.bias
spoilt 064_extra_leaf 4 "unknown tensor 'encoder.conv_in.weight.1'" add=encoder.conv_in.weight.1
spoilt 064_shape 4 "another shape of 'quantize.embedding.weight' (47,8, not 48,8)" row=quantize.embedding.weight
spoilt 064_transposed 4 "another shape of 'post_quant_conv.weight' (8,16,1,1, not 16,8,1,1)" transpose=post_quant_conv.weight
spoilt 064_ints 4 "'quant_conv.bias': .*I64" ints=quant_conv.bias
spoilt 064_gumbel 4 "quantize.embed.weight.*Gumbel" drop=quantize.embedding.weight add=quantize.embed.weight
spoilt 064_gumbel_proj 4 "quantize.proj.weight.*Gumbel" add=quantize.proj.weight
spoilt 061_nan 3 "'decoder.conv_out.bias' holds a NaN" nan=decoder.conv_out.bias
drops=$(cut -f1 t/map.txt | awk 'NR % 9 == 1 && n++ < 7 { print "drop=" $0 }')
# shellcheck disable=SC2086
spoilt 064_many 4 "in 7 places" $drops
[ "$(grep -o 'missing tensor' err | wc -l)" -eq 5 ]
verdict $? "fault_064: the first five of seven: $(cat err)"
rm -rf bad
net bad --type F32 --spoil diffusers=1 --spoil add=encoder.mid_block.attentions.0.query.bias
exits 4 "second tensor 'encoder.mid_block.attentions.0.to_q.bias'" import --from diffusers --weights bad/weights.safetensors --config d1/config.json --out refused.run
head -c 30000 t/weights.safetensors >bad/weights.safetensors
cp t/config.json bad
refused 063_cut 3 "weights.safetensors'.*rule" bad
printf 'version https://git-lfs.github.com/spec/v1\n' >bad/weights.safetensors
refused 063_pointer 3 "weights.safetensors'.*rule" bad

# --- configurations
configured() { # NAME STATUS PATTERN PYTHON: with d (ddconfig), p (params), c
    rm -rf bad
    net bad
    "$python" -c "import json
c = json.load(open('bad/config.json')); p = c['model']['params']; d = p['ddconfig']
$4
json.dump(c, open('bad/config.json', 'w'))" 2>err || verdict 1 "$1"
    refused "$1" "$2" "$3" bad
}
configured 064_codes 4 "another shape of 'quantize.embedding.weight' (48,8, not 49,8)" 'p["n_embed"] = 49'
configured 064_level 4 "another shape of 'decoder.up.0.block.0.conv1.weight' (32,32,3,3, not 32,64,3,3)" 'd["ch_mult"] = [1, 2]'
configured 064_attention 4 "unknown tensor 'decoder.up.2.attn.0.k.bias'" 'd["attn_resolutions"] = [32]'
configured 064_double_z 4 double_z 'd["double_z"] = True'
configured 064_gumbel_target 4 Gumbel 'c["model"]["target"] = "taming.models.vqgan.GumbelVQ"'
configured 064_other_target 4 AutoencoderKL 'c["model"]["target"] = "ldm.models.autoencoder.AutoencoderKL"'
configured 064_absent_key 4 "'z_channels' is missing" 'del d["z_channels"]'
configured 064_kind 4 "'ch_mult'" 'd["ch_mult"] = "1,2"'
configured 064_tanh 4 "tanh_out" 'd["tanh_out"] = True'
configured 064_gray 4 "channels" 'd["in_channels"] = 1'
configured 064_huge 4 "describes a network" 'd["ch"] = 8192'
configured 064_empty 4 "missing" 'c.clear()'
printf '{"model":' >bad/config.json
refused 063_config 3 "config.json'" bad
printf 'model:\n  params:\n    embed_dim: 8\n' >bad/config.yaml
exits 3 'import_taming.py' import --from taming --weights t/weights.safetensors --config bad/config.yaml --out refused.run
"$python" -c 'import json; c = json.load(open("d1/config.json")); c["norm_type"] = "spatial"; json.dump(c, open("bad/config.json", "w"))'
exits 4 "spatial" import --from diffusers --weights d1/weights.safetensors --config bad/config.json --out refused.run

# --- files of another kind, folders, typing mistakes
mkdir parts
for f in diffusion_pytorch_model-00001-of-00002.safetensors diffusion_pytorch_model.safetensors.index.json; do
    cp t/weights.safetensors "parts/$f"
    exits 3 "import_taming.py" import --from diffusers --weights "parts/$f" --config d1/config.json --out refused.run
done
for f in last.ckpt model.pth pytorch_model.bin; do
    printf 'PK\003\004 and more' >"parts/$f"
    exits 3 "import_taming.py" import --from taming --weights "parts/$f" --config t/config.json --out refused.run
done
exits 2 "no such file" import --from taming --weights none --config t/config.json --out refused.run
exits 2 "no such file" import --from taming --weights t/weights.safetensors --config none --out refused.run
exits 2 "folder" import --from taming --weights t --config t/config.json --out refused.run
exits 2 "'taming', 'diffusers' or 'seed'" import --from tamming --weights t/weights.safetensors --config t/config.json --out refused.run
exits 2 "stride 4" import --from taming --weights t/weights.safetensors --config t/config.json --out refused.run --size 30
exits 2 "'64y64'" import --from taming --weights t/weights.safetensors --config t/config.json --out refused.run --size 64y64
exits 2 "weights" import --from taming --config t/config.json --out refused.run
[ ! -e refused.run ]
verdict $? "a refused import leaves nothing behind"
exits 2 "not empty" import --from taming --weights t/weights.safetensors --config t/config.json --out tuned
taming t tuned --force
rm -rf tuned/samples # images may stay: nothing reads them
same "--force replaces a trained RUN and what its training left" run tuned
exits 2 "folder of the files" import --from diffusers --weights run/diffusion_pytorch_model.safetensors --config run/config.json --out run --force
rm -rf bad
net bad --type F32 --spoil nan=quant_conv.bias
taming bad run --force
rc=$?
works "a refused --force leaves the old RUN" info run
[ "$rc" -eq 3 ] && [ -e run/done ]
verdict $? "and its done: status $rc"

finish

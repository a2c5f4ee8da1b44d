#!/bin/sh
# seed.sh - a SEED tokenizer from the files of its authors to a policy: the numbers that PyTorch computed for it
# (tests/reference/make_seed.py), shards of one row of codes, training on them; and what does not fit is refused by name before
# anything is written.
. "$(dirname "$0")/../vqvae_common.sh"
reference=$top/tests/reference
python=$(numpy_python)
if [ -z "$python" ]; then
    skip "seed" "no python3 with numpy"
    finish
fi
net() { # FOLDER OPTIONS...
    "$python" "$reference/seed_net.py" "$@" >out 2>err || verdict 1 "seed_net.py $*"
}
seed() { # RUN ARGUMENTS...
    r=$1
    shift
    vqvae import --from seed --out "$r" --threads 1 "$@" >out 2>err
}

# --- the numbers of PyTorch
net d
seed run d/vit.safetensors d/quantizer.safetensors --config d/config.json
verdict $? "import"
grep -qx '{"tensors":168,"parameters":56996,"ignored":1,"codes":197,"tokens":9,"fingerprint":"[0-9a-f]*"}' out && [ ! -s err ]
verdict $? "what import tells: $(cat out)"
(cd run && find . -type f | LC_ALL=C sort | tr '\n' ' ') >names
[ "$(cat names)" = "./config.json ./done ./seed.safetensors ./tokenizer.json " ]
verdict $? "the files of the RUN: $(cat names)"
works "trace" trace --model run --image "$reference/image2_24x40.png" "$reference/image3_32x48.png" --out trace --threads 1
compared "head (b)" trace "$reference/seed_down.safetensors" --rel 1e-5 --need indices --need prequant --need 'visual_encoder.blocks.2' --need ln_vision \
    --need 'Qformer.bert.encoder.layer.2' --need 'blocks_image.1' --need embedding --need reconstructed
cat >pixels.py <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, st
ours, theirs = st.load("trace")[0]["pixels"], st.load(sys.argv[2])[0]["resized"]
mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
want = ((theirs / 255 - mean) / std).transpose(0, 3, 1, 2)
print(np.abs(ours - want).max())
sys.exit(bool(ours.shape != want.shape or np.abs(ours - want).max() > 1e-6))
PY
"$python" pixels.py "$top/tests/interop" "$reference/seed_down.safetensors" >out 2>err
verdict $? "Pillow's bicubic filter, CLIP's mean and deviation: $(cat out)"
works "trace, three threads" trace --model run --image "$reference/image2_24x40.png" "$reference/image3_32x48.png" --out trace3 --threads 3
cmp trace trace3 >out 2>err
verdict $? "the same bytes with three threads"
works "trace, the other image first" trace --model run --image "$reference/image3_32x48.png" --out trace1
"$python" -c 'import sys; sys.path.insert(0, sys.argv[1])
import st; a, b = st.load("trace")[0], st.load("trace1")[0]
sys.exit(any(a[k][1:].tobytes() != b[k].tobytes() for k in b))' "$top/tests/interop" >out 2>err
verdict $? "an image alone has the bits that it has behind another"

# --- the other head, all in one file, F16, not causal
net r --head reverse --no-reconstruct --type F16 --one
printf '{"vision_heads":3,"heads":4,"causal":false}' >everyone.json
seed reverse r/quantizer.safetensors --config everyone.json
verdict $? "import of one file"
works "trace" trace --model reverse --image "$reference/image3_32x48.png" --out trace
compared "head (a)" trace "$reference/seed_reverse.safetensors" --rel 1e-5 --only prequant --only indices --only embedding --need indices --need embedding
grep -q '"causal":false' reverse/config.json && grep -q '"causal":false' reverse/tokenizer.json
verdict $? "causal is written, not guessed"
[ "$(wc -c <reverse/seed.safetensors)" -lt 190000 ]
verdict $? "F16 stays F16: $(wc -c <reverse/seed.safetensors) bytes"
net h --head none --no-reconstruct
seed headless h/vit.safetensors h/quantizer.safetensors --config d/config.json
verdict $? "a network without a head"
works "info" info headless
grep -q '"tokens":9,"causal":true,"embedding":0,"weights":"f32"' out
verdict $? "what info tells: $(cat out)"

# --- the same network in other files
net one --one
seed again one/quantizer.safetensors --config d/config.json
for f in config.json tokenizer.json seed.safetensors; do cmp "run/$f" "again/$f" || echo no; done >out 2>err
! grep -q no out
verdict $? "one file or two: the same RUN"
seed again d/quantizer.safetensors d/vit.safetensors --config d/config.json --force && cmp run/seed.safetensors again/seed.safetensors >out 2>err
verdict $? "in any order"
net w --whole
exits 2 "vision_layers" import --from seed w/vit.safetensors w/quantizer.safetensors --config d/config.json --out refused
printf '{"vision_heads":3,"heads":4,"vision_layers":3}' >three.json
seed again w/vit.safetensors w/quantizer.safetensors --config three.json --force && cmp run/seed.safetensors again/seed.safetensors >out 2>err
verdict $? "a whole ViT, of which all but its last block is used"
for kind in bf16 q8; do
    seed "$kind" d/vit.safetensors d/quantizer.safetensors --config d/config.json --precision $kind
    verdict $? "precision $kind"
    works "trace of $kind" trace --model $kind --image "$reference/image2_24x40.png" "$reference/image3_32x48.png" --out trace
    compared "$kind is near" trace "$reference/seed_down.safetensors" --rel 0.1 --only ln_vision --only prequant --need prequant
    cmp run/seed.safetensors $kind/seed.safetensors >out 2>err && ! cmp -s run/tokenizer.json $kind/tokenizer.json
    verdict $? "$kind: the same file, another fingerprint"
done

# --- what is refused, by name
refused() { # STATUS PATTERN SPOIL...
    want=$1 pattern=$2
    shift 2
    rm -rf bad refused
    net bad "$@"
    exits "$want" "$pattern" import --from seed bad/vit.safetensors bad/quantizer.safetensors --config d/config.json --out refused
    [ ! -e refused ]
    verdict $? "nothing is written: $*"
}
refused 4 "missing tensor 'visual_encoder.blocks.1.attn.q_bias'" --spoil drop=visual_encoder.blocks.1.attn.q_bias
refused 4 "missing tensor 'query_tokens'" --spoil drop=query_tokens
refused 4 "missing tensor 'Qformer.bert.encoder.layer.2.crossattention.self.key.bias'" --spoil drop=Qformer.bert.encoder.layer.2.crossattention.self.key.bias
refused 4 "missing tensor 'pos_embed'" --spoil drop=pos_embed
refused 4 "missing tensor 'image_down.2.weight'" --spoil drop=image_down.2.weight
refused 4 "unknown tensor 'Qformer.cls.weight'" --spoil add=Qformer.cls.weight
refused 4 "unknown tensor 'Qformer.bert.encoder.layer.1.crossattention.self.key.weight'" --spoil add=Qformer.bert.encoder.layer.1.crossattention.self.key.weight
refused 4 "two heads" --spoil add=reverse_tokens
refused 4 "another shape of 'encode_task_layer.0.weight' (19,20, not 20,20)" --spoil row=encode_task_layer.0.weight
refused 3 "'blocks.0.mlp.fc1.weight' holds a NaN" --spoil nan=visual_encoder.blocks.0.mlp.fc1.weight
refused 3 "'blocks_image.1.attn.qkv.weight' holds a NaN" --spoil nan=blocks_image.1.attn.qkv.weight
exits 4 "missing tensor 'visual_encoder" import --from seed d/quantizer.safetensors --config d/config.json --out refused
exits 4 "missing tensor 'query_tokens'" import --from seed d/vit.safetensors --config d/config.json --out refused
exits 4 "second tensor" import --from seed d/vit.safetensors d/quantizer.safetensors one/quantizer.safetensors --config d/config.json --out refused
head -c 30000 d/vit.safetensors >cut.safetensors
exits 3 "cut.safetensors" import --from seed cut.safetensors d/quantizer.safetensors --config d/config.json --out refused
exits 2 "vision_heads" import --from seed d/vit.safetensors d/quantizer.safetensors --out refused
exits 2 "no such file" import --from seed none d/quantizer.safetensors --out refused
exits 2 "1 to 8 files" import --from seed --out refused
exits 2 "stand alone" import --from seed --weights d/vit.safetensors --out refused
exits 2 "precision" import --from seed d/vit.safetensors d/quantizer.safetensors --config d/config.json --precision q3 --out refused
exits 2 "precision" import --from taming --weights d/vit.safetensors --config d/config.json --precision q8 --out refused
printf '{"vision_heads":3,"heads":4,"codes":196}' >odd.json
exits 4 "'codes' is 196; the tensors have 197" import --from seed d/vit.safetensors d/quantizer.safetensors --config odd.json --out refused
printf '{"vision_heads":5,"heads":4}' >odd.json
exits 4 "vision_heads" import --from seed d/vit.safetensors d/quantizer.safetensors --config odd.json --out refused
printf '{"vision_head":3}' >odd.json
exits 4 "unknown key 'vision_head'" import --from seed d/vit.safetensors d/quantizer.safetensors --config odd.json --out refused
printf '{"vision_heads":3,"heads":4,"vision_layers":0}' >odd.json
exits 4 "'vision_layers' is 0; the tensors have 3" import --from seed d/vit.safetensors d/quantizer.safetensors --config odd.json --out refused
[ ! -e refused ]
verdict $? "nothing was written"
cp -r run broken
printf 'x' | dd of=broken/seed.safetensors bs=1 seek=200000 conv=notrunc 2>/dev/null
exits 3 "seed.safetensors" info broken
sed 's/"causal":true/"causal":false/' run/config.json >broken/config.json
cp run/seed.safetensors broken
exits 4 "quantizer" info broken

# --- what stands in the folder is replaced by a whole RUN or not at all
cp -r run kept
cp run/seed.safetensors hashed.safetensors
printf '\001' | dd of=hashed.safetensors bs=1 seek=$(($(wc -c <hashed.safetensors) - 4)) conv=notrunc 2>/dev/null
! cmp -s hashed.safetensors run/seed.safetensors
verdict $? "a number was changed"
exits 3 "hashed.safetensors" import --from seed hashed.safetensors --config d/config.json --out kept --force
vqvae info kept >out 2>err && [ -e kept/done ]
verdict $? "the RUN that was there still stands: $(cat err)"
cp d/vit.safetensors kept/diffusion_pytorch_model.safetensors
exits 2 "the folder of the files" import --from seed kept/diffusion_pytorch_model.safetensors d/quantizer.safetensors --config d/config.json --out kept --force
[ -s kept/diffusion_pytorch_model.safetensors ]
verdict $? "a file that is imported is not removed"

# --- in the place of another tokenizer, and back
cp -r run place
: >place/diffusion_pytorch_model.safetensors
seed place d/vit.safetensors d/quantizer.safetensors --config d/config.json --force && [ ! -e place/diffusion_pytorch_model.safetensors ]
verdict $? "a SEED in the place of a VQGAN"
"$python" "$reference/taming_net.py" t >out 2>err
vqvae import --from taming --weights t/weights.safetensors --config t/config.json --out place --force --threads 1 >out 2>err && vqvae info place >out 2>err &&
    grep -q '"stride":4' out
verdict $? "and a VQGAN in the place of a SEED"

# --- codes for everyone
images 9 pics
tokenize images --in pics --model run --out x.lmdb --threads 1 >out 2>err && tokenize images --in pics --model run --out y.lmdb --threads 3 --batch 2 >>out 2>>err
verdict $? "tokenize images"
tokenize dump x.lmdb >x.dump && tokenize dump y.lmdb >y.dump && cmp x.dump y.dump >out 2>err && [ "$(grep -c '"grid":\[1,9\]' x.dump)" -eq 9 ]
verdict $? "a row of 9 codes per image, whatever the batch and the threads"
tokenize verify x.lmdb --model run >out 2>err && grep -q '"codes_different":0' out
verdict $? "verify: $(cat out)"
tokenize verify x.lmdb --model bf16 >out 2>err
[ $? -eq 4 ]
verdict $? "codes of another precision are another tokenizer's"
tokenize decode --model run --in x.lmdb --out decoded >out 2>err
[ $? -eq 4 ] && grep -q "'run': the codes of a SEED tokenizer do not become images" err && [ ! -e decoded ]
verdict $? "decode is refused before work begins: $(cat err)"
exits 4 "SEED" eval --model run --data pics
exits 4 "SEED" reconstruct --model run --data pics --out decoded
exits 2 "not trained here" trace --train --model run --image "$reference/image2_24x40.png" --out trace

cat >policy.json <<'X'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 512, "image_in": "codes"}, "loss": {"image": 1},
 "train": {"steps": 4, "batch": 2, "save_every": 4}, "optim": {"warmup": 1}}
X
gato train --data x.lmdb --vqvae run --config policy.json --out policy --threads 1 >out 2>err && [ -s policy/vqvae/seed.safetensors ]
verdict $? "a policy trains on such a shard, its tokenizer inside"
gato record --env grid --policy expert --episodes 4 --out episodes >out 2>err && tokenize episodes --in episodes --model run --out e.lmdb >>out 2>>err &&
    gato train --data e.lmdb --vqvae run --config policy.json --set loss.discrete=1 --out player --threads 1 >>out 2>>err
verdict $? "episodes"
gato act --env grid --policy model --model player --episodes 1 >out 2>err && grep -q '"episodes":1' out
verdict $? "a policy sees through it: $(cat out)"
gato imagine --model player --data e.lmdb --split all --context 1 >out 2>err
[ $? -eq 4 ] && grep -q "do not become images" err
verdict $? "imagine is refused: $(cat err)"
finish

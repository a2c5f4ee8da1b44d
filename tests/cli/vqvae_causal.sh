#!/bin/sh
# vqvae_causal.sh - model.kind = causal1d from `vqvae train` to `gato act`: the same bytes after a stop, a kill and for any number of threads, what
# every command of vqvae makes of ordered codes, shards and policies over them, and what is refused.
. "$(dirname "$0")/../vqvae_common.sh"
python=$(numpy_python)
images 16 pics
sed 's/"norm_num_groups": 2}/"norm_num_groups": 2, "kind": "causal1d", "queries": 6, "width": 16, "heads": 2, "encoder_layers": 2, "decoder_layers": 1}/' tiny.json >grid.tmp
mv tiny.json grid.json
mv grid.tmp tiny.json
grep -q causal1d tiny.json
verdict $? "a configuration"
value() { # KEY FILE: the first number of that name
    grep -o '"'"$1"'":[-0-9.e]*' "$2" | head -n 1 | cut -d: -f2
}

# --- training
train run
verdict $? "a run of twelve steps"
train stopped --stop-at 5
[ $? -eq 75 ] && train stopped --resume --stop-at 10
[ $? -eq 75 ] && train stopped --resume
same "stopped twice and resumed" run stopped
train killed --steps 4000 &
wait_for 60 test -f killed/training.json
pid=$(pgrep -P $! -x vqvae || echo $!)
kill -9 "$pid" 2>/dev/null
wait 2>/dev/null
step_of killed | grep -q '^[0-9]*$' && train killed --steps 4000 --resume --stop-at 60
[ $? -eq 75 ] && train whole --steps 4000 --stop-at 60
[ $? -eq 75 ] && same "killed and resumed" whole killed
train threads --threads 3
same "three threads" run threads
train halves --set train.batch=2 --set train.accumulate=2
verdict $? "accumulated"
train other --set model.tail_dropout=0
! cmp -s run/diffusion_pytorch_model.safetensors other/diffusion_pytorch_model.safetensors
verdict $? "dropped tails matter"
train full --set model.causal=false
verdict $? "a full one"
for k in ste simvq rotation l2 fsq; do
    set -- --set quantizer.kind=$k
    [ $k = fsq ] && sed 's/"vq_embed_dim": 4, "num_vq_embeddings": 16, //' tiny.json >small.json && set -- "$@" --set 'quantizer.levels=[3,3,3]' --config small.json
    train "q-$k" "$@"
    verdict $? "quantizer $k"
done
grep -q VQModelFSQCausal1D q-fsq/config.json
verdict $? "the classes of fsq and causal1d together"
train gan --set loss.disc=0.1 --set loss.disc_layers=1 --set loss.disc_channels=4
verdict $? "with a discriminator"
works "fine-tuning" train --data pics --config grid.json --threads 1 --out tuned --init run --set train.freeze=encoder,quantize
[ "$(value fingerprint run/tokenizer.json)" = "$(value fingerprint tuned/tokenizer.json)" ]
verdict $? "frozen codes keep their fingerprint"
works "dry run" train --data pics --config tiny.json --out none --dry-run

# --- commands
works "eval" eval --model run --data pics --split all
cp out eval.json
[ "$(grep -o '"tokens":[0-9]*' out | cut -d: -f2 | tr '\n' ' ')" = "1 2 4 6 " ]
verdict $? "eval by codes kept"
[ "$(value psnr out)" = "$(grep -o '"tokens":6,"psnr":[0-9.]*' out | cut -d: -f3)" ] && [ "$(value ssim out)" = "$(grep -o '"tokens":6,.*' out | value ssim /dev/stdin)" ]
verdict $? "all codes kept are the whole image"
[ "$(grep -o '"psnr":[0-9.]*' out | sort -u | wc -l)" -gt 2 ]
verdict $? "fewer codes are another image"
works "info" info run
grep -q '"kind":"causal1d"' out && grep -q '"tokens":6,' out && grep -q '"causal":true' out
verdict $? "info tells the kind and the codes"
for keep in 1 3 6; do works "reconstruct" reconstruct --model run --data pics --out "look$keep" --keep $keep --threads 1; done
works "reconstruct" reconstruct --model run --data pics --out look --threads 1
cmp -s look/contact.png look6/contact.png && ! cmp -s look/contact.png look3/contact.png && ! cmp -s look1/contact.png look3/contact.png
verdict $? "reconstruct --keep"
works "report" report run --data pics --out page.html
grep -q 'only code of an image' page.html && grep -q 'From the first 1, 2, 4' page.html && grep -q 'data:image/png' page.html
verdict $? "report"
vqvae reconstruct --model run --data pics --out one --limit 1 >out 2>err
f=$(find pics -name '*.png' | LC_ALL=C sort | head -n 1)
exits 2 '64 x 64, but the tokenizer takes images of 16 x 16' trace --model run --image "$f" --out t.safetensors
exits 2 'data.size: 32 x 32' eval --model run --data pics --set data.size=32
exits 2 '16 x 16 alone' reconstruct --model run --data pics --out new --set 'data.size=[16,32]'
exits 2 'has 6 codes' reconstruct --model run --data pics --out new --keep 7
exits 2 'has 6 codes' reconstruct --model run --data pics --out new --keep -1
vqvae train --data pics --config grid.json --threads 1 --out grid >out 2>err
verdict $? "a grid"
exits 2 'are a grid' reconstruct --model grid --data pics --out new --keep 1
works "reconstruct" reconstruct --model other --data pics --out few --keep 1
grep -q 'tail_dropout = 0' err
verdict $? "a warning where no tail was ever dropped"

# --- settings and files that do not fit
exits 2 'model.queries needs model.kind = causal1d, not grid' train --data pics --config grid.json --out new --set model.queries=8
exits 2 'model.causal needs model.kind' train --data pics --config grid.json --out new --set model.causal=false
exits 2 'model.tail_dropout needs model.kind' train --data pics --config grid.json --out new --set model.tail_dropout=0.1
exits 2 'heads = 3 do not divide' train --data pics --config tiny.json --out new --set model.heads=3
exits 2 'model.queries' train --data pics --config tiny.json --out new --set model.queries=0
exits 2 'tail_dropout' train --data pics --config tiny.json --out new --set model.tail_dropout=1.5
exits 4 'model.kind' train --data pics --config grid.json --out run --resume --steps 20
exits 4 'model.causal' train --data pics --config tiny.json --out run --resume --steps 20 --set model.causal=false
exits 4 'model.kind' train --data pics --config grid.json --out new --init grid --set model.kind=causal1d
exits 4 '16 x 16 alone' train --data pics --out new --init run --set data.size=32
edited() { # STATUS PATTERN SED-EXPRESSION FILE
    rm -rf bad
    cp -r run bad
    sed "$3" "run/$4" >"bad/$4"
    exits "$1" "$2" info bad
}
edited 4 'VQModelSpiral' 's/VQModelCausal1D/VQModelSpiral/' config.json
edited 4 'unknown tensor' 's/VQModelCausal1D/VQModel/' config.json
edited 4 'causal' 's/"causal":	true/"causal":	7/' config.json
edited 4 'quantizer' 's/"causal":	true/"causal":	false/' config.json
edited 4 'quantizer' 's/"heads":	2/"heads":	4/' config.json
edited 4 'heads = 3' 's/"heads":	2/"heads":	3/' config.json
edited 4 "'queries'" 's/"queries":	6/"queries":	0/' config.json
edited 4 'at most 1024' 's/"queries":	6/"queries":	2000/' config.json
edited 4 'width = 9000; 1 to 8192' 's/"width":	16/"width":	9000/' config.json
edited 4 'positions' 's/"feature_size":	\[8, 8\]/"feature_size":	[4, 8]/' config.json
edited 4 'feature_size' 's/"feature_size":	\[8, 8\]/"feature_size":	[8]/' config.json
edited 4 'too many' 's/"feature_size":	\[8, 8\]/"feature_size":	[8000, 8000]/' config.json
edited 4 'another shape' 's/"width":	16/"width":	8/' config.json
edited 4 'images of 16 x 16' 's/"size":\[16,16\]/"size":[32,32]/' tokenizer.json
edited 4 'images of 16 x 16' 's/"size":\[16,16\]/"size":null/' tokenizer.json
edited 4 'quantizer' 's/"causal":true/"causal":false/' tokenizer.json
edited 4 'quantizer' 's/"causal":true,"heads":2,"kind":"vq","model":"causal1d"/"kind":"vq"/' tokenizer.json
rm -rf bad && cp -r run bad && head -c 3000 run/diffusion_pytorch_model.safetensors >bad/diffusion_pytorch_model.safetensors
exits 3 'diffusion_pytorch_model' info bad
cp grid/diffusion_pytorch_model.safetensors bad/
exits 4 'does not fit its configuration' info bad
cp run/diffusion_pytorch_model.safetensors bad/ && printf '\377\377\377\177' | dd of=bad/diffusion_pytorch_model.safetensors bs=1 conv=notrunc seek=$(($(wc -c <bad/diffusion_pytorch_model.safetensors) - 4)) 2>/dev/null
exits 3 'diffusion_pytorch_model' info bad
rm -rf bare && mkdir bare && cp run/config.json run/diffusion_pytorch_model.safetensors bare/
works "a folder without tokenizer.json" info bare
grep -q '"size":\[16,16\]' out
verdict $? "has the network's size"
exits 4 'causal1d' import --from diffusers --weights run/diffusion_pytorch_model.safetensors --config run/config.json --out new

# --- shards and policies
tokenize images --in pics --model run --out x.lmdb --threads 1 >out 2>err && tokenize verify x.lmdb --in pics --model run >out 2>err
verdict $? "tokenize images, verify"
tokenize dump x.lmdb >dump 2>err && [ "$(grep -c '"grid":\[1,6\]' dump)" -eq 16 ]
verdict $? "an image is a grid of 1 x 6"
tokenize decode --model run --in x.lmdb --out back >out 2>err && [ "$(find back -name '0*.png' | wc -l)" -eq 16 ]
verdict $? "tokenize decode"
# the shortest prefix that reaches a PSNR: what decoding each number of first codes says
limit=$(grep -o '"tokens":2,"psnr":[0-9.]*' eval.json | cut -d: -f3)
tokenize images --in pics --model run --psnr "$limit" --keep-pixels --out short.lmdb --threads 1 >out 2>err &&
    tokenize dump short.lmdb >short 2>err && [ "$(grep -c '"grid":\[1,[1-6]\]' short)" -eq 16 ]
verdict $? "tokenize images --psnr $limit"
[ "$(grep -o '"grid":\[1,[0-9]\]' short | sort -u | wc -l)" -gt 1 ]
verdict $? "images of different numbers of codes: $(grep -o '"grid":\[1,[0-9]\]' short | sort | uniq -c | tr '\n' ' ')"
tokenize verify short.lmdb --in pics --model run >out 2>err && tokenize decode --model run --in short.lmdb --out backshort >out 2>err
verdict $? "verify and decode first codes"
tokenize images --in pics --model run --psnr "$limit" --keep-pixels --out batches.lmdb --threads 3 --batch 5 >out 2>err && tokenize dump batches.lmdb >dump3 2>err &&
    cmp short dump3 >out 2>&1
verdict $? "for any batch and any number of threads"
tokenize images --in pics --model run --psnr 100 --out all.lmdb --threads 1 >out 2>err && tokenize dump all.lmdb >dump2 2>err && cmp dump dump2 >out 2>&1
verdict $? "what is never reached takes all codes"
tokenize images --in pics --model run --psnr 9 --out x.lmdb >out 2>err
[ $? -eq 4 ]
verdict $? "another --psnr does not continue a shard"
tokenize images --in pics --model run --psnr 0 --out y.lmdb >out 2>err
[ $? -eq 2 ] && grep -q 'decibels above 0' err
verdict $? "--psnr 0, which would do nothing"
tokenize images --in pics --model grid --psnr 20 --out y.lmdb >out 2>err
[ $? -eq 2 ] && grep -q 'needs all of its codes' err
verdict $? "a grid has no first codes"
if [ -n "$python" ] && "$python" -c 'import PIL' 2>/dev/null; then
    for k in 1 2 3 4 5 6; do vqvae reconstruct --model run --data pics --out "keep$k" --keep $k --threads 1 >out 2>err; done
    "$python" "$top/tests/causal_oracle.py" short "$limit" keep >out 2>err
    verdict $? "the shortest that reach it: $(tail -n 1 out)"
else
    skip "the shortest prefix by numpy" "no python3 with numpy and PIL"
fi
gato train --data short.lmdb --vqvae run --out words --steps 3 --threads 1 --set model.width=16 model.layers=1 model.heads=2 loss.image=1 train.batch=2 >out 2>err &&
    gato eval --model words --data short.lmdb --split all --threads 1 >out 2>err && grep -q '"loss_image":[0-9]' out
verdict $? "gato over images of different numbers of codes"
tokenize verify x.lmdb --in pics --model full >out 2>err
[ $? -eq 4 ]
verdict $? "another tokenizer is refused"
episodes=$top/data/reacher
vqvae train --data "$episodes" --out eyes --threads 1 --config tiny.json --steps 12 >out 2>err &&
    tokenize episodes --in "$episodes" --model eyes --limit 3 --threads 1 --out e.lmdb >out 2>err &&
    tokenize episodes --in "$episodes" --model eyes --limit 3 --frames 8 --head --keep-pixels --threads 1 --out kept.lmdb >out 2>err
verdict $? "tokenize episodes"
gato train --data e.lmdb --vqvae eyes --out policy --steps 3 --threads 1 --set model.width=16 model.layers=1 model.heads=2 model.context=64 model.bins=16 \
    model.vector_in=linear loss.image=1 loss.vector=1 train.batch=2 >out 2>err && gato eval --model policy --data e.lmdb --split all --threads 1 >out 2>err
verdict $? "gato train and eval"
gato imagine --model policy --data kept.lmdb --split all --context 2 --threads 1 --out dream >out 2>err && grep -q '"psnr":[0-9]' out
verdict $? "gato imagine"
if gato --version 2>/dev/null | grep -qi mujoco; then
    gato act --env reacher --policy model --model policy --episodes 1 --threads 1 >out 2>err && grep -q '"return_mean":-*[0-9]' out
    verdict $? "gato act"
else
    skip "gato act" "built without MuJoCo"
fi
finish

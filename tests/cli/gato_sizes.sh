#!/bin/sh
# gato_sizes.sh - images of several sizes in one task: gato record --env-size; a policy of two sizes plays a third, one of a single size refuses it. That
# positions are the same fractions of an image at any size is checked against PyTorch by test_gato_slots.c.
. "$(dirname "$0")/../vqvae_common.sh"

if ! gato --version | grep -q '^mujoco: yes' || ! gato --version | grep -q '^hdf5: yes'; then
    skip "everything" "built without MuJoCo or HDF5"
    finish
fi
did() { # did NAME COMMAND...: exit code 0
    name=$1
    shift
    "$@" >out 2>err
    verdict $? "$name"
}
refused() { # refused STATUS PATTERN COMMAND...
    want=$1 pattern=$2
    shift 2
    "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ]
    verdict $? "$*: status $rc, wanted $want and '$pattern'"
}
for side in 64 128; do
    did "recorded at $side" gato record --env reacher --env-size $side --episodes 6 --max-steps 8 --threads 1 --out e$side
done
refused 2 "environment 'grid': the size of its images cannot be chosen" gato record --env grid --env-size 64 --episodes 1 --out no
refused 2 'env-size must be' gato act --env reacher --env-size 5 --policy expert --episodes 1
cat >vq.json <<'X'
{"model": {"block_out_channels": [8, 8, 8, 8], "latent_channels": 8, "vq_embed_dim": 4, "num_vq_embeddings": 16, "norm_num_groups": 2},
 "train": {"steps": 4, "batch": 4, "warmup_no_quant": 1, "tensorboard": false}, "optim": {"warmup": 2}, "data": {"size": 64, "holdout": 0.2}}
X
did "a tokenizer" vqvae train --data e64 --config vq.json --out fitted --threads 1
did "one without a size" vqvae import --from diffusers --weights fitted/diffusion_pytorch_model.safetensors --config fitted/config.json --out native
for side in 64 128; do
    did "tokens of $side" tokenize episodes --in e$side --model native --keep-pixels --out t$side.lmdb --threads 1
done
# train RUN SHARD... -- ARGUMENTS...
train() {
    run=$1
    shift
    did "$run" gato train --config "$top/pipelines/configs/demo-gato.json" --steps 2 --set train.batch=4 --set model.context=96 --set train.tensorboard=false \
        --set optim.warmup=1 --vqvae native --threads 1 --out "$run" --data "$@"
}
train one t64.lmdb
train two t64.lmdb t128.lmdb
train turned t128.lmdb t64.lmdb
train patches t64.lmdb t128.lmdb --set model.image_in=patches --set model.merge=1 --set model.code_norm=none
slot() { gato info "$1" 2>/dev/null | grep -o '{"[^{]*"kind":"image"[^}]*}'; }
[ "$(slot one)" = '{"grid":[8,8],"image":[64,64],"kind":"image","name":"image","side":"observed"}' ]
verdict $? "one size: $(slot one)"
for run in two turned patches; do
    [ "$(slot $run)" = '{"grid":[16,16],"image":[128,128],"kind":"image","name":"image","side":"observed","varies":true}' ]
    verdict $? "the largest of two sizes: $(slot $run)"
done
play() { gato act --env reacher --max-steps 4 --episodes 2 --threads 1 --model "$@"; }
for run in two patches; do
    for side in 64 96 128; do
        did "$run plays at $side" play $run --env-size $side
        cp out $run-$side
    done
    cmp -s $run-64 $run-96
    [ $? -eq 1 ]
    verdict $? "$run sees the size"
done
refused 1 'image .image. has 20 x 20 codes; the policy was trained on at most 16 x 16' play two --env-size 160
refused 1 'image .image. has 160 x 160 pixels; the policy was trained on at most 128 x 128' play patches --env-size 160
refused 1 'image .image. has 12 x 12 codes; the policy was trained on 8 x 8' play one --env-size 96
did "tuned to one size, it stays as it is" gato train --init two --data t64.lmdb --steps 1 --set train.tensorboard=false --set train.batch=4 --threads 1 --out tuned
[ "$(slot tuned)" = "$(slot two)" ]
verdict $? "and knows both: $(slot tuned)"
finish

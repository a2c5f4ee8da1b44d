#!/bin/sh
# gato_cameras.sh - policies of two cameras: the pusher's from recording to play, and a child's (tests/env_child.py) of which one
# drops out at every other step. A camera that is missing has no tokens: a policy computes the same where it never was.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"
PYTHON=${PYTHON:-python3}

cat >policy.json <<'X'
{"model": {"width": 16, "layers": 2, "heads": 2, "context": 256, "bins": 32, "vector_in": "linear"},
 "loss": {"image": 0.2}, "optim": {"warmup": 2}, "train": {"steps": 4, "batch": 2, "tensorboard": false},
 "data": {"holdout": 0.3, "split_by": "episode"}}
X
runs "a tokenizer" vqvae train --data "$top/data/reacher" --config vq.json --out vq --threads 1
learn() { runs "train $1" gato train --data "$1.lmdb" --config policy.json --vqvae vq --out "$1.run" --threads 1; }
# tokens_of FILE: how many a trace has
tokens_of() { grep -ao '"tokens":{[^}]*' "$1" | sed 's/.*"shape":\[\([0-9]*\)\].*/\1/'; }

# --- a child whose wrist drops out at odd steps; one that never shows it; one that has none
walk() { echo "exec $PYTHON -S '$top/tests/env_child.py' $1"; }
if "$PYTHON" -c pass 2>/dev/null; then
    for kind in sure no-wrist one-camera; do
        obs=front+wrist
        [ $kind = one-camera ] && obs=front
        runs "record $kind" gato record --env-cmd "$(walk $kind)" --policy random --episodes 6 --seed 2 --out $kind --threads 1
        runs "tokenize $kind" tokenize episodes --in $kind --model vq --out $kind.lmdb --obs "image=$obs,text=mission,vector=state,discrete=phase"
        want=30 # 6 episodes of 5 steps
        [ $kind = sure ] && want=48 # and the wrist in 3 of 5
        [ "$(json_last out images)" -eq "$want" ]
        verdict $? "images of $kind: $(cat out)"
    done
    learn sure
    runs "info" gato info sure.run
    # 16 codes for each camera, 20 bytes and their end, the state, 2 phases, the separator, 3 actions
    grep -q '"tokens":{"walk":60}' out && grep -q '^gato: walk *wrist *image *16 x 16 *16 ' err
    verdict $? "a timestep of both cameras: $(cat err)"
    runs "eval" gato eval --model sure.run --data sure.lmdb --split all
    for kind in sure no-wrist one-camera; do
        runs "trace $kind" gato trace --model sure.run --data $kind.lmdb --id 3 --out $kind.st
    done
    # the attention window is four timesteps, which is what a sequence holds: the wrist is in the first and the third
    [ "$(tokens_of sure.st)" -eq $((4 * 60 - 2 * 16)) ] && [ "$(tokens_of no-wrist.st)" -eq $((4 * 44)) ]
    verdict $? "tokens: $(tokens_of sure.st), without the wrist $(tokens_of no-wrist.st)"
    cmp no-wrist.st one-camera.st
    verdict $? "a camera that is missing is one that does not exist"
    play() { # KIND ARGUMENTS...
        kind=$1
        shift
        runs "act $kind" gato act --env-cmd "$(walk "$kind")" --policy model --model sure.run --episodes 3 "$@"
        [ "$(json_last out failed)" = 0 ] && json_last out return_mean >"$kind.return"
        verdict $? "$kind plays: $(cat out)"
    }
    play sure
    play no-wrist
    play one-camera --allow-missing
    cmp no-wrist.return one-camera.return && ! cmp -s sure.return no-wrist.return
    verdict $? "nor at play: $(cat sure.return no-wrist.return one-camera.return | tr '\n' ' ')"
    gato act --env-cmd "$(walk one-camera)" --policy model --model sure.run --episodes 1 >out 2>err
    [ $? -eq 4 ] && grep -q "it has no 16 x 16 image 'wrist' (--allow-missing" err
    verdict $? "a camera too few is refused: $(cat err)"
    h5py=
    for p in "$PYTHON" /usr/bin/python3; do "$p" -c 'import h5py, numpy' 2>/dev/null && h5py=$p && break; done
    if [ -n "$h5py" ]; then
        cp -r sure noise
        "$h5py" - >out 2>err <<'P'
import h5py
import numpy as np
f = h5py.File('noise/data/main_data.hdf5', 'r+')
for e in f.values():
    wrist = e['observations/wrist']
    frames = wrist[:]
    missing = np.flatnonzero(frames.reshape(len(frames), -1).max(1) == 0)
    assert len(missing) == 3, missing
    frames[missing] = np.random.default_rng(1).integers(0, 256, frames[missing].shape)
    wrist[:] = frames
P
        verdict $? "noise in the place of what is missing"
        runs "tokenize noise" tokenize episodes --in noise --model vq --out noise.lmdb --obs image=front+wrist,text=mission,vector=state,discrete=phase
        runs "trace noise" gato trace --model sure.run --data noise.lmdb --id 3 --out noise.st
        learn noise
        cmp sure.st noise.st && cmp sure.run/model.safetensors noise.run/model.safetensors
        verdict $? "it is neither seen nor learned from"
    else
        skip "noise in missing frames" "no python3 has h5py"
    fi
else
    skip "a camera that drops out" "no python3"
fi

# --- the pusher's cameras
gato record --env pusher --policy expert --episodes 6 --out pusher --seed 1 --threads 2 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q 'built without' err; then
    skip "the pusher" "$(head -n 1 err)"
    finish
fi
verdict "$rc" "record the pusher"
runs "tokenize the pusher" tokenize episodes --in pusher --model vq --out pusher.lmdb
learn pusher
runs "info of the pusher" gato info pusher.run
grep -q '^gato: pusher *front *image ' err && grep -q '^gato: pusher *top *image ' err && grep -q "\"tokens\":{\"pusher\":$((16 + 16 + 28 + 1 + 1 + 2))}" out
verdict $? "both cameras: $(cat err)"
runs "eval of the pusher" gato eval --model pusher.run --data pusher.lmdb --split all
grep -q '"task":"pusher","records":6,.*"loss_image":[0-9.]*,' out
verdict $? "losses of images and actions: $(cat out)"
for n in 1 2; do
    runs "act in the pusher" gato act --env pusher --policy model --model pusher.run --episodes 2 --max-steps 10 --threads $n
    sed 's/,"step_ms.*//' out >pusher$n.json
done
cmp pusher1.json pusher2.json && [ "$(json_last out failed)" = 0 ]
verdict $? "it plays: $(cat out)"
runs "blind" gato act --env pusher --policy model --model pusher.run --episodes 2 --max-steps 10 --blank-image
sed 's/,"step_ms.*//' out >blind.json
! cmp -s pusher1.json blind.json
verdict $? "and sees"
finish

#!/bin/sh
# record_mix.sh - `gato record` where a model plays, alone or with the expert (`--policy mix`): whose action is executed, what the
# labels are, and what `tokenize` and training take as the target. Oracles: the world of env_child.py, which notes the actions it gets;
# the arm's control law, written here again; the full forward of `gato trace`; h5py.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/pipelines/json.sh"

child="exec ${PYTHON:-python3} -S '$top/tests/env_child.py'"
python=
for p in ${PYTHON:-} python3 /usr/bin/python3; do
    if "$p" -c 'import h5py, numpy' 2>/dev/null; then python=$p && break; fi
done
# checked NAME: check.py with what stands in standard input.
checked() {
    cat >check.py
    if [ -z "$python" ]; then
        skip "$1" "no python3 with h5py"
        return
    fi
    "$python" check.py "$top/tests/interop" >out 2>err
    verdict $? "$1: $(tail -n 1 err)"
}
does() { # NAME COMMAND...
    name=$1
    shift
    "$@" >out 2>err
    verdict $? "$name: $*"
}
equal() { # NAME A B: the same episodes; what names the policy may differ
    cmp "$2/data/main_data.hdf5" "$3/data/main_data.hdf5" >out 2>err
    verdict $? "$1"
}

# ---- the world of env_child.py: two acted vectors and a discrete value
gato record --env-cmd "$child sure" --policy expert --burst 0.3 --episodes 12 --seed 2 --out walks --threads 1 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q HDF5 err; then
    skip "everything" "$(head -n 1 err)"
    finish
fi
verdict "$rc" "record the walk"
cat >walk.json <<'Y'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 24, "bins": 32, "vector_in": "linear"},
 "loss": {"action_kind": "mse"}, "optim": {"lr": 0.01, "warmup": 2}, "train": {"steps": 12, "batch": 4}, "data": {"holdout": 0.2}}
Y
does "its shard" tokenize episodes --in walks --obs vector=state,discrete=phase --out walks.lmdb
does "its policy" gato train --data walks.lmdb --config walk.json --out walker --threads 1 --set train.tensorboard=false
walk() { # OUT ARGUMENTS...: episodes 0 to 39 of the walk
    out=$1
    shift
    rm -f env_child.log
    gato record --env-cmd "$child log" --episodes 40 --seed 7 --threads 1 --out "$out" "$@" >out 2>err
    verdict $? "$out: record $*"
    mv env_child.log "$out.log"
    cp out "$out.json"
}
walk expert --policy expert
walk model --policy model --model walker
walk all --policy mix --model walker --beta 1
walk none --policy mix --model walker --beta 0
walk half --policy mix --model walker --beta 0.5
equal "--beta 1 plays the expert's episodes" expert all
equal "--beta 0 plays the model's" model none
cmp expert.log all.log >out 2>err && cmp model.log none.log >out 2>err
verdict $? "and the world got the same actions"
for who in "model" "mix --beta 0"; do
    rm -f env_child.log
    # shellcheck disable=SC2086
    gato act --env-cmd "$child log" --policy $who --model walker --episodes 40 --seed 7 --threads 1 >act.json 2>err && cmp env_child.log none.log >out 2>err
    verdict $? "act --policy $who does the same in the same episodes"
    for key in return_mean return_std success_rate; do
        [ "$(json_last act.json $key)" = "$(json_last none.json $key)" ]
        verdict $? "act --policy $who: $key: $(json_last act.json $key), recorded $(json_last none.json $key)"
    done
done
[ "$(json_last half.json return_mean)" != "$(json_last none.json return_mean)" ]
verdict $? "--beta 0.5 plays other episodes"
does "again, with three workers" gato record --env-cmd "$child log" --episodes 40 --seed 7 --threads 3 --out half3 --policy mix --model walker --beta 0.5
equal "--threads 3" half half3
checked "whose actions are executed, and the labels" <<'P'
import h5py, numpy as np

def rows(e, group):
    return np.stack([np.float64(e[group + '/' + n][:]).ravel() for n in ('push', 'free', 'grip')], 1)

count = mixed = 0
for name in ('expert', 'half', 'none'):
    f = h5py.File(name + '/data/main_data.hdf5')
    assert len(f) == 40
    log = [tuple(map(float, line.split())) for line in open(name + '.log')]
    assert len(log) == 200
    for i in range(40):
        e = f['episode_%d' % i]
        done, label, state = rows(e, 'actions'), rows(e, 'infos/expert_action'), e['observations/state'][:]
        assert done.shape == label.shape == (5, 3)
        assert (label == [(0.5, -2, t % 3) for t in range(5)]).all(), 'the label is the expert\'s in every step'
        x = np.float64(7 + 10 * i)
        for t in range(5):
            assert state[t, 0] == np.float32(x) and log[5 * i + t] == (i, t, *done[t]), 'the world got what is recorded'
            x += done[t].sum()
        expert = (done[:, :2] == label[:, :2]).all(1)
        assert (done[expert, 2] == label[expert, 2]).all(), 'an action is one player\'s, whole'
        assert expert.all() if name == 'expert' else name == 'half' or not expert.any()
        if name == 'half':
            count += expert.sum()
            mixed += expert.any() and not expert.all()
# A coin per step: 200 of them (standard deviation 7), and of 40 episodes 37.5 have both sides (1.5).
assert 72 <= count <= 128, count
assert mixed >= 32, mixed
P
# Where the expert does not know the way at step 1, an episode whose coin asks for it there fails, and no other does.
gato record --env-cmd "$child" --policy mix --model walker --beta 0.5 --episodes 12 --seed 7 --out lost --threads 1 >out 2>err
rc=$?
n=$(json_last out failed)
[ "$rc" -eq 0 ] && [ "${n:-0}" -ge 1 ] && [ "$n" -le 11 ] && [ "$(grep -c 'failed: .*no expert for this state' err)" -eq "$n" ]
verdict $? "episodes that the expert cannot help fail: $(cat out)"
does "who never asks it goes on" gato record --env-cmd "$child" --policy mix --model walker --beta 0 --episodes 12 --seed 7 --out alone --threads 1
grep -q '"episodes":12,"failed":0,' out
verdict $? "no episode is missing: $(cat out)"
gato record --env-cmd "$child no-expert" --policy mix --model walker --beta 1 --episodes 2 --out never --threads 1 >out 2>err
[ $? -eq 1 ] && grep -q 'no expert for this state' err
verdict $? "a world without an expert"

# ---- the arm: a tokenizer, and a policy that sees eight timesteps
gato record --episodes 6 --seed 1 --out episodes --threads 1 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q 'built without' err; then
    skip "the arm" "$(head -n 1 err)"
    finish
fi
verdict "$rc" "record the arm"
cat >vq.json <<'Y'
{"model": {"block_out_channels": [8, 8, 8], "latent_channels": 8, "vq_embed_dim": 4, "num_vq_embeddings": 16, "norm_num_groups": 2},
 "train": {"steps": 3, "batch": 2, "warmup_no_quant": 1, "tensorboard": false}, "data": {"size": [16, 16]}}
Y
# 4 tokens of an image, the vector, the separator, two actions: 8 tokens a timestep. Large matrices at the start: what was done before must
# matter for what is done next.
cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 2, "heads": 2, "context": 64, "bins": 32, "merge": 2, "vector_in": "linear", "control_text": false, "block_init": 0.5},
 "loss": {"action_kind": "mse"}, "optim": {"lr": 0.02, "warmup": 2},
 "train": {"steps": 40, "batch": 4, "prompt": 0, "tensorboard": false}, "data": {"holdout": 0.2}}
Y
does "a tokenizer" vqvae train --data episodes --config vq.json --out vq --threads 1
does "a shard" tokenize episodes --in episodes --model vq --out x.lmdb --threads 1
does "a policy" gato train --data x.lmdb --vqvae vq --config policy.json --out policy --threads 1
arm() { # OUT ARGUMENTS...: episodes 0 to 11
    out=$1
    shift
    gato record --episodes 12 --seed 5 --out "$out" "$@" >out 2>err
    verdict $? "$out: record $*"
}
arm expert_arm --policy expert
arm model_arm --policy model --model policy
arm all_arm --policy mix --model policy --beta 1 --threads 1
arm none_arm --policy mix --model policy --beta 0 --threads 1
arm half_arm --policy mix --model policy --beta 0.5 --threads 1
arm half2_arm --policy mix --model policy --beta 0.5 --threads 2
equal "--beta 1 plays the expert's episodes on the arm" expert_arm all_arm
equal "--beta 0 plays the model's on the arm" model_arm none_arm
equal "--threads 2 on the arm" half_arm half2_arm
kills=0
while :; do
    gato record --episodes 12 --seed 5 --out killed --policy mix --model policy --beta 0.5 --threads 2 >out 2>err &
    pid=$!
    sleep "0.$((2 + kills))"
    [ "$kills" -lt 5 ] && kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
    rc=$?
    # A worker of the killed one may live some milliseconds longer, and holds its lock.
    if [ $rc -eq 1 ] && grep -q 'is locked by' err; then
        sleep 0.3
        continue
    fi
    [ $rc -eq 137 ] || break
done
[ $rc -eq 0 ] && diff -r half_arm killed >out
verdict $? "the same bytes after $kills kills"
gato record --episodes 12 --seed 5 --out half_arm --policy mix --model policy --beta 0.25 >out 2>err
[ $? -eq 4 ] && grep -q 'beta is 0.5, not 0.25' err
verdict $? "another --beta does not go on with it"
cp -r policy kept
gato train --data x.lmdb --vqvae vq --config policy.json --out policy --threads 1 --force --seed 1 >out 2>err &&
    gato record --episodes 14 --seed 5 --out half_arm --policy mix --model policy --beta 0.5 >out 2>err
[ $? -eq 4 ] && grep -q 'weights is "[0-9a-f]*", not "[0-9a-f]*"' err && [ -f half_arm/done ]
verdict $? "nor does a policy that was trained anew in the same place"
rm -r policy && mv kept policy
cp policy/config.json config.kept
sed 's/"temperature": *[0-9.]*/"temperature":0.125/' config.kept >policy/config.json
gato record --episodes 14 --seed 5 --out half_arm --policy mix --model policy --beta 0.5 >out 2>err
[ $? -eq 4 ] && ! cmp -s config.kept policy/config.json && grep -q 'weights is "[0-9a-f]*", not "[0-9a-f]*"' err
verdict $? "nor the same weights that play otherwise"
mv config.kept policy/config.json

does "its shard" tokenize episodes --in half_arm --model vq --out half.lmdb --threads 1
tokenize dump half.lmdb >half.dump 2>err
verdict $? "dump"
for id in 0 1 2 3; do
    does "trace of record $id" gato trace --model policy --data half.lmdb --id $id --out t$id.safetensors --threads 1
done
checked "labels by the arm's control law, actions by the full forward, targets" <<'P'
import json, sys
sys.path.insert(0, sys.argv[1])
import h5py, numpy as np
from st import load

TAU = 2 * np.pi
STIFFNESS, DAMPING = 14, 0.8

def joints(e):
    v = np.float64(e['observations/vector'][:-1])
    return np.stack([np.arctan2(v[:, 1], v[:, 0]), np.arctan2(v[:, 3], v[:, 2])], 1), v[:, 4:]

def goal(e):
    """The angles that the expert aims at in this episode: a step that is not at the bounds gives them."""
    angle, speed = joints(e)
    label = np.float64(e['infos/expert_action'][:])
    free = np.abs(label) < 0.999
    assert free.any(0).all()
    return np.array([angle[t, j] + (label[t, j] + DAMPING * speed[t, j]) / STIFFNESS for j in (0, 1) for t in [np.argmax(free[:, j])]])

data = {n: h5py.File(n + '_arm/data/main_data.hdf5') for n in ('expert', 'none', 'half')}
coins = []
for i in range(12):
    aim = goal(data['expert']['episode_%d' % i])
    for name in ('none', 'half'):
        e = data[name]['episode_%d' % i]
        assert (e['observations/vector'][0] == data['expert']['episode_%d/observations/vector' % i][0]).all(), 'the same starts'
        angle, speed = joints(e)
        error = aim - angle
        error[:, 0] = (error[:, 0] + np.pi) % TAU - np.pi
        label = e['infos/expert_action'][:]
        law = np.clip(STIFFNESS * error - DAMPING * speed, -1, 1)
        assert np.abs(label - law).max() < 1e-4, (name, i, np.abs(label - law).max())
        same = (e['actions'][:] == label).all(1)
        if name == 'half':
            coins.append(same)
        else:
            assert not same.all()
coins = np.array(coins)
# 600 coins, standard deviation 12. (A model's action at both bounds may be the expert's, too.)
assert 250 <= coins.sum() <= 360, coins.sum()
assert (coins.any(1) & ~coins.all(1)).all(), 'a coin per step'

dump = [json.loads(line) for line in open('half.dump')]
assert len(dump) == 12
w = load('policy/model.safetensors')[0]
weight, bias = (np.float64(next(w[n] for n in w if n.startswith('predict_action') and n.endswith(end))) for end in ('weight', 'bias'))
N = 8
for i in range(12):
    e = data['half']['episode_%d' % i]
    done, label = e['actions'][:], e['infos/expert_action'][:]
    assert np.allclose(dump[i]['actions'], done, atol=1e-6) and np.allclose(dump[i]['label_actions'], label, atol=1e-6)
    if i > 3:
        continue
    t = load('t%d.safetensors' % i)[0]
    assert len(t['hidden']) == 8 * N
    predicted = np.float64(t['hidden'])[5::8] @ weight.T + bias
    mine = ~coins[i, :N]
    error = np.abs(np.clip(predicted, -1, 1) - done[:N])[mine]
    assert error.max() < 1e-4, error.max()
    assert abs(np.square(predicted - label[:N]).mean() - t['loss'][0]) < 1e-3 * t['loss'][0], 'the target is the label'
    assert abs(np.square(predicted - done[:N]).mean() - t['loss'][0]) > 0.01 * t['loss'][0]
P
finish

#!/bin/sh
# record.sh - `gato record`: usage, refusals, same bytes for any --threads, and the dataset as h5py reads it.
# Finds gato in PATH or in $BIN; python3 with h5py and numpy is optional.
PATH=${BIN:+$BIN:}$PATH
PYTHON=${PYTHON:-python3}
tests=$(cd "$(dirname "$0")/.." && pwd)
passed=0 failed=0 skipped=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

verdict() { # STATUS NAME
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAIL $2"
        cat err out 2>/dev/null | head -n 5
    fi
}
finish() {
    if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
    [ "$failed" -eq 0 ]
    exit
}
# exits STATUS PATTERN ARGUMENTS...: gato record must leave with STATUS, say PATTERN in one line on stderr, nothing on stdout.
exits() {
    want=$1 pattern=$2
    shift 2
    gato record "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ]
    verdict $? "record $*: status $rc, wanted $want and '$pattern'"
}

gato record --help >out 2>err && [ ! -s err ]
verdict $? "--help leaves with 0 and nothing on stderr"
for word in --env --env-cmd --env-timeout --task --beta --model --max-steps --decode --temperature --policy --episodes --out --seed --burst --noise --noise-episodes --threads --force; do
    grep -q -e "$word " out || { verdict 1 "--help does not tell $word"; continue; }
    passed=$((passed + 1))
done

exits 2 "unknown environment 'nowhere'" --env nowhere --episodes 1 --out new
exits 2 "unknown policy 'nobody'" --policy nobody --episodes 1 --out new
exits 2 "--episodes" --out new
exits 2 "--episodes" --episodes 0 --out new
exits 2 "--out" --episodes 1
exits 2 "--burst" --episodes 1 --out new --burst 1.5
exits 2 "--noise" --episodes 1 --out new --noise nan
exits 2 "--noise-episodes" --episodes 1 --out new --noise-episodes -1
exits 2 "one of them is needed" --episodes 1 --out new --env reacher --env-cmd true
exits 2 "needs --model" --episodes 1 --out new --policy model
exits 2 "needs --beta" --episodes 1 --out new --policy mix --model none
exits 2 "--beta" --episodes 1 --out new --policy mix --model none --beta 1.5
exits 2 "--temperature" --episodes 1 --out new --temperature -1
exits 2 "--max-steps" --episodes 1 --out new --max-steps 0
exits 1 "exit code 3" --episodes 1 --out new --env-cmd "exit 3"
exits 2 "--episodes" --episods 1 --out new
[ ! -e new ]
verdict $? "a refused command leaves nothing behind"

gato record --episodes 3 --out one --seed 5 --threads 1 >out 2>err
rc=$?
if [ "$rc" -eq 1 ] && grep -q -e 'built without' -e 'HDF5' err; then
    echo "skipped: $(cat err)"
    skipped=1
    finish
fi
verdict "$rc" "record 3 episodes"
grep -q '^{"env":"reacher","task":"reacher","policy":"expert","seed":5,"episodes":3,"failed":0,"steps":150,"return_mean":-[0-9.]*,"return_std":[0-9.]*,"success_rate":[0-9.]*,"frames_per_s":[0-9.]*}$' out
verdict $? "one JSON object"
[ "$(wc -l <out)" -eq 1 ] && [ -f one/done ]
verdict $? "one line, done written"

same() { # NAME ARGUMENTS...
    name=$1
    shift
    gato record --episodes 3 --seed 5 "$@" >out 2>err &&
        cmp one/data/main_data.hdf5 "$name/data/main_data.hdf5" && cmp one/data/metadata.json "$name/data/metadata.json" &&
        cmp one/done "$name/done"
    verdict $? "same bytes with $*"
}
same again --out again --threads 1
same two --out two --threads 2
same many --out many --threads 7
LC_ALL=de_DE.UTF-8 same locale --out locale

gato record --episodes 3 --seed 6 --out other >out 2>err && ! cmp -s one/data/main_data.hdf5 other/data/main_data.hdf5
verdict $? "another seed gives other episodes"
noisy="--episodes 12 --seed 5 --burst 0.05 --noise 0.3 --noise-episodes 0.5"
gato record $noisy --out noisy --threads 1 >out 2>err && gato record $noisy --out noisy2 --threads 5 >out 2>err &&
    cmp noisy/data/main_data.hdf5 noisy2/data/main_data.hdf5
verdict $? "same bytes with bursts and noise"
gato record --episodes 12 --seed 5 --policy random --out random >out 2>err
verdict $? "the random policy"

# fault 66, 23, 67, 71
exits 4 "policy is \"expert\", not \"random\"" --episodes 3 --out one --seed 5 --policy random
exits 4 "seed is 5, not 6" --episodes 3 --out one --seed 6
[ -f one/done ]
verdict $? "a refused command touches nothing"
mkdir full_of && touch full_of/x
exits 2 "'full_of' is not empty" --episodes 1 --out full_of
cp -r one copy && gato record --episodes 3 --seed 5 --out copy >out 2>err && diff -r one copy
verdict $? "a recording that is whole stays as it is"
gato record --episodes 5 --seed 5 --out copy >out 2>err && gato record --episodes 5 --seed 5 --out five >out 2>err && diff -r copy five
verdict $? "more episodes go behind those that are there, to the same bytes"
exits 4 "holds episode 4 already" --episodes 4 --out copy --seed 5
exits 2 "'one/done' is not a folder" --episodes 1 --out one/done
exits 1 "cannot" --episodes 1 --out /proc/none/new
gato record --episodes 3 --seed 5 --out other --force >out 2>err && cmp one/data/main_data.hdf5 other/data/main_data.hdf5
verdict $? "--force writes into it"
[ "$(find other | sort | tr '\n' ' ')" = "other other/data other/data/main_data.hdf5 other/data/metadata.json other/done other/record.json " ]
verdict $? "no temporary is left"
gato record --episodes 1 --out full >/dev/full 2>err
[ $? -eq 1 ]
verdict $? "a full stdout is status 1"

# ---- kills and stops
gato record --episodes 30 --seed 5 --out whole --threads 2 >whole.out 2>err
kills=0
while :; do
    gato record --episodes 30 --seed 5 --out killed --threads 2 >out 2>err &
    pid=$!
    sleep "0.$((1 + kills % 3))$((kills * 7 % 10))"
    [ "$kills" -lt 12 ] && kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
    rc=$?
    # A worker of the killed one may live some milliseconds longer, and holds its lock.
    if [ $rc -eq 1 ] && grep -q 'is locked by' err; then
        sleep 0.3
        continue
    fi
    [ $rc -eq 137 ] || break
done
[ $rc -eq 0 ] && diff -r whole killed && [ "$(sed 's/,"frames.*//' out)" = "$(sed 's/,"frames.*//' whole.out)" ]
verdict $? "the same bytes and numbers after $kills kills"
gato record --episodes 100000 --seed 5 --out stopped --threads 2 >out 2>err &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
[ $? -eq 75 ] && grep -q "the same command goes on" err && [ ! -e stopped/done ] && [ ! -e stopped/data/.lock ]
verdict $? "SIGTERM is status 75"
kept=$(sed -n 's/.*"total_episodes":\([0-9]*\).*/\1/p' stopped/data/metadata.json)
gato record --episodes $((kept + 2)) --seed 5 --out stopped >out 2>err && grep -q "\"episodes\":$((kept + 2))," out
verdict $? "and goes on behind its $kept episodes"

# ---- child processes
child="$PYTHON -S '$tests/env_child.py'"
walk() { # STATUS NAME FAULT ARGUMENTS...
    want=$1 name=$2 fault=$3
    shift 3
    rm -rf walk env_child.started
    gato record --env-cmd "exec $child $fault" --policy random --episodes 6 --out walk "$@" >out 2>err
    [ $? -eq "$want" ]
    verdict $? "$name"
}
walk 0 "a child process" "" --threads 1
mv walk walk1
walk 0 "three of them" "" --threads 3
cmp walk1/data/main_data.hdf5 walk/data/main_data.hdf5
verdict $? "the same bytes for any number of children"
walk 0 "--max-steps" "" --max-steps 2
grep -q '"steps":12,' out
verdict $? "--max-steps ends episodes"
walk 1 "children that die in every step" die-step --threads 2
grep -q "all 6 episodes failed, the last one:.*exit code 7" err && [ "$(grep -c 'played again' err)" -eq 6 ] && [ ! -s out ]
verdict $? "each episode was tried twice"
walk 1 "children that hang" hang-step --threads 2 --env-timeout 1s
walk 0 "a child that dies once costs nothing" once-step --threads 1
grep -q '"episodes":6,"failed":0,' out
verdict $? "no episode is missing"
gato record --env-cmd "exec $child" --policy expert --episodes 1 --out none >out 2>err
[ $? -eq 1 ] && grep -q "no expert for this state" err
verdict $? "an expert that does not know the way fails"

# ---- gato act with the same environments
gato act --policy random --episodes 3 --strip nowhere/x.png >out 2>err
[ $? -eq 1 ] && grep -q "nowhere" err && [ ! -s out ] && ! grep -q "act: " err
verdict $? "act: a strip that cannot be written is told before anything is played"
gato act --policy random --episodes 3 --seed 1 --blank-image --decode left >out 2>err
[ $? -eq 0 ] && grep -q -e "--blank-image does nothing" err && grep -q -e "--decode does nothing" err
verdict $? "act: options that do nothing are told"
grep -q '"task":"reacher",.*"failed":0,.*"success_rate":0,"success_ci":\[0,0.56[0-9]*\]' out
verdict $? "act: an interval that begins at exactly 0"
gato act --env-cmd "$child" --policy random --episodes 3 --threads 2 --strip two.png >out 2>err
[ $? -eq 0 ] && grep -q '"task":"walk"' out && [ "$(od -An -tu1 -j16 -N8 two.png | tr -s ' ')" = " 0 0 0 76 0 0 0 20" ]
verdict $? "act: a row of the strip for each camera"
gato act --env-cmd "$child" --policy random --episodes 2 --max-steps 3 >out 2>err && grep -q '"length_mean":3,' out
verdict $? "act: --max-steps"
gato act --help >out 2>err && ! grep -A2 -e '--temperature' out | grep -q '(default'
verdict $? "act --help: no default that is the RUN's"

if ! "$PYTHON" -c 'import h5py, numpy' 2>/dev/null; then
    echo "skipped: reading with h5py ($PYTHON has none)"
    skipped=$((skipped + 1))
    finish
fi
cat >check.py <<'P'
import h5py, json, numpy as np, sys

def episodes(folder, count):
    meta = json.load(open(folder + '/data/metadata.json'))
    assert meta['total_episodes'] == count and meta['total_steps'] == 50 * count and meta['jpeg_encoding'] is False
    space = json.loads(meta['observation_space'])
    assert sorted(space['subspaces']) == ['image', 'text', 'vector']
    assert space['subspaces']['image']['shape'] == [64, 64, 3] and space['subspaces']['image']['dtype'] == 'uint8'
    assert space['subspaces']['vector']['shape'] == [6]
    action = json.loads(meta['action_space'])
    assert action['shape'] == [2] and action['low'] == [-1, -1] and action['high'] == [1, 1]
    spec = json.loads(meta['env_spec'])
    assert spec['id'] == 'reacher-v0' and spec['max_episode_steps'] == 50 and spec['kwargs']['renderer']
    assert (meta['ref_min_score'], meta['ref_max_score']) == (-15.88, -4.74)
    f = h5py.File(folder + '/data/main_data.hdf5', 'r')
    assert len(f) == count
    return [f['episode_%d' % i] for i in range(count)]

def check(e, i):
    o = e['observations']
    assert e.attrs['id'] == i and e.attrs['total_steps'] == 50
    assert o['image'].shape == (51, 64, 64, 3) and o['image'].dtype == np.uint8
    assert o['vector'].shape == (51, 6) and o['vector'].dtype == np.float32
    assert e['infos/success'].shape == (50,) and e.attrs['success'] == e['infos/success'][:].any()
    assert e.attrs['episode'] == i and abs(e.attrs['return'] - e['rewards'][:].sum()) < 1e-9
    assert set(o['text'][:]) == {b'touch the red ball'} and o['text'].shape == (51,)
    for a in (e['actions'], e['infos/expert_action']):
        assert a.shape == (50, 2) and a.dtype == np.float32 and np.abs(a[:]).max() <= 1
    assert e['rewards'].shape == (50,) and (e['rewards'][:] < 0).all() and (e['rewards'][:] > -0.6).all()
    assert not e['terminations'][:].any() and list(e['truncations'][:]) == [False] * 49 + [True]
    v = o['vector'][:].astype(float)
    assert np.abs(v[:, 0] ** 2 + v[:, 1] ** 2 - 1).max() < 1e-6 and np.abs(v[:, 2] ** 2 + v[:, 3] ** 2 - 1).max() < 1e-6
    assert (v[0, 4:] == 0).all()
    # The ball: red pixels of the first frame, through the camera (0.9 m above, 45 degrees; ball 0.02 m up), give the distance to the tip
    # that follows from the joints. The first reward comes one action later: the tip moves a few millimeters, a pixel has eleven.
    im = o['image'][0].astype(int)
    red = np.argwhere((im[..., 0] > 200) & (im[..., 1] < 60) & (im[..., 2] < 60)) + 0.5
    assert 6 <= len(red) <= 16
    row, column = red.mean(0)
    scale = 0.88 * np.tan(np.pi / 8) / 32
    ball = np.array([(column - 32) * scale, (32 - row) * scale])
    c, s = v[1, 0], v[1, 1]
    tip = 0.15 * np.array([c + c * v[1, 2] - s * v[1, 3], s + s * v[1, 2] + c * v[1, 3]])
    assert abs(np.hypot(*(tip - ball)) + e['rewards'][0]) < 0.01

one, noisy, random = episodes('one', 3), episodes('noisy', 12), episodes('random', 12)
for group in (one, noisy, random):
    for i, e in enumerate(group):
        check(e, i)
    firsts = np.array([e['observations/vector'][0] for e in group])
    assert len(np.unique(firsts, axis=0)) == len(group), 'episodes repeat'
for e in one:
    assert (e['actions'][:] == e['infos/expert_action'][:]).all()
    assert e['rewards'][-1] > -0.05
assert any((e['actions'][:] != e['infos/expert_action'][:]).any() for e in noisy)
assert np.mean([e['rewards'][:].sum() for e in one]) > np.mean([e['rewards'][:].sum() for e in random])
# The same starts, whoever plays.
assert all((a['observations/image'][0] == b['observations/image'][0]).all() for a, b in zip(noisy, random))

# The walk of env_child.py: every slot under its name.
walk = h5py.File('walk1/data/main_data.hdf5')
for i, e in enumerate(walk['episode_%d' % k] for k in range(6)):
    o, a, x = e['observations'], e['actions'], 10.0 * i
    assert sorted(o) == ['front', 'mission', 'phase', 'state', 'wrist'] and sorted(a) == ['free', 'grip', 'push']
    assert set(o['mission'][:]) == {b'mission of episode %d' % i} and list(e['infos/present']) == ['wrist']
    assert list(e['infos/present/wrist'][:]) == [True, False] * 3 and list(e['infos/success'][:]) == [False, True, False, False, False]
    for t in range(6):
        assert (o['front'][t].ravel() == (int(x) + np.arange(72)) % 256).all() and list(o['phase'][t]) == [t % 4, i % 3]
        assert (o['wrist'][t].ravel() == (0 if t % 2 else (int(x) + np.arange(12)) % 256)).all()
        assert list(o['state'][t]) == [np.float32(x), t, 0]
        if t < 5:
            x += float(a['push'][t, 0]) + float(a['free'][t, 0]) + int(a['grip'][t])
            expert = (0.5, -2, t % 3) if t != 1 else (a['push'][t, 0], a['free'][t, 0], a['grip'][t])
            assert tuple(e['infos/expert_action/' + n][t].item() for n in ('push', 'free', 'grip')) == tuple(map(float, expert))
P
"$PYTHON" check.py >out 2>err
verdict $? "h5py reads what was recorded"
finish

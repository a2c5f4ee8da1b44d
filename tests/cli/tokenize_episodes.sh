#!/bin/sh
# tokenize_episodes.sh - `tokenize episodes` on datasets written by h5py: every part of a record against the arrays they
# were made of, windows, bounds, spaces of all kinds, and what is refused (faults 50, 81, 82, 83).
. "$(dirname "$0")/../tokenize_common.sh"
small_model m 1
exits 2 "cannot open 'nowhere'" episodes --in nowhere --out x.lmdb --model m
exits 2 "is no Minari dataset" episodes --in seed --out x.lmdb --model m
tokenize episodes --help >out 2>err && grep -q -e '--frames K' out
verdict $? "--help tells --frames"
if ! has_python; then
    skip "datasets" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi

cat >make.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

rng = np.random.default_rng(7)
image, gray = box((32, 32, 3), 'uint8', 0, 255), box((32, 32), 'uint8', 0, 255)
inf = float('inf')

def episode(T, kind=0):
    """Smooth frames, so that they have various codes."""
    y, x = np.mgrid[:32, :32] / 31
    c = rng.random((T + 1, 6))[:, None, None]
    frame = np.stack([c[..., 0] * x + c[..., 1] * (1 - x), c[..., 2] * y + c[..., 3] * (1 - y), c[..., 4] * np.sin(6 * x * y) ** 2 + c[..., 5] / 2], -1)
    return np.uint8(np.clip(frame, 0, 1) * 255)

def full(T, expert):
    e = {'observations': {'image': episode(T), 'speed': np.float32(rng.normal(size=(T + 1, 3)) * 100), 'time': rng.random(T + 1), 'button': rng.integers(2, 7, T + 1),
                          'mission': ['reach \u00e9 %d' % T] + ['now %d' % t for t in range(T)], 'switches': rng.integers(0, 2, (T + 1, 2)).astype(np.int8)},
         'actions': np.float32(rng.uniform([-2, 0, -1], [2, 10, 1], (T, 3))), 'rewards': rng.normal(size=T), 'terminations': np.arange(T) == T - 1,
         'truncations': np.arange(T) % 2 == 0}
    if expert:
        e['infos'] = {'expert_action': np.float32(rng.uniform([-2, 0, -1], [2, 10, 1], (T + (expert == 2), 3)))}
    return e

space = {'type': 'Dict', 'subspaces': {
    'button': {'type': 'Discrete', 'dtype': 'int64', 'start': 2, 'n': 5}, 'image': image,
    'mission': {'type': 'Text', 'max_length': 50, 'min_length': 1, 'charset': 'abc'}, 'speed': box((3,), 'float32', -inf, inf),
    'switches': {'type': 'MultiBinary', 'n': 2}, 'time': box((), 'float64', 0, 1)}}
actions = {'type': 'Box', 'dtype': 'float32', 'shape': [3], 'low': [-2, 0, -1], 'high': [2, 10, 1]}
env = json.dumps({'id': 'thing-v0', 'max_episode_steps': 50})
write_minari('full', [full(T, i % 3) for i, T in enumerate([5, 1, 12, 7, 30, 3, 20, 4, 9, 11, 6, 8, 5, 5, 5, 5, 5, 5, 40, 2])], space, actions, env_spec=env, ref_min_score=-3.5, ref_max_score=10)

# no images, no text, discrete and unbounded actions
def plain(T):
    return {'observations': np.float32(rng.normal(size=(T + 1, 4))), 'actions': {'go': rng.integers(-1, 3, T), 'push': np.float64(rng.uniform(-1, 1, (T, 2)))},
            'rewards': rng.normal(size=T), 'terminations': np.zeros(T, bool), 'truncations': np.zeros(T, bool)}
plain_actions = {'type': 'Dict', 'subspaces': {'go': {'type': 'Discrete', 'dtype': 'int64', 'start': -1, 'n': 4}, 'push': box((2,), 'float64', -inf, inf)}}
write_minari('plain', [plain(T) for T in (3, 0, 6)], box((4,), 'float32', -inf, inf), plain_actions)

# gray frames alone; discrete actions
def only(T):
    return {'observations': episode(T)[..., 0], 'actions': rng.integers(0, 3, T), 'rewards': np.zeros(T), 'terminations': np.zeros(T, bool),
            'truncations': np.zeros(T, bool)}
write_minari('gray', [only(4), only(2)], gray, {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 3})

# what is refused
vector, two = box((2,), 'float32', -inf, inf), box((2,), 'float32', -1, 1)
def small(T=4):
    return {'observations': np.float32(rng.normal(size=(T + 1, 2))), 'actions': np.float32(rng.uniform(-1, 1, (T, 2))), 'rewards': np.ones(T),
            'terminations': np.zeros(T, bool), 'truncations': np.zeros(T, bool)}
def broken(name, change, obs=vector, act=two, n=40):
    es = [small() for _ in range(n)]
    change(es)
    write_minari(name, es, obs, act)
def put(field, step, value):
    def change(es):
        es[33][field][step] = value
    return change
broken('nan_obs', put('observations', (2, 1), np.nan))
broken('inf_act', put('actions', (3, 0), -np.inf))
rng = np.random.default_rng(7)
broken('good', lambda es: None)
rng = np.random.default_rng(7)
broken('nan_reward', put('rewards', 1, np.nan))
broken('inf_reward', put('rewards', 0, np.inf))
def big_act(es):
    es[33]['actions'] = es[33]['actions'].astype(np.float64)
    es[33]['actions'][1, 1] = 1e300
broken('big_act', big_act)
broken('nan_last', put('observations', (4, 1), np.nan))
def nan_expert(es):
    for e in es:
        e['infos'] = {'expert_action': e['actions'].copy()}
    es[33]['infos']['expert_action'][0, 1] = np.nan
broken('nan_expert', nan_expert)
def beyond(es):
    es[0]['actions'][0] = 1, -1
    es[0]['actions'][1] = 1.5, -3
    es[1]['actions'][:] = 2
broken('beyond', beyond)
def discrete(es):
    for e in es:
        e['observations'] = np.arange(5)
    es[33]['observations'] = np.array([0, 1023, 1024, 3, 4])
broken('big', discrete, {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 5000})
def many(es):
    for e in es:
        e['actions'] = np.arange(4)
broken('many', many, vector, {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 1025})
def short(es):
    es[33]['rewards'] = np.ones(3)
    es[33]['T'] = 4
broken('short', short)
broken('empty', lambda es: es.clear())
broken('nothing', lambda es: es.__setitem__(slice(None), [small(0), small(0)]))
broken('one', lambda es: es.__delitem__(slice(1, None)))
P
python make.py "$top/tests"
verdict $? "datasets"

exits 2 "holds images: --model is needed" episodes --in full --out x.lmdb
exits 2 "cannot be negative" episodes --in full --out x.lmdb --model m --frames -1
works "all steps" episodes --in full --out a.lmdb --model m
grep -q '^{"images":188,"episodes":20,"records":20,"skipped":0,"bad":0,"tokens":' out
verdict $? "counts"
works "windows" episodes --in full --out w.lmdb --model m --frames 5
works "pixels" episodes --in full --out k.lmdb --model m --frames 5 --keep-pixels
same "the same dump with --keep-pixels" w.lmdb k.lmdb
for n in 1 3 16; do
    for t in 1 2; do
        works "batch $n, threads $t" episodes --in full --out "b$n$t.lmdb" --model m --frames 5 --batch $n --threads $t
        same "the same dump with --batch $n --threads $t" w.lmdb "b$n$t.lmdb"
    done
done
for i in 0 1 2; do works "part $i" episodes --in full --out "s$i.lmdb" --model m --frames 5 --shard $i/3; done
for i in 0 1 2; do tokenize dump s$i.lmdb; done >parts 2>err && cmp parts w.lmdb.json >out
verdict $? "the parts one after another are the whole"
works "verify" verify w.lmdb --model m --in full --sample 0
grep -q '"codes_different":0}' out
verdict $? "verify encodes windows again"
works "verify from kept pixels" verify k.lmdb --model m
works "spread steps" episodes --in full --out sp.lmdb --model m --frames 5 --spread
works "verify spread steps" verify sp.lmdb --model m --in full --sample 0
grep -q '"images_encoded_again":90,.*"codes_different":0}' out
verdict $? "verify finds spread steps again"
exits 2 "needs --frames" episodes --in full --out x.lmdb --model m --spread
works "first steps" episodes --in full --out hd.lmdb --model m --frames 5 --head
works "verify first steps" verify hd.lmdb --model m --in full --sample 0
tokenize dump a.lmdb >a.all
tokenize dump hd.lmdb | "${PYTHON:-python3}" -c '
import json, sys
whole = {r["key"]: r for r in map(json.loads, open("a.all"))}
for r in map(json.loads, sys.stdin):
    assert r["actions"] == whole[r["key"]]["actions"][:5] and r["codes"] == whole[r["key"]]["codes"][:5]
'
verdict $? "--head keeps the first steps"
exits 2 "exclude" episodes --in full --out x.lmdb --model m --frames 5 --head --spread
exits 4 "spread false, now true" episodes --in full --out w.lmdb --model m --frames 5 --spread
works "decode" decode --model m --in w.lmdb --out d
[ -f d/000003-episode_3.png ] && [ -f d/contact.png ] && [ "$(ls d/*.png | wc -l)" -eq 21 ]
verdict $? "a strip an episode"
works "decode --apng" decode --model m --in w.lmdb --out da --apng --fps 25
[ "$(ls da/*.apng | wc -l)" -eq 20 ] && [ -f da/000003-episode_3.apng ] && cmp d/000003-episode_3.png da/000003-episode_3.png
verdict $? "an animation an episode beside its strip"
exits 2 "possible" decode --model m --in w.lmdb --out db --apng --fps 0
works "pixels without a model" episodes --in full --out p.lmdb --frames 5 --keep-pixels
works "no images" episodes --in plain --out plain.lmdb
grep -q '^{"images":0,"episodes":2,"records":2,"skipped":1,"bad":0,"tokens":63,' out
verdict $? "fault_050: an episode without steps is skipped"
works "gray" episodes --in gray --out gray.lmdb --model m
works "frames of episodes as images" images --in gray --out frames.lmdb --model m
works "one episode" episodes --in one --out one.lmdb
cat >check.py <<'P'
import sys, io
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

def scale(a, low, high):
    low, high = np.float64(np.float32(low)), np.float64(np.float32(high))
    return np.float32(2 * (np.float64(np.float32(a)) - low) / (high - low) - 1)

def near(a, b):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return a.shape == b.shape and (a == b).all()

f = h5py.File('full/data/main_data.hdf5')
low, high = [-2, 0, -1], [2, 10, 1]
for shard_name, K in (('a.lmdb', 0), ('w.lmdb', 5), ('sp.lmdb', 5)):
    raw, starts = shard(shard_name), set()
    records = dump(shard_name)
    assert [r['key'] for r in records] == ['episode_%d' % i for i in range(20)]
    for i, r in enumerate(records):
        e, o = f[r['key']], f[r['key']]['observations']
        T = len(e['rewards'])
        k = min(K or T, T)
        first = xxh64(r['key'].encode()) * (T - k + 1) >> 64
        if shard_name == 'sp.lmdb':
            first = xxh64(r['key'].encode()) * (T // k) >> 64
        starts.add((first + 0.5) / (T - k + 1))
        assert record_head(raw, i) == (0, k, first) and raw[1, 0, i][1]['sizes'].tolist() == [16, 16, 32, 32]
        s = slice(first, first + k)
        if shard_name == 'sp.lmdb':
            s = [j * T // k + (xxh64(r['key'].encode(), j) * ((j + 1) * T // k - j * T // k) >> 64) for j in range(k)]
            assert k == T or len(set(s)) == k
        assert r['kind'] == 'episode' and r['source'] == 'full' and r['grid'] == [16, 16] and r['task'] == 'test'
        assert list(r['continuous']) == ['speed', 'time'] and near(r['continuous']['speed'], o['speed'][:][s])
        assert near(r['continuous']['time'], o['time'][:][s][:, None])
        assert r['discrete'] == {'button': (o['button'][:][s] - 2)[:, None].tolist(), 'switches': o['switches'][:][s].tolist()}
        assert r['text'] == list(o['mission'][0]) + [256] and len(r['text']) > 8
        assert near(r['actions'], scale(e['actions'][:][s], low, high)) and np.abs(r['actions']).max() <= 1
        if i % 3:
            assert near(r['label_actions'], scale(e['infos/expert_action'][:][s], low, high))
        else:
            assert r['label_actions'] is None
        assert near(r['rewards'], e['rewards'][:][s])
        assert r['terminated'] == e['terminations'][:][s].tolist() and r['truncated'] == e['truncations'][:][s].tolist()
        assert (trace('m', o['image'][:][s])['indices'].reshape(k, 256) == np.array(r['codes'])).all()
    assert shard_name != 'w.lmdb' or len(starts) > 8 and min(starts) < 0.3 and max(starts) > 0.7
meta = shard('w.lmdb')[0, 0, 0]
task, = json.loads(meta[1]['tasks'])
assert (task['name'], task['kind'], task['env'], task['max_steps']) == ('test', 'episode', {'id': 'thing-v0', 'max_episode_steps': 50}, 50)
assert (task['random_return'], task['expert_return']) == (-3.5, 10)
assert task['slots'] == [
    {'kind': 'image', 'side': 'observed', 'name': 'image', 'image': [32, 32], 'grid': [16, 16]},
    {'kind': 'text', 'side': 'observed', 'name': 'mission'},
    {'kind': 'vector', 'side': 'observed', 'name': 'speed', 'low': [None] * 3, 'high': [None] * 3},
    {'kind': 'vector', 'side': 'observed', 'name': 'time', 'low': [0], 'high': [1]},
    {'kind': 'discrete', 'side': 'observed', 'name': 'button', 'range': [5]},
    {'kind': 'discrete', 'side': 'observed', 'name': 'switches', 'range': [2, 2]},
    {'kind': 'vector', 'side': 'acted', 'name': '', 'low': low, 'high': high, 'raw': [0, 0, 0]}], task['slots']
assert struct.unpack_from('<4I2f', meta[0]) == (16, 4, 257, 1, 100, 256)
assert struct.unpack_from('<7Q', meta[0], 24)[:4] == (20, 90, 20, 90)
for name in ('k.lmdb', 'p.lmdb'):
    raw = shard(name)
    for i in range(20):
        head, parts = raw[1, 0, i]
        first, at = record_head(raw, i)[-1], 0
        for t, n in enumerate(parts['pixel_size']):
            frame = np.asarray(Image.open(io.BytesIO(parts['pixels'][at:at + n])))
            assert (frame == f['episode_%d/observations/image' % i][first + t]).all()
            at += n
        assert ('codes' in parts) == (name == 'k.lmdb')
for i in range(20):
    strip = np.asarray(Image.open('d/%06d-episode_%d.png' % (i, i)))
    film = Image.open('da/%06d-episode_%d.apng' % (i, i))
    assert film.n_frames == strip.shape[1] // 32 and film.size == (32, 32)
    for t in range(film.n_frames):
        film.seek(t)
        assert film.n_frames == 1 or film.info['duration'] == 40
        assert (np.asarray(film.convert('RGB')) == strip[:, 32 * t:32 * t + 32]).all()
strip = np.asarray(Image.open('d/000003-episode_3.png'))
assert strip.shape == (32, 5 * 32, 3)

g = h5py.File('plain/data/main_data.hdf5')
for r, i in zip(dump('plain.lmdb'), (0, 2)):
    e = g['episode_%d' % i]
    assert r['key'] == 'episode_%d' % i and r['grid'] is None and r['codes'] is None and r['text'] is None and r['discrete'] is None
    assert near(r['continuous'], e['observations'][:-1])
    assert [a[2] for a in r['actions']] == (e['actions/go'][:] + 1).tolist() and near([a[:2] for a in r['actions']], e['actions/push'][:])
h = h5py.File('gray/data/main_data.hdf5')
frames = dump('frames.lmdb')
assert [r['key'] for r in frames] == ['episode_%d/%d' % (i, t) for i, T in enumerate((4, 2)) for t in range(T + 1)]
for i, r in enumerate(dump('gray.lmdb')):
    rgb = np.repeat(h['episode_%d/observations' % i][:-1][..., None], 3, 3)
    assert (trace('m', rgb)['indices'].reshape(len(rgb), 256) == np.array(r['codes'])).all()
    assert [c['codes'] for c in frames if c['key'].startswith('episode_%d/' % i)][:-1] == r['codes']
    assert r['actions'] == h['episode_%d/actions' % i][:][:, None].tolist() and r['continuous'] is None
assert len(dump('one.lmdb')) == 1
P
python check.py "$top/tests"
verdict $? "every part equals the dataset's arrays, codes equal vqvae trace's"

# one bad episode of 40: named and counted, --max-bad decides, the others are as without it; --strict ends at it
whole() { tokenize dump "$1" | grep -v '"episode_33"' | sed 's/"source":"[^"]*"/"source":""/'; }
strange() { # DATASET WHAT
    exits 3 '1 of 40 items are bad (2.5 %), more than --max-bad 1 %' episodes --in "$1" --out bad.lmdb --force
    grep -q "warning: skipped 'episode_33' of '$1': .*$2" err
    verdict $? "$1: the warning names dataset, episode, step and field: $2"
    works "$1: tolerated" episodes --in "$1" --out bad.lmdb --max-bad 0.03
    grep -q '"records":39,"skipped":0,"bad":1' out && tokenize info bad.lmdb | grep -q "\"episode_33\".*$2"
    verdict $? "$1: 39 of 40 are kept, the bad one is in the shard with its reason"
    for i in 0 1 2; do tokenize episodes --in "$1" --out bad.$i.lmdb --shard $i/3 --max-bad 0.1 --force >out 2>err || cat err; done
    tokenize merge --out merged.lmdb bad.?.lmdb --force >out 2>err && [ "$(whole merged.lmdb | cksum)" = "$(whole bad.lmdb | cksum)" ] && [ "$(whole bad.lmdb | wc -l)" -eq 39 ]
    verdict $? "$1: parts merge to the same records"
    exits 3 "'$1': episode_33, $2" episodes --in "$1" --out strict.lmdb --force --strict --max-bad 1
}
works "the good dataset" episodes --in good --out good.lmdb
[ "$(tokenize dump good.lmdb | wc -l)" -eq 40 ]
verdict $? "40 records without a fault"
strange nan_reward 'step 1, rewards: NaN'
[ "$(whole bad.lmdb | cksum)" = "$(whole good.lmdb | cksum)" ]
verdict $? "the 39 are those of the dataset without the fault"
strange inf_reward 'step 0, rewards: infinite'
strange nan_obs 'step 2, observations: NaN'
strange inf_act 'step 3, actions: infinite'
strange big_act 'step 1, actions: infinite'
strange nan_expert 'step 0, infos/expert_action: NaN'
strange big 'step 2, observations: a discrete value of 1024'
exits 3 "'nan_obs': episode_33, step 2, observations: NaN" episodes --in nan_obs --out nan.lmdb --strict
tokenize dump nan.lmdb >out 2>err && [ "$(wc -l <out)" -ge 32 ] && [ ! -e nan.lmdb/done ] && tokenize info nan.lmdb | grep -q '"complete":false'
verdict $? "fault_081: what stands before it is kept, the shard is not complete"
works "fault_081: the observation after the last action does not count" episodes --in nan_last --out x4.lmdb
works "fault_082: actions beyond their bounds" episodes --in beyond --out x5.lmdb
grep -q 'warning: .beyond.: 10 of 320 actions are outside their bounds (3.12 %)' err
verdict $? "fault_082: a warning above 1 %"
tokenize dump x5.lmdb --id 0 | grep -q '"actions":\[\[1,-1\],\[1.5,-3\],'
verdict $? "fault_082: they stay as they are"
exits 4 "'many': actions/ has 1025 values" episodes --in many --out x7.lmdb
tokenize episodes --in short --out x8.lmdb >out 2>err
[ $? -eq 3 ] && grep -q 'episode_33.*rewards' err && tail -n 1 err | grep -q '1 of 40 items are bad (2.5 %), more than --max-bad 1 %'
verdict $? "fault_038: rows that disagree, too many"
works "fault_038: within --max-bad the same run goes on" episodes --in short --out x8.lmdb --max-bad 0.05
grep -q '"records":39,"skipped":0,"bad":1,' out && tokenize info x8.lmdb | grep -q '"bad_items":\[{"key":"episode_33","reason":"[^"]*rewards'
verdict $? "fault_038: the bad item is told by key and reason"
exits 3 "has no episodes" episodes --in empty --out x9.lmdb
exits 3 "none of 2 items can be used" episodes --in nothing --out x10.lmdb
exits 2 "is --in" episodes --in full --out full --model m
exits 2 "is no token shard" episodes --in full --out full/data --model m --force
[ -f full/data/main_data.hdf5 ]
verdict $? "fault_066: the dataset is untouched"
head -c 3000 full/data/main_data.hdf5 >cut && mkdir -p cut_set/data && mv cut cut_set/data/main_data.hdf5 && cp full/data/metadata.json cut_set/data/
tokenize episodes --in cut_set --out x11.lmdb --model m >out 2>err
[ $? -eq 3 ]
verdict $? "fault_038: a truncated file is status 3"
finish

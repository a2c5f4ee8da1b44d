#!/bin/sh
# tokenize_layouts.sh - `tokenize episodes` on every layout that recordings come in, written by h5py and Pillow: JPEG rows
# as strings and as a matrix, nested spaces and --obs / --act, older files, D4RL files; and what is bad about them
# (faults 38, 39, 81, 82, 83, 89).
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip "layouts" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
small_model m 1

cat >make.py <<'P'
import io, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

rng = np.random.default_rng(3)
inf, nan = float('inf'), float('nan')
image, gray = box((32, 48, 3), 'uint8', 0, 255), box((40, 32), 'uint8', 0, 255)
two, discrete = box((2,), 'float32', -1, 1), {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 3}
def Dict(**subspaces): return {'type': 'Dict', 'subspaces': subspaces}
def Tuple(*subspaces): return {'type': 'Tuple', 'subspaces': list(subspaces)}

def frames(n, h, w, c):
    y, x = np.mgrid[:h, :w]
    k = rng.random((n, 3, 4))[:, :, :, None, None]
    f = np.stack([128 + 60 * np.sin(x / 9 * k[:, i, 0] + 6 * k[:, i, 1]) + 60 * np.cos(y / 7 * k[:, i, 2] + 6 * k[:, i, 3]) for i in range(c)], -1)
    return np.uint8(np.clip(f, 0, 255))

class Jpeg(list):
    """Rows to be stored as JPEG strings."""
    matrix = False

def jpeg(rows, matrix=False):
    out = Jpeg()
    for f in rows:
        b = io.BytesIO()
        Image.fromarray(f).save(b, format='JPEG')
        out.append(np.frombuffer(b.getvalue(), np.uint8))
    if matrix:  # after the end of a JPEG file anything may follow
        n = max(map(len, out))
        out[:] = [np.concatenate([r, np.zeros(n - len(r), np.uint8)]) for r in out]
    out.matrix = matrix
    return out

def put(group, name, value):
    if isinstance(value, dict):
        for k, v in value.items():
            put(group.require_group(name), k, v)
    elif isinstance(value, tuple):
        put(group, name, {'_index_%d' % i: v for i, v in enumerate(value)})
    elif isinstance(value, Jpeg):
        d = group.create_dataset(name, (len(value),), h5py.vlen_dtype(np.uint8), chunks=True) if not value.matrix else None
        if value.matrix:
            group.create_dataset(name, data=np.stack(value), chunks=True)
        for i, r in enumerate([] if value.matrix else value):
            d[i] = r
    elif isinstance(value, list):
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())
    else:
        group.create_dataset(name, data=value)

def write(name, obs, act, episodes, **meta):
    os.makedirs(name + '/data')
    with h5py.File(name + '/data/main_data.hdf5', 'w', track_order=True) as f:
        for i, e in enumerate(episodes):
            g = f.create_group('episode_%d' % i, track_order=True)
            T = len(e['rewards'])
            g.attrs.update({'id': i, 'total_steps': T, 'seed': i, 'options/level/name': 'one', 'options/k': 2.5, 'user': [1, 2]} if i % 2 else {'total_steps': T})
            for k, v in e.items():
                put(g, k, v)
    base = {'total_episodes': len(episodes), 'total_steps': 0, 'dataset_id': 'test/x-v0'}
    for k, v in (('observation_space', obs), ('action_space', act)):
        if v is not None:
            base[k] = json.dumps(v)
    json.dump({**base, **meta}, open(name + '/data/metadata.json', 'w'))

def steps(T, observations, actions, **more):
    return {'observations': observations, 'actions': actions, 'rewards': np.arange(T, dtype=np.float64) / 8, 'terminations': np.arange(T) == T - 1,
            'truncations': np.zeros(T, bool), **more}
def push(T): return np.float32(rng.uniform(-1, 1, (T, 2)))

# images as JPEG strings, as a matrix, raw without saying so; in an older file's metadata nothing is said
lengths = (3, 1, 6, 2)
write('vlen', image, two, [steps(T, jpeg(frames(T + 1, 32, 48, 3)), push(T)) for T in lengths], jpeg_encoding=True, data_format='hdf5')
write('matrix', image, two, [steps(T, jpeg(frames(T + 1, 32, 48, 3), True), push(T)) for T in lengths])
write('gray', gray, two, [steps(T, jpeg(frames(T + 1, 40, 32, 1)[..., 0]), push(T)) for T in lengths])
write('old', image, two, [steps(T, frames(T + 1, 32, 48, 3), push(T)) for T in lengths])

# an image with channels first, bounds that Minari does not take for an image's
write('planar', box((3, 32, 48), 'uint8', 0, 255), discrete, [steps(T, np.moveaxis(frames(T + 1, 32, 48, 3), -1, 1), rng.integers(0, 3, T)) for T in lengths])

# everything, nested
space = Dict(agent=Dict(pixels=image, joints=box((3,), 'float64', -inf, inf), flag=box((2,), 'bool', False, True)), wrist=gray,
             tuple=Tuple({'type': 'MultiDiscrete', 'dtype': 'int64', 'nvec': [3, 5], 'start': [1, -2]}, {'type': 'Text', 'max_length': 30, 'min_length': 0, 'charset': 'x'},
                         {'type': 'MultiBinary', 'n': [2, 2]}),
             mission={'type': 'Text', 'max_length': 30, 'min_length': 0, 'charset': 'x'}, ram=box((4,), 'int16', -5, 250), map=box((2, 3), 'float32', -inf, inf),
             grid=box((8, 8, 3), 'uint8', 0, 255))
act = Dict(arm=Tuple(box((2,), 'float32', [-2, 0], [2, 4]), {'type': 'MultiDiscrete', 'dtype': 'int64', 'nvec': [2, 4]}), camera=box((32, 32, 3), 'uint8', 0, 255),
           say={'type': 'Text', 'max_length': 9, 'min_length': 0, 'charset': 'x'}, grip={'type': 'Discrete', 'dtype': 'int64', 'start': -1, 'n': 3})
def nested(T):
    n = T + 1
    return steps(T, {'agent': {'pixels': jpeg(frames(n, 32, 48, 3)), 'joints': rng.normal(size=(n, 3)), 'flag': rng.random((n, 2)) < 0.5},
                     'wrist': jpeg(frames(n, 40, 32, 1)[..., 0], True), 'mission': ['go to \u00f6 %d' % T] * n,
                     'tuple': (np.stack([rng.integers(1, 4, n), rng.integers(-2, 3, n)], 1), ['at %d' % t for t in range(n)], rng.integers(0, 2, (n, 2, 2)).astype(np.int8)),
                     'ram': rng.integers(-5, 251, (n, 4)).astype(np.int16), 'map': np.float32(rng.normal(size=(n, 2, 3))), 'grid': frames(n, 8, 8, 3)},
                 {'arm': (np.float32(rng.uniform([-2, 0], [2, 4], (T, 2))), np.stack([rng.integers(0, 2, T), rng.integers(0, 4, T)], 1)), 'camera': jpeg(frames(T, 32, 32, 3)),
                  'say': ['x'] * T, 'grip': rng.integers(-1, 2, T)})
write('nested', space, act, [nested(T) for T in (2, 5, 3, 4)])

# vectors of bytes that went through JPEG
write('damaged', Dict(ram=box((128,), 'uint8', 0, 255), grid=box((8, 8, 3), 'uint8', 0, 255)), box((700,), 'uint8', 0, 255),
      [steps(T, {'ram': jpeg(frames(T + 1, 128, 1, 1)[:, :, 0, 0]), 'grid': jpeg(frames(T + 1, 8, 8, 3), True)}, jpeg(frames(T, 700, 1, 1)[:, :, 0, 0], True)) for T in lengths])

# infos as JSON strings; ranges that no strict JSON could hold; T columns
write('odd', box((2,), 'float32', -inf, nan), two, [steps(T, np.float32(rng.normal(size=(T + 1, 2))), push(T), infos=['{}'] * (T + 1), ) for T in lengths])

# D4RL
def d4rl(name, n, terminal, timeout, **more):
    with h5py.File(name, 'w') as f:
        data = {'observations': rng.normal(size=(n, 5)), 'actions': np.float32(rng.uniform(-1, 1, (n, 2))), 'rewards': np.float32(rng.normal(size=n)),
                'terminals': np.isin(np.arange(n), terminal), 'timeouts': np.isin(np.arange(n), timeout), **more}
        for k, v in data.items():
            if v is not None:
                f.create_dataset(k, data=v, compression='gzip', chunks=True)
        f.create_group('infos').create_dataset('qpos', data=np.full((n, 3), np.nan))
        f.create_dataset('metadata/algorithm', data=b'SAC')
d4rl('flat.hdf5', 20, [4, 11], [8, 11, 15])
d4rl('noend.hdf5', 9, [], [], terminals=None, timeouts=None)
d4rl('short.hdf5', 9, [4], [], rewards=np.zeros(8, np.float32))
d4rl('beyond.hdf5', 9, [4], [], actions=np.full((9, 2), 1.5, np.float32))
d4rl('naughty.hdf5', 9, [4], [], observations=np.where(np.arange(9)[:, None] == 6, np.nan, 1.0) * np.ones((9, 5)))
d4rl('atari.hdf5', 9, [4], [7], actions=rng.integers(0, 4, 9), observations=frames(9, 32, 32, 1)[..., 0])
d4rl('nan_end.hdf5', 9, [], [], timeouts=None, rewards=np.arange(9.0), terminals=np.float32([0, 0, 1, 0, np.nan, 1, 0, 0, 1]))
d4rl('minus.hdf5', 9, [4], [7], actions=np.arange(9) - 1)

# ---- what is bad
def bad(name, n=4, at=2, obs=two, act=two, **change):
    es = []
    for i in range(n):
        e = steps(3, np.float32(rng.normal(size=(4, 2))), push(3))
        es.append({**e, **(change if i == at else {})})
    write(name, obs, act, es)
bad('rows_T', observations=np.zeros((3, 2), np.float32))
bad('no_rewards', rewards=np.zeros(2))
j = jpeg(frames(4, 32, 48, 3))
cut, other = Jpeg(j), Jpeg(jpeg(frames(4, 32, 40, 3)))
cut[2] = cut[2][:len(cut[2]) // 2]
write('cut_jpeg', image, two, [steps(3, jpeg(frames(4, 32, 48, 3)), push(3)) for _ in range(3)] + [steps(3, cut, push(3)), steps(3, other, push(3))])
bad('linked')
with h5py.File('linked/data/main_data.hdf5', 'a') as f:
    del f['episode_2/observations']
    f['episode_2/observations'] = h5py.ExternalLink('../../secret.hdf5', 'x')
bad('filtered')
with h5py.File('filtered/data/main_data.hdf5', 'a') as f:
    del f['episode_2/observations']
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_chunk((4, 2))
    p.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    h5py.h5d.create(f['episode_2'].id, b'observations', h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 2)), p)
bad('huge')
with h5py.File('huge/data/main_data.hdf5', 'a') as f:
    del f['episode_2/observations']
    f['episode_2'].create_dataset('observations', (10 ** 9, 10 ** 9), 'f4', chunks=(10, 10))
write('huger', image, two, [steps(3, jpeg(frames(4, 32, 48, 3)), push(3)) for _ in range(3)])
with h5py.File('huger/data/main_data.hdf5', 'a') as f:
    f['episode_1'].attrs['total_steps'] = 10 ** 9 - 1
    del f['episode_1/observations']
    f['episode_1'].create_dataset('observations', (10 ** 9, 32, 48, 3), 'u1', chunks=(1, 32, 48, 3))
    for k in ('actions', 'rewards', 'terminations', 'truncations'):
        del f['episode_1/' + k]
    f['episode_1'].create_dataset('actions', (10 ** 9 - 1, 2), 'f4', chunks=(10, 2))
def one_space(name, obs, act, **meta):
    write(name, obs, act, [steps(3, np.zeros((4, 2), np.float32), push(3))], **meta)
one_space('no_space', None, two)
one_space('no_act_space', two, None)
one_space('arrow', two, two, data_format='arrow')
one_space('parquet', two, two, data_format='parquet')
e = steps(3, np.zeros((4, 2), np.float32), push(3))
write('alike', two, two, [dict(e) for _ in range(5)])
write('far', two, two, [steps(3, np.full((4, 2), 300, np.float32), push(3))])
write('minus', {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 5}, two, [steps(3, np.array([0, 1, i - 2, 0]), push(3)) for i in (4, 1, 5, 6)])
write('texts', two, {'type': 'Text', 'max_length': 9, 'min_length': 0, 'charset': 'x'}, [steps(3, np.zeros((4, 2), np.float32), ['x'] * 3)])
P
python make.py "$top/tests"
verdict $? "datasets"

for d in vlen matrix gray old planar; do works "$d" episodes --in $d --out $d.lmdb --keep-pixels; done
for d in vlen matrix; do works "codes of $d" episodes --in $d --out c-$d.lmdb --model m --keep-pixels; done
works "verify re-reads JPEG rows" verify c-vlen.lmdb --model m --in vlen --sample 0
works "frames as images" images --in vlen --out f.lmdb --keep-pixels
works "planar frames as images" images --in planar --out fp.lmdb --keep-pixels
vqvae train --data vlen --data planar --out run --steps 2 --set model.block_out_channels=[8,8] model.norm_num_groups=4 \
    model.num_vq_embeddings=16 model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=2 >out 2>err
verdict $? "a tokenizer trained on JPEG rows"

works "nested, by themselves" episodes --in nested --out n1.lmdb --keep-pixels
grep -q "'nested': 2 images in each timestep: agent/pixels, wrist" err && grep -q "observations/map is left out" err &&
    grep -q "observations/tuple/_index_1 is left out: a second text" err && grep -q "actions/camera is left out" err && grep -q "actions/say is left out" err
verdict $? "the images are told, and what is left out"
map=image=wrist,vector=map+agent,discrete=ram+tuple,text=mission+tuple/_index_1
works "nested, mapped" episodes --in nested --out n2.lmdb --keep-pixels --obs $map --act discrete=grip,continuous=arm/_index_0
grep -q "the text changes within 4 of 4 episodes" err
verdict $? "texts that change are told"
works "nested, mapped, with codes" episodes --in nested --out n4.lmdb --model m --obs $map --act continuous=arm
works "a mapped shard is verified by its own mapping" verify n4.lmdb --model m --in nested --sample 0
works "a small image on demand" episodes --in nested --out n3.lmdb --keep-pixels --obs image=grid --act discrete=arm --frames 2 --spread
works "the same again goes on" episodes --in nested --out n3.lmdb --keep-pixels --obs image=grid --act discrete=arm --frames 2 --spread
exits 4 "obs" episodes --in nested --out n3.lmdb --keep-pixels --obs image=wrist --act discrete=arm --frames 2 --spread
exits 2 "has nothing of that name; its observations: .*agent/pixels" episodes --in nested --out x.lmdb --keep-pixels --obs image=front
exits 2 "nothing there that fits" episodes --in nested --out x.lmdb --keep-pixels --obs text=agent/pixels
exits 2 "nothing there that fits" episodes --in nested --out x.lmdb --keep-pixels --obs continuous=map+map
exits 2 "image, vector, discrete or text" episodes --in nested --out x.lmdb --keep-pixels --obs pixels=wrist
exits 2 "vector or discrete" episodes --in nested --out x.lmdb --keep-pixels --act image=camera
works "damaged vectors" episodes --in damaged --out dm.lmdb --obs continuous=.
[ "$(grep -c 'main_data.hdf5:episode_0:.*numbers stored as JPEG' err)" -eq 3 ]
verdict $? "fault_038: vectors of bytes stored as JPEG are told once each"
works "infos as strings, NaN as a bound" episodes --in odd --out odd.lmdb

works "d4rl" episodes --in flat.hdf5 --out flat.lmdb
grep -q '"episodes":5,"records":5,' out
verdict $? "five episodes"
works "d4rl in parts" episodes --in flat.hdf5 --out flat1.lmdb --shard 1/2
works "d4rl images" episodes --in atari.hdf5 --out atari.lmdb --model m
works "d4rl verify" verify atari.lmdb --model m --in atari.hdf5 --sample 0

cat >check.py <<'P'
import io, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

def near(a, b):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    assert a.shape == b.shape and (a == b).all(), (a, b)

def kept(name):
    """episode key -> images kept in a shard"""
    out = []
    for (tag, sub, i), (head, parts) in sorted(shard(name).items()):
        if tag == 1:
            at = np.cumsum([0, *parts['pixel_size'].tolist()])
            out.append((parts['key'].decode(), np.stack([np.asarray(Image.open(io.BytesIO(parts['pixels'][a:b]))) for a, b in zip(at, at[1:])])))
    return out

def decoded(d):
    """rows of a dataset as images [n,h,w,3], JPEG by Pillow"""
    rows = [np.asarray(Image.open(io.BytesIO(bytes(r)))) for r in d]
    return np.stack([r if r.ndim == 3 else np.repeat(r[..., None], 3, 2) for r in rows])

worst = 0
def alike(ours, theirs):
    global worst
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    worst = max(worst, int(np.abs(ours.astype(int) - theirs).max()))
    assert worst <= 2

for name in ('vlen', 'matrix', 'gray', 'old', 'planar'):
    f = h5py.File(name + '/data/main_data.hdf5')
    records = kept(name + '.lmdb')
    assert [k for k, _ in records] == ['episode_%d' % i for i in range(4)]
    for key, pixels in records:
        d = f[key]['observations']
        alike(pixels, decoded(d[:-1]) if name not in ('old', 'planar') else d[:-1] if name == 'old' else np.moveaxis(d[:-1], 1, -1))
for name in ('vlen', 'matrix'):
    for (key, pixels), r in zip(kept('c-%s.lmdb' % name), dump('c-%s.lmdb' % name)):
        assert (trace('m', pixels)['indices'].reshape(len(pixels), -1) == np.array(r['codes'])).all()
for name, source in (('f', 'vlen'), ('fp', 'planar')):
    f = h5py.File(source + '/data/main_data.hdf5')
    for key, pixels in kept(name + '.lmdb'):
        e, t = key.split('/')
        d = f[e]['observations']
        alike(pixels, decoded([d[int(t)]]) if source == 'vlen' else np.moveaxis(d[int(t):int(t) + 1], 1, -1))

f = h5py.File('nested/data/main_data.hdf5')
def ranges(name, side):
    return {name: s['range'] for (s_side, name), s in slots(shard(name)).items() if s_side == side and s['kind'] == 'discrete'}
n1 = shard('n1.lmdb')
assert ranges('n1.lmdb', 'observed') == {'tuple/_index_0': [3, 5], 'tuple/_index_2': [2] * 4}
assert ranges('n1.lmdb', 'acted') == {'arm/_index_1': [2, 4], 'grip': [3]}
assert slots(n1)['observed', 'agent/pixels']['image'] == [32, 48] and slots(n1)['observed', 'wrist']['image'] == [40, 32]
wrist = slots(n1)['observed', 'wrist']['number']
for i in range(4):
    parts = n1[1, 0, i][1]
    at = np.cumsum([0, *parts['pixel_size', wrist].tolist()])
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(parts['pixels', wrist][a:b]))) for a, b in zip(at, at[1:])])
    alike(pixels, decoded(f['episode_%d/observations/wrist' % i][:-1]))
def scaled(a):
    return np.float32((np.float64(a) - [-2, 0]) / [4, 4] * 2 - 1)
for r, (key, pixels) in zip(dump('n1.lmdb'), kept('n1.lmdb')):
    o, a = f[key]['observations'], f[key]['actions']
    alike(pixels, decoded(o['agent/pixels'][:-1]))
    assert list(r['continuous']) == ['agent/flag', 'agent/joints', 'ram']
    for leaf, v in r['continuous'].items():
        near(v, o[leaf][:-1])
    assert r['discrete'] == {'tuple/_index_0': (o['tuple/_index_0'][:-1] - [1, -2]).tolist(), 'tuple/_index_2': o['tuple/_index_2'][:-1].reshape(-1, 4).tolist()}
    assert r['text'] == list(o['mission'][0]) + [256]
    assert list(r['actions']) == ['arm/_index_0', 'arm/_index_1', 'grip']
    near(r['actions']['arm/_index_0'], scaled(a['arm/_index_0'][:]))
    assert r['actions']['arm/_index_1'] == a['arm/_index_1'][:].tolist() and r['actions']['grip'] == (a['grip'][:] + 1)[:, None].tolist()
meta = shard('n2.lmdb')[0, 0, 0][1]
assert ranges('n2.lmdb', 'observed') == {'ram': [256] * 4, 'tuple/_index_0': [3, 5], 'tuple/_index_2': [2] * 4}
assert ranges('n2.lmdb', 'acted') == {'grip': [3]}
assert json.loads(meta['arguments'])['act'] == 'discrete=grip,continuous=arm/_index_0'
for r, (key, pixels) in zip(dump('n2.lmdb'), kept('n2.lmdb')):
    o, a = f[key]['observations'], f[key]['actions']
    alike(pixels, decoded(o['wrist'][:-1]))
    assert list(r['continuous']) == ['map', 'agent/flag', 'agent/joints'] and list(r['discrete']) == ['ram', 'tuple/_index_0', 'tuple/_index_2']
    for leaf, v in r['continuous'].items():
        near(v, o[leaf][:-1].reshape(len(v), -1))
    assert r['discrete']['ram'] == (o['ram'][:-1] + 5).tolist() and r['discrete']['tuple/_index_0'] == (o['tuple/_index_0'][:-1] - [1, -2]).tolist()
    assert r['discrete']['tuple/_index_2'] == o['tuple/_index_2'][:-1].reshape(-1, 4).tolist()
    assert r['text'] == list(o['mission'][0] + b'\n' + o['tuple/_index_1'][0]) + [256]
    near([x[:2] for x in r['actions']], scaled(a['arm/_index_0'][:]))
    assert [x[2:] for x in r['actions']] == (a['grip'][:] + 1)[:, None].tolist()
for r, (key, pixels) in zip(dump('n3.lmdb'), kept('n3.lmdb')):
    o, T = f[key]['observations'], len(f[key]['rewards'])
    s = [j * T // 2 + (xxh64(key.encode(), j) * ((j + 1) * T // 2 - j * T // 2) >> 64) for j in range(2)]
    alike(pixels, o['grid'][:][s])
    assert r['continuous'] is None and r['text'] is None and r['actions'] == f[key]['actions/arm/_index_1'][:][s].tolist()

g = h5py.File('damaged/data/main_data.hdf5')
for r in dump('dm.lmdb'):
    o, a = g[r['key']]['observations'], g[r['key']]['actions']
    assert np.abs(np.array(r['continuous']['grid']) - decoded(o['grid'])[:-1].reshape(-1, 192)).max() <= 2
    assert np.abs(np.array(r['continuous']['ram']) - decoded(o['ram'])[:-1, ..., 0].reshape(-1, 128)).max() <= 2
    assert np.abs((np.array(r['actions']) + 1) * 127.5 - decoded(a)[..., 0].reshape(-1, 700)).max() <= 2.001

h = h5py.File('flat.hdf5')
cuts = [(0, 5), (5, 9), (9, 12), (12, 16), (16, 20)]
records = dump('flat.lmdb')
assert [r['key'] for r in records] == ['episode_%d' % i for i in range(5)] and [r['key'] for r in dump('flat1.lmdb')] == ['episode_%d' % i for i in (2, 3, 4)]
for r, (a, b) in zip(records, cuts):
    near(r['continuous'], h['observations'][a:b])
    near(r['actions'], h['actions'][a:b])
    near(r['rewards'], h['rewards'][a:b])
    assert r['terminated'] == h['terminals'][a:b].tolist() and r['truncated'] == h['timeouts'][a:b].tolist()
h = h5py.File('atari.hdf5')
for r, (a, b) in zip(dump('atari.lmdb'), [(0, 5), (5, 8), (8, 9)]):
    rgb = np.repeat(h['observations'][a:b][..., None], 3, 3)
    assert (trace('m', rgb)['indices'].reshape(b - a, -1) == np.array(r['codes'])).all() and r['actions'] == h['actions'][a:b][:, None].tolist()
assert ranges('atari.lmdb', 'acted') == {'': [h['actions'][:].max() + 1]}
assert dump('atari.lmdb')[0]['task'] == 'atari'
print('largest difference of a JPEG pixel:', worst)
P
python check.py "$top/tests"
verdict $? "every part equals the arrays, images equal Pillow's"

# quarantined DATASET WHERE: an episode of it is skipped and named, the run goes on when that many are allowed.
quarantined() {
    tokenize episodes --in "$1" --out "q-$1.lmdb" --keep-pixels --max-bad 0.5 >out 2>err &&
        grep -q -e "$2" err && grep -q "\"bad\":$3," out && tokenize info "q-$1.lmdb" | grep -q -e "\"reason\":\"[^\"]*$2"
    verdict $? "fault_038: $1: '$2'"
}
quarantined rows_T "main_data.hdf5:episode_2:observations: 3 rows where total_steps asks for 4" 1
quarantined no_rewards "main_data.hdf5:episode_2:actions: 3 rows where total_steps asks for 2" 1
quarantined cut_jpeg "main_data.hdf5:episode_3:observations: row 2: " 2
grep -q "episode_4:observations: row 0: a JPEG image of 32 x 40, which is not the space's shape" err
verdict $? "fault_038: a JPEG image of another size"
exits 3 "1 of 4 items are bad" episodes --in rows_T --out x1.lmdb
for d in no_space no_act_space; do exits 3 "metadata.json:.*_space: missing; .* making the environment" episodes --in $d --out x.lmdb; done
for d in arrow parquet; do exits 3 "data_format: '$d' is not read here.*MinariStorage" episodes --in $d --out x.lmdb; done
for d in linked filtered huge huger; do
    tokenize episodes --in $d --out "r-$d.lmdb" --keep-pixels --max-bad 1 >out 2>err
    [ $? -eq 3 ] && tail -n 1 err | grep -q 'main_data.hdf5:episode_[12]:[a-z]*: '
    verdict $? "fault_039: $d"
done
grep -q "episode_1:.*refused: claims" err && tokenize episodes --in linked --out r.lmdb --max-bad 1 2>&1 | grep -q "refused: an external link"
verdict $? "fault_039: the reason is told"
cat >lock.py <<'P'
import fcntl, time
f = open('old/data/main_data.hdf5', 'r+b')
fcntl.flock(f, fcntl.LOCK_EX)
open('locked', 'w').close()
time.sleep(20)
P
"$PYTHON" lock.py &
locker=$!
for i in 1 2 3 4 5 6 7 8 9 10; do [ -e locked ] || sleep 0.2; done
exits 3 "locked by a program that is writing it" episodes --in old --out x.lmdb --keep-pixels
kill $locker
wait $locker 2>/dev/null

exits 3 "neither terminals nor timeouts" episodes --in noend.hdf5 --out x.lmdb
tokenize episodes --in short.hdf5 --out x2.lmdb >out 2>err
[ $? -eq 3 ] && grep -q "short.hdf5:episode_0:rewards: 8 rows where total_steps asks for 9" err
verdict $? "a D4RL file whose arrays disagree"
exits 3 "'naughty.hdf5': episode_1, step 1, observations: NaN" episodes --in naughty.hdf5 --out x3.lmdb --strict
works "a flat file's NaN costs its episode" episodes --in naughty.hdf5 --out x3.lmdb --max-bad 0.5
grep -q '"records":1,"skipped":0,"bad":1' out && grep -q "skipped 'episode_1' of 'naughty.hdf5': .*step 1, observations: NaN" err
verdict $? "1 kept, 1 named"
works "a negative action costs its episode" episodes --in minus.hdf5 --out x.lmdb --max-bad 0.5
grep -q '"records":2,"skipped":0,"bad":1' out && grep -q 'episode_0:actions: step 0: -1 is not in 0..7' err && tokenize info x.lmdb | grep -q '"range":\[8\],"side":"acted"'
verdict $? "2 kept, the range is that of the actions there are"
works "NaN among the terminals costs the episode around it" episodes --in nan_end.hdf5 --out x.lmdb --force --max-bad 0.5
grep -q '"records":2,"skipped":0,"bad":1' out && grep -q 'episode_1:terminals: step 1: NaN' err && tokenize dump x.lmdb | grep -q '"episode_2".*"rewards":\[6,7,8\]'
verdict $? "it ends no episode: the others are whole"
exits 3 "give the dataset's folder" episodes --in vlen/data/main_data.hdf5 --out x.lmdb
exits 2 "neither a Minari dataset folder nor an HDF5 file" episodes --in make.py --out x.lmdb
head -c 2000 flat.hdf5 >cut.hdf5
exits 3 "cut.hdf5: truncated, damaged" episodes --in cut.hdf5 --out x.lmdb
works "fault_082: actions beyond [-1,1]" episodes --in beyond.hdf5 --out x4.lmdb
grep -q "18 of 18 actions are outside their bounds" err
verdict $? "fault_082: they are counted"
works "fault_082: observations of 256 and more" episodes --in far --out x5.lmdb
grep -q "6 of 6 continuous observations are 256 or more" err
verdict $? "fault_082: observations are counted"
tokenize episodes --in minus --out x6.lmdb --max-bad 0.5 >out 2>err && grep -q "episode_1:observations: step 2: -1 is not in 0..4" err &&
    grep -q '"records":3,"skipped":0,"bad":1,' out
verdict $? "fault_083: a negative discrete value"
works "fault_089" episodes --in alike --out x7.lmdb
grep -q "all 5 records are the same" err
verdict $? "fault_089: a warning when all records are the same"
works "fault_089: other records" episodes --in odd --out x8.lmdb
grep -q "records are the same" err
[ $? -ne 0 ]
verdict $? "fault_089: none when they differ"
exits 3 "no actions that become tokens" episodes --in texts --out x.lmdb
finish

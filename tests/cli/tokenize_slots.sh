#!/bin/sh
# tokenize_slots.sh - `tokenize episodes`, `dump`, `decode`, `info` and `verify` with several slots of a kind: cameras of
# different sizes of which one drops out, vectors, actions with labels of each, success; the task's name and resuming.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip "slots" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
small_model m 1
vqvae train --data seed --out native --seed 2 --steps 3 --set model.block_out_channels=[8,8] model.norm_num_groups=4 \
    model.num_vq_embeddings=16 model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=2 >out 2>err &&
    mkdir bare && cp native/config.json native/diffusion_pytorch_model.safetensors bare/
verdict $? "a tokenizer that takes images at their own size"

cat >make.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

rng = np.random.default_rng(5)
inf = float('inf')

def smooth(n, h, w):
    y, x = np.mgrid[:h, :w]
    k = rng.random((n, 3, 2))[..., None, None]
    return np.moveaxis(np.uint8(128 + 60 * np.sin(x / 9 + 6 * k[:, :, 0]) + 60 * np.cos(y / 7 + 6 * k[:, :, 1])), 1, -1)

def Dict(**subspaces):
    return {'type': 'Dict', 'subspaces': subspaces}

front, wrist, side = box((32, 48, 3), 'uint8', 0, 255), box((40, 32, 3), 'uint8', 0, 255), box((32, 32, 4), 'uint8', 0, 255)
text = {'type': 'Text', 'max_length': 30, 'min_length': 0, 'charset': 'x'}
space = Dict(camera=Dict(front=front, wrist=wrist), state=Dict(joints=box((3,), 'float32', -inf, inf), speed=box((), 'float64', -1, 2)),
             mode={'type': 'Discrete', 'dtype': 'int64', 'start': -1, 'n': 4}, mission=text)
act = Dict(arm=box((2,), 'float32', [-2, 0], [2, 4]), hand=box((1,), 'float32', -inf, inf), tool={'type': 'Discrete', 'dtype': 'int64', 'start': 1, 'n': 3})

def moves(T):
    return {'arm': np.float32(rng.uniform([-2, 0], [2, 4], (T, 2))), 'hand': np.float32(rng.normal(size=(T, 1)) * 100), 'tool': rng.integers(1, 4, T)}

def episode(T, **infos):
    n = T + 1
    return {'observations': {'camera': {'front': smooth(n, 32, 48), 'wrist': smooth(n, 40, 32)}, 'mode': rng.integers(-1, 3, n),
                             'state': {'joints': np.float32(rng.normal(size=(n, 3))), 'speed': rng.uniform(-1, 2, n)}, 'mission': ['do %d' % T] * n},
            'actions': moves(T), 'rewards': rng.normal(size=T), 'terminations': np.arange(T) == T - 1, 'truncations': np.zeros(T, bool), 'infos': infos}

def flags(*v):
    return np.array(v, bool)

episodes = [episode(4),
            # the wrist drops out, and the joints, whose rows are NaN then
            episode(5, present={'camera': {'wrist': flags(1, 0, 0, 1, 1)}, 'state': {'joints': flags(0, 1, 1, 0, 1, 1)}}, success=flags(0, 1, 0, 1, 1, 0)),
            # there is no wrist at all, nor a text; the expert's actions of two of three
            episode(3, present={'camera': {'wrist': flags(0, 0, 0, 1)}, 'mission': flags(0, 1, 1)}, expert_action={k: v for k, v in moves(3).items() if k != 'hand'}),
            # everything is there; labels of all, with a row at reset
            episode(9, present={'camera': {'wrist': np.ones(10)}, 'mode': np.arange(9) % 3}, expert_action=moves(10), success=np.float32(np.arange(9) > 6))]
episodes[1]['observations']['state']['joints'][flags(1, 0, 0, 1, 0, 0)] = np.nan
write_minari('robot', episodes, space, act, dataset_id='lab/robot/expert-v12')
late = episode(4, present={'state': {'joints': flags(1, 1, 1, 1)}})
late['observations']['state']['joints'][2] = np.nan
write_minari('nan', [late], space, act)
write_minari('depth', [{**episode(3), 'observations': {'a': rng.integers(0, 256, (4, 32, 32, 4), dtype=np.uint8), 'b': smooth(4, 32, 48)}}], Dict(a=side, b=front), act,
             dataset_id='depth-human-v0')
write_minari('only_depth', [{**episode(3), 'observations': rng.integers(0, 256, (4, 32, 32, 4), dtype=np.uint8)}], side, act)
many = {'c%02d' % i: box((1,), 'float32', -1, 1) for i in range(30)}
write_minari('many', [{**episode(3), 'observations': {k: np.zeros((4, 1), np.float32) for k in many}}], Dict(**many), act)
write_minari('tries', [episode(n, success=f) for n, f in ((4, flags(0, 1, 0, 0)), (3, flags(0, 0, 0)), (2, flags(1, 1)))], space, act)
write_minari('nameless', [episode(3), episode(2)], space, act, dataset_id='')
one = lambda v, w: {'observations': v, 'actions': w, 'rewards': np.zeros(3), 'terminations': np.zeros(3, bool), 'truncations': np.zeros(3, bool)}
plain = [one(np.float32(rng.normal(size=(4, 2))), np.float32(rng.uniform(-1, 1, (3, 2)))) for _ in range(2)]
plain[1]['infos'] = {'present': flags(1, 0, 1)}
write_minari('plain', plain, box((2,), 'float32', -inf, inf), box((2,), 'float32', -1, 1), env_spec='no json', dataset_id='x-v1-v2')
P
python make.py "$top/tests"
verdict $? "datasets"

works "all images by themselves" episodes --in robot --out a.lmdb --model m --keep-pixels
grep -q "2 images in each timestep: camera/front, camera/wrist (--obs" err
verdict $? "their number is told"
grep -q '^{"images":37,"episodes":4,"records":4,"skipped":0,"bad":0,' out
verdict $? "images that are there are counted"
works "at their own sizes" episodes --in robot --out b.lmdb --model bare --keep-pixels
works "spread" episodes --in robot --out s.lmdb --model m --frames 2 --spread
works "one camera" episodes --in robot --out o.lmdb --model m --obs image=camera/wrist,vector=state/speed --act vector=arm,discrete=tool --task body
works "continuous is vector" episodes --in robot --out o2.lmdb --model m --obs image=camera/wrist,continuous=state/speed --act continuous=arm,discrete=tool --task body
same "the same dump" o.lmdb o2.lmdb
works "what succeeded" episodes --in tries --out tries.lmdb --model m --successful
grep -q '"episodes":2,"records":2,"skipped":1,"bad":0,' out && grep -q "1 episodes without a success are left out" err &&
    tokenize dump tries.lmdb | cut -d, -f1 | tr '\n' ' ' | grep -qx '{"key":"episode_0" {"key":"episode_2" '
verdict $? "the failed episode is left out, and counted"
exits 4 "tries.lmdb" episodes --in tries --out tries.lmdb --model m
exits 3 "'robot': episode_0 says nothing of success" episodes --in robot --out x3.lmdb --model m --successful
for n in 1 3 16; do
    works "batch $n" episodes --in robot --out "n$n.lmdb" --model bare --batch $n --threads $((n % 2 + 1)) --keep-pixels
    same "codes do not depend on the batch ($n)" b.lmdb "n$n.lmdb"
done
for d in a b s o; do
    model=m
    [ $d = b ] && model=bare
    works "verify $d" verify $d.lmdb --model $model --in robot --sample 0
    grep -q '"codes_different":0}' out
    verdict $? "every image slot of $d is encoded again, to the same codes"
done
works "verify from kept pixels" verify b.lmdb --model bare --sample 0
grep -q '"images_encoded_again":37,' out
verdict $? "all images, and no missing one"
works "decode" decode --model m --in a.lmdb --out d --apng
[ "$(ls d/*.png | wc -l)" -eq 9 ] && [ "$(ls d/*.apng | wc -l)" -eq 7 ] && [ -f d/000003-episode_3.0-camera_front.png ] && [ -f d/contact.1-camera_wrist.png ] &&
    [ ! -e d/000002-episode_2.1-camera_wrist.png ] && grep -q '"records":4,"images":37' out
verdict $? "files a slot"
works "decode one camera" decode --model m --in o.lmdb --out d1
[ -f d1/000003-episode_3.png ] && [ -f d1/contact.png ]
verdict $? "one slot: no name"
works "bare spaces" episodes --in plain --out p.lmdb
grep -q "env_spec is left out" err
verdict $? "an env_spec that is no JSON"
works "info" info a.lmdb
grep -q "robot: 4 episodes" err && grep -q "sees .*32 x 32 image 'camera/wrist', 16 x 16 codes; in 16 of 21 steps" err && grep -q "acts .*vector 'arm' of 2" err
verdict $? "a table of the slots"
exits 3 "'nan': episode_0, step 2, observations/state/joints: NaN" episodes --in nan --out x.lmdb --model m --strict
works "depth is left out" episodes --in depth --out depth.lmdb --keep-pixels
grep -q "observations/a is left out: an image of other than 1 or 3 channels" err
verdict $? "and told"
exits 3 "frames have 4 channels" episodes --in only_depth --out x.lmdb --keep-pixels
exits 4 "more than 32 observations and actions" episodes --in many --out x.lmdb
works "some of many" episodes --in many --out some.lmdb --obs vector=c00+c07
exits 2 "bytes of UTF-8 are possible" episodes --in robot --out x2.lmdb --model m --task ''
works "no id" episodes --in nameless/ --out nameless.lmdb --keep-pixels
works "no id, cut" episodes --in nameless --out c.lmdb --keep-pixels --shard 0/2
exits 4 "task" episodes --in nameless --out nameless.lmdb --keep-pixels --task other
exits 4 'task "body", now (none)' episodes --in robot --out o.lmdb --model m --obs image=camera/wrist,vector=state/speed --act vector=arm,discrete=tool
works "the same again" episodes --in robot --out o.lmdb --model m --obs image=camera/wrist,vector=state/speed --act vector=arm,discrete=tool --task body

cat >check.py <<'P'
import io, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

f = h5py.File('robot/data/main_data.hdf5')
INF = float('inf')
def near(a, b):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    assert a.shape == b.shape and (a == b).all(), (a, b)

def masked(rows, mask):
    """Rows where the mask is set, null elsewhere."""
    return [r if p else None for r, p in zip(rows, mask)]

def scaled(arm):
    return np.float32((np.float64(arm) - [-2, 0]) / [4, 4] * 2 - 1)

def frames(parts, slot):
    at = np.cumsum([0, *parts['pixel_size', slot].tolist()])
    return [np.asarray(Image.open(io.BytesIO(parts['pixels', slot][a:b]))) if b > a else None for a, b in zip(at, at[1:])]

wrists = [[1] * 4, [1, 0, 0, 1, 1], [0] * 3, [1] * 9]
joints = [[1] * 4, [0, 1, 1, 0, 1], [1] * 3, [1] * 9]
modes = [[1] * 4, [1] * 5, [1] * 3, [t % 3 > 0 for t in range(9)]]
for name, model, sizes in (('a', 'm', {'front': (32, 32), 'wrist': (32, 32)}), ('b', 'bare', {'front': (32, 48), 'wrist': (40, 32)})):
    raw = shard(name + '.lmdb')
    made = slots(raw)
    assert list(made) == [('observed', n) for n in ('camera/front', 'camera/wrist', 'mission', 'state/joints', 'state/speed', 'mode')] + [
        ('acted', n) for n in ('arm', 'hand', 'tool')]
    assert made['acted', 'arm'] | {'number': 6} == {'kind': 'vector', 'side': 'acted', 'name': 'arm', 'low': [-2, 0], 'high': [2, 4], 'raw': [0, 0], 'number': 6}
    assert made['acted', 'hand']['raw'] == [1] and made['acted', 'hand']['low'] == [None]
    assert made['acted', 'tool']['range'] == [3] and made['observed', 'mode']['range'] == [4]
    records = dump(name + '.lmdb')
    for i, r in enumerate(records):
        e = f['episode_%d' % i]
        o, T, parts = e['observations'], len(e['rewards']), raw[1, 0, i][1]
        assert r['task'] == 'robot' and record_head(raw, i) == (0, T, 0)
        for slot, camera in enumerate(('front', 'wrist')):
            h, w = sizes[camera]
            mask = wrists[i] if camera == 'wrist' else [1] * T
            leaf = 'camera/' + camera
            assert made['observed', leaf]['image'] == [h, w] and made['observed', leaf]['grid'] == [h // 2, w // 2]
            if not any(mask):
                assert r['codes'][leaf] is None and r['grid'][leaf] is None and ('codes', slot) not in parts and ('present', slot) not in parts
                continue
            assert parts['sizes', slot].tolist() == [h // 2, w // 2, h, w] and r['grid'][leaf] == [h // 2, w // 2]
            seen = frames(parts, slot)
            assert [s is not None for s in seen] == [bool(p) for p in mask]
            there = np.stack([s for s in seen if s is not None])
            assert there.shape[1:3] == (h, w)
            if name == 'b':  # nothing is scaled
                assert (there == np.stack([x for x, p in zip(o[leaf][:-1], mask) if p])).all()
            codes = trace(model, there)['indices'].reshape(len(there), -1).tolist()
            assert [c for c in r['codes'][leaf] if c is not None] == codes and [c is not None for c in r['codes'][leaf]] == [bool(p) for p in mask]
            stored = parts['codes', slot].reshape(T, -1)
            assert all((stored[t] == 0).all() for t in range(T) if not mask[t])
        near([x for x in r['continuous']['state/joints'] if x], o['state/joints'][:-1][np.array(joints[i], bool)])
        assert [x is not None for x in r['continuous']['state/joints']] == [bool(p) for p in joints[i]]
        stored = parts['vector', 3].reshape(T, 3)
        assert all((stored[t] == 0).all() for t in range(T) if not joints[i][t])
        near(r['continuous']['state/speed'], o['state/speed'][:-1][:, None])
        assert r['discrete'] == masked((o['mode'][:-1] + 1)[:, None].tolist(), modes[i])  # one discrete slot: no names
        assert r['text'] == (None if i == 2 else list(o['mission'][0]) + [256])
        present = {k: [bool(p) for p in m[i]] for k, m in (('camera/wrist', wrists), ('state/joints', joints), ('mode', modes)) if not all(m[i]) and any(m[i])}
        assert r.get('present', {}) == present, (i, r.get('present'))
        a = e['actions']
        assert list(r['actions']) == ['arm', 'hand', 'tool']
        near(r['actions']['arm'], scaled(a['arm'][:]))
        near(r['actions']['hand'], a['hand'][:])
        assert r['actions']['tool'] == (a['tool'][:] - 1)[:, None].tolist()
        if i < 2:
            assert r['label_actions'] is None
        else:
            x = e['infos/expert_action']
            near(r['label_actions']['arm'], scaled(x['arm'][:T]))
            assert r['label_actions']['tool'] == (x['tool'][:T] - 1)[:, None].tolist()
            if i == 2:
                assert r['label_actions']['hand'] is None and ('label_vector', 7) not in parts
            else:
                near(r['label_actions']['hand'], x['hand'][:T])
        want = {1: [True, False, True, True, False], 3: [t > 6 for t in range(9)]}.get(i)
        assert r.get('success') == want and (parts.get('success') == (bytes(want) if want else None)), r.get('success')

# the steps that --spread chooses, of every array alike
whole = {r['key']: r for r in dump('a.lmdb')}
for r in dump('s.lmdb'):
    a, T = whole[r['key']], len(whole[r['key']]['rewards'])
    steps = [j * T // 2 + (xxh64(r['key'].encode(), j) * ((j + 1) * T // 2 - j * T // 2) >> 64) for j in range(2)]
    pick = lambda v: v and [v[t] for t in steps]
    assert r['rewards'] == pick(a['rewards']) and r.get('success') == pick(a.get('success')) and r['text'] == a['text']
    for key in ('codes', 'continuous', 'actions', 'label_actions'):
        for name, v in (a[key] or {}).items():
            want = pick(v)
            assert r[key][name] == (want if want and any(x is not None for x in want) else None), (key, name)

for r, w in zip(dump('o.lmdb'), dump('a.lmdb')):
    e = f[r['key']]
    assert r['task'] == 'body' and r['codes'] == w['codes']['camera/wrist'] and r['continuous'] == w['continuous']['state/speed'] and r['discrete'] is None
    assert r['actions'] == [x + y for x, y in zip(w['actions']['arm'], w['actions']['tool'])] and r['text'] is None
    if r['label_actions']:  # one vector, one discrete: rows of both
        assert r['label_actions'] == [x + y for x, y in zip(w['label_actions']['arm'], w['label_actions']['tool'])]

strip, film = np.asarray(Image.open('d/000001-episode_1.1-camera_wrist.png')), Image.open('d/000001-episode_1.1-camera_wrist.apng')
assert strip.shape == (32, 5 * 32, 3) and film.n_frames == 5
gray = [bool((strip[:, 32 * t:32 * t + 32] == 128).all()) for t in range(5)]
assert gray == [False, True, True, False, False]

p = dump('p.lmdb')
assert p[0]['task'] == 'x-v1' and p[1]['present'] == {'': [True, False, True]} and p[1]['continuous'][1] is None and 'present' not in p[0]
assert {r['task'] for r in dump('nameless.lmdb') + dump('c.lmdb')} == {'nameless'} and dump('depth.lmdb')[0]['task'] == 'depth-human'
info = json.loads(subprocess.run(['tokenize', 'info', 'a.lmdb'], check=True, capture_output=True).stdout)
assert info['tasks'] == json.loads(shard('a.lmdb')[0, 0, 0][1]['tasks'])
assert info['task_counts'] == [{'task': 'robot', 'records': 4, 'steps': 21,
                                'observed': {'camera/front': 21, 'camera/wrist': 16, 'mission': 3, 'state/joints': 19, 'state/speed': 21, 'mode': 18},
                                'acted': {'arm': 21, 'hand': 21, 'tool': 21}}], info['task_counts']
counted = np.bincount([c for r in dump('a.lmdb') for v in r['codes'].values() for row in v or [] if row for c in row], minlength=16)
assert info['image_tokens'] == counted.sum() == 37 * 256 and info['histogram']['used'] == (counted > 0).sum() and dict(info['histogram']['top']) == {
    int(c): int(counted[c]) for c in sorted(range(16), key=lambda c: (-counted[c], c))[:10] if counted[c]}
P
python check.py "$top/tests"
verdict $? "every slot equals the dataset's arrays, codes equal vqvae trace's"
finish

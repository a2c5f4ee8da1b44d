#!/bin/sh
# lerobot.sh - pipelines/lerobot_to_minari.py: what it says when packages are missing, and datasets of LeRobot v2.1 and v3.0
# with images in their tables. Debian has no pyarrow: a stand-in of it reads the tables from JSON here, so that the
# converter's own work (episodes, tasks, spaces, rows) is tested; tests/interop/lerobot.py does it with real files and videos.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip "lerobot" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
script=$top/pipelines/lerobot_to_minari.py
mkdir -p none stub/pyarrow
"$PYTHON" -I -c 'import pyarrow' 2>/dev/null || {
    "$PYTHON" "$script" --in none --out x >out 2>err
    [ $? -eq 1 ] && grep -q 'pyarrow.parquet is missing: .*pip install pyarrow' err
    verdict $? "pyarrow missing is told"
}
: >stub/pyarrow/__init__.py
cat >stub/pyarrow/parquet.py <<'P'
import json, base64
import numpy as np

class Column(list):
    def to_pylist(self):
        return list(self)
    def to_numpy(self):
        return np.array(self)
    def __getitem__(self, i):
        v = list.__getitem__(self, i)
        return type('Scalar', (), {'as_py': lambda self: v})()

class Table:
    def __init__(self, columns):
        self.columns, self.column_names = columns, list(columns)
        self.num_rows = len(next(iter(columns.values())))
    def column(self, name):
        return Column(self.columns[name])
    def slice(self, first, n):
        return Table({k: v[first:first + n] for k, v in self.columns.items()})
    def to_pylist(self):
        return [dict(zip(self.columns, row)) for row in zip(*self.columns.values())]

def read_table(path):
    columns = json.load(open(path))
    for v in columns.values():
        for cell in v:
            if isinstance(cell, dict) and cell.get('bytes'):
                cell['bytes'] = base64.b64decode(cell['bytes'])
    return Table(columns)
P
cat >make.py <<'P'
import base64, io, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
rng = np.random.default_rng(5)
lengths = [4, 6, 3]
scalar = {'dtype': 'int64', 'shape': [1], 'names': None}
features = {'observation.image': {'dtype': 'image', 'shape': [32, 40, 3], 'names': ['height', 'width', 'channels']},
            'observation.images.top': {'dtype': 'image', 'shape': [3, 32, 32], 'names': ['channels', 'height', 'width']},
            'observation.state': {'dtype': 'float32', 'shape': [3], 'names': None}, 'observation.gripper': {'dtype': 'float32', 'shape': [1], 'names': None},
            'action': {'dtype': 'float32', 'shape': [2], 'names': None}, 'next.reward': {'dtype': 'float32', 'shape': [1]}, 'next.done': {'dtype': 'bool', 'shape': [1]},
            'frame_index': scalar, 'episode_index': scalar, 'index': scalar, 'task_index': scalar}
def cell(a):
    b = io.BytesIO()
    Image.fromarray(a).save(b, 'PNG')
    return {'bytes': base64.b64encode(b.getvalue()).decode(), 'path': None}
truth = []
for T in lengths:
    truth.append({'image': rng.integers(0, 256, (T, 32, 40, 3), np.uint8), 'top': rng.integers(0, 256, (T, 32, 32, 3), np.uint8), 'state': np.float32(rng.normal(size=(T, 3))),
                  'gripper': np.float32(rng.random(T)), 'action': np.float32(rng.normal(size=(T, 2)) * 4), 'reward': np.arange(T) / 4, 'done': np.arange(T) == T - 1})
truth[1]['done'][:] = False
def columns(i, start):
    e, T = truth[i], lengths[i]
    return {'observation.image': list(map(cell, e['image'])), 'observation.images.top': list(map(cell, e['top'])), 'observation.state': e['state'].tolist(),
            'observation.gripper': e['gripper'].tolist(), 'action': e['action'].tolist(), 'next.reward': e['reward'].tolist(), 'next.done': e['done'].tolist(),
            'frame_index': list(range(T)), 'episode_index': [i] * T, 'index': list(range(start, start + T)), 'task_index': [i % 2] * T}
def save(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    json.dump(value, open(path, 'w'))
def rows(path, values):
    open(path, 'w').write(''.join(json.dumps(v) + '\n' for v in values))
starts = np.cumsum([0] + lengths).tolist()
base = {'fps': 10, 'features': features, 'chunks_size': 2, 'video_path': None}
save('v21/meta/info.json', {**base, 'codebase_version': 'v2.1', 'data_path': 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'})
rows('v21/meta/episodes.jsonl', [{'episode_index': i, 'tasks': [], 'length': T} for i, T in enumerate(lengths)])
rows('v21/meta/tasks.jsonl', [{'task_index': 1, 'task': 'lift \u00f6'}, {'task_index': 0, 'task': 'push'}])
for i in range(3):
    save('v21/data/chunk-%03d/episode_%06d.parquet' % (i // 2, i), columns(i, starts[i]))
save('v30/meta/info.json', {**base, 'codebase_version': 'v3.0', 'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'})
save('v30/meta/tasks.parquet', {'task_index': [0, 1], '__index_level_0__': ['push', 'lift \u00f6']})
save('v30/meta/episodes/chunk-000/file-000.parquet', {'episode_index': [0, 1], 'length': lengths[:2], 'data/chunk_index': [0, 0], 'data/file_index': [0, 0]})
save('v30/meta/episodes/chunk-000/file-001.parquet', {'episode_index': [2], 'length': lengths[2:], 'data/chunk_index': [0], 'data/file_index': [1]})
a, b = columns(0, 0), columns(1, starts[1])
save('v30/data/chunk-000/file-000.parquet', {k: a[k] + b[k] for k in a})
save('v30/data/chunk-000/file-001.parquet', columns(2, starts[2]))
save('short/meta/info.json', {**base, 'codebase_version': 'v2.1', 'data_path': 'data/episode_{episode_index:06d}.parquet'})
rows('short/meta/episodes.jsonl', [{'episode_index': i, 'tasks': [], 'length': T + (i == 1)} for i, T in enumerate(lengths)])
rows('short/meta/tasks.jsonl', [])
for i in range(3):
    save('short/data/episode_%06d.parquet' % i, columns(i, starts[i]))
save('v16/meta/info.json', {**base, 'codebase_version': 'v1.6'})
np.savez('truth.npz', **{k + str(i): v for i, e in enumerate(truth) for k, v in e.items()})
P
python make.py "$top/tests"
verdict $? "datasets"
convert() { PYTHONPATH=stub "$PYTHON" "$script" "$@" >out 2>err; }
for v in v21 v30; do
    convert --in $v --out m$v && grep -q '{"episodes": 3, "steps": 13, "bad": 0}' out
    verdict $? "$v"
    works "$v tokenized" episodes --in m$v --out $v.lmdb --keep-pixels --obs image=images.top,vector=state+gripper,text=task
done
cat >check.py <<'P'
import io, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
t = np.load('truth.npz')
low, high = (np.float64(f([f(t['action%d' % i], 0) for i in range(3)], 0)) for f in (np.min, np.max))
for name in ('v21', 'v30'):
    raw = shard(name + '.lmdb')
    for i, r in enumerate(dump(name + '.lmdb')):
        p = raw[1, 0, i][1]
        at = np.cumsum([0, *p['pixel_size'].tolist()])
        frames = [np.asarray(Image.open(io.BytesIO(p['pixels'][a:b]))) for a, b in zip(at, at[1:])]
        assert (np.stack(frames) == t['top%d' % i]).all()
        assert list(r['continuous']) == ['state', 'gripper'] and (np.float32(r['continuous']['state']) == t['state%d' % i]).all()
        assert (np.float32(r['continuous']['gripper'])[:, 0] == t['gripper%d' % i]).all()
        want = (np.float64(t['action%d' % i]) - low) / (high - low) * 2 - 1
        assert np.abs(want - r['actions']).max() < 1e-6
        assert bytes(r['text'][:-1]).decode() == ['push', 'lift \u00f6'][i % 2]
        assert r['rewards'] == t['reward%d' % i].tolist() and r['terminated'] == t['done%d' % i].tolist()
        assert r['truncated'] == [False] * (len(want) - 1) + [i == 1]
    f = h5py.File('m' + name + '/data/main_data.hdf5')
    assert (f['episode_2/observations/image'][:-1] == t['image2']).all() and f['episode_2/observations/image'].shape[0] == 4
P
python check.py "$top/tests"
verdict $? "frames, numbers, tasks and flags equal the tables"
convert --in v30 --out one --camera observation.image --size 20,16 --limit 2 && "$PYTHON" -c '
import h5py
f = h5py.File("one/data/main_data.hdf5")
assert sorted(f) == ["episode_0", "episode_1"] and f["episode_0/observations/image"].shape == (5, 16, 20, 3) and "images.top" not in f["episode_0/observations"]
' >>out 2>>err
verdict $? "one camera, another size"
convert --in v21 --out mv21
[ $? -eq 2 ] && grep -q "'mv21' exists: --force" err
verdict $? "an existing dataset stays"
convert --in short --out s
[ $? -eq 3 ] && grep -q 'skipped episode 1: .*6 rows, its length is 7' err && [ ! -e s/data/main_data.hdf5 ]
verdict $? "fault_040: rows that do not fit the episode"
convert --in short --out s --max-bad 0.5 && grep -q '"episodes": 2, "steps": 7, "bad": 1' out
verdict $? "fault_040: within --max-bad"
convert --in v16 --out x
[ $? -eq 4 ] && grep -q "version 'v1.6'" err
verdict $? "an old version is refused"
convert --in none --out x
[ $? -eq 2 ] && grep -q "'none' is no LeRobot dataset" err
verdict $? "no dataset"
# --- JSON that is spread over lines or in one list is read; what is missing or broken is one line
cat >vary.py <<'P'
import json, os, shutil, sys
def rows(name):
    return [json.loads(line) for line in open('v21/meta/' + name)]
def made(name, source='v21'):
    shutil.rmtree(name, ignore_errors=True)
    shutil.copytree(source, name)
    return name + '/meta/'
def info(name, change, source='v21'):
    meta = made(name, source)
    old = json.load(open(meta + 'info.json'))
    new = change(old)
    json.dump(old if new is None else new, open(meta + 'info.json', 'w'))
def table(name, change):
    made(name)
    for i in range(3):
        path = name + '/data/chunk-%03d/episode_%06d.parquet' % (i // 2, i)
        columns = json.load(open(path))
        change(columns)
        json.dump(columns, open(path, 'w'))
def write(path, text):
    open(path, 'w', encoding='utf-8').write(text)
both = ('tasks.jsonl', 'episodes.jsonl')
for name, say in (('pretty', lambda r: '\n'.join(json.dumps(x, indent=2) for x in r)), ('list', lambda r: json.dumps(r)), ('prettylist', lambda r: json.dumps(r, indent=1)),
                  ('bom', lambda r: '\ufeff' + '\r\n'.join(map(json.dumps, r)))):
    meta = made(name)
    for f in both:
        write(meta + f, say(rows(f)))
for f in both:
    os.remove(made('no_' + f) + f)
    write(made('cut_' + f) + f, json.dumps(rows(f))[:-9])
    write(made('words_' + f) + f, '"push"\n"lift"\n')
    write(made('keyless_' + f) + f, '{"a": 1}\n')
    open(made('bytes_' + f) + f, 'wb').write(b'\xff\xfe{\0')
write(made('none') + 'episodes.jsonl', '')
info('info_list', lambda o: [o])
info('info_features', lambda o: o.pop('features') and None)
info('info_fps', lambda o: o.pop('fps') and None)
info('info_fps0', lambda o: o.update(fps=0))
info('info_chunks', lambda o: o.update(chunks_size=0))
info('info_path', lambda o: o.pop('data_path') and None)
info('info_shape', lambda o: o['features']['observation.image'].update(shape=[32]))
info('info_dtype', lambda o: o['features']['action'].pop('dtype') and None)
info('info_video', lambda o: o['features']['observation.image'].update(dtype='video'))
info('path_field', lambda o: o.update(data_path='data/{nothing}.parquet'))
info('path_wrong', lambda o: o.update(data_path='data/chunk-{episode_chunk:05d}/episode_{episode_index:06d}.parquet'))
for c in ('action', 'observation.state', 'observation.image', 'task_index', 'episode_index'):
    table('column_' + c, lambda o: o.pop(c) and None)
table('cell', lambda o: o['observation.image'].__setitem__(1, None))
table('null', lambda o: o['action'].__setitem__(1, None))
table('noimage', lambda o: o['observation.image'].__setitem__(1, {'bytes': 'AAAA', 'path': None}))
made('v3_tasks', 'v30'); os.remove('v3_tasks/meta/tasks.parquet')
made('v3_episodes', 'v30'); shutil.rmtree('v3_episodes/meta/episodes')
made('v3_broken', 'v30'); write('v3_broken/meta/tasks.parquet', 'PAR1')
P
"$PYTHON" vary.py
verdict $? "variants"
for v in pretty list prettylist bom; do
    convert --in $v --out m$v && sed "s#lerobot/$v-#lerobot/v21-#" m$v/data/metadata.json | cmp - mv21/data/metadata.json
    verdict $? "$v: read as one object a line is"
done
# told STATUS LINES PATTERN FOLDER: so many lines on stderr, the first with PATTERN, no traceback, nothing made
told() {
    convert --in "$4" --out told
    rc=$?
    [ $rc -eq "$1" ] && [ "$(wc -l <err)" -eq "$2" ] && head -n 1 err | grep -q -e "^lerobot_to_minari: .*$3" && [ ! -e told/data/main_data.hdf5 ]
    verdict $? "$4: status $rc: $3"
}
for f in tasks.jsonl episodes.jsonl; do
    told 3 1 "no_$f/meta/$f': No such file.*whole folder meta" no_$f
    told 3 1 "meta/$f': .*one JSON object a line" cut_$f
    told 3 1 "meta/$f': item 1 is no object" words_$f
    told 3 1 "meta/$f': item 1 is no object with a whole number '[a-z]*_index'" keyless_$f
    told 3 1 "meta/$f': .*decode" bytes_$f
done
told 3 1 "none/meta' names no episodes" none
told 3 1 "info.json': no JSON object" info_list
told 3 1 "info.json': 'features'" info_features
told 3 1 "info.json': 'fps'" info_fps
told 3 1 "info.json': 'fps'" info_fps0
told 3 1 "info.json': 'chunks_size'" info_chunks
told 3 1 "info.json': 'data_path' is missing" info_path
told 3 1 "info.json': camera 'observation.image'" info_shape
told 3 1 "info.json': feature 'action' needs a dtype" info_dtype
told 3 1 "info.json': 'video_path' is missing" info_video
told 3 4 "skipped episode 0: data_path .* does not fit: 'nothing'" path_field
told 3 4 "skipped episode 0: path_wrong/data/chunk-00000/episode_000000.parquet: .*No such file" path_wrong
for c in action observation.state observation.image task_index episode_index; do
    told 3 4 "skipped episode 0: column_$c/data/chunk-000/episode_000000.parquet: column '$c' is missing" "column_$c"
done
told 3 4 'skipped episode 0: column observation.image: a cell holds no image' cell
told 3 4 'skipped episode 0: column action: ' null
told 3 4 'skipped episode 0: column observation.image: cannot identify' noimage
told 3 1 "v3_tasks/meta/tasks.parquet' is missing" v3_tasks
told 3 1 "v3_episodes/meta/episodes/.*' is missing" v3_episodes
told 3 1 "v3_broken/meta/tasks.parquet': " v3_broken
: >file
convert --in v21 --out file/x
[ $? -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "^lerobot_to_minari: .*file/x" err
verdict $? "an output that cannot be made"
convert --in v21 --out x --camera observation.images.left
[ $? -eq 2 ] && grep -q 'no camera observation.images.left; there are: observation.image, observation.images.top' err
verdict $? "no such camera"
finish

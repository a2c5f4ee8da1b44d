#!/bin/sh
# gato_columns.sh - columns of recordings from tokenize to a policy: names and order of a Dict's leaves, actions whose bounds say nothing,
# every file read back by the program that needs it. Datasets by h5py, expectations by numpy.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip "columns" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi

cat >make.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
inf, f32, f64 = float('inf'), float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)

def write(name, obs, act, make, n=40, T=6):
    os.makedirs(name + '/data')
    with h5py.File(name + '/data/main_data.hdf5', 'w') as f:
        for i in range(n):
            g = f.create_group('episode_%d' % i)
            g.attrs['total_steps'] = T
            o, a = make(i, T)
            for field, value in (('observations', o), ('actions', a)):
                for k, v in (value.items() if isinstance(value, dict) else [('', value)]):
                    g.create_dataset((field + '/' + k).rstrip('/'), data=v)
            g.create_dataset('rewards', data=np.zeros(T))
            g.create_dataset('terminations', data=np.zeros(T, bool))
            g.create_dataset('truncations', data=np.zeros(T, bool))
    json.dump({'total_episodes': n, 'total_steps': n * T, 'dataset_id': 'test/x-v0', 'observation_space': json.dumps(obs), 'action_space': json.dumps(act)},
              open(name + '/data/metadata.json', 'w'))

# one environment, the keys of its Dicts in another order, and others of the same widths
def Dict(keys, spaces): return {'type': 'Dict', 'subspaces': {k: spaces[k] for k in keys}}
boxes = {k: box((2,), 'float32', -1000, 1000) for k in ('a', 'b', 'zoom', 'Z')}
def named(i, T): return {k: np.float32(100 * j + i + np.zeros((T + 1, 2))) for j, k in enumerate(('a', 'b', 'zoom'))}, {k: np.float32(np.full((T, 2), j + i / 100)) for j, k in enumerate(('a', 'b'))}
write('sorted', Dict(('a', 'b', 'zoom'), boxes), Dict(('a', 'b'), boxes), named)
write('inserted', Dict(('zoom', 'b', 'a'), boxes), Dict(('b', 'a'), boxes), named)
def renamed(i, T):
    o, a = named(i, T)
    return {{'zoom': 'Z'}.get(k, k): v for k, v in o.items()}, a
write('renamed', Dict(('a', 'b', 'Z'), boxes), Dict(('a', 'b'), boxes), renamed)
def acts(i, T):
    o, a = named(i, T)
    return o, {{'b': 'zoom'}.get(k, k): v for k, v in a.items()}
write('acts', Dict(('a', 'b', 'zoom'), boxes), Dict(('a', 'zoom'), boxes), acts)

# bounds that say nothing, beside bounds that do
rng = np.random.default_rng(5)
wide = {'open': ([-inf, -1], [inf, 1]), 'above': ([0, -1], [inf, 1]), 'below': ([-inf, -1], [5, 1]), 'f32': ([-f32, -1], [f32, 1]), 'half_f32': ([0, -1], [f32, 1]),
        'f64': ([-f64, -1], [f64, 1]), 'f16': ([-65504, -1], [65504, 1]), 'half_f16': ([0, -1], [65504, 1]), 'i32': ([-2.0**31, -1], [2.0**31 - 1, 1]), 'sane': ([-1e4, -1], [1e4, 1]),
        'zero': ([0, -1], [0, 1]), 'one': ([1, -1], [1, 1])}
for name, (low, high) in wide.items():
    write(name, box((1,), 'float32', -inf, inf), box((2,), 'float64' if name == 'f64' else 'float32', low, high),
          lambda i, T: (np.zeros((T + 1, 1), np.float32), np.float32(np.column_stack([rng.normal(2 + i / 20, 0.5, T).clip(0, 4.9), rng.uniform(-1, 1, T)]))))
write('still', box((1,), 'float32', -inf, inf), box((2,), 'float32', [-inf, -1], [inf, 1]),
      lambda i, T: (np.zeros((T + 1, 1), np.float32), np.float32(np.column_stack([np.full(T, 7.5), rng.uniform(-1, 1, T)]))))
P
$PYTHON make.py "$top/tests" >out 2>err || { cat err; exit 1; }

shard() { tokenize episodes --in "$1" --out "$1.lmdb" >"$1.out" 2>"$1.err"; }
learn() { # RUN DATA...
    run=$1
    shift
    gato train --out "$run" --data "$@" --seed 1 --steps 3 --threads 1 --set model.width=16 model.layers=1 model.heads=2 model.context=64 train.batch=2 train.tensorboard=false data.holdout=0.2 >out 2>err
}
refused() { # NAME PATTERN PATTERN
    [ "$rc" -eq 4 ] && [ ! -s out ] && grep -q -e "$2" err && grep -q -e "$3" err
    verdict $? "$1: status $rc, wanted 4 with '$2' and '$3'"
}

# --- names and order
for d in sorted inserted renamed acts; do
    shard $d
    verdict $? "tokenize $d"
    tokenize dump $d.lmdb | sed 's/"source":"[a-z]*"//' >$d.dump
done
cmp -s sorted.dump inserted.dump && head -n 1 sorted.dump | grep -q '"continuous":{"a":\[\[0,0\].*"b":\[\[100,100\].*"zoom":\[\[200,200\]' && grep -q '"actions":{"a":\[\[' sorted.dump
verdict $? "the order of the metadata's keys changes nothing"
tokenize info inserted.lmdb 2>err | grep -q '"name":"a","side":"observed"},.*"name":"b","side":"observed"},.*"name":"zoom","side":"observed"},.*"name":"a","raw":\[0,0\],"side":"acted"},.*"name":"b","raw":\[0,0\],"side":"acted"}'
verdict $? "info shows the names"
learn both sorted.lmdb inserted.lmdb
verdict $? "both orders train together"
learn no sorted.lmdb renamed.lmdb
rc=$?
refused "other observations" "vector 'zoom' of 2" "vector 'Z' of 2"
learn no sorted.lmdb acts.lmdb
rc=$?
refused "other actions" "acted vector 'b' of 2\|vector 'b' of 2" "vector 'zoom' of 2"
[ ! -e no ]
verdict $? "nothing is left of what was refused"
gato info both | grep -q 'zoom'
verdict $? "a RUN remembers the names"
gato eval --model both --data inserted.lmdb --split all >out 2>err
verdict $? "eval on the same names"
gato eval --model both --data renamed.lmdb >out 2>err
rc=$?
refused "eval on others" "'zoom'" "'Z'"
gato trace --model both --data acts.lmdb --out t.safetensors >out 2>err
rc=$?
refused "trace of others" "'b'" "'zoom'"
tokenize episodes --in sorted --out own.lmdb --obs continuous=zoom+a+b >out 2>err && tokenize dump own.lmdb | head -n 1 | grep -q '"continuous":{"zoom":\[\[200,200\].*"a":\[\[0,0\].*"b":\[\[100,100\]'
verdict $? "--obs keeps the user's order"
learn own sorted.lmdb own.lmdb
verdict $? "an order of one's own beside the default: slots go by their names"
for d in sorted own; do gato eval --model own --data $d.lmdb --split all --threads 1 2>err | sed 's/"source":"[a-z.]*"//' >$d.eval; done
cmp -s sorted.eval own.eval && grep -q '"loss":[0-9]' own.eval
verdict $? "and the policy reads the same in both: $(cat own.eval)"
tokenize episodes --in sorted --out p0.lmdb --shard 0/2 >out 2>err && tokenize episodes --in sorted --out p1.lmdb --shard 1/2 --obs continuous=b+a+zoom >out 2>err
verdict $? "two parts, two orders"
tokenize merge --out m.lmdb p0.lmdb p1.lmdb >out 2>err
rc=$?
refused "merge" "vector 'a' of 2, vector 'b' of 2, vector 'zoom'" "vector 'b' of 2, vector 'a' of 2, vector 'zoom'"

# --- bounds
cat >check.py <<'P'
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
name, how = sys.argv[2:4]
def lines(*a): return [json.loads(x) for x in subprocess.run(a, check=True, capture_output=True, text=True).stdout.splitlines()]
data = h5py.File(name + '/data/main_data.hdf5')
records = {r['key']: np.array(r['actions']) for r in lines('tokenize', 'dump', name + '.lmdb')}
train, meta = [], lines('tokenize', 'info', name + '.lmdb')[0]
assert meta['tasks'][0]['slots'][-1]['raw'] == [how != 'scaled', False]
for key, a in records.items():
    want = np.float64(data[key + '/actions'][:])
    if how == 'scaled':
        want[:, 0] /= 1e4
    assert np.allclose(a, want, rtol=1e-6, atol=1e-7), (key, a, want)
    if xxh64(key.encode()) % 1000 >= 200:
        train += list(np.float64(data[key + '/actions'][:, 0]))
assert 0 < len(train) < 240
tasks = lines('gato', 'info', 'run-' + name)[0]['tasks']
slot = tasks[0]['slots'][-1]
low, high = np.quantile(train, [0.01, 0.99])
assert slot['scaling'] == ['quantiles', 'declared'], slot['scaling']
assert np.allclose([slot['scale_low'][0], slot['scale_high'][0]], [low, high], rtol=1e-5), (slot, low, high)
assert [slot['scale_low'][1], slot['scale_high'][1]] == [-1, 1]
config = json.load(open('run-' + name + '/config.json'))
assert config['tasks'] == tasks
P
for d in open above below f32 half_f32 f64 f16 half_f16 i32 sane still zero one; do
    shard $d
    verdict $? "tokenize $d"
    how=raw
    [ $d = sane ] && how=scaled
    learn run-$d $d.lmdb && [ "$(grep -c "warning: task 'test', action\[0\]: its bounds .*scaled by the quantiles 1 % and 99 % of the training side" err)" -eq 1 ] && ! grep -q 'action.1' err
    verdict $? "$d: training says once which action is scaled by what"
    $PYTHON check.py "$top/tests" $d $how >out 2>err
    verdict $? "$d: numbers as recorded, quantiles of the training side in the RUN"
    gato eval --model run-$d --data $d.lmdb >out 2>err && grep -q '"action_mae":[0-9]' out && ! grep -q warning err
    verdict $? "$d: eval opens it and says nothing"
    gato trace --model run-$d --data $d.lmdb --out t.safetensors >out 2>err
    verdict $? "$d: trace"
    for i in 2 0 1; do tokenize episodes --in $d --out part.$i.lmdb --shard $i/3 --force >out 2>err || cat err; done
    tokenize merge --out merged.lmdb part.?.lmdb --force >out 2>err && tokenize dump merged.lmdb >a && tokenize dump $d.lmdb | cmp -s - a
    verdict $? "$d: parts merge to the same"
done
# a resume keeps the ends; another seed or number of threads finds the same
cp run-open/config.json before.json
gato train --out run-open --data open.lmdb --seed 1 --steps 5 --threads 1 --resume --set model.width=16 model.layers=1 model.heads=2 model.context=64 train.batch=2 train.tensorboard=false data.holdout=0.2 >out 2>err
grep -o '"scale_low".*' before.json >a
grep -o '"scale_low".*' run-open/config.json | cmp -s - a && [ -s a ] && ! grep -q 'warning: task' err
verdict $? "--resume keeps them without a word"
finish

#!/bin/sh
# gato_bins.sh - bins of equal shares (model.bin_kind = quantile) from recordings to a policy: numpy over the same recordings, the same bytes
# for any number of threads and after a stop, what --init and --resume keep, what cannot be meant, a RUN whose bins were damaged.
. "$(dirname "$0")/../tokenize_common.sh"
if ! has_python; then
    skip "bins" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
cat >make.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
rng = np.random.default_rng(3)
n, T, inf = 40, 16, float('inf')
os.makedirs('arm/data')
with h5py.File('arm/data/main_data.hdf5', 'w') as f:
    for i in range(n):
        g = f.create_group('episode_%d' % i)
        g.attrs['total_steps'] = T
        wide, grip = rng.normal(2 + i / 20, 0.5, T), rng.integers(0, 2, T) * 2 - 1
        fine = np.where(rng.random(T) < 0.6, 0, rng.laplace(0, 0.1, T).clip(-1, 1))
        g.create_dataset('observations', data=np.float32(rng.normal(0, 1, (T + 1, 1))))
        g.create_dataset('actions', data=np.float32(np.column_stack([wide, fine, grip, np.full(T, 0.25)])))
        g.create_dataset('rewards', data=np.zeros(T))
        g.create_dataset('terminations', data=np.zeros(T, bool))
        g.create_dataset('truncations', data=np.zeros(T, bool))
json.dump({'total_episodes': n, 'total_steps': n * T, 'dataset_id': 'test/arm-v0', 'observation_space': json.dumps(box((1,), 'float32', -inf, inf)),
           'action_space': json.dumps(box((4,), 'float32', [-inf, -1, -1, -1], [inf, 1, 1, 1]))}, open('arm/data/metadata.json', 'w'))
P
$PYTHON make.py "$top/tests" >out 2>err || { cat err; exit 1; }
tokenize episodes --in arm --out arm.lmdb >out 2>err
verdict $? "a shard"
cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 24, "bins": 8, "bin_kind": "quantile"}, "optim": {"warmup": 2, "lr": 0.01},
 "train": {"steps": 20, "batch": 8, "save_every": 10, "eval_every": 10, "log_every": 5, "tensorboard": false}, "data": {"holdout": 0.2}}
Y
learn() { # RUN ARGUMENTS...
    run=$1
    shift
    gato train --out "$run" --data arm.lmdb --config policy.json --threads 1 "$@" >out 2>err
}
refuses() { # STATUS PATTERN ARGUMENTS...
    want=$1 pattern=$2
    shift 2
    gato "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ]
    verdict $? "gato $*: status $rc, wanted $want and '$pattern'"
}
learn base
verdict $? "a policy of bins of equal shares"

# --- numpy
cat >check.py <<'P'
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
def lines(*a): return [json.loads(x) for x in subprocess.run(a, check=True, capture_output=True, text=True).stdout.splitlines()]
data = h5py.File('arm/data/main_data.hdf5')
keys = [r['key'] for r in lines('tokenize', 'dump', 'arm.lmdb')]
train = np.concatenate([data[k + '/actions'][:] for k in keys if xxh64(k.encode()) % 1000 >= 200]).astype(np.float64)
assert 0 < len(train) < 640
slot = json.load(open('base/config.json'))['tasks'][0]['slots'][-1]
low, high = np.float64(slot['scale_low']), np.float64(slot['scale_high'])
v = (2 * (train - low) / (high - low) - 1).clip(-1, 1)
edges, values = np.float64(slot['bin_edges']).reshape(4, 7), np.float64(slot['bin_values']).reshape(4, 8)
n, at = len(v), [np.searchsorted(edges[k], v[:, k], side='right') for k in range(4)]
for k in range(4):
    for b in np.unique(at[k]):
        assert abs(values[k][b] - v[at[k] == b, k].mean()) < 1e-6, (k, b)
# all numbers differ but those clamped to an end: equal shares, and the quantiles between them
counts = np.bincount(at[0], minlength=8)
assert abs(counts - n / 8).max() <= 2, counts
assert np.allclose(edges[0], np.quantile(v[:, 0], np.arange(1, 8) / 8), atol=0.03), (edges[0], np.quantile(v[:, 0], np.arange(1, 8) / 8))
# zeros have a bin of their own
zero = np.searchsorted(edges[1], 0.0, side='right')
assert values[1][zero] == 0 and (v[at[1] == zero, 1] == 0).all()
assert sorted(set(values[2])) == [-1, 1] and list(values[2][:2]) == [-1, 1] and abs(edges[2][0]) < 1e-6
assert np.allclose(values[3], 0.25, atol=1e-7)
P
$PYTHON check.py "$top/tests" >out 2>err
verdict $? "bins of the training side, by numpy: $(tail -n 1 err)"

# --- the same bytes
learn threads --threads 3
verdict $? "three threads"
learn stopped --stop-at 10
[ $? -eq 75 ] && learn stopped --resume
verdict $? "stopped and resumed"
for run in threads stopped; do
    cmp base/model.safetensors $run/model.safetensors >out 2>err && cmp base/config.json $run/config.json >>out 2>>err
    verdict $? "$run: the same bytes"
done
gato eval --model base --data arm.lmdb --threads 1 >out 2>err && grep -q '"action_mae":0\.[0-9]' out
verdict $? "eval measures the likeliest bins: $(cat out)"

# --- what a RUN keeps: other data do not move the bins of its task
tokenize episodes --in arm --limit 5 --out few.lmdb >out 2>err
gato train --init base --data few.lmdb --out tuned --steps 3 --threads 1 --set train.batch=2 data.holdout=0 train.tensorboard=false >out 2>err
verdict $? "--init with other data"
bins() { grep -o '"bin_[a-z]*": *\[[^]]*' "$1/config.json"; }
bins base >a && bins tuned | cmp -s - a && [ "$(wc -l <a)" -eq 2 ]
verdict $? "the RUN's bins stay"
refuses 4 model.bin_kind train --init base --data arm.lmdb --out new --set model.bin_kind=uniform

# --- what cannot be meant, and damage
refuses 2 'act.decode = left: the bins of model.bin_kind = quantile' train --data arm.lmdb --out new --config policy.json --set act.decode=left
refuses 2 'model.bin_kind = quantile: the expectation of loss.action_kind = mix' train --data arm.lmdb --out new --config policy.json --set loss.action_kind=mix
refuses 2 "model.bin_kind" train --data arm.lmdb --out new --config policy.json --set model.bin_kind=quantiles
refuses 2 '262144 bins of all acted numbers together' train --data arm.lmdb --out new --config policy.json --set model.bins=65536
learn widest --steps 1 --set model.bins=32768 && gato info widest >out 2>err
verdict $? "as many as are possible are read again"
damaged() { # PATTERN EXPRESSION
    rm -rf bad && cp -r base bad && sed "$2" base/config.json >bad/config.json
    refuses 3 "$1" eval --model bad --data arm.lmdb
}
damaged 'has 0 bins of its own' 's/"bin_edges"/"bin_edgez"/; s/"bin_values"/"bin_valuez"/'
damaged 'bin_edges.0. is not finite\|bin_edges.0.' 's/"bin_edges":\( *\)\[[^,]*,/"bin_edges":\1[1e300,/'
damaged 'bin_values.0.' 's/"bin_values":\( *\)\[[^,]*,/"bin_values":\1[7,/'
finish

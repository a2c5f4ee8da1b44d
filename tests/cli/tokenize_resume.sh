#!/bin/sh
# tokenize_resume.sh - fault 43 and 57: a run killed at any moment and started again gives the dump of an uninterrupted one;
# stop requests; what a run may change when it goes on, and what not.
. "$(dirname "$0")/../tokenize_common.sh"
small_model m 1
small_model other 2
mkdir p
for f in "$top"/data/clipart/*.png; do cp "$f" "p/0-$(basename "$f")"; done
head -c 100 p/0-animals_ant.png >p/0-broken.png
echo 'GIF89a......' >p/0-other.png

random() { od -An -N4 -tu4 /dev/urandom | awk -v n="$1" '{ print $1 % n }'; } # RANGE
milliseconds() { date +%s%3N; }
seconds() { awk -v ms="$1" 'BEGIN { printf "%.3f", ms / 1000 }'; }
# run_for MS SIGNAL OUT ARGUMENTS...: starts tokenize, sends SIGNAL after MS; leaves the status in rc.
run_for() {
    ms=$1 signal=$2 to=$3
    shift 3
    tokenize "$@" --out "$to" >out 2>err &
    pid=$!
    sleep "$(seconds "$ms")"
    kill "-$signal" $pid 2>/dev/null
    wait $pid 2>/dev/null
    rc=$?
}
# partial SHARD: some records, and not complete.
partial() { tokenize info "$1" 2>/dev/null | grep -q '"complete":false,"records":[1-9]'; }

told() { sed 's/"shard":"[^"]*"//; s/"bytes[a-z_]*":[0-9.]*,//g'; } # what info says, but for the file's name and size
enough=${KILLS:-12} # KILLS=100 by hand; the sanitizers look at what a kill leaves, the other build at how often it may come
[ -z "${SANITIZED:-}" ] || enough=5
# killed NAME WANT ARGUMENTS...: killed at several moments, and gone on until it is complete; WANT is the uninterrupted shard.
killed() {
    name=$1 want=$2
    shift 2
    start=$(milliseconds)
    works "$name" "$@" --out "$want"
    whole=$(($(milliseconds) - start))
    kills=0 partials=0 shard=0
    for attempt in $(seq $((5 * enough))); do
        [ $kills -ge $enough ] && [ $partials -ge 3 ] && break
        run_for "$(random $((whole + 1)))" KILL "killed$shard.lmdb" "$@"
        if [ $rc -eq 0 ]; then
            shard=$((shard + 1)) # complete: the next one begins anew
            continue
        fi
        kills=$((kills + 1))
        partial "killed$shard.lmdb" || continue
        partials=$((partials + 1))
        [ ! -e "killed$shard.lmdb/done" ] || verdict 1 "$name: done stands beside a shard that is not complete"
        tokenize verify "killed$shard.lmdb" >out 2>err || verdict 1 "$name: damage after a kill"
    done
    [ $partials -ge 1 ]
    verdict $? "$name: no kill met a run at work ($kills kills, $whole ms)"
    works "$name: the last run" "$@" --out "killed$shard.lmdb"
    for i in $(seq 0 $shard); do
        same "fault_043: $name, killed and resumed" "$want" "killed$i.lmdb"
        tokenize info "$want" | told >a.info
        tokenize info "killed$i.lmdb" | told >b.info
        cmp a.info b.info >out && cmp "$want/done" "killed$i.lmdb/done" >out
        verdict $? "$name: the same counts and bad items"
        rm -rf "killed$i.lmdb"
    done
}
killed images a.lmdb images --in p --model m --threads 1 --batch 3
grep -q '"bad_items":\[{"key":"0-broken.png",' a.info && grep -q '"skipped":1,"bad":1,' a.info
verdict $? "one bad image, one of another format"

# stop requests
stopped=0
for i in $(seq 30); do
    rm -rf t.lmdb
    run_for "$(random $((whole + 1)))" TERM t.lmdb images --in p --model m --threads 1 --batch 3
    [ $rc -eq 75 ] || continue
    stopped=1
    grep -q '^{"images":' out && tail -n 1 err | grep -q "resume 't.lmdb'" && [ ! -e t.lmdb/done ] && [ ! -e t.lmdb.lock ]
    verdict $? "fault_057: a stop request leaves counts and no done"
    partial t.lmdb && break
done
[ $stopped -eq 1 ]
verdict $? "fault_057: no stop request was met by status 75"
if partial t.lmdb; then
    exits 4 "fingerprint .*, now " images --in p --model other --out t.lmdb
    exits 4 "keep_pixels false, now true" images --in p --model m --keep-pixels --out t.lmdb
    exits 4 "limit 0, now 50" images --in p --model m --limit 50 --out t.lmdb
    exits 4 "background \[255,255,255\], now \[0,0,0\]" images --in p --model m --background 0,0,0 --out t.lmdb
    exits 4 'shard \[0,1\], now \[1,2\]' images --in p --model m --shard 1/2 --out t.lmdb
    exits 4 "manifest" images --in seed --model m --out t.lmdb
    works "other batch, threads, limits of size and of bad items" images --in p --model m --out t.lmdb --threads 2 --batch 16 --max-bad 0.5 --max-map 100000000
    same "fault_057: stopped and resumed" a.lmdb t.lmdb
fi
exits 4 "limit 0, now 50" images --in p --model m --limit 50 --out a.lmdb
works "--force" images --in p --model m --limit 50 --out t.lmdb --force
head -n 50 a.lmdb.json >first && tokenize dump t.lmdb | cmp first - >out
verdict $? "--force replaces"
rm t.lmdb/done && works "done is written again" images --in p --model m --limit 50 --out t.lmdb && [ -f t.lmdb/done ]
verdict $? "a run killed just before done"
mkdir u.lmdb && : >u.lmdb/lock.mdb && works "a run killed at its very start" images --in p --model m --limit 50 --out u.lmdb
same "a run killed at its very start" t.lmdb u.lmdb

if ! has_python; then
    skip "episodes" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
cat >make.py <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *
rng = np.random.default_rng(3)
def episode(T):
    return {'observations': {'image': rng.integers(0, 256, (T + 1, 32, 32, 3), np.uint8), 'x': np.float32(rng.normal(size=(T + 1, 2)))},
            'actions': np.float32(rng.uniform(-1, 1, (T, 2))), 'rewards': rng.normal(size=T), 'terminations': np.zeros(T, bool), 'truncations': np.zeros(T, bool)}
es = [episode(3 + i % 7) for i in range(250)]
es[100]['rewards'] = np.ones(99)
es[100]['T'] = len(es[100]['actions'])
es[7] = episode(0)
space = {'type': 'Dict', 'subspaces': {'image': box((32, 32, 3), 'uint8', 0, 255), 'x': box((2,), 'float32', -np.inf, np.inf)}}
write_minari('e', es, space, box((2,), 'float32', -1, 1))
P
python make.py "$top/tests"
verdict $? "a dataset"
killed episodes e.lmdb episodes --in e --model m --frames 4 --threads 1 --batch 2 --keep-pixels
grep -q '"records":248,.*"skipped":1,"bad":1,' a.info
verdict $? "one bad episode, one without steps"
finish

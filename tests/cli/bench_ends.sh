#!/bin/sh
# bench_ends.sh - `make bench` over workers of this test's own: a row is in bench.json as soon as it is there, and when the
# leader is killed no worker outlives it. Nothing is measured here.
. "$(dirname "$0")/../tokenize_common.sh"

if ! command -v python3 >/dev/null 2>&1; then
    skip "the bench" "no python3"
    finish
fi
bench=$top/tests/bench/bench.py
mkdir -p b/tests/bench b/bin
# Our side: answers the first row of a group, hangs in the second.
cat >b/tests/bench/bench <<'END'
#!/bin/sh
echo $$ >>pids
while read -r what op rest; do
    case $what in
    limits) echo '{"gflops":1,"gbytes":1,"threads":2}' ;;
    speed) echo '{"gflops":1}' ;;
    *) case $rest in
        "8 64 64 "*) echo '{"seconds":0.5}' ;;
        *) : >hanging; exec sleep 600 ;;
        esac ;;
    esac
done
END
# The peer: there is one, and it answers like that.
cat >peer <<'END'
#!/bin/sh
echo $$ >>pids
while read -r what op rest; do
    case $what in
    version) echo '{"version":"a peer"}' ;;
    *) echo '{"seconds":1.0}' ;;
    esac
done
END
chmod +x b/tests/bench/bench peer

# How many of them live: one that nobody has waited for yet does not.
living() {
    n=0
    for pid in $(cat pids); do
        state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null)
        case $state in '' | Z) ;; *) n=$((n + 1)) ;; esac
    done
    echo $n
}

PEER_PYTHON=$PWD/peer BENCH_MINUTES=0.2 python3 "$bench" b conv >out 2>err &
leader=$!
waited=0
while [ ! -f hanging ] && [ $waited -lt 600 ] && kill -0 $leader 2>/dev/null; do
    sleep 0.1
    waited=$((waited + 1))
done
[ -f hanging ]
verdict $? "the bench came to its second row"
[ "$(grep -c '"row"' b/bench.json)" -eq 1 ] && grep -q '"ours": 4.832, "peer": 2.416, .*"ratio": 2.0' b/bench.json
verdict $? "the first row is written while the second is measured"
[ "$(living)" -ge 2 ]
verdict $? "workers of both sides live with their leader"
kill -9 $leader
wait $leader 2>/dev/null
waited=0
while [ "$(living)" -gt 0 ] && [ $waited -lt 100 ]; do
    sleep 0.1
    waited=$((waited + 1))
done
[ "$(living)" -eq 0 ]
verdict $? "$(living) of $(wc -l <pids) workers outlive a killed leader"
for pid in $(cat pids); do kill -9 "$pid" 2>/dev/null; done
finish

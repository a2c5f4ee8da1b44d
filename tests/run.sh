#!/bin/sh
# run.sh BUILD [PATTERN... | -x NAME...] - runs every unit test BUILD/tests/test_* and every script tests/cli/*.sh: all,
# those whose name has one of the PATTERNs in it, or those of these exact NAMEs. Closes with the sum, "N passed, N failed".
#
# Each of them ends with a line "N passed, N failed" (", N skipped" may follow). One that crashes, hangs, leaves with a
# bad status or prints no such line counts as one more failure. The output of those that fail is shown. The scripts find
# the programs first in PATH, and in $BIN. TEST_JOBS=N runs N at a time (one per processor, two at most: scripts that kill
# programs at chosen moments want some of the machine for themselves); TEST_TIMEOUT=S stops each after S seconds (600). TEST_RUN=COMMAND runs unit tests by it.
# Examples of use, BUILD/tests/examples/example_*, count as unit tests.
#
# What it runs is built first, so that no test of yesterday passes today; but not in a folder of other flags (sanitizers),
# which whoever calls has just built.
set -u

# run_one OUT FILE: leaves OUT/NAME.{out,err,sum}, sum = "passed failed skipped".
run_one() {
    out=$1/$(basename "$2")
    limit=
    command -v timeout >/dev/null 2>&1 && limit="timeout -k 10 ${TEST_TIMEOUT:-600}"
    begun=$(date +%s)
    case $2 in
    *.sh) $limit sh "$2" >"$out.out" 2>"$out.err" </dev/null ;;
    *) $limit ${TEST_RUN:-} "$2" >"$out.out" 2>"$out.err" </dev/null ;;
    esac
    rc=$?
    sum=$(awk '{ last = $0 }
        END { split(last, n); if (last ~ /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/) print n[1], n[3], n[5] + 0 }' "$out.out")
    why=
    if [ -z "$sum" ]; then
        sum='0 1 0'
        why="no line 'N passed, N failed' at the end, status $rc"
    else
        set -- $sum
        if [ "$rc" -ne 0 ] && [ "$2" -eq 0 ]; then
            sum="$1 1 $3"
            why="status $rc after a good last line"
        elif [ "$(($1 + $2 + $3))" -eq 0 ]; then
            sum='0 1 0'
            why='nothing ran'
        fi
    fi
    [ "$rc" -eq 124 ] && why="stopped after ${TEST_TIMEOUT:-600} s"
    [ -n "$why" ] && echo "$why" >>"$out.err"
    echo "$sum $(($(date +%s) - begun))" >"$out.sum"
}

if [ "${1:-}" = --one ]; then
    run_one "$2" "$3"
    exit 0
fi

[ $# -ge 1 ] || { echo "usage: sh tests/run.sh BUILD [PATTERN... | -x NAME...]" >&2; exit 2; }
tests=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 2
shift
exact=
if [ "${1:-}" = -x ]; then
    exact=yes
    shift
fi
wanted=$*
BIN=$build/bin
PATH=$BIN:$PATH
# Scripts that read our files with other people's readers need the python3 that has them.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    for p in python3 /usr/bin/python3; do
        "$p" -c 'import numpy, h5py, lmdb, PIL' 2>/dev/null && PYTHON=$p && break
    done
fi
export BIN PATH PYTHON
cd "$tests/.." || exit 1

out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
trap 'exit 1' INT TERM

is_wanted() { # NAME
    [ -n "$wanted" ] || return 0
    for w in $wanted; do
        case $1 in
        "$w") return 0 ;;
        *"$w"*) [ -n "$exact" ] || return 0 ;;
        esac
    done
    return 1
}

# make as it was called for this folder: dependencies bear the folder's name as it was given, relative.
make_in() {
    MAKEFLAGS= make -s B="${build#"$(pwd)"/}" "$@"
}
# Builds the unit tests that are wanted, and the programs for scripts.
build_wanted() {
    goals=
    for f in tests/test_*.c tests/examples/example_*.c; do
        name=${f#tests/}
        if [ -f "$f" ] && is_wanted "$(basename "$f" .c)"; then goals="$goals ${build#"$(pwd)"/}/tests/${name%.c}"; fi
    done
    for f in tests/cli/*.sh; do
        is_wanted "$(basename "$f")" && goals="$goals programs" && break
    done
    # shellcheck disable=SC2086
    [ -z "$goals" ] || make_in -j"$(nproc 2>/dev/null || echo 2)" $goals
}

list() {
    for f in "$build"/tests/test_* "$build"/tests/examples/example_* "$tests"/cli/*.sh; do
        [ -f "$f" ] || continue
        case $f in
        *.sh) ;;
        *.o | *.d) continue ;;
        *) [ -x "$f" ] || continue ;;
        esac
        # A binary of a test that is gone from the tree says nothing about the tree.
        case $f in
        *.sh) ;;
        *) [ -f "$tests/${f#"$build"/tests/}.c" ] || continue ;;
        esac
        if is_wanted "$(basename "$f")"; then echo "$f"; fi
    done
}
if [ -z "${TEST_RUN:-}" ] && [ -f "$build/flags" ] && make_in same-flags 2>"$out/flags" && ! build_wanted; then
    echo "the build failed"
    echo "0 passed, 1 failed"
    exit 1
fi
list >"$out/list"
jobs=${TEST_JOBS:-$(nproc 2>/dev/null || echo 1)}
[ -n "${TEST_JOBS:-}" ] || [ "$jobs" -le 2 ] || jobs=2
# The scripts take longest: they come first, so that the end does not wait for one of them.
{ grep '\.sh$' "$out/list"; grep -v '\.sh$' "$out/list"; } | xargs -r -P "$jobs" -n 1 sh "$tests/run.sh" --one "$out"

passed=0
failed=0
skipped=0
while read -r f; do
    name=$(basename "$f")
    if ! read -r p q s took <"$out/$name.sum"; then
        p=0 q=1 s=0 took=0
    fi
    passed=$((passed + p))
    failed=$((failed + q))
    skipped=$((skipped + s))
    if [ "$q" -ne 0 ]; then
        echo "FAIL $name: $p passed, $q failed"
        sed 's/^/    /' "$out/$name.out" "$out/$name.err" 2>/dev/null | tail -n 200
    else
        echo "ok   $name: $p passed, $s skipped, $took s"
    fi
done <"$out/list"
[ -s "$out/list" ] || echo "no tests found in '$build/tests' and '$tests/cli'"

if [ "$skipped" -gt 0 ]; then echo "$skipped skipped"; fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

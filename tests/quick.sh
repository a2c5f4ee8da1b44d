#!/bin/sh
# quick.sh [BUILD] - under a minute, before a commit: builds, runs the unit tests that the change can reach, checks
# floors, format and documents. Closes with "N passed, N failed" and stops at a build that fails.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
jobs=$(nproc 2>/dev/null || echo 2)
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
count() { # count COMMAND...: shows its output, adds its last line
    "$@" >"$out" 2>&1
    rc=$?
    cat "$out"
    last=$(tail -n 1 "$out")
    p=$(echo "$last" | sed -n 's/^\([0-9]*\) passed, .*/\1/p')
    f=$(echo "$last" | sed -n 's/^[0-9]* passed, \([0-9]*\) failed.*/\1/p')
    if [ -z "$f" ] || { [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; }; then f=$((${f:-0} + 1)); fi
    passed=$((passed + ${p:-0}))
    failed=$((failed + f))
}

if ! make -s -j"$jobs" B="$build" programs tests; then
    echo "0 passed, 1 failed"
    exit 1
fi
changed=$(sh tests/changed.sh) || exit 2
sources=$(echo "$changed" | grep '\.[ch]$')
# shellcheck disable=SC2086
tests=${sources:+$(sh tests/affected.sh "$build" $sources)}
echo "$(echo "$sources" | grep -c .) C files changed, $(echo "$tests" | grep -c .) unit tests can tell"
# shellcheck disable=SC2086
[ -z "$tests" ] || count sh tests/run.sh "$build" -x $tests
count sh tests/check_floors.sh
count sh tests/check_format.sh
count sh tests/check_docs.sh
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

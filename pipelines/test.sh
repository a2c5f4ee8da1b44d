#!/bin/sh
# test.sh - the whole check, in two tiers. The quick one: setup, floors, format, documents, build, unit tests; a
# failure ends the run right there, so that a broken build is known within minutes. Then all the rest: program tests, unit tests at the
# other levels of the kernels (common/kernel/level.h), unit and program tests under ASan and UBSan, fuzzing.
#
#   sh pipelines/test.sh
#
# Its last line is the sum over all steps, "N passed, N failed". A step that fails without saying how counts as one
# failure; within the second tier the others still run. A warning of the compiler fails the build. B=FOLDER builds
# elsewhere than in build/, FUZZ_SECONDS sets the time per fuzz target (10), TEST_JOBS how many tests run at a time
# (tests/run.sh).
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
jobs=$(nproc 2>/dev/null || echo 2)
log=$(mktemp -d) || exit 1
trap 'rm -rf "$log"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0

# step NAME COMMAND... : runs it, shows its output, adds the counts of its last line.
step() {
    name=$1
    shift
    printf '== %s\n' "$name"
    begun=$(date +%s)
    { "$@" 2>&1; echo $? >"$log/rc"; } | tee "$log/out"
    rc=$(cat "$log/rc")
    echo "($(($(date +%s) - begun)) s)"
    counts=$(sed -n '$s/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed\(, .*\)\{0,1\}$/\1 \2/p' "$log/out")
    p=${counts% *}
    f=${counts#* }
    if [ -z "$counts" ] || { [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; }; then
        echo "$name failed with status $rc"
        p=${p:-0}
        f=$((${f:-0} + 1))
    fi
    passed=$((passed + p))
    failed=$((failed + f))
}

# total: the last line of the run.
total() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

# A build that works is no test: it counts only when it fails.
build() {
    make -s -k -j"$jobs" "$@" programs tests && echo "0 passed, 0 failed"
}

# The build that users get may not warn either. (With a sanitizer, compilers warn of what cannot happen.)
quiet_build() {
    rm -f "$log/build-failed"
    { build "$@" 2>&1 || touch "$log/build-failed"; } >"$log/build"
    cat "$log/build"
    [ ! -e "$log/build-failed" ] && ! grep -q 'warning:' "$log/build"
}

sanitized() {
    build LEVELS= ARCH=-march=native B="$B/asan" \
        CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined'
}

sanitized_tests() {
    # SANITIZED tells a script that the programs run several times slower. Leaks are left to the fuzz targets: a program
    # that dies, and a test that forks while threads run, end with memory in use by nature.
    SANITIZED=1 ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1 \
        UBSAN_OPTIONS=print_stacktrace=1 sh tests/run.sh "$B/asan"
}

step setup sh -c 'sh pipelines/setup.sh test && echo "0 passed, 0 failed"'
step floors sh tests/check_floors.sh
step format sh tests/check_format.sh
step documents sh tests/check_docs.sh
step build quiet_build B="$B"
[ "$failed" -eq 0 ] && step 'unit tests' sh tests/run.sh "$B" test_
if [ "$failed" -gt 0 ]; then
    echo "the quick tier failed: nothing more runs"
    total
fi

step 'program tests' sh tests/run.sh "$B" .sh
# The programs' scripts would see nothing here that the unit tests do not.
step 'unit tests at the other levels' sh tests/levels.sh "$B"
step 'build under ASan and UBSan' sanitized
step 'tests under ASan and UBSan' sanitized_tests
step fuzz sh tests/fuzz.sh "$B" "${FUZZ_SECONDS:-10}"
total

#!/bin/sh
# coverage.sh BUILD - runs the unit tests of a build made with clang's -fprofile-instr-generate -fcoverage-mapping and
# prints how many lines of each folder and of each file they ran; files with most lines that no test ran come first. The
# table is also in BUILD/coverage.txt; BUILD/tests.profdata and the binaries serve `llvm-cov show` for the lines.
#
# Not gcov: it writes complaints to stderr when a test forks, and tests read the stderr of their children.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/coverage}
for tool in llvm-profdata llvm-cov; do
    command -v "$tool" >/dev/null 2>&1 || { echo "no '$tool' here (Debian: apt-get install clang llvm)" >&2; exit 1; }
done
rm -rf "$build/profiles"
LLVM_PROFILE_FILE=$(pwd)/$build/profiles/%p-%m.profraw SANITIZED=1 sh tests/run.sh "$build" test_
rc=$?
find "$build/profiles" -name '*.profraw' -size +0 >"$build/profiles.list" || exit 1
llvm-profdata merge -sparse --failure-mode=all -f "$build/profiles.list" -o "$build/tests.profdata" || exit 1
rm -rf "$build/profiles"
objects=$(find "$build/tests" -maxdepth 1 -type f -name 'test_*' ! -name '*.[od]' | LC_ALL=C sort | sed '2,$s/^/-object /')
# shellcheck disable=SC2086
llvm-cov report -instr-profile "$build/tests.profdata" $objects common vqvae tokenize gato 2>/dev/null | awk '
    $1 ~ /^[a-z].*\.c$/ {
        file = $1
        total = $8
        ran = $8 - $9
        folder = file
        sub(/\/[^\/]*$/, "", folder)
        lines[folder] += total; hit[folder] += ran
        all_lines += total; all_hit += ran
        row[file] = sprintf("%6d of %6d  %5.1f %%  %s", ran, total, total ? 100 * ran / total : 0, file)
        missed[file] = total - ran
    }
    END {
        if (!all_lines) exit 1
        print "by folder"
        for (f in lines) printf "%6d of %6d  %5.1f %%  %s\n", hit[f], lines[f], 100 * hit[f] / lines[f], f | "sort -k6"
        close("sort -k6")
        print "by file, most lines that no test ran first"
        for (f in row) print missed[f], row[f] | "sort -k1,1nr | cut -d\" \" -f2-"
        close("sort -k1,1nr | cut -d\" \" -f2-")
        printf "%6d of %6d  %5.1f %%  lines run by the unit tests\n", all_hit, all_lines, 100 * all_hit / all_lines
    }' >"$build/coverage.txt" || { echo "'$build' was built without -fcoverage-mapping" >&2; exit 1; }
cat "$build/coverage.txt"
exit $rc

#!/bin/sh
# coverage.sh BUILD - runs the unit tests of a build made with --coverage and prints, as gcov counts them, how many lines
# of each folder and of each file they ran; the files with most lines that no test ran come first. The table is also in
# BUILD/coverage.txt.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/coverage}
find "$build" -name '*.gcda' -delete
sh tests/run.sh "$build" test_ || exit 1
find "$build" -name '*.gcda' ! -path '*/tests/*' | LC_ALL=C sort >"$build/gcda.list"
[ -s "$build/gcda.list" ] || { echo "'$build' was built without --coverage" >&2; exit 1; }
xargs gcov -n <"$build/gcda.list" 2>/dev/null | awk '
    /^File / { file = substr($2, 2, length($2) - 2) }
    /^Lines executed:/ && file ~ /^(common|vqvae|tokenize|gato)\/.*\.c$/ {
        split($0, part, /[:% ]+/)
        total = part[length(part)]
        ran = int(part[3] * total / 100 + 0.5)
        folder = file
        sub(/\/[^\/]*$/, "", folder)
        lines[folder] += total; hit[folder] += ran
        all_lines += total; all_hit += ran
        row[file] = sprintf("%6d of %6d  %5.1f %%  %s", ran, total, part[3], file)
        missed[file] = total - ran
        file = ""
    }
    END {
        print "by folder"
        for (f in lines) printf "%6d of %6d  %5.1f %%  %s\n", hit[f], lines[f], 100 * hit[f] / lines[f], f | "sort -k5"
        close("sort -k5")
        print "by file, most lines that no test ran first"
        for (f in row) print missed[f], row[f] | "sort -k1,1nr | cut -d\" \" -f2-"
        close("sort -k1,1nr | cut -d\" \" -f2-")
        printf "%6d of %6d  %5.1f %%  lines run by the unit tests\n", all_hit, all_lines, 100 * all_hit / all_lines
    }' | tee "$build/coverage.txt"

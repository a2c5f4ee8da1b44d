#!/bin/sh
# compile_commands.sh [BUILD] - how every C file is compiled, in the JSON that clangd, clang-tidy and editors read. It is
# what make would run, so it knows the libraries that were found; nothing is compiled. Kernels are there once, at their base level.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
here=$(pwd | sed 's/[\\"]/\\&/g')
make -nB --no-print-directory B="$build" programs tests "$build/tests/bench/bench" |
    sed -n '/ -c -o [^ ]*\.avx[^ ]* /d
    / -c -o [^ ]* [^ ]*\.c$/{
        s/[\\"]/\\&/g
        s|^\(.* -c -o \([^ ]*\) \([^ ]*\)\)$|  {"directory": "'"$here"'", "command": "\1", "file": "\3", "output": "\2"}|
        p
    }' | LC_ALL=C sort -u | sed '1s/^/[\n/; $!s/$/,/; $s/$/\n]/'

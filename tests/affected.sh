#!/bin/sh
# affected.sh BUILD FILE... - prints the unit tests that a change of these sources can reach, one name per line: tests
# whose object, or any object that it calls, includes one of the files or is made from it. BUILD must be up to date (make programs tests).
#
# Objects of sources that are gone from the tree, as an old build keeps them, are no part of it: they reach nothing and
# are not reached. An object calls another when it needs a symbol that the other defines. What only a table of function pointers reaches
# is reached through the symbols of that table. Of the levels of the kernels (common/kernel/level.h) the base one stands for all; that
# level.c points to all kernels does not make every kernel's change reach every test.
set -u
[ $# -ge 1 ] || { echo "usage: sh tests/affected.sh BUILD FILE..." >&2; exit 2; }
build=${1%/}
shift
objects=$(find "$build/common" "$build/vqvae" "$build/tokenize" "$build/gato" "$build/tests" -name '*.o' |
    grep -v '/main\.o$' | grep -v '/bench/' | LC_ALL=C sort |
    while read -r o; do
        source=${o#"$build"/}
        source=${source%.o}
        if [ -f "${source%.base}.c" ]; then echo "$o"; fi
    done)
{
    printf 'changed %s\n' "$@"
    for o in $objects; do
        [ -f "${o%.o}.d" ] || continue
        sed "s|^.*:\( \|\$\)||; s|\\\\\$||; s|^|needs $o |" "${o%.o}.d"
    done
    # shellcheck disable=SC2086
    nm -A -g $objects 2>/dev/null | awk '
        { o = $1; sub(/:[^:]*$/, "", o) }
        o ~ /\/kernel\/level\.o$/ && $NF ~ /\.base$/ { next }
        { sub(/\.base$/, "", $NF) }
        NF == 3 && $2 == "U" { print "calls", o, $3 }
        NF == 3 && $2 != "U" { print "defines", o, $3 }
    '
} | awk '
    $1 == "changed" { changed[$2] = 1 }
    $1 == "needs" { for (i = 3; i <= NF; i++) if ($i in changed) reached[$2] = 1; seen[$2] = 1 }
    $1 == "defines" { owner[$3] = owner[$3] " " $2 }
    $1 == "calls" { callers[$3] = callers[$3] " " $2 }
    END {
        # Backward from the changed objects to all that call them.
        for (symbol in owner) {
            n = split(owner[symbol], list, " ")
            for (i = 1; i <= n; i++) by[list[i]] = by[list[i]] callers[symbol]
        }
        for (o in reached) queue[++last] = o
        for (first = 1; first <= last; first++) {
            n = split(by[queue[first]], list, " ")
            for (i = 1; i <= n; i++)
                if (!(list[i] in reached)) {
                    reached[list[i]] = 1
                    queue[++last] = list[i]
                }
        }
        for (o in reached) print o
    }' | sed -n 's|^.*/tests/\(test_[^/]*\)\.o$|\1|p' | LC_ALL=C sort

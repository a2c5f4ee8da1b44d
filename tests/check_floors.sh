#!/bin/sh
# check_floors.sh [ROOT] - the house has floors, and an #include points to a lower floor or to its own folder:
#
#   0 common/base < 1 common/kernel, common/io < 2 common/tape < 3 common/nn < 4 common/model, common/train, common/report
#   < 5 vqvae, tokenize, gato
#
# A folder may have rooms, which stand on each other in the same way:
#
#   common/io < text < image, safetensors, token_db < episodes < source
#   gato/task < gato/env, gato/model < gato/data < gato/run < gato/play < gato
#
# Two folders or rooms on one floor never include each other, and no two files do. Only common/base/pool.c opens
# parallel regions, so that there is one pool. Prints each offence as file:line and closes with "N passed, N failed": one check per file, after a
# self-test that shows the script closing the gate on a tree made for it.
set -u

# offences ROOT: one line each, "file:line: why".
offences() (
    cd "$1" || exit 1
    find common vqvae tokenize gato -name '*.[ch]' -exec awk '
        BEGIN {
            floor["common/base"] = 0; floor["common/kernel"] = floor["common/io"] = 1; floor["common/tape"] = 2
            floor["common/nn"] = 3; floor["common/model"] = floor["common/train"] = floor["common/report"] = 4
            floor["vqvae"] = floor["tokenize"] = 5; floor["gato"] = 5.9
            floor["gato/task"] = 5.1; floor["gato/model"] = floor["gato/env"] = 5.2; floor["gato/data"] = 5.3
            floor["gato/run"] = 5.4; floor["gato/play"] = 5.5
            floor["common/io/text"] = 1.1
            floor["common/io/image"] = floor["common/io/safetensors"] = floor["common/io/token_db"] = 1.2
            floor["common/io/episodes"] = 1.3; floor["common/io/source"] = 1.4
        }
        function room_of(path,   part, n) {
            n = split(path, part, "/")
            if (part[1] != "common") return n > 2 ? part[1] "/" part[2] : n > 1 ? part[1] : ""
            if (n > 3) return part[1] "/" part[2] "/" part[3]
            return n > 2 ? part[1] "/" part[2] : ""
        }
        function folder_of(room,   part) {
            split(room, part, "/")
            return part[1] == "common" ? part[1] "/" part[2] : part[1]
        }
        function offence(why) { print FILENAME ":" FNR ": " why }
        FNR == 1 {
            here = room_of(FILENAME)
            if (!(here in floor)) offence("\"" here "\" has no floor")
        }
        { sub(/\r$/, "") }
        /^[ \t]*#[ \t]*include[ \t]*["<]/ {
            angled = $0 ~ /include[ \t]*</
            name = $0
            sub(/^[^"<]*["<]/, "", name)
            sub(/[">].*$/, "", name)
            there = room_of(name)
            if (angled && !(there in floor)) next
            if (name !~ /\//) there = here
            if (name ~ /(^|\/)\.\.?\//) offence("includes \"" name "\": name it from the root")
            else if (!(there in floor)) offence("includes \"" name "\", which is on no floor")
            else if (there != here && folder_of(there) != folder_of(here) && int(floor[there]) == int(floor[here]))
                offence("includes \"" name "\" from the same floor")
            else if (there != here && floor[there] > floor[here]) offence("includes \"" name "\" from a higher floor")
            else if (there != here && floor[there] == floor[here]) offence("includes \"" name "\" from the same floor")
            if (name !~ /\//) name = here "/" name
            if ((name, FILENAME) in includes) offence("and \"" name "\" include one another")
            includes[FILENAME, name] = 1
        }
        /(^[ \t]*#[ \t]*pragma[ \t]+|_Pragma[ \t]*\([ \t]*")omp[ \t]+([a-z]+[ \t]+)*parallel/ && FILENAME != "common/base/pool.c" {
            offence("opens a parallel region; common/base/pool owns them all")
        }
    ' {} + 2>&1
)

passed=0
failed=0
check() { # check WHAT TEXT PATTERN: the offences of the tree are one line that has PATTERN in it, or none
    if { [ -z "$3" ] && [ -z "$2" ]; } || { [ -n "$3" ] && [ "$(printf '%s\n' "$2" | grep -c .)" -eq 1 ] &&
        printf '%s\n' "$2" | grep -qF "$3"; }; then
        passed=$((passed + 1))
    else
        echo "self-test '$1': expected '$3', found '$2'"
        failed=$((failed + 1))
    fi
}

tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM
for room in common/base common/kernel common/io common/io/text common/io/image common/io/source common/tape common/nn common/model common/train vqvae tokenize gato; do
    mkdir -p "$tree/$room"
done
printf '#include "common/base/a.h"\n#include "b.h"\n#include <stdio.h>\n#include <sys/stat.h>\n' >"$tree/common/io/good.c"
printf '#include "common/io/a.h"\n#include "common/kernel/a.h"\n' >"$tree/common/tape/good.h"
printf '#include "common/model/a.h"\n#include "common/train/a.h"\n#include "gato/env/env.h"\n' >"$tree/gato/good.c"
printf '#include "common/io/a.h"\n#include "common/io/image/a.h"\n' >"$tree/common/io/source/good.h"
printf '#include "common/io/image/b.h"\n#include "c.h"\n' >"$tree/common/io/image/a.h"
printf '#pragma omp parallel num_threads(n)\n' >"$tree/common/base/pool.c"
printf '#pragma omp simd\n/* every `#pragma omp parallel` is elsewhere */\n' >"$tree/common/kernel/good.c"
check good "$(offences "$tree")" ''
# wrong FILE LINE PATTERN: adds one line to the good tree, looks, and takes it away again.
wrong() {
    printf '/* first line */\n%s\n' "$2" >"$tree/$1"
    check "$2 in $1" "$(offences "$tree")" "$1:2: $3"
    rm "$tree/$1"
}
wrong common/base/x.h '#include "common/io/a.h"' 'includes "common/io/a.h" from a higher floor'
wrong common/io/x.c '  #  include "common/kernel/a.h"' 'includes "common/kernel/a.h" from the same floor'
wrong common/kernel/x.c '#include "common/io/a.h" // why not' 'includes "common/io/a.h" from the same floor'
wrong common/io/x.c '#include "common/tape/tape.h"' 'includes "common/tape/tape.h" from a higher floor'
wrong common/train/x.c '#include "common/model/a.h"' 'includes "common/model/a.h" from the same floor'
wrong common/nn/x.c '#include "gato/model/model.h"' 'includes "gato/model/model.h" from a higher floor'
wrong gato/x.c '#include "vqvae/a.h"' 'includes "vqvae/a.h" from the same floor'
wrong gato/x.c '#include <tokenize/a.h>' 'includes "tokenize/a.h" from the same floor'
wrong common/io/text/x.c '#include "common/io/image/a.h"' 'includes "common/io/image/a.h" from a higher floor'
wrong common/io/image/x.c '#include "common/kernel/a.h"' 'includes "common/kernel/a.h" from the same floor'
wrong common/kernel/x.c '#include "common/io/text/a.h"' 'includes "common/io/text/a.h" from the same floor'
wrong common/io/image/x.c '#include "common/io/pond/a.h"' 'includes "common/io/pond/a.h", which is on no floor'
# Of two files that include one another the one that is read later is named.
for other in '#include "common/io/image/a.h"' '#include "a.h"'; do
    echo "$other" >"$tree/common/io/image/b.h"
    check "a circle of two files" "$(offences "$tree")" 'include one another'
    rm "$tree/common/io/image/b.h"
done
wrong common/io/x.c '#include "../base/a.h"' 'includes "../base/a.h": name it from the root'
wrong common/io/x.c '#include "tests/test.h"' 'includes "tests/test.h", which is on no floor'
wrong common/kernel/x.c '#pragma omp parallel for' 'opens a parallel region'
wrong common/kernel/x.c '# pragma  omp target teams distribute parallel for' 'opens a parallel region'
wrong gato/pool.c '    _Pragma("omp parallel") {' 'opens a parallel region'

root=${1:-$(dirname "$0")/..}
found=$(offences "$root")
files=$(cd "$root" && find common vqvae tokenize gato -name '*.[ch]' | wc -l)
bad=0
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    bad=$(printf '%s\n' "$found" | cut -d: -f1 | sort -u | wc -l)
fi
if [ "$files" -eq 0 ]; then
    echo "no C files under '$root'"
    bad=1 files=1
fi
passed=$((passed + files - bad))
failed=$((failed + bad))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

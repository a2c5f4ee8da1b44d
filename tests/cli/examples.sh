#!/bin/sh
# examples.sh - the use that a header opens with is code that compiles and runs: the lines of its comment are those of an
# example, in order and without one more.
#
# A header names its example in its first comment, "Use (tests/examples/example_X.c)", and shows the code there, every
# line behind " *     ". The example has the same lines, less its own indent, between /* use of HEADER */ and
# /* end of use */; several such stretches follow one another with an empty line between. Comments in them are //.
top=${1:-$(cd "$(dirname "$0")/../.." && pwd)}

# shown HEADER: the code in its first comment, the first block behind the line that names the example.
shown() {
    awk '/^ \*\// { exit }
        /tests\/examples\/example_[a-z0-9_]*\.c/ { named = 1 }
        !named { next }
        /^ \*     / { print substr($0, 8); begun = 1; next }
        /^ \*$/ { if (begun) print ""; next }
        begun { exit }' "$1" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

# used EXAMPLE HEADER: what the example has of it.
used() {
    awk -v header="$2" '
        index($0, "/* end of use */") { inside = 0; next }
        index($0, "/* use of " header " */") {
            inside = 1
            match($0, /^ */)
            indent = RLENGTH
            if (n++) print ""
            next
        }
        inside { print substr($0, 1, indent) ~ /^ *$/ ? substr($0, indent + 1) : $0 }' "$1"
}

# check ROOT: a line per offence.
check() (
    cd "$1" || exit 1
    for header in $(find common vqvae tokenize gato -name '*.h' -exec grep -l 'tests/examples/example_[a-z0-9_]*\.c' {} + 2>/dev/null | LC_ALL=C sort); do
        example=$(sed -n 's/.*\(tests\/examples\/example_[a-z0-9_]*\.c\).*/\1/p' "$header" | head -n 1)
        if [ ! -f "$example" ]; then
            echo "$header: no '$example'"
        elif [ -z "$(shown "$header")" ]; then
            echo "$header: names '$example' and shows no code"
        elif [ "$(shown "$header")" != "$(used "$example" "$header")" ]; then
            echo "$header: shows other lines than '$example'"
        fi
    done
    sed -n 's/.*\/\* use of \(.*\) \*\/.*/\1/p' tests/examples/*.c | sort -u | while read -r header; do
        grep -q 'tests/examples/example_' "$header" 2>/dev/null || echo "$header: an example shows its use, the header does not"
    done
)

passed=0
failed=0
verdict() { # RC NAME
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $2"
    fi
}

# --- the check itself, on a small tree
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$tree/common/a" "$tree/tests/examples"
good() {
    printf '/* a.h - adds.\n *\n * Use (tests/examples/example_a.c), of two:\n *\n *     int one = 1;\n *     if (one)\n *         one++;\n *\n * Promises nothing.\n *     table   row\n */\n' \
        >"$tree/common/a/a.h"
    printf 'TEST(a) {\n    int zero;\n    /* use of common/a/a.h */\n    int one = 1;\n    if (one)\n        one++;\n    /* end of use */\n    CHECK(one);\n}\n' \
        >"$tree/tests/examples/example_a.c"
}
good
[ -z "$(check "$tree")" ]
verdict $? "a header and its example"
spoilt() { # WHAT FILE SED
    good
    sed -i "$3" "$tree/$2"
    [ "$(check "$tree" | wc -l)" -eq 1 ]
    verdict $? "$1: $(check "$tree")"
}
spoilt "another line in the header" common/a/a.h 's/one = 1/one = 2/'
spoilt "a line more in the header" common/a/a.h '6i\ *     one--;'
spoilt "a line less in the header" common/a/a.h '/one++/d'
spoilt "another indent" common/a/a.h 's/    one++/  one++/'
spoilt "a line more in the example" tests/examples/example_a.c '4i\    one = 3;'
spoilt "an example without marks" tests/examples/example_a.c '/use/d'
spoilt "another example" common/a/a.h 's/example_a/example_b/'
spoilt "a header that names none" common/a/a.h '/Use/d'
spoilt "no code" common/a/a.h '/^ \*     /d'
good
printf 'TEST(a) {\n    /* use of common/a/a.h */\n    int one = 1;\n    /* end of use */\n    /* use of common/a/a.h */\n    one++;\n    /* end of use */\n}\n' >"$tree/tests/examples/example_a.c"
printf '/* Use (tests/examples/example_a.c):\n *\n *     int one = 1;\n *\n *     one++;\n */\n' >"$tree/common/a/a.h"
[ -z "$(check "$tree")" ]
verdict $? "an example in two stretches"

# --- the tree
offences=$(check "$top")
[ -z "$offences" ]
verdict $? "headers and examples: $offences"
n=$(find "$top/common" -name '*.h' -exec grep -l 'tests/examples/example_' {} + | wc -l)
[ "$n" -ge 3 ]
verdict $? "$n headers open with an example"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# check_docs.sh [ROOT] - every file and every make target that a document names exists.
#
# In the *.md files of ROOT, outside of fenced blocks, a name between backticks is checked when it
#
#   - begins with a folder at the top (`tests/run.sh`, `common/io/*`), or is a source by its ending (.c .h .sh .mk .md
#     .py): it is a path from the root or from the document's folder, or the end of a path (`plan_place.c`);
#   - follows `make` (`make quick`): a target of the Makefile;
#   - stands in the first column of a table that is headed "file" or "files" (`batch graph`): a file or folder beside
#     the document, the ending left out or not.
#
# A `*` stands for any letters but a slash. Not checked: build/, which the programs write; placeholders (`quant_x.c`,
# `tests/test_X.c`, `PROGRAM/x.c`); headers of libraries.
#
# Prints each offence as file:line and closes with "N passed, N failed": one check per document, after a self-test that
# shows the script closing the gate on a tree made for it.
set -u

# offences ROOT: one line each, "file:line: why".
offences() (
    cd "$1" || exit 1
    find . -path ./.git -prune -o -path './build*' -prune -o -type f -print | sed 's|^\./||' | LC_ALL=C sort >"$names"
    # shellcheck disable=SC2046
    awk '
        FILENAME == names {
            path[++n_paths] = $0
            known[$0] = 1
            n = split($0, part, "/")
            folder = ""
            for (i = 1; i < n; i++) {
                if (i == 1) top[part[1]] = 1
                folder = folder part[i]
                known[folder] = 1
                folder = folder "/"
            }
            next
        }
        FILENAME == "Makefile" {
            rule = $0
            if (rule ~ /^\.PHONY:/ || phony) {
                phony = rule ~ /\\$/
                gsub(/\.PHONY:|\\/, "", rule)
                n = split(rule, part, " ")
                for (i = 1; i <= n; i++) target[part[i]] = 1
            } else if (rule ~ /^[a-z][a-z_.-]*:/) {
                sub(/:.*/, "", rule)
                target[rule] = 1
            }
            next
        }
        function offence(why) { print FILENAME ":" FNR ": " why }
        # Is there a path that is NAME, or ends in it behind a slash? NAME may hold stars.
        function ends_a_path(name,   i, pattern) {
            pattern = name
            gsub(/[.+]/, "[&]", pattern)
            gsub(/\*/, "[^/]*", pattern)
            pattern = "(^|/)" pattern "$"
            for (i = 1; i <= n_paths; i++)
                if (path[i] ~ pattern) return 1
            return 0
        }
        function exists(name) {
            sub(/\/$/, "", name)
            sub(/^\.\//, "", name)
            if (name == "" || name in known || (here name) in known) return 1
            sub(/\/\*$/, "", name)
            if (name in known || (here name) in known) return 1
            return ends_a_path(name)
        }
        # Something beside the document: a file, a folder, or a file without its ending.
        function beside(word,   i, pattern) {
            if (exists(word)) return 1
            pattern = here word
            gsub(/[.+]/, "[&]", pattern)
            gsub(/\*/, "[^/]*", pattern)
            pattern = "^" pattern "[.][a-z0-9]+$"
            for (i = 1; i <= n_paths; i++)
                if (path[i] ~ pattern) return 1
            return 0
        }
        function placeholder(word,   base) {
            base = word
            sub(/.*\//, "", base)
            return base ~ /(^|_)[xX][.]/ || word ~ /^[A-Z]+\// || word ~ /NAME|FOLDER|FILE/ || word ~ /[<>"$=]|\.\./
        }
        function check_word(word,   first) {
            gsub(/^[("]+|[,;:)"]+$/, "", word)
            sub(/[.]$/, "", word)
            if (word !~ /^[A-Za-z0-9_.*\/-]+$/ || word ~ /^\/|^-|^build/ || placeholder(word)) return
            if (word ~ /^(xxhash|lmdb|cJSON)\.h$/) return
            first = word
            sub(/\/.*/, "", first)
            if (!(word ~ /\// && first in top) && word !~ /[a-z0-9_*]\.(c|h|sh|mk|md|py)$/) return
            if (!exists(word)) offence("`" word "` does not exist")
        }
        FNR == 1 {
            here = FILENAME
            if (!sub(/[^\/]*$/, "", here)) here = ""
            fenced = files_table = 0
        }
        { sub(/\r$/, "") }
        /^ *```/ { fenced = !fenced; next }
        fenced { next }
        /^\| *files? *\|/ { files_table = 1; next }
        !/^\|/ { files_table = 0 }
        {
            n_spans = split($0, span, "`")
            for (i = 2; i <= n_spans; i += 2) {
                n_words = split(span[i], word, " ")
                column = 0
                for (j = 1; j <= i - 1; j++) column += gsub(/\|/, "|", span[j])
                if (files_table && column == 1) {
                    for (j = 1; j <= n_words; j++) {
                        if (word[j] ~ /[A-Z[(]|\.\./ && word[j] !~ /\./) break
                        if (word[j] !~ /\.\./ && !beside(word[j])) offence("no `" word[j] "` beside this document")
                    }
                    continue
                }
                if (word[1] == "make" && word[2] ~ /^[a-z]/ && word[2] !~ /[=<]/) {
                    if (!(word[2] in target)) offence("the Makefile has no target `" word[2] "`")
                    continue
                }
                for (j = 1; j <= n_words; j++) check_word(word[j])
            }
        }
    ' names="$names" "$names" Makefile $(grep '\.md$' "$names") 2>&1
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
names=$(mktemp) || exit 1
trap 'rm -rf "$tree" "$names"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$tree/common/io/text" "$tree/tests/cli" "$tree/gato"
touch "$tree/common/io/text/json.c" "$tree/tests/run.sh" "$tree/tests/cli/record.sh" "$tree/gato/batch.c" "$tree/gato/batch.h"
printf '.PHONY: all quick \\\n    data-large\nall:\nformat: all\n' >"$tree/Makefile"
cat >"$tree/README.md" <<'M'
`sh tests/run.sh build PATTERN`, `tests/cli/*.sh`, `json.c`, (`gato/`), `common/io/*`, `make quick`, `make data-large X=1`,
`make format`, `build/tests/nothing.sh`, `gato/env_x.c`, `tests/test_X.c`, `PROGRAM/x.c`, `run/report.html`, `xxhash.h`.
```
`tests/nothing.sh`
```
M
printf '| file | what |\n|---|---|\n| `batch` | `batch.c` |\n| `batch.*` | all |\n| `README.md OUT [MORE]` | this |\n' >"$tree/gato/README.md"
check good "$(offences "$tree")" ''
# wrong FILE LINE PATTERN: adds one line to a document of the good tree, looks, and takes it away again.
wrong() {
    cp "$tree/$1" "$tree/kept"
    printf '%s\n' "$2" >>"$tree/$1"
    check "$2 in $1" "$(offences "$tree")" "$1:$(wc -l <"$tree/$1"): $3"
    mv "$tree/kept" "$tree/$1"
}
wrong README.md 'see `tests/walk.sh`.' '`tests/walk.sh` does not exist'
wrong README.md 'see `common/io/json.c`' '`common/io/json.c` does not exist'
wrong README.md '`tests/cli/*.py`' '`tests/cli/*.py` does not exist'
wrong README.md '`csv.c`' '`csv.c` does not exist'
wrong README.md '`on.c`, the end of a name but no name' '`on.c` does not exist'
wrong README.md '`gato/graph`' '`gato/graph` does not exist'
wrong README.md '`sh tests/run.sh build` and `sh tests/walk.sh build`' '`tests/walk.sh` does not exist'
wrong README.md '`make slow`' 'the Makefile has no target `slow`'
wrong gato/README.md '| `batch graph` | two |' 'no `graph` beside this document'

root=${1:-$(dirname "$0")/..}
found=$(offences "$root")
documents=$(grep -c '\.md$' "$names")
bad=0
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    bad=$(printf '%s\n' "$found" | cut -d: -f1 | sort -u | wc -l)
fi
if [ "$documents" -eq 0 ]; then
    echo "no documents under '$root'"
    bad=1 documents=1
fi
passed=$((passed + documents - bad))
failed=$((failed + bad))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

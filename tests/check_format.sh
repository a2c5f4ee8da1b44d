#!/bin/sh
# check_format.sh [ROOT] - every C file is as clang-format would leave it, and keeps what clang-format does not see:
#
#   - a banner ("/* ---- text ---- */") stands on one line, also where more of its comment follows below, and no rule of
#     dashes is followed by a word;
#   - no line is longer than 100 columns. Characters are counted, not bytes. Not counted: what stands inside a string
#     literal, the backslash that ends a macro's line. Excepted: lines with a URL, and tables between
#     "clang-format off" and "clang-format on";
#   - no file is longer than 600 lines;
#   - a comment that begins behind a declaration ends on its line, so that it cannot run into the next declaration's;
#     and it does not end in the middle of a sentence ("... of its */").
#
# Prints each offence as file:line and closes with "N passed, N failed": one check per file, after a self-test that
# shows the script closing the gate on files made for it. CLANG_FORMAT=NAME chooses another clang-format; versions
# differ in small things, 14 is the one that counts.
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${CLANG_FORMAT:-}
if [ -z "$tool" ]; then
    tool=clang-format
    command -v clang-format-14 >/dev/null 2>&1 && tool=clang-format-14
fi
if ! command -v "$tool" >/dev/null 2>&1; then
    echo "no '$tool' here (Debian: apt-get install clang-format)"
    echo "0 passed, 1 failed"
    exit 1
fi

# offences FILE...: one line each, "file:line: why".
offences() {
    LC_ALL=C awk '
        function offence(why) { print FILENAME ":" FNR ": " why }
        function finish() {
            if (name != "" && lines > 600) print name ":" lines ": longer than 600 lines"
        }
        FNR == 1 {
            finish()
            name = FILENAME
            open = table = 0 # inside a comment; inside a table that is set by hand
        }
        {
            lines = FNR
            sub(/\r$/, "")
            was_open = open
        }
        /clang-format off/ { table = 1 }
        /clang-format on/ { table = 0 }
        # wide: the line without what stands in its literals; code: that without its comments; rest: an open comment.
        {
            rest = $0
            wide = code = ""
            commented = open
            while (rest != "") {
                if (open) {
                    at = index(rest, "*/")
                    if (!at) break
                    open = 0
                    wide = wide substr(rest, 1, at + 1)
                    rest = substr(rest, at + 2)
                    continue
                }
                if (!match(rest, /["\047]|\/[*\/]/)) break
                mark = substr(rest, RSTART, RLENGTH)
                wide = wide substr(rest, 1, RSTART + RLENGTH - 1)
                code = code substr(rest, 1, RSTART - 1)
                rest = substr(rest, RSTART + RLENGTH)
                if (mark == "//") break
                if (mark == "/*") {
                    open = commented = 1
                } else if (mark == "\"" ? match(rest, /^([^"\\]|\\.)*"/) : match(rest, /^(\\.[^\047]*|[^\\\047])\047/)) {
                    wide = wide mark
                    code = code mark mark
                    rest = substr(rest, RSTART + RLENGTH)
                }
            }
            wide = wide rest
            if (!open && mark != "//") code = code rest
            mark = ""
        }
        {
            sub(/[ \t]*\\$/, "", wide)
            gsub(/[\200-\277]/, "", wide) # bytes that continue a character
            if (length(wide) > 100 && !table && wide !~ /https?:\/\//) offence("longer than 100 columns")
        }
        # A comment that begins on this line and does not end here.
        open && rest ~ /^ *----/ && rest !~ /[^-]----+$/ { offence("a banner that does not end on its line") }
        open && code ~ /[^ \t]/ && !was_open { offence("a comment behind code goes on on the next line") }
        commented && /------+[ \t]+[A-Za-z0-9]/ { offence("a rule of dashes is followed by a word") }
        !open && code ~ /[;,{][ \t]*$/ &&
            /[ \t](an|the|its|and|or|[^ ]*:) \*\/$/ {
            offence("a comment ends in the middle of its sentence")
        }
        END { finish() }
    ' "$@"
}

passed=0
failed=0
good() {
    passed=$((passed + 1))
}
bad() {
    echo "self-test: $1"
    failed=$((failed + 1))
}

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

cat >"$tmp/good.c" <<'X'
/* good.c - everything that is allowed.
 *
 *   a table | of 100 columns ----------------------------------------------------------- | and on
 * https://example.org/a/very/long/address/that/cannot/be/broken/anywhere/and/is/longer/than/the/line
 * ä: 99 characters of two bytes each: äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü
 */
/* ---- a banner ------------------------------------------------------------------------------- */
/* ---- another ---- */
/* ---- a third ----
 *
 * with what holds for all below. */
void f(int n); /* there are fewer than that */
int a; /* of its own */ int b; /* of another */
const char *glob = "cp next/*.json run/"; /* no comment begins in a string */
const char *quoted = "a \" /* b";
char slash = '"', star = '*'; // runs /* to the end
const char *source; /* as given to */
static const char *long_text = "a string that is longer than any line may be, because its bytes matter and nobody reads it";
#define LONG(x)                                                                                    \
    do {                                                                                            \
        x;                                                                                           \
    } while (0)
/* clang-format off */
static const int table[] = {1000000, 2000000, 3000000, 4000000, 5000000, 6000000, 7000000, 8000000, 9000000};
/* clang-format on */
X
found=$(offences "$tmp/good.c")
if [ -z "$found" ]; then good; else bad "good.c has offences: $found"; fi

# wrong WHAT LINE PATTERN < TEXT: the file has one offence, on that line.
wrong() {
    cat >"$tmp/wrong.c"
    found=$(offences "$tmp/wrong.c")
    if [ "$(printf '%s\n' "$found" | grep -c .)" -eq 1 ] &&
        printf '%s\n' "$found" | grep -q "^$tmp/wrong.c:$2: .*$3"; then
        good
    else
        bad "$1: expected '$2: $3', found '$found'"
    fi
}
wrong 'a torn banner' 2 'banner that does not end' <<'X'
int a;
/* ---- steps
 * ----------- */
X
wrong 'a banner with its text behind' 2 'followed by a word' <<'X'
/* gemm: C = A B
 * ------------------------------- ta: A is stored [K,M]
 */
X
wrong 'a long line' 3 'longer than 100' <<'X'
/* clang-format off */
/* clang-format on */
int very_long_name_of_a_function(int first_argument, int second_argument, int third_argument, int n);
X
wrong 'a long comment' 1 'longer than 100' <<'X'
/* a "quoted comment" that is longer than a hundred columns, which no reader of a split screen sees whole */
X
wrong 'a long line of two bytes a character' 1 'longer than 100' <<'X'
/* äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü */
X
wrong 'two contracts in one comment' 1 'goes on on the next line' <<'X'
int a; /* bytes of a page that hold its
number */ int b;
X
wrong 'a comment behind code over two lines' 2 'goes on on the next line' <<'X'
struct {
    int low; /* [count] of a box, and for others its first
                and last values */
};
X
wrong 'a comment that stops in its sentence' 1 'middle of its sentence' <<'X'
enum { HEAD = 144 }; /* bytes of a meta page that hold its */
/* size of a page and number of the last one. */
X
wrong 'a comment that stops behind a colon' 2 'middle of its sentence' <<'X'
struct {
    int *source; /* NULL: */
};
X
awk 'BEGIN { for (i = 0; i < 601; i++) print "int a" i ";" }' | wrong 'a long file' 601 'longer than 600 lines'
awk 'BEGIN { for (i = 0; i < 600; i++) print "int a" i ";" }' >"$tmp/600.c"
found=$(offences "$tmp/600.c" "$tmp/good.c")
if [ -z "$found" ]; then good; else bad "600 lines: $found"; fi
printf 'int  a ;\n' >"$tmp/unformatted.c"
if "$tool" --style=file --dry-run -Werror "$tmp/unformatted.c" 2>/dev/null; then
    bad "clang-format accepts an unformatted file"
else
    good
fi

cd "${1:-.}" || exit 1
find common vqvae tokenize gato tests -name '*.[ch]' | LC_ALL=C sort >"$tmp/files"
# shellcheck disable=SC2046
offences $(cat "$tmp/files") >"$tmp/offences"
cat "$tmp/offences"
xargs "$tool" --dry-run -Werror --ferror-limit=3 <"$tmp/files" >"$tmp/layout" 2>&1
rc=$?
cat "$tmp/layout"
wrong=$(cat "$tmp/offences" "$tmp/layout" | cut -d: -f1 | LC_ALL=C sort -u | grep -cxFf "$tmp/files")
[ "$rc" -eq 0 ] || [ -s "$tmp/layout" ] || wrong=$((wrong + 1)) # it said nothing
passed=$((passed + $(grep -c . "$tmp/files") - wrong))
failed=$((failed + wrong))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

#!/bin/sh
# lint.sh [BUILD] - clang-tidy (.clang-tidy says which checks) on the C files that changed (tests/changed.sh); with
# LINT_ALL=1 on all. BUILD/compile_commands.json must be there (make lint makes it).
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
tool=${CLANG_TIDY:-clang-tidy}
if ! command -v "$tool" >/dev/null 2>&1; then
    echo "no '$tool' here (Debian: apt-get install clang-tidy)" >&2
    exit 1
fi
changed=$(sh tests/changed.sh) || exit 2
files=$(echo "$changed" | grep '^\(common\|vqvae\|tokenize\|gato\|tests\)/.*\.c$' | grep -v '^tests/\(fuzz\|interop\)/')
[ -z "${LINT_ALL:-}" ] || files=$(find common vqvae tokenize gato -name '*.c' | LC_ALL=C sort)
if [ -z "$files" ]; then
    echo "no C file changed"
    exit 0
fi
# A header's warnings show in every file that includes it: once is enough. The analyzer's steps (notes) are left out.
echo "$files" | xargs -P "$(nproc 2>/dev/null || echo 1)" -n 4 "$tool" -p "$build" --quiet 2>/dev/null |
    awk '/: note: / { shown = 0 } /: (warning|error): / { shown = !seen[$0]++; found += shown } shown { print } END { exit found > 0 }'
rc=$?
echo "$(echo "$files" | grep -c .) files, $([ $rc -eq 0 ] && echo nothing found || echo see above)"
exit $rc

#!/bin/sh
# check_format.sh - every C file is as clang-format would leave it; closes with "N passed, N failed", one check a file.
# CLANG_FORMAT=NAME chooses another one; versions differ in small things, 14 is the one that counts.
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
passed=0
failed=0
for f in $(find common vqvae tokenize gato tests -name '*.[ch]' | LC_ALL=C sort); do
    if "$tool" --dry-run -Werror --ferror-limit=3 "$f"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

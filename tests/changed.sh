#!/bin/sh
# changed.sh - prints the files of the tree that changed, one per line: since LINT_BASE when it is set, else since the branch
# left main; on main itself since the commit before the last. Files that are not committed yet count. Without git, or
# without such a commit, every file is listed.
set -u
cd "$(dirname "$0")/.." || exit 1
everything() {
    find .ci common vqvae tokenize gato tests pipelines Makefile -type f | LC_ALL=C sort
    exit 0
}
git rev-parse HEAD >/dev/null 2>&1 || everything
base=${LINT_BASE:-}
if [ -z "$base" ]; then
    base=$(git merge-base HEAD main 2>/dev/null)
    [ -n "$base" ] && [ "$base" != "$(git rev-parse HEAD)" ] || base=HEAD~1
fi
if ! git rev-parse --verify -q "$base^{commit}" >/dev/null; then
    [ -z "${LINT_BASE:-}" ] || { echo "no commit '$base'" >&2; exit 2; }
    everything
fi
{
    git diff --name-only "$base"
    git ls-files --others --exclude-standard
} | LC_ALL=C sort -u | while read -r f; do
    if [ -f "$f" ]; then echo "$f"; fi
done

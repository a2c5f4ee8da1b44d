#!/bin/sh
# make_clipart.sh [OUT] - makes data/clipart: 600 images of 64x64 out of Debian's openclipart-png (public domain).
# The same package and PIL give the same bytes. DEBS=FOLDER: see fetch.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/fetch.sh"
out=${1:-$here/../../data/clipart}
python=$(find_python)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
fetch_packages "$tmp" openclipart-png
"$python" "$here/make_clipart.py" "$tmp/usr/share/openclipart/png" "$out"

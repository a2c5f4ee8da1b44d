#!/bin/sh
# make_photos.sh [OUT] - makes data/photos: 400 crops of 64x64 out of twelve photographs in Debian's
# lomiri-wallpapers-16.04 and python3-sklearn whose licenses (CC0, CC-BY) allow it; data/README.md names the authors.
# Other photographs of these packages are not touched. The same packages and PIL give the same bytes. DEBS=FOLDER: see
# fetch.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/fetch.sh"
out=${1:-$here/../../data/photos}
python=$(find_python)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
fetch_packages "$tmp" lomiri-wallpapers-16.04 python3-sklearn
"$python" "$here/make_photos.py" "$tmp" "$out"

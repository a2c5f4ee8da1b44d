#!/bin/sh
# setup_arm64.sh ROOT - what `make arm64` needs: a cross compiler and qemu on this system, and the libraries for AArch64 in
# the folder ROOT.
#
# The libraries come from this system's own package sources, with all that they depend on, unpacked under ROOT instead of
# installed: as multiarch packages they would have to be of the same version as this system's own, and upgrade those. So
# only the compiler and qemu need root. Silent when all is there. Needs Debian; Ubuntu keeps its AArch64 packages on
# another server.
set -eu

TOOLS='gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static'
NEEDED='libc6-dev libgcc-12-dev libopenblas-dev libpng-dev libjpeg62-turbo-dev liblmdb-dev libcjson-dev libxxhash-dev'
EXTRA='libhdf5-dev libmujoco-dev libosmesa6-dev libarchive-dev libwebp-dev libpcre2-dev'

[ $# -eq 1 ] || { echo "usage: sh pipelines/setup_arm64.sh ROOT" >&2; exit 2; }
command -v apt-get >/dev/null 2>&1 || { echo "setup_arm64.sh needs apt" >&2; exit 1; }
if ! command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || ! command -v qemu-aarch64-static >/dev/null 2>&1; then
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || { echo "please run: sudo apt-get install -y --no-install-recommends $TOOLS" >&2; exit 1; }
        as_root='sudo -n'
    fi
    echo "installing with apt: $TOOLS"
    $as_root apt-get -q update || echo "apt-get update failed; going on with the lists that are there" >&2
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $TOOLS
fi

[ "$(cat "$1/done" 2>/dev/null)" != "$NEEDED $EXTRA" ] || exit 0
rm -rf "$1"
mkdir -p "$1"
root=$(cd "$1" && pwd)
work=$root/.apt
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
: >"$work/status"

# apt as on an AArch64 system where nothing is installed yet.
apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User="$(id -un)" \
        -o Dir::State="$work" -o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" "$@"
}
fetch() { apt install -y --download-only --no-install-recommends "$@" >"$work/log" 2>&1; }

echo "unpacking libraries for AArch64 into '$1'"
apt update >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
fetch $NEEDED || { cat "$work/log" >&2; exit 1; }
for name in $EXTRA; do
    fetch "$name" || echo "no package '$name' for AArch64; going on without it" >&2
done
for package in "$work"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done

# Links from the root of a file system point into ROOT.
find "$root" -lname '/*' | while read -r link; do ln -sfn "$root$(readlink "$link")" "$link"; done
# What the packages' scripts set up when they are installed: which OpenBLAS, BLAS and HDF5 programs find.
cd "$root/usr/lib/aarch64-linux-gnu"
for f in openblas-pthread/lib*.so*; do ln -sfn "$f" .; done
ln -sfn ../openblas-pthread/pkgconfig/openblas.pc pkgconfig/openblas.pc
[ ! -e pkgconfig/hdf5-serial.pc ] || ln -sfn hdf5-serial.pc pkgconfig/hdf5.pc
rm -rf "$work"
echo "$NEEDED $EXTRA" >"$root/done"

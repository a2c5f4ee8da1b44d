#!/bin/sh
# setup.sh [test] - installs with apt what the build needs and does not find; with `test` also what the tests need.
#
# Silent, and without any call to apt, when all is there. Never asks: as an ordinary user without passwordless sudo it
# prints the one line to run and exits 1. Without apt it looks for the libraries by pkg-config and names those that are
# missing.
set -u

# a|b: either will do; the first that the system offers is installed.
NEEDED='gcc make pkg-config|pkgconf libopenblas-dev libpng-dev libjpeg62-turbo-dev|libjpeg-dev liblmdb-dev libcjson-dev libxxhash-dev'
# Commands that need one of these say so when it was missing at build time. Not every release has MuJoCo.
EXTRA='libhdf5-dev libmujoco-dev libosmesa6-dev libarchive-dev libwebp-dev libpcre2-dev jq'
TESTS='clang clang-format libclang-rt-14-dev|libclang-rt-dev python3 python3-numpy python3-h5py python3-lmdb python3-pil'

case ${1:-} in
'') ;;
test) NEEDED="$NEEDED $TESTS" ;;
*)
    echo "usage: sh pipelines/setup.sh [test]" >&2
    exit 2
    ;;
esac

alternatives() { echo "$1" | tr '|' ' '; }

is_installed() {
    for name in $(alternatives "$1"); do
        dpkg -s "$name" 2>/dev/null | grep -q '^Status: .* installed$' && return 0
    done
    return 1
}

missing_of() {
    for entry in "$@"; do
        is_installed "$entry" || echo "$entry"
    done
}

# Prints the package of an entry that apt can install; nothing when there is none.
offered() {
    for name in $(alternatives "$1"); do
        if [ -n "$(apt-cache -q madison "$name" 2>/dev/null)" ]; then
            echo "$name"
            return
        fi
    done
}

first_name() { echo "${1%%|*}"; }

setup_without_apt() {
    echo "no apt here; needed: gcc, make, pkg-config, OpenBLAS, libpng, libjpeg-turbo, LMDB, cJSON, xxHash;" >&2
    echo "optional: HDF5 (datasets), MuJoCo and OSMesa (the simulated arm), libarchive, libwebp, PCRE2 (byte-level BPE)" >&2
    lacking=
    for tool in cc make pkg-config; do
        command -v "$tool" >/dev/null 2>&1 || lacking="$lacking $tool"
    done
    for lib in openblas libpng libjpeg lmdb libcjson libxxhash; do
        pkg-config --exists "$lib" 2>/dev/null || lacking="$lacking $lib"
    done
    if [ -n "$lacking" ]; then
        echo "not found:$lacking" >&2
        exit 1
    fi
    exit 0
}

command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 || setup_without_apt

needed=$(missing_of $NEEDED)
extra=$(missing_of $EXTRA)
[ -n "$needed$extra" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        names=
        for entry in $needed $extra; do names="$names $(first_name "$entry")"; done
        echo "please run: sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends$names'" >&2
        exit 1
    fi
fi

echo "installing with apt:" $needed $extra
# A stale list of packages is a weaker reason to stop than a failed installation, which follows if it mattered.
$as_root apt-get -q update || echo "apt-get update failed; going on with the lists that are there" >&2

names=
for entry in $needed; do
    name=$(offered "$entry")
    names="$names ${name:-$(first_name "$entry")}"
done
for entry in $extra; do
    name=$(offered "$entry")
    if [ -n "$name" ]; then
        names="$names $name"
    else
        echo "this system has no package '$entry'; going on without it" >&2
    fi
done
[ -n "$names" ] || exit 0

$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $names || {
    echo "apt could not install:$names" >&2
    exit 1
}

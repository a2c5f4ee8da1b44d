# fetch.sh - read by the make_*.sh scripts beside it: Debian packages as a source of images, unpacked but never
# installed.
#
#   fetch_packages DEST NAME...   unpacks the packages into DEST
#   find_python                   prints a python3 that has PIL
#
# DEBS=FOLDER takes *.deb files that are already there instead of downloading (openclipart-png alone is 131 MB).

fetch_packages() {
    dest=$1
    shift
    for name in "$@"; do
        deb=
        if [ -n "${DEBS:-}" ]; then
            for f in "$DEBS/$name"_*.deb; do [ -f "$f" ] && deb=$f; done
        fi
        if [ -z "$deb" ]; then
            mkdir -p "$dest/deb"
            echo "downloading $name" >&2
            # The sandbox user of apt cannot write to a private temporary folder; without this root gets a warning.
            if ! (cd "$dest/deb" && apt-get -q -o APT::Sandbox::User=root download "$name" >&2); then
                echo "cannot download '$name' (is this a Debian system, and did 'apt-get update' run?)" >&2
                return 1
            fi
            for f in "$dest/deb/$name"_*.deb; do deb=$f; done
        fi
        dpkg-deb -x "$deb" "$dest" || return 1
    done
}

find_python() {
    for p in python3 /usr/bin/python3; do
        if "$p" -c 'import PIL' 2>/dev/null; then
            echo "$p"
            return 0
        fi
    done
    echo "no python3 with PIL (Debian: apt-get install python3-pil)" >&2
    return 1
}

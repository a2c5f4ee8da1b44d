#!/bin/sh
# envs.sh DIR PACKAGE... - makes DIR a Python environment with these packages, in which pipelines/gym_env.py serves worlds. DIR/done names them: with the
# same ones nothing happens. Installs python3-venv, and OSMesa for worlds that MuJoCo draws, where they are missing.
set -eu
dir=$1
shift
if [ -f "$dir/done" ] && [ "$(cat "$dir/done")" = "$*" ]; then exit 0; fi

install() { # install PACKAGE
    echo "envs.sh: installing $1" >&2
    if [ "$(id -u)" -eq 0 ]; then apt-get install -y -q "$1" >&2; else sudo -n apt-get install -y -q "$1" >&2; fi || {
        echo "envs.sh: '$1' is missing: sudo apt-get install $1" >&2
        exit 1
    }
}
python3 -c 'import venv, ensurepip' 2>/dev/null || install python3-venv
case " $* " in
*' metaworld '*) ldconfig -p 2>/dev/null | grep -q libOSMesa || install libosmesa6 ;;
esac
if [ -d "$dir" ] && [ ! -f "$dir/envs.sh" ]; then
    echo "envs.sh: '$dir' exists, and was not made here: it would be emptied" >&2
    exit 2
fi
mkdir -p "$dir"
rm -f "$dir/done"
python3 -m venv --clear "$dir"
: >"$dir/envs.sh" # it may be made anew
"$dir/bin/pip" install -q --disable-pip-version-check "$@" >&2
echo "$*" >"$dir/done"

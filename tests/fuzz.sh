#!/bin/sh
# fuzz.sh BUILD SECONDS [PATTERN] - builds each tests/fuzz/fuzz_NAME.c (those with PATTERN in their name) with
# libFuzzer, ASan and UBSan, runs it for SECONDS on a copy of its corpus tests/fuzz/corpus/NAME, two at a time, and
# closes with "N passed, N failed".
#
# common/base, common/io with its rooms and common/kernel become one library in BUILD/fuzz; a target links what it
# calls. Kernels see no foreign bytes and are built plainly: clang takes minutes to instrument their unrolled loops. A
# target that needs more says so in a line "fuzz-sources: gato/x.c common/model/y.c" in its first comment. What made a target
# stop stays in BUILD/fuzz as NAME-crash-...; `BUILD/fuzz/fuzz_NAME FILE` shows it again.
set -u

CC=${FUZZ_CC:-clang}
SAN=address,undefined
CFLAGS="-std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined -Wno-unknown-pragmas -Wno-unused-function -Wno-psabi"

have() { pkg-config --exists "$1" 2>/dev/null; }

flags() {
    pkgs='openblas libpng libjpeg libcjson libxxhash'
    # One thread is enough for a reader, and clang's OpenMP is a package of its own: without -fopenmp the pragmas are
    # ignored.
    mkdir -p "$BUILD/fuzz/include"
    cat >"$BUILD/fuzz/include/omp.h" <<'X'
static inline int omp_get_num_procs(void) { return 1; }
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_in_parallel(void) { return 0; }
static inline void omp_set_num_threads(int n) { (void)n; }
X
    INCS="-I. -I$BUILD/fuzz/include -D_GNU_SOURCE $(pkg-config --cflags $pkgs)"
    LIBS="$(pkg-config --libs $pkgs) -llmdb -lz -lm -lpthread"
    if have libarchive; then
        INCS="$INCS -DWITH_LIBARCHIVE $(pkg-config --cflags libarchive)"
        LIBS="$LIBS $(pkg-config --libs libarchive)"
    fi
    if have libwebp && have libwebpdemux; then
        INCS="$INCS -DWITH_WEBP $(pkg-config --cflags libwebp libwebpdemux)"
        LIBS="$LIBS $(pkg-config --libs libwebp libwebpdemux)"
    fi
    if have libpcre2-8; then
        INCS="$INCS -DWITH_PCRE2 $(pkg-config --cflags libpcre2-8)"
        LIBS="$LIBS $(pkg-config --libs libpcre2-8)"
    fi
    if have hdf5; then
        INCS="$INCS -DWITH_HDF5 $(pkg-config --cflags hdf5)"
        LIBS="$LIBS $(pkg-config --libs hdf5)"
    fi
}

object_of() { echo "$BUILD/fuzz/$(echo "${1%.c}" | tr / _).o"; }

# Compiles a source unless its object is newer than it and than every header.
compile() {
    o=$(object_of "$1")
    if [ ! -f "$o" ] || [ -n "$(find "$1" common vqvae tokenize gato \( -name '*.h' -o -path "$1" \) -newer "$o")" ]; then
        sanitize=-fsanitize=fuzzer-no-link,$SAN
        case $1 in common/kernel/*) sanitize= ;; esac
        "$CC" $CFLAGS $INCS $sanitize -c -o "$o" "$1" || { rm -f "$o"; return 1; }
    fi
}

run_one() { # run_one NAME: leaves BUILD/fuzz/NAME.log and NAME.rc
    dir=$BUILD/fuzz
    rm -rf "$dir/corpus/$1" "$dir/$1"-crash-* "$dir/$1"-oom-* "$dir/$1"-timeout-* "$dir/$1"-leak-*
    mkdir -p "$dir/corpus/$1"
    [ -d "tests/fuzz/corpus/$1" ] && cp -R "tests/fuzz/corpus/$1/." "$dir/corpus/$1/"
    # LeakSanitizer stays on. What the reader prints is of no use here, and there would be a lot of it.
    ASAN_OPTIONS=print_legend=0 timeout $((SECONDS_EACH + 120)) "$dir/fuzz_$1" -max_total_time="$SECONDS_EACH" \
        -max_len=65536 -rss_limit_mb=1024 -timeout=10 -seed=1 -close_fd_mask=3 -print_final_stats=1 \
        -artifact_prefix="$dir/$1-" "$dir/corpus/$1" >"$dir/$1.log" 2>&1 </dev/null
    echo $? >"$dir/$1.rc"
}

case ${1:-} in
--compile)
    compile "$2"
    exit $?
    ;;
--one)
    run_one "$2"
    exit 0
    ;;
esac

[ $# -ge 2 ] || { echo "usage: sh tests/fuzz.sh BUILD SECONDS [PATTERN]" >&2; exit 2; }
mkdir -p "$1/fuzz" || exit 2
BUILD=$(cd "$1" && pwd)
SECONDS_EACH=$2
pattern=${3:-}
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
close() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

names=
for f in tests/fuzz/fuzz_*.c; do
    [ -f "$f" ] || continue
    name=$(basename "$f" .c)
    name=${name#fuzz_}
    case $name in *"$pattern"*) names="$names $name" ;; esac
done
if [ -z "$names" ]; then
    echo "no fuzz targets in 'tests/fuzz'"
    close
fi
if ! command -v "$CC" >/dev/null 2>&1; then
    echo "no '$CC' here (Debian: apt-get install clang libclang-rt-14-dev)"
    failed=1
    close
fi
flags
export BUILD SECONDS_EACH CC INCS

library=$(ls common/base/*.c common/io/*.c common/io/*/*.c common/kernel/*.c 2>/dev/null)
if ! printf '%s\n' $library | xargs -P 2 -n 1 sh tests/fuzz.sh --compile; then
    echo "the library for fuzzing does not compile"
    failed=1
    close
fi
rm -f "$BUILD/fuzz/libfuzz.a"
ar rcs "$BUILD/fuzz/libfuzz.a" $(for c in $library; do object_of "$c"; done)

built=
for name in $names; do
    src=tests/fuzz/fuzz_$name.c
    more=$(sed -n '1,20s|^.*fuzz-sources:[ ]*\([A-Za-z0-9_./ -]*[A-Za-z0-9_]\).*$|\1|p' "$src")
    objects=
    ok=yes
    for c in $src $more; do
        compile "$c" || ok=
        objects="$objects $(object_of "$c")"
    done
    if [ -n "$ok" ] && "$CC" -g "-fsanitize=fuzzer,$SAN" -o "$BUILD/fuzz/fuzz_$name" $objects "$BUILD/fuzz/libfuzz.a" $LIBS; then
        built="$built $name"
    else
        echo "FAIL $name: does not build"
        failed=$((failed + 1))
    fi
done

[ -n "$built" ] && printf '%s\n' $built | xargs -P 2 -n 1 sh tests/fuzz.sh --one
for name in $built; do
    log=$BUILD/fuzz/$name.log
    rc=$(cat "$BUILD/fuzz/$name.rc" 2>/dev/null || echo 1)
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$rc" -eq 0 ] && [ "${runs:-0}" -gt 0 ]; then
        echo "ok   $name: $runs runs"
        passed=$((passed + 1))
    else
        echo "FAIL $name: status $rc"
        tail -n 80 "$log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
done
close

#!/bin/sh
# levels.sh - one binary, the kernels at every level (common/kernel/level.h): what --version tells, what KERNEL_LEVEL chooses
# and refuses, and that no instruction of a level is in what every processor runs.
. "$(dirname "$0")/../tokenize_common.sh"

levels=$(vqvae --version | sed -n 's/^kernels: \([a-z0-9_]*\), of/\1/p')
best=${levels%% *}
levels=${levels#* }
[ -n "$best" ] && [ "${levels##* }" = "$best" ]
verdict $? "by itself the best of '$levels' is used, not '$best'"
for program in vqvae tokenize gato; do
    for level in $levels; do
        KERNEL_LEVEL=$level $program --version >out 2>err && grep -qx "kernels: $level, of $levels" out
        verdict $? "$program at $level"
    done
    for level in avx3 ''; do
        KERNEL_LEVEL=$level $program --version >out 2>err
        [ $? -eq 2 ] && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "^$program: KERNEL_LEVEL: '$level' " err
        verdict $? "$program at no level '$level'"
    done
done

build=$(dirname "$BIN")
if [ "$best" = single ] || ! command -v objdump >/dev/null 2>&1; then
    skip objects "one level only, or no objdump"
    finish
fi
# instructions PATTERN FILE...: how many use a register of that pattern.
instructions() {
    pattern=$1
    shift
    objdump -d --no-show-raw-insn "$@" | grep -c "%$pattern"
}
kernels=$build/common/kernel
plain=$(find "$build/common" "$build/vqvae" "$build/tokenize" "$build/gato" -name '*.o' ! -name '*.avx*.o')
# shellcheck disable=SC2086
[ "$(echo "$plain" | wc -l)" -gt 100 ] && [ "$(instructions '[yz]mm' $plain)" -eq 0 ]
verdict $? "every processor runs what is outside of the levels"
[ "$(instructions ymm "$kernels"/*.avx2.o)" -gt 1000 ] && [ "$(instructions zmm "$kernels"/*.avx2.o "$kernels"/*.avx2_vnni.o)" -eq 0 ]
verdict $? "AVX2 has vectors of 32 bytes"
[ "$(instructions zmm "$kernels"/*.avx512.o)" -gt 1000 ]
verdict $? "AVX-512 has vectors of 64 bytes"
for level in base avx2 avx512; do
    ! objdump -d "$kernels/packed_linear.$level.o" | grep -q dpbusd
    verdict $? "$level does without VNNI"
done
for level in avx2_vnni avx512_vnni; do
    objdump -d "$kernels/packed_linear.$level.o" | grep -q dpbusd
    verdict $? "$level uses VNNI"
done
# What a level defines for others bears its name, so that the linker cannot mix it up with another's.
for level in base avx2 avx2_vnni avx512 avx512_vnni; do
    strangers=$(nm -g --defined-only "$kernels"/*.$level.o | awk -v end=".$level" 'NF == 3 && substr($3, length($3) - length(end) + 1) != end')
    [ -z "$strangers" ] && [ "$(nm -g --defined-only "$kernels"/*.$level.o | grep -c ' T ')" -gt 50 ]
    verdict $? "names of $level: $strangers"
done
finish

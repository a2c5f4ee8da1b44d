#!/bin/sh
# levels.sh BUILD [NAME...] - the unit tests of whatever calls kernels, at every level that this processor has (common/kernel/level.h)
# but the one that it runs at by itself. NAMEs are tests to run instead. Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
[ $# -ge 1 ] || { echo "usage: sh tests/levels.sh BUILD [NAME...]" >&2; exit 2; }
build=$1
shift
[ $# -gt 0 ] || set -- test_level test_kernel test_packed test_conv test_norm test_attention test_attention_cache test_loss \
    test_gan_kernel test_ops test_head test_quantizer_ops test_vqvae_model test_gato_model test_adversary test_player
levels=$("$build/bin/vqvae" --version | sed -n 's/^kernels: \([a-z0-9_]*\), of/\1/p')
[ -n "$levels" ] || { echo "'$build/bin/vqvae --version' names no levels" >&2; exit 1; }
best=${levels%% *}
passed=0
failed=0
for level in ${levels#* }; do
    [ "$level" != "$best" ] || continue
    echo "-- $level"
    out=$(KERNEL_LEVEL=$level sh tests/run.sh "$build" -x "$@" 2>&1)
    printf '%s\n' "$out"
    counts=$(printf '%s\n' "$out" | sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p')
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

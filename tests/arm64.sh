#!/bin/sh
# arm64.sh --list | BUILD ROOT - what `make arm64` runs under qemu: unit tests of the cross-built tree BUILD/arm64 over the
# libraries in ROOT, and the programs beside those of BUILD. Both encode the same images of data/ by one tokenizer; the
# codes must be equal. Then policies for the arm and the grid are measured and play. --list names the unit
# tests; ARM64_LONG=1 adds those that take minutes.
# Closes with "N passed, N failed".
set -u
TESTS='test_base test_fs test_kernel test_vmath test_packed test_norm test_loss test_level test_ops test_plan test_tape test_weights
    test_json test_safetensors test_image_png test_token_db'
# Minutes each.
LONG='test_conv test_attention test_attention_cache test_gato_model test_player'
[ -z "${ARM64_LONG:-}" ] || TESTS="$TESTS $LONG"
[ "${1:-}" = --list ] && { echo $TESTS; exit 0; }
[ $# -eq 2 ] || { echo "usage: sh tests/arm64.sh --list | BUILD ROOT" >&2; exit 2; }
cd "$(dirname "$0")/.." || exit 1
build=$1 arm=$1/arm64
QEMU_LD_PREFIX=$(cd "$2" && pwd) || exit 1
export QEMU_LD_PREFIX
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

TEST_RUN=qemu-aarch64-static sh tests/run.sh "$arm" -x $TESTS | tee "$work/units"
counts=$(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/units")
passed=${counts% *} failed=${counts#* }
[ -n "$counts" ] || { passed=0 failed=1; }

echo "skip test_image_jpeg: it bounds memory and seconds, and qemu's own count with them"
echo "skip test_vqvae_model: it takes many minutes under qemu"
[ -n "${ARM64_LONG:-}" ] || echo "skip $LONG: minutes each, with ARM64_LONG=1"

verdict() { # STATUS NAME
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok   $2"
    else
        failed=$((failed + 1))
        echo "FAIL $2"
        tail -n 5 "$work/err"
    fi
}
here() { program=$1; shift; "$build/bin/$program" "$@" 2>"$work/err"; }
there() { program=$1; shift; qemu-aarch64-static "$arm/bin/$program" "$@" 2>"$work/err"; }
m=$work/vqvae

there gato --version | tee "$work/version"
grep -q '^kernels: single' "$work/version"
verdict $? "the programs run"
here vqvae train --data data/reacher data/clipart --out "$m" --steps 60 --seed 1 --set model.block_out_channels=[16,16,32] \
    model.norm_num_groups=8 model.num_vq_embeddings=64 model.vq_embed_dim=4 data.size=32 train.batch=8 >"$work/out"
verdict $? "a tokenizer"
for side in here there; do
    $side tokenize images --in data/clipart --model "$m" --limit 100 --out "$work/$side-images.lmdb" >"$work/out" &&
        $side tokenize episodes --in data/reacher --model "$m" --frames 4 --limit 40 --out "$work/$side.lmdb" >"$work/out" &&
        here tokenize dump "$work/$side-images.lmdb" >"$work/$side-images" && here tokenize dump "$work/$side.lmdb" >"$work/$side-episodes"
    verdict $? "images and episodes to codes ($side)"
done
# Sums of other lengths round otherwise: a code could differ where two rows of the codebook are equally near to a float's
# last digits. None of these images has such a place.
for what in images episodes; do
    [ -s "$work/here-$what" ] && cmp "$work/here-$what" "$work/there-$what" >"$work/err" 2>&1
    verdict $? "the same codes: $(wc -l <"$work/here-$what") records of $what"
done
here gato record --env grid --episodes 40 --out "$work/grid" >"$work/out" &&
    here tokenize episodes --in "$work/grid" --model "$m" --out "$work/grid.lmdb" >"$work/out"
verdict $? "recordings of the grid"
mv "$work/here.lmdb" "$work/reacher.lmdb"
for world in reacher grid; do
    here gato train --data "$work/$world.lmdb" --vqvae "$m" --out "$work/$world-policy" --steps 100 --seed 1 --set model.width=64 \
        model.layers=2 model.heads=4 model.context=320 train.batch=4 optim.lr=0.003 optim.warmup=10 >"$work/out"
    verdict $? "a policy for '$world'"
    for side in here there; do
        $side gato eval --model "$work/$world-policy" --data "$work/$world.lmdb" --split all >"$work/$side-eval"
        verdict $? "gato eval: $(cat "$work/$side-eval")"
    done
    # Numbers of two processors' kernels agree to rounding.
    sed -n 's/.*"loss":\([^,]*\),.*/\1/p' "$work/here-eval" "$work/there-eval" |
        awk '{ v[NR] = $1 } END { d = v[1] - v[2]; exit !(NR == 2 && v[1] > 0 && d * d < 1e-8 * v[1] * v[1]) }'
    verdict $? "the same loss"
done
if grep -q '^mujoco: yes' "$work/version"; then
    there gato act --env reacher --model "$work/reacher-policy" --episodes 1 --max-steps 20 >"$work/out"
    verdict $? "gato act: $(cat "$work/out")"
else
    echo "skip gato act --env reacher: built without MuJoCo"
fi
# All but the time that a step takes: a logit's last digits draw no other action here.
for side in here there; do
    $side gato act --env grid --model "$work/grid-policy" --episodes 2 --max-steps 12 --decode sample | sed 's/,"step_ms.*//' >"$work/$side-act"
done
[ -s "$work/here-act" ] && cmp "$work/here-act" "$work/there-act" >"$work/err" 2>&1
verdict $? "the same play: $(cat "$work/there-act")"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

# tokenize_common.sh - what the scripts tests/cli/tokenize_*.sh share; sourced by them. Finds the programs in PATH or in
# $BIN, works in a temporary folder, counts verdicts.
PATH=${BIN:+$BIN:}$PATH
PYTHON=${PYTHON:-python3}
top=$(cd "$(dirname "$0")/../.." && pwd)
passed=0 failed=0 skipped=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1

verdict() { # STATUS NAME
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAIL $2"
        head -n 5 err out 2>/dev/null
    fi
}
skip() { # WHAT WHY
    skipped=$((skipped + 1))
    echo "skipped: $1: $2"
}
finish() {
    if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
    [ "$failed" -eq 0 ]
    exit
}
# exits STATUS PATTERN ARGUMENTS...: tokenize must leave with STATUS and say PATTERN on stderr, its last line, and nothing on stdout.
exits() {
    want=$1 pattern=$2
    shift 2
    tokenize "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && tail -n 1 err | grep -q -e "$pattern" && [ ! -s out ]
    verdict $? "tokenize $*: status $rc, wanted $want and '$pattern'"
}
# works NAME ARGUMENTS...: status 0; what it says is in out and err.
works() {
    name=$1
    shift
    tokenize "$@" >out 2>err
    verdict $? "$name: tokenize $*"
}
# same NAME A B: the dumps of two shards are equal, and not empty.
same() {
    tokenize dump "$2" >"$2.json" 2>err && tokenize dump "$3" >"$3.json" 2>err && [ -s "$2.json" ] && cmp "$2.json" "$3.json" >out 2>&1
    verdict $? "$1"
}
# small_model RUN SEED: a tokenizer of 32 x 32 images with 16 codes and stride 2, hardly trained.
small_model() {
    mkdir -p seed && cp "$top"/data/clipart/animals_a*.png seed/ &&
        vqvae train --data seed --out "$1" --seed "$2" --steps 3 --set model.block_out_channels=[8,8] model.norm_num_groups=4 \
            model.num_vq_embeddings=16 model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=2 >out 2>err
    verdict $? "a small model"
}
has_python() { "$PYTHON" -c 'import h5py, lmdb, numpy, PIL' 2>/dev/null; }
python() { "$PYTHON" "$@" >out 2>err; }

# vqvae_common.sh - what the scripts tests/cli/vqvae_*.sh, golden_taming.sh and diffusers.sh share; sourced by them. Finds the
# programs in PATH or in $BIN, works in a temporary folder, counts verdicts.
PATH=${BIN:+$BIN:}$PATH
top=$(cd "$(dirname "$0")/../.." && pwd)
passed=0 failed=0 skipped=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1
unset SLURM_JOB_ID PBS_JOBID

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
# exits STATUS PATTERN ARGUMENTS...: vqvae must leave with STATUS and say PATTERN on stderr, and nothing on stdout.
exits() {
    want=$1 pattern=$2
    shift 2
    vqvae "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ]
    verdict $? "vqvae $*: status $rc, wanted $want and '$pattern'"
}
# works NAME ARGUMENTS...: status 0; what it says is in out and err.
works() {
    name=$1
    shift
    vqvae "$@" >out 2>err
    verdict $? "$name: vqvae $*"
}

# images N FOLDER: N images of 64 x 64.
images() {
    mkdir -p "$2"
    find "$top/data/clipart" -name '*.png' | LC_ALL=C sort | awk -v n="$1" 'NR % 20 == 1 && made++ < n' | while read -r f; do cp "$f" "$2"; done
    [ "$(find "$2" -name '*.png' | wc -l)" -eq "$1" ]
    verdict $? "$1 images"
}

# A run of twelve steps: autoencoder until 3, checkpoints at 4, 8, 12, metrics at 6, 12.
cat >tiny.json <<'X'
{"model": {"block_out_channels": [8, 8], "latent_channels": 8, "vq_embed_dim": 4, "num_vq_embeddings": 16, "norm_num_groups": 2},
 "train": {"steps": 12, "batch": 4, "warmup_no_quant": 3, "save_every": 4, "eval_every": 6, "log_every": 2},
 "optim": {"warmup": 4}, "data": {"size": [16, 16], "holdout": 0.2}}
X
# train RUN ARGUMENTS...
train() {
    run=$1
    shift
    vqvae train --data pics --config tiny.json --threads 1 --out "$run" "$@" >out 2>err
}

# What must be equal in two runs, files and names: all bytes but the clock's (wall and speed in metrics.jsonl, and the event
# file, a copy of it that is named after the time).
timeless() { sed -E 's/"(wall|[a-z_]*_per_s)":[^,}]*,?//g' "$1"; }
files_of() { (cd "$1" && find . -type f ! -name 'events.out.tfevents.*' | LC_ALL=C sort); }
same_runs() { # A B
    files_of "$1" >names.a
    files_of "$2" >names.b
    cmp names.a names.b || return 1
    while read -r f; do
        case $f in
        ./metrics.jsonl)
            timeless "$1/$f" >lines.a
            timeless "$2/$f" >lines.b
            cmp lines.a lines.b || return 1
            ;;
        *) cmp "$1/$f" "$2/$f" || return 1 ;;
        esac
    done <names.a
}
same() { # NAME A B
    same_runs "$2" "$3" >out 2>&1
    verdict $? "$1"
}
# step_of RUN: where its training state stands.
step_of() { grep -o '"step":[0-9]*' "$1/training.json" | tr -dc 0-9; }
# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    left=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.05
    done
}
# numpy_python: the interpreter that has numpy, or nothing.
numpy_python() {
    for p in ${PYTHON:-} python3 /usr/bin/python3; do
        if "$p" -c 'import numpy' 2>/dev/null; then
            echo "$p"
            return
        fi
    done
}
# paper_step OUT MODEL IMAGE...: two steps of Adam on the images as one batch: L1, commitment 0.25, codebook 1, nothing else.
paper_step() {
    t=$1 m=$2
    shift 2
    vqvae trace --train --steps 2 --model "$m" --image "$@" --out "$t" --set loss.rec=l1 --set quantizer.kind=ste --set quantizer.commitment_weight=0.25 \
        --set quantizer.codebook_weight=1 --set optim.kind=adam --set optim.lr=0.001 --set 'optim.betas=[0.5,0.9]' --set optim.weight_decay=0 \
        --set optim.clip=0 --set optim.warmup=0 --set optim.schedule=constant --threads 1 >out 2>err
}
# compared NAME A B OPTIONS...: compare_trace.py finds nothing wrong.
compared() {
    name=$1 a=$2 b=$3
    shift 3
    "$python" "$top/tests/interop/compare_trace.py" "$a" "$b" --quiet "$@" >out 2>err
    verdict $? "$name: $(tail -n 1 out)"
}

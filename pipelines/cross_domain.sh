#!/bin/sh
# cross_domain.sh - what a tokenizer trained on one kind of images makes of another: trains one on each source and one on all of them, with
# the same number of steps, measures each on the held-out images of every source, and prints the metrics as a table in Markdown.
#
#   sh pipelines/cross_domain.sh [SRC...]        the sources (data/clipart data/photos data/reacher)
#
# Environment: D (build/cross-domain) where runs and table.md go, STEPS (600), SEED (1), BIN (build/bin), CONFIG. A run that is there already is
# not made again; remove D to begin anew.
set -eu
cd "$(dirname "$0")/.."
D=${D:-build/cross-domain}
BIN=${BIN:-build/bin}
STEPS=${STEPS:-600}
SEED=${SEED:-1}
CONFIG=${CONFIG:-pipelines/configs/cross-domain.json}

if [ $# -eq 0 ]; then
    set -- data/clipart data/photos
    if "$BIN/vqvae" --version | grep -q '^hdf5: yes'; then
        set -- "$@" data/reacher
    else
        echo "built without HDF5: data/reacher is left out" >&2
    fi
fi

mkdir -p "$D"
name_of() { basename "${1%/}"; }
. pipelines/json.sh
learn() { # NAME SRC...
    run=$D/$1
    shift
    "$BIN/vqvae" train --data "$@" --config "$CONFIG" --steps "$STEPS" --seed "$SEED" --out "$run" --resume
}

rows= head='| trained on |' line='|---|'
for src in "$@"; do
    head="$head $(name_of "$src") |"
    line="$line---|"
    rows="$rows $(name_of "$src")"
    learn "$(name_of "$src")" "$src"
done
learn all "$@"

{
    echo "$head"
    echo "$line"
    for row in $rows all; do
        cells=
        for src in "$@"; do
            json=$D/$row-on-$(name_of "$src").json
            "$BIN/vqvae" eval --model "$D/$row" --data "$src" >"$json.part" 2>"$D/eval.log" || { cat "$D/eval.log" >&2; exit 1; }
            mv "$json.part" "$json"
            cells="$cells $(awk -v p="$(json_last "$json" psnr)" -v s="$(json_last "$json" ssim)" -v c="$(json_last "$json" codes_used)" -v x="$(json_last "$json" perplexity)" \
                'BEGIN { printf "%.2f dB, SSIM %.3f, %d codes (%.0f)", p, s, c, x }') |"
        done
        echo "| $row |$cells"
    done
} >"$D/table.md.part"
mv "$D/table.md.part" "$D/table.md"
cat "$D/table.md"

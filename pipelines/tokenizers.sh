#!/bin/sh
# tokenizers.sh - a grid of codes and ordered codes (model.kind = causal1d) on the same images, with the same convolutions but for a fifth
# level of the 4x4 grid, for as many steps: 16 codes of 512 each, which are 144 bits; the 8x8 grid, with four times as many, is the yardstick.
#
#   sh pipelines/tokenizers.sh          STEPS=2000 SEEDS="1 2 3" KINDS="grid-4x4 causal-16" D=build/tokenizers DATA="data/clipart data/photos"
#
# Writes D/quantizers.md (quantizers.sh, with a kind a row) and D/kept.md: PSNR of held-out images from the first codes alone.
set -eu
B=${B:-build}
D=${D:-$B/tokenizers}
STEPS=${STEPS:-2000}
SEEDS=${SEEDS:-1 2 3}
KINDS=${KINDS:-grid-4x4 causal-16 full-16 whole-16 grid-8x8}
here=$(dirname "$0")
export B D STEPS SEEDS KINDS
CONFIG=$here/configs/tokenizers-vqvae.json sh "$here/quantizers.sh"

for kind in $KINDS; do
    for seed in $SEEDS; do
        tail -n 1 "$D/$kind-$seed-val.json" | grep -o '"tokens":[0-9]*,"psnr":[0-9.]*' | sed "s/\"tokens\":\([0-9]*\),\"psnr\":/$kind \1 /" || true
    done
done | awk '
    !($1 in seen) { seen[$1] = 1; order[kinds++] = $1 }
    !($2 in column) { column[$2] = 1; width[columns++] = $2 }
    { n[$1, $2]++; sum[$1, $2] += $3 }
    END {
        printf "| PSNR dB from the first codes |"
        for (i = 0; i < columns; i++) printf " %s |", width[i]
        printf "\n|---|"
        for (i = 0; i < columns; i++) printf "---|"
        printf "\n"
        for (k = 0; k < kinds; k++) {
            printf "| %s |", order[k]
            for (i = 0; i < columns; i++) printf " %.2f |", sum[order[k], width[i]] / n[order[k], width[i]]
            printf "\n"
        }
    }' >"$D/kept.md.part"
mv "$D/kept.md.part" "$D/kept.md"
echo
cat "$D/kept.md"

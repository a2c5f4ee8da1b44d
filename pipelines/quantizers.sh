#!/bin/sh
# quantizers.sh - every quantizer on the same images, network, steps and seeds; figures of held-out images as one table.
#
#   sh pipelines/quantizers.sh          STEPS=600 SEEDS="1 2 3" KINDS="plain ema" D=build/quantizers DATA="data/clipart data/photos"
#
# plain is straight-through alone: no warm-up as an autoencoder, no k-means, no restart. The others follow the recipe: a fifth of the
# steps without quantizer, then k-means and restarts where they apply. All have 512 codes: of width 64, l2 of width 8, fsq of three
# channels of 8 levels. Writes D/quantizers.md and D/quantizers.json; a finished run is not trained again. tokenizers.sh runs it with another
# CONFIG and with the kinds of model: 16 codes as a grid of 4x4, or in order (causal, full, and whole: without dropped tails).
set -eu
B=${B:-build}
D=${D:-$B/quantizers}
STEPS=${STEPS:-600}
SEEDS=${SEEDS:-1 2 3}
KINDS=${KINDS:-plain ema simvq fsq rotation l2}
DATA=${DATA:-data/clipart data/photos}
THREADS=${THREADS:-0}
PATH=$B/bin:$PATH
here=$(dirname "$0")
CONFIG=${CONFIG:-$here/configs/quantizers-vqvae.json}

settings() { # of a kind, a word each
    case $1 in
    plain) echo quantizer.kind=ste quantizer.kmeans=false quantizer.restart=false train.warmup_no_quant=0 model.vq_embed_dim=64 ;;
    l2) echo quantizer.kind=l2 model.vq_embed_dim=8 ;;
    grid-4x4) echo 'model.block_out_channels=[16,16,32,32,64]' ;;
    grid-8x8) echo model.kind=grid ;;
    causal-16) echo model.kind=causal1d ;;
    full-16) echo model.kind=causal1d model.causal=false ;;
    whole-16) echo model.kind=causal1d model.tail_dropout=0 ;;
    fsq) echo 'quantizer.kind=fsq quantizer.levels=[8,8,8]' ;;
    *) echo "quantizer.kind=$1 model.vq_embed_dim=64" ;;
    esac
}
. "$here/json.sh"

mkdir -p "$D"
rows=$D/rows.txt # kind, seed, PSNR, SSIM, codes used, codes, perplexity, codes used by all images
: >"$rows"
for kind in $KINDS; do
    list=$(settings "$kind")
    for seed in $SEEDS; do
        run=$D/$kind-$seed
        set -- --config "$CONFIG" --steps "$STEPS" --set "train.warmup_no_quant=$((STEPS / 5))" --seed "$seed" \
            --threads "$THREADS" --out "$run"
        for source in $DATA; do set -- "$@" --data "$source"; done
        for s in $list; do set -- "$@" --set "$s"; done
        vqvae train "$@" --resume >"$run.log" 2>&1 || {
            tail -n 3 "$run.log" >&2
            exit 1
        }
        for split in val all; do
            # shellcheck disable=SC2086
            vqvae eval --model "$run" --data $DATA --split $split --threads "$THREADS" >"$run-$split.json" 2>>"$run.log"
        done
        echo "$kind $seed $(json_last "$run-val.json" psnr) $(json_last "$run-val.json" ssim) $(json_last "$run-val.json" codes_used) $(json_last "$run-val.json" codes)" \
            "$(json_last "$run-val.json" perplexity) $(json_last "$run-all.json" codes_used)" | tee -a "$rows"
    done
done

awk -v steps="$STEPS" -v seeds="$SEEDS" -v json="$D/quantizers.json.part" '
    function mean(kind, f,    i, s) { for (i = 0; i < n[kind]; i++) s += v[kind, f, i]; return s / n[kind] }
    function spread(kind, f,    i, m, s) { # standard deviation over the seeds
        if (n[kind] < 2) return 0
        m = mean(kind, f)
        for (i = 0; i < n[kind]; i++) s += (v[kind, f, i] - m) ^ 2
        return sqrt(s / (n[kind] - 1))
    }
    !($1 in n) { order[kinds++] = $1 }
    {
        i = n[$1]++
        v[$1, "psnr", i] = $3; v[$1, "ssim", i] = $4; v[$1, "used", i] = 100 * $5 / $6; v[$1, "perplexity", i] = $7
        v[$1, "all", i] = 100 * $8 / $6
        runs = runs (NR > 1 ? "," : "") sprintf("{\"quantizer\":\"%s\",\"seed\":%s,\"psnr\":%s,\"ssim\":%s,\"codes_used\":%s,\"codes\":%s,\"perplexity\":%s,\"codes_used_all\":%s}", $1, $2, $3, $4, $5, $6, $7, $8)
    }
    END {
        printf "%s steps, seeds %s; held-out images, mean ± standard deviation over the seeds\n\n", steps, seeds
        print "| quantizer | PSNR dB | SSIM | codes used % | perplexity | codes used by all images % |\n|---|---|---|---|---|---|"
        printf "{\"steps\":%s,\"quantizers\":[", steps > json
        for (k = 0; k < kinds; k++) {
            q = order[k]
            printf "| %s | %.2f ± %.2f | %.3f ± %.3f | %.0f ± %.0f | %.0f ± %.0f | %.0f ± %.0f |\n", q, mean(q, "psnr"), spread(q, "psnr"), mean(q, "ssim"),
                spread(q, "ssim"), mean(q, "used"), spread(q, "used"), mean(q, "perplexity"), spread(q, "perplexity"), mean(q, "all"), spread(q, "all")
            printf "%s{\"quantizer\":\"%s\",\"seeds\":%d", k ? "," : "", q, n[q] > json
            split("psnr ssim used perplexity all", f, " ")
            split("psnr ssim codes_used_percent perplexity codes_used_all_percent", name, " ")
            for (i = 1; i <= 5; i++) printf ",\"%s\":%.4f,\"%s_std\":%.4f", name[i], mean(q, f[i]), name[i], spread(q, f[i]) > json
            printf "}" > json
        }
        printf "],\"runs\":[%s]}\n", runs > json
    }' "$rows" >"$D/quantizers.md.part"
mv "$D/quantizers.json.part" "$D/quantizers.json"
mv "$D/quantizers.md.part" "$D/quantizers.md"
rm -f "$rows"
echo
cat "$D/quantizers.md"

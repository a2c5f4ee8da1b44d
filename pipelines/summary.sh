#!/bin/sh
# summary.sh DIR - gathers the figures of a pipeline run in DIR into DIR/summary.json and prints them as one table.
set -eu
D=$1

# field FILE KEY : the value of KEY in the last line of FILE that has it (flat one-line JSON objects).
field() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1" 2>/dev/null | tail -n 1; }
first_field() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1" 2>/dev/null | head -n 1; }
or_null() { if [ -n "$1" ]; then printf '%s' "$1"; else printf 'null'; fi; }

# The mean speed over all log lines.
mean_field() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$1" | awk '{ s += $1; n++ } END { if (n) printf "%.0f", s / n; else printf "null" }'; }

vq=$D/vqvae.json
arm=$(head -n 1 "$vq" >"$D/.arm.json"; echo "$D/.arm.json")
ret() { field "$D/act-$1.json" return_mean; }
rate() { field "$D/act-$1.json" success_rate; }
normalized() { # normalized POLICY : (policy - random) / (expert - random), on the same episodes
    if [ -n "$(ret "$1")" ]; then
        awk -v p="$(ret "$1")" -v r="$(ret random)" -v e="$(ret expert)" 'BEGIN { printf "%.4f", (p - r) / (e - r) }'
    fi
}
player() { printf '{"return":%s,"success_rate":%s}' "$(ret "$1")" "$(rate "$1")"; }

score=$(normalized policy)
blank=$(normalized blank)
if [ -n "$score" ]; then
    act=$(printf '{"expert":%s,"random":%s,"policy":%s,"blank":%s,"normalized_score":%s,"normalized_blank":%s}' \
        "$(player expert)" "$(player random)" "$(player policy)" "$(player blank)" "$score" "$blank")
else
    act=null # no simulator here
fi

metrics=$D/policy/metrics.jsonl
printf '{"vqvae":{"psnr":%s,"codes_used":%s,"codes":%s,"perplexity":%s,"images_per_s":%s},"tokenize":{"images_per_s":%s},"gato":{"loss_first":%s,"loss_last":%s,"tokens_per_s":%s},"act":%s}\n' \
    "$(or_null "$(field "$vq" psnr)")" "$(or_null "$(field "$vq" codes_used)")" "$(or_null "$(field "$vq" codes)")" \
    "$(or_null "$(field "$vq" perplexity)")" "$(or_null "$(field "$vq" images_per_s)")" "$(or_null "$(field "$D/tokenize.json" images_per_s)")" \
    "$(or_null "$(first_field "$metrics" loss)")" "$(or_null "$(field "$metrics" loss)")" "$(mean_field "$metrics" tokens_per_s)" "$act" >"$D/summary.json.part"
mv "$D/summary.json.part" "$D/summary.json"

row() { printf '  %-44s %s\n' "$1" "$2"; }
echo
row 'tokenizer: PSNR, all held-out pictures (dB)' "$(field "$vq" psnr)"
row '           PSNR, frames of the arm (dB)' "$(field "$arm" psnr)"
row '           codes used' "$(field "$vq" codes_used) of $(field "$vq" codes)"
row '           ball kept in the reconstruction' "$(field "$arm" object_kept) of $(field "$arm" object_images) frames"
row '           encoding (pictures/s)' "$(field "$vq" images_per_s)"
row 'tokenize:  whole stage (pictures/s)' "$(or_null "$(field "$D/tokenize.json" images_per_s)")"
row 'policy:    loss, first and last' "$(first_field "$metrics" loss) $(field "$metrics" loss)"
row '           training (tokens/s)' "$(mean_field "$metrics" tokens_per_s)"
if [ -n "$score" ]; then
    echo
    printf '  %-20s %10s %10s %12s\n' 'closed loop' return success normalized
    for who in expert random policy blank; do
        printf '  %-20s %10.2f %9.1f%% %12.2f\n' "$who" "$(ret $who)" "$(awk -v s="$(rate $who)" 'BEGIN { print 100 * s }')" "$(normalized $who)"
    done
    echo "  (blank: the same policy with its eyes shut)"
fi
rm -f "$D/.arm.json"
echo
echo "  pictures: $D/reconstructions/contact.png, $D/strips/, $D/vqvae/samples/"
echo "  figures:  $D/summary.json"

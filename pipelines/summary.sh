#!/bin/sh
# summary.sh DIR - gathers the metrics of a pipeline run in DIR into DIR/summary.json and prints them as one table.
set -eu
D=$1

. "$(dirname "$0")/json.sh"

vq=$D/vqvae.json
measured() { sed -n "$1p" "$vq" >"$D/.source.json"; json_last "$D/.source.json" "$2"; } # measured LINE KEY: 1 the arm, 2 drawings, 3 photographs
ret() { json_last "$D/act-$1.json" return_mean; }
rate() { json_last "$D/act-$1.json" success_rate; }
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
    "$(json_or_null "$(json_last "$vq" psnr)")" "$(json_or_null "$(json_last "$vq" codes_used)")" "$(json_or_null "$(json_last "$vq" codes)")" \
    "$(json_or_null "$(json_last "$vq" perplexity)")" "$(json_or_null "$(json_last "$vq" images_per_s)")" "$(json_or_null "$(json_last "$D/tokenize.json" images_per_s)")" \
    "$(json_or_null "$(json_first "$metrics" loss)")" "$(json_or_null "$(json_last "$metrics" loss)")" "$(json_mean "$metrics" tokens_per_s)" "$act" >"$D/summary.json.part"
mv "$D/summary.json.part" "$D/summary.json"

row() { printf '  %-44s %s\n' "$1" "$2"; }
echo
row 'tokenizer: PSNR, all held-out images (dB)' "$(json_last "$vq" psnr)"
row '           PSNR, frames of the arm (dB)' "$(measured 1 psnr)"
row '           PSNR, drawings (dB)' "$(measured 2 psnr)"
row '           PSNR, photographs (dB)' "$(measured 3 psnr)"
row '           codes used' "$(json_last "$vq" codes_used) of $(json_last "$vq" codes)"
row '           ball kept in the reconstruction' "$(measured 1 object_kept) of $(measured 1 object_images) frames"
row '           red things kept' "$(measured 2 object_kept) of $(measured 2 object_images) drawings"
row '           encoding (images/s)  ' "$(json_last "$vq" images_per_s)"
row 'tokenize:  whole stage (images/s)  ' "$(json_or_null "$(json_last "$D/tokenize.json" images_per_s)")"
row 'policy:    loss, first and last' "$(json_first "$metrics" loss) $(json_last "$metrics" loss)"
row '           training (tokens/s)' "$(json_mean "$metrics" tokens_per_s)"
if [ -n "$score" ]; then
    echo
    printf '  %-20s %10s %10s %12s\n' 'closed loop' return success normalized
    for who in expert random policy blank; do
        printf '  %-20s %10.2f %9.1f%% %12.2f\n' "$who" "$(ret $who)" "$(awk -v s="$(rate $who)" 'BEGIN { print 100 * s }')" "$(normalized $who)"
    done
    echo "  (blank: the same policy with its eyes shut)"
fi
rm -f "$D/.source.json"
echo
echo "  images:  $D/reconstructions/contact.png, $D/strips/, $D/vqvae/samples/"
echo "  metrics: $D/summary.json"

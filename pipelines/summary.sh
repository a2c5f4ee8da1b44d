#!/bin/sh
# summary.sh DIR [ROUNDS] - gathers the metrics of a pipeline run in DIR into DIR/summary.json and prints them as one table. With rounds of
# DAgger, the policy is that of the last one, and what each of them reached stands beside it.
set -eu
D=$1
rounds=${2:-0}

. "$(dirname "$0")/json.sh"

vq=$D/vqvae.json
measured() { sed -n "$1p" "$vq" >"$D/.source.json"; json_last "$D/.source.json" "$2"; } # measured LINE KEY: 1 the arm, 2 drawings, 3 photographs
folder() { if [ "$1" -eq 0 ]; then echo "$D"; else echo "$D/round-$1"; fi; }
last=$(folder "$rounds")
# Who played: expert, random, the last policy with open eyes and with shut ones, or the policy of a round (0: before the first).
file() {
    case $1 in
    expert | random) echo "$D/act-$1.json" ;;
    policy | blank) echo "$last/act-$1.json" ;;
    *) echo "$(folder "$1")/act-policy.json" ;;
    esac
}
ret() { json_last "$(file "$1")" return_mean; }
rate() { json_last "$(file "$1")" success_rate; }
normalized() { # normalized WHO: (policy - random) / (expert - random), on the same episodes
    if [ -n "$(ret "$1")" ]; then
        awk -v p="$(ret "$1")" -v r="$(ret random)" -v e="$(ret expert)" 'BEGIN { printf "%.4f", (p - r) / (e - r) }'
    fi
}
player() { printf '{"return":%s,"success_rate":%s}' "$(ret "$1")" "$(rate "$1")"; }
every_round() { seq 0 "$rounds"; }

score=$(normalized policy)
blank=$(normalized blank)
if [ -n "$score" ]; then
    act=$(printf '{"expert":%s,"random":%s,"policy":%s,"blank":%s,"normalized_score":%s,"normalized_blank":%s,"rounds":[%s]}' \
        "$(player expert)" "$(player random)" "$(player policy)" "$(player blank)" "$score" "$blank" \
        "$(every_round | while read -r round; do
            printf '%s{"round":%s,"return":%s,"success_rate":%s,"normalized_score":%s,"loss_last":%s}' "$([ "$round" -eq 0 ] || echo ,)" "$round" \
                "$(ret "$round")" "$(rate "$round")" "$(normalized "$round")" "$(json_last "$(folder "$round")/policy/metrics.jsonl" loss)"
        done)")
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
    line() { # NAME WHO
        printf '  %-20s %10.2f %9.1f%% %12.2f\n' "$1" "$(ret "$2")" "$(awk -v s="$(rate "$2")" 'BEGIN { print 100 * s }')" "$(normalized "$2")"
    }
    line expert expert
    line random random
    if [ "$rounds" -gt 0 ]; then
        every_round | while read -r round; do line "policy, round $round" "$round"; done
        line 'blank, last policy' blank
        echo "  (blank: with its eyes shut; round 0: before the first round of DAgger)"
    else
        line policy policy
        line blank blank
        echo "  (blank: the same policy with its eyes shut)"
    fi
fi
rm -f "$D/.source.json"
echo
echo "  images:  $D/reconstructions/contact.png, $D/strips/, $D/vqvae/samples/"
echo "  metrics: $D/summary.json"

#!/bin/sh
# imagine_summary.sh DIR - what `make imagine` measured in DIR as two tables, and as DIR/imagine.json, one object: "horizons" has the lines of `gato imagine`,
# "act" those of `gato act` by who played.
set -eu
D=$1

. "$(dirname "$0")/json.sh"

lines=$D/horizons.json
metrics=$D/policy/metrics.jsonl
{
    printf '{"steps":%s,"loss":%s,"horizons":[%s],"act":{' "$(json_last "$metrics" step)" "$(json_or_null "$(json_last "$metrics" loss_held_out)")" \
        "$(paste -sd, "$lines")"
    comma=
    for who in random policy shooting plan; do
        printf '%s"%s":%s' "$comma" "$who" "$(cat "$D/act-$who.json")"
        comma=,
    done
    printf '}}\n'
} >"$D/imagine.json.part"
mv "$D/imagine.json.part" "$D/imagine.json"

printf '\n  %7s %9s %9s %9s %9s %9s %9s %9s   %s\n' horizon codes psnr copied changed copied shuffled 'ball 90%' 'ball found'
while read -r line; do
    printf '%s\n' "$line" >"$D/.line.json"
    value() { json_last "$D/.line.json" "$1"; }
    short() { awk -v v="$(value "$1")" 'BEGIN { if (v == "" || v == "null") print "-"; else printf "%.'"$2"'f", v }'; }
    printf '  %7s %9s %9s %9s %9s %9s %9s %9s   %s of %s\n' "$(value horizon)" "$(short token_accuracy 3)" "$(short psnr 2)" "$(short copy_psnr 2)" \
        "$(short psnr_changed 2)" "$(short copy_psnr_changed 2)" "$(short shuffled_psnr_changed 2)" "$(short object_error_p90_px 2)" \
        "$(value object_found)" "$(value object_images)"
done <"$lines"
rm -f "$D/.line.json"
printf '\n  %-26s %10s %9s %14s\n' 'who plays' return success 'ms of a plan'
row() { # row NAME FILE
    plan=$(json_last "$2" plan_ms_p50)
    printf '  %-26s %10.3f %8s%% %14s\n' "$1" "$(json_last "$2" return_mean)" "$(awk -v s="$(json_last "$2" success_rate)" 'BEGIN { printf "%.0f", 100 * s }')" \
        "$(awk -v v="${plan:--}" 'BEGIN { if (v == "-") print v; else printf "%.0f", v }')"
}
row random "$D/act-random.json"
row 'the policy, without a goal' "$D/act-policy.json"
row 'random shooting to a goal' "$D/act-shooting.json"
row 'plans to a goal' "$D/act-plan.json"
cat <<TEXT

  codes: share of right ones; psnr in dB, over all and over changed pixels, beside the last image copied; ball: pixels that nine in ten keep
  metrics: $D/imagine.json    strips and animations: $D/imagined
TEXT

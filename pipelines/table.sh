#!/bin/sh
# table.sh DIR OUT 'PLAYER...' TASK... - what the players (expert and random among them) reached, DIR/TASK/act-PLAYER.json, as one table, and as OUT, one
# object a task. Normalized: (player - random) / (expert - random), on the same episodes. Interval: Wilson's, 95 %, of the success.
set -eu
D=$1
out=$2
players=$3
shift 3

. "$(dirname "$0")/json.sh"

played() { echo "$D/$1/act-$2.json"; }
ret() { json_last "$(played "$1" "$2")" return_mean; }
rate() { json_last "$(played "$1" "$2")" success_rate; }
interval() { sed -n 's/.*"success_ci":\(\[[^]]*\]\).*/\1/p' "$(played "$1" "$2")"; }
normalized() {
    awk -v p="$(ret "$1" "$2")" -v r="$(ret "$1" random)" -v e="$(ret "$1" expert)" 'BEGIN { if (e == r) printf "null"; else printf "%.3f", (p - r) / (e - r) }'
}

: >"$out.part"
printf '\n  %-22s %-8s %10s %9s %16s %12s\n' task player return success '95 %' normalized
for task in "$@"; do
    printf '{"task":"%s"' "$task" >>"$out.part"
    for who in $players; do
        score=$(normalized "$task" "$who")
        printf '  %-22s %-8s %10.3f %8.1f%% %16s %12s\n' "$task" "$who" "$(ret "$task" "$who")" "$(awk -v s="$(rate "$task" "$who")" 'BEGIN { print 100 * s }')" \
            "$(interval "$task" "$who" | tr -d '[]' | awk -F, '{ printf "%.1f to %.1f", 100 * $1, 100 * $2 }')" "$score"
        printf ',"%s":{"return":%s,"success_rate":%s,"success_ci":%s,"normalized":%s}' "$who" "$(ret "$task" "$who")" "$(rate "$task" "$who")" \
            "$(interval "$task" "$who")" "$score" >>"$out.part"
    done
    echo '}' >>"$out.part"
done
for who in $players; do
    for task in "$@"; do echo "$(rate "$task" "$who") $(normalized "$task" "$who")"; done |
        awk -v who="$who" '{ s += $1; if ($2 != "null") { n += $2; k++ } } END { printf "  %-22s %-8s %10s %8.1f%% %16s %12s\n", "mean", who, "", 100 * s / NR, "", k ? sprintf("%.3f", n / k) : "null" }'
done
mv "$out.part" "$out"
echo

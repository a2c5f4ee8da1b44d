#!/bin/sh
# improve_summary.sh DIR BODY ROUNDS - what `make improve` reached in DIR as one table, and as DIR/improve.json, one object a round.
set -eu
D=$1
body=$2
rounds=$3

. "$(dirname "$0")/json.sh"

percent() { awk -v s="$1" 'BEGIN { printf "%.1f%%", 100 * s }'; }
interval() { sed -n 's/.*"success_ci":\(\[[^]]*\]\).*/\1/p' "$1"; }
row() { # row NAME EPISODES FILE
    printf '  %-10s %16s %10.3f %9s   %s\n' "$1" "$2" "$(json_last "$3" return_mean)" "$(percent "$(json_last "$3" success_rate)")" \
        "$(interval "$3" | tr -d '[]' | awk -F, '{ printf "%.1f to %.1f%%", 100 * $1, 100 * $2 }')"
}

printf '\n  %-10s %16s %10s %9s   %s\n' policy 'learned from' return success '95 % interval'
row expert - "$D/act-expert.json"
row random - "$D/act-random.json"
episodes=$(json_last "$D/$body/tokenize.json" records)
: >"$D/improve.json.part"
for round in $(seq 0 "$rounds"); do
    act=$D/round-$round/act.json
    row "round $round" "$episodes episodes" "$act"
    printf '{"round":%s,"episodes":%s,"return":%s,"success_rate":%s,"success_ci":%s}\n' "$round" "$episodes" "$(json_last "$act" return_mean)" \
        "$(json_last "$act" success_rate)" "$(interval "$act")" >>"$D/improve.json.part"
    if [ "$round" -lt "$rounds" ]; then episodes=$((episodes + $(json_last "$D/round-$round/tokenize.json" records))); fi
done
mv "$D/improve.json.part" "$D/improve.json"
cat <<TEXT

  round 0: demonstrations alone; each further round adds the successful ones of the episodes that the policy before it played.
  metrics: $D/improve.json
TEXT

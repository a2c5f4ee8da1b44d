#!/bin/sh
# compare_cell.sh D SUITE VARIANT SEED POINT TOKENIZER CORES TASK... - prints the cell of a comparison: scores over the tasks, what it cost, and where its
# episodes stand. Normalized: (policy - random) / (expert - random), on the same episodes, mean over the tasks that can tell.
set -eu
D=$1 suite=$2 variant=$3 seed=$4 point=$5 tokenizer=$6 cores=$7
shift 7
at=$variant/$seed/$point

# Minutes of the tokenizer, and of the one that it began with; an imported one has none.
minutes_of() {
    for t in "$@"; do
        [ -f "$D/tokenizers/$t/$seed/metrics.jsonl" ] || continue
        jq -s 'reduce (.[] | .wall // empty) as $w ({at: 0, sum: 0}; .sum += (if $w < .at then $w else $w - .at end) | .at = $w) | .sum / 60' \
            "$D/tokenizers/$t/$seed/metrics.jsonl"
    done | awk '{ s += $1 } END { print s + 0 }'
}
case $tokenizer in
native) before=both ;;
raw) before=vqgan ;;
tuned) before=vqgan ;;
*) before= ;;
esac
for task in "$@"; do
    cat "$D/$at/$task.json" "$D/expert/$seed/$task.json" "$D/random/$seed/$task.json"
done | jq -s -c --arg suite "$suite" --arg variant "$variant" --argjson seed "$seed" --argjson point "$point" --argjson cores "$cores" \
    --argjson before "$(minutes_of "$tokenizer" $before)" --arg each "$(for task in "$@"; do echo "$at/$task.jsonl"; done)" \
    --slurpfile cost "$D/$at/trained.json" '
    def mean: if length > 0 then add / length else null end;
    [range(0; length; 3) as $i | {task: .[$i].task, episodes: .[$i].episodes, failed: .[$i].failed, return: .[$i].return_mean, success: .[$i].success_rate,
        success_ci: .[$i].success_ci, expert: .[$i + 1].success_rate, random: .[$i + 2].success_rate,
        normalized: (if .[$i + 1].return_mean > .[$i + 2].return_mean
            then (.[$i].return_mean - .[$i + 2].return_mean) / (.[$i + 1].return_mean - .[$i + 2].return_mean) else null end)}] as $tasks |
    {kind: "cell", suite: $suite, variant: $variant, seed: $seed, point: $point} + $cost[0] +
    {tokenizer_minutes: $before, cores: $cores, episodes: ([$tasks[].episodes] | add), success: ([$tasks[].success] | mean),
     score: ([$tasks[].normalized | select(. != null)] | mean), tasks: $tasks, each: ($each | split("\n"))}'

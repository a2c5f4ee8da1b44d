#!/bin/sh
# compare_trained.sh RUN STEP - prints what a policy has cost up to a step: its samples, and the minutes that training took by metrics.jsonl. Fails
# where the training is not there. A line of metrics counts seconds from the start of its process, so a smaller number than before is another start.
set -eu
run=$1
step=$2
[ "$(jq .step "$run/training.json")" -eq "$step" ] || {
    echo "compare_trained.sh: '$run' is not at step $step" >&2
    exit 1
}
minutes=$(jq -s --argjson k "$step" 'reduce (.[] | select(.step <= $k) | .wall // empty) as $w ({at: 0, sum: 0};
    .sum += (if $w < .at then $w else $w - .at end) | .at = $w) | .sum / 60' "$run/metrics.jsonl")
jq -c --argjson m "${minutes:-0}" '{step: .step, samples: (.step * .config.train.batch * .config.train.accumulate), minutes: $m}' "$run/training.json"

#!/bin/sh
# three_summary.sh DIR BODY... - what `make three` played in DIR as one table, and as DIR/three.json, one object a body.
set -eu
D=$1
shift

. "$(dirname "$0")/json.sh"

ret() { json_last "$D/$1/act-$2.json" return_mean; }
rate() { json_last "$D/$1/act-$2.json" success_rate; }
normalized() { # normalized BODY POLICY: (policy - random) / (expert - random), on the same episodes
    awk -v p="$(ret "$1" "$2")" -v r="$(ret "$1" random)" -v e="$(ret "$1" expert)" 'BEGIN { printf "%.3f", (p - r) / (e - r) }'
}

: >"$D/three.json.part"
printf '\n  %-10s %-8s %10s %10s %12s\n' body policy return success normalized
for body in "$@"; do
    printf '{"task":"%s"' "$body" >>"$D/three.json.part"
    for who in expert random policy twin blank; do
        printf '  %-10s %-8s %10.3f %9.1f%% %12.3f\n' "$body" $who "$(ret "$body" $who)" "$(awk -v s="$(rate "$body" $who)" 'BEGIN { print 100 * s }')" \
            "$(normalized "$body" $who)"
        printf ',"%s":{"return":%s,"success_rate":%s,"normalized":%s}' $who "$(ret "$body" $who)" "$(rate "$body" $who)" "$(normalized "$body" $who)" \
            >>"$D/three.json.part"
    done
    echo '}' >>"$D/three.json.part"
done
mv "$D/three.json.part" "$D/three.json"
cat <<TEXT

  policy: one model for all bodies, captions and text; twin: a model of this body alone that saw as many of its sequences;
  blank: the one model with its eyes shut. Held-out losses by task: $D/eval.json
TEXT

#!/bin/sh
# results.sh [BUILD] - what make compare and make generalist measured, as tables, plots and conclusions in pipelines/RESULTS.md, between the lines
# <!-- results: begin --> and <!-- results: end -->. Their JSON files are copied into pipelines/results/, which the tables are printed from; the plots
# stand beside them. RESULTS= and KEPT= name another page and another folder.
#
# A conclusion follows from the table alone: where the interval of a difference spans 0, McNemar's test allows chance, or trainings differ by more than
# that, it is 'no difference within noise'.
set -eu
build=${1:-build}
here=$(dirname "$0")
page=${RESULTS:-$here/RESULTS.md}
kept=${KEPT:-$here/results}
BIN=${BIN:-$build/bin}

mkdir -p "$kept"
for f in "$build"/compare/*/compare.json "$build"/generalist/generalist.json; do
    [ -f "$f" ] || continue
    suite=$(jq -r 'select(.kind == "settings") | .suite' "$f")
    cp "$f" "$kept/$suite.json.part" && mv "$kept/$suite.json.part" "$kept/$suite.json"
done

# Published numbers of policies that are no peers of these: SUITE, what, where it stands, what differs.
published() {
    case $1 in
    generalist)
        published babyai
        published metaworld
        ;;
    babyai) cat <<'X' ;;
| JAT, mean over 39 levels | 0.99 of the expert | Gallouédec et al. 2024, arXiv:2402.09844 | reads BabyAI's symbols and not pixels; 157 tasks, GPUs |
X
    metaworld) cat <<'X' ;;
| JAT, mean over 50 tasks | 0.65 of the expert | Gallouédec et al. 2024, arXiv:2402.09844 | reads the simulator's 39 numbers, the goal among them, and not pixels; 157 tasks, GPUs |
| SmolVLA, mean over MT50 | 57 % success | Shukor et al. 2025, arXiv:2506.01844 | reads a camera and a text; 0.45 billion parameters, pretrained on images, texts and robots; GPUs |
X
    esac
}

# Each table is a jq program over all lines of a file. Of several seeds: mean +- sample deviation.
table() { # FILE
    jq -rs '
    def mean: add / length;
    def deviation: mean as $m | if length > 1 then (map((. - $m) * (. - $m)) | add / (length - 1) | sqrt) else null end;
    def round2: . * 100 | round / 100;
    def round3: . * 1000 | round / 1000;
    def spread(f): map(select(. != null)) | if length == 0 then "-" else "\(mean | f)" + (deviation | if . == null then "" else " ± \(f)" end) end;
    def percent: . * 1000 | round / 10;
    [.[] | select(.kind == "cell")] as $cells | ($cells | map(.point) | max) as $last |
    "| variant | seeds | episodes | samples | minutes | cores | tokenizer, minutes | normalized return | success, % |",
    "|---|---|---|---|---|---|---|---|---|",
    (reduce ($cells[] | select(.point == $last)) as $c ([]; if any(.[]; .[0].variant == $c.variant)
        then map(if .[0].variant == $c.variant then . + [$c] else . end) else . + [[$c]] end) | .[] |
     "| \(.[0].variant) | \(map(.seed) | join(" ")) | \(map(.episodes) | add) | \(.[0].samples) | \(map(.minutes) | spread(round2)) | \(map(.cores) | unique | join(", ")) | " +
     "\(map(.tokenizer_minutes) | spread(round2)) | \(map(.score) | spread(round3)) | \(map(.success) | spread(percent)) |"),
    "",
    "| B beside A | pairs, trainings | success of A, % | of B, % | B - A | p | spread | smallest seen | return, B - A | spread | smallest seen |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
    (.[] | select(.kind == "comparison") |
     def rate: "\(.success_rate | percent) (\(.success_ci[0] | percent) to \(.success_ci[1] | percent))";
     def maybe: if . == null then "-" else round3 end;
     def difference: "\(.difference | maybe) (\(.ci[0] | maybe) to \(.ci[1] | maybe))";
     "| \(.variant) beside \(.beside)\(if .task then ", \(.task)" else "" end) | \(.n), \(.trainings) | \(.a | rate) | \(.b | rate) | \(.success | difference) | \(.success.p | maybe) | \(.success.spread | maybe) | " +
     "\(.success.smallest | maybe) | \(.return | difference) | \(.return.spread | maybe) | \(.return.smallest | maybe) |"),
    "",
    (.[] | select(.kind == "comparison") |
     def said(unit): if .verdict == "none" then "no difference within noise" else
         (if .verdict == "b" then "yes" else "no, worse" end) + " by \(.difference | fabs | round3)\(unit)" end;
     "- \(.question) Success: \(.success | said("")); return: \(.return | said(""))" +
     (if .headline then "." else " (\(.n) pairs over \(.trainings) \(if .trainings == 1 then "training" else "trainings" end): too few for a headline)." end))' "$1"
}

# The normalized return of the two sides of each comparison against samples and against minutes, where trainings were played at several points and the
# expert is better than chance.
plots() { # SUITE
    [ "$(jq -s 'map(select(.kind == "cell") | .point) | max' "$kept/$1.json")" -gt 1 ] || return 0
    jq -rs '[.[] | select(.kind == "cell" and .score != null) | .variant] as $scored | .[] | select(.kind == "comparison") |
        select([.beside, .variant] - $scored == []) | "\(.beside) \(.variant)"' "$kept/$1.json" | while read -r a b; do
        "$BIN/gato" chart --in "$kept/$1.json" --x samples minutes --y score --curves "$a" "$b" --out "$kept/$1-$b.svg" >/dev/null
        printf '![%s beside %s](%s/%s-%s.svg)\n' "$b" "$a" "$(basename "$kept")" "$1" "$b"
    done
}

section() {
    found=
    for f in "$kept"/*.json; do
        [ -f "$f" ] || continue
        found=yes
        suite=$(basename "$f" .json)
        printf '### %s\n\n' "$suite"
        jq -r 'select(.kind == "settings") | "Settings: \(.settings)."' "$f"
        echo
        table "$f"
        echo
        if [ -n "$(published "$suite")" ]; then
            printf 'Published, of policies that are no peers of these:\n\n| what | reached | source | what differs |\n|---|---|---|---|\n'
            published "$suite"
            echo
        fi
        plots "$suite"
        echo
    done
    [ -n "$found" ] || echo 'Not measured yet.'
}

grep -q '^<!-- results: begin -->$' "$page" && grep -q '^<!-- results: end -->$' "$page" || {
    echo "results.sh: '$page' has no lines <!-- results: begin --> and <!-- results: end -->" >&2
    exit 3
}
section >"$page.section"
awk -v section="$page.section" '/^<!-- results: end -->$/ { skip = 0 } !skip { print }
    /^<!-- results: begin -->$/ { skip = 1; print ""; while ((getline line < section) > 0) print line; print "" }' "$page" >"$page.part"
rm -f "$page.section"
if cmp -s "$page.part" "$page"; then rm "$page.part"; else mv "$page.part" "$page"; fi
cat "$page" | sed -n '/^<!-- results: begin -->$/,/^<!-- results: end -->$/p'

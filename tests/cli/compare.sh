#!/bin/sh
# compare.sh - gato compare on episodes that are written by hand, those that gato act --each writes, and pipelines/compare.mk and results.sh at a size of
# seconds: killed and started again they end in the same tables.
. "$(dirname "$0")/../vqvae_common.sh"

# ---- gato compare ----

# episodes WEIGHTS SEED FIRST N SUCCESS RETURN [START]: lines of gato act --each. SUCCESS and RETURN are awk expressions of i, the episode.
episodes() {
    awk -v w="$1" -v s="$2" -v a="$3" -v n="$4" -v start="${7:-0}" "BEGIN { for (i = a; i < a + n; i++)
        printf \"{\\\"task\\\":\\\"arm\\\",\\\"policy\\\":\\\"model\\\",\\\"weights\\\":\\\"%s\\\",\\\"seed\\\":%d,\\\"episode\\\":%d,\\\"failed\\\":false,\\\"start\\\":\\\"%d\\\",\\\"success\\\":%s,\\\"return\\\":%g,\\\"normalized\\\":null,\\\"length\\\":5}\\n\", w, s, i, start + i, ($5) ? \"true\" : \"false\", $6 }"
}
has() { # has WHAT NAME: out holds it
    grep -q -F -e "$1" out
    verdict $? "$2: $1"
}
compare() { # compare NAME ARGUMENTS...: exit code 0, its line in out
    name=$1
    shift
    gato compare "$@" >out 2>err
    verdict $? "$name"
}
refused() { # refused STATUS PATTERN ARGUMENTS...
    want=$1 pattern=$2
    shift 2
    gato compare "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ]
    verdict $? "gato compare $*: status $rc, wanted $want and '$pattern'"
}

# Three trainings of 100 episodes: 10 that A alone solves, 25 that B alone solves; p by scipy's binomtest(10, 35, 0.5).
for s in 1 2 3; do
    shift_of=$(((s - 1) * 100))
    episodes "a$s" $s 0 100 "i + $shift_of < 40" i >"a$s.jsonl"
    episodes "b$s" $s 0 100 "(i + $shift_of >= 10 && i + $shift_of < 40) || i + $shift_of >= 275" "i + 2" >"b$s.jsonl"
done
compare 'three trainings' --a a1.jsonl a2.jsonl a3.jsonl --b b1.jsonl b2.jsonl b3.jsonl
has '"n":300,"trainings":3' pairs
has '"a_only":10,"b_only":25' 'discordant pairs'
p=$(sed 's/.*"p":\([0-9.e-]*\),.*/\1/' out)
awk -v p="$p" 'BEGIN { exit !(p > 0.01667384 && p < 0.01667385) }'
verdict $? "McNemar's exact p: $p"
has '"return":{"difference":2,"ci":[2,2],"spread":0' 'a difference that never varies'
has '"headline":true,"by":"success","verdict":"none"' 'trainings differ by more than the difference'
cp out whole
# Parts of a play, in any order, are the play.
head -n 30 b2.jsonl >part1.jsonl
tail -n 70 b2.jsonl >part2.jsonl
compare 'parts' --a a1.jsonl a2.jsonl a3.jsonl --b b1.jsonl part2.jsonl part1.jsonl b3.jsonl
cmp -s whole out
verdict $? 'the same of parts'
compare 'by return' --by return --a a1.jsonl a2.jsonl a3.jsonl --b b1.jsonl b2.jsonl b3.jsonl
has '"by":"return","verdict":"b"' 'the other metric'
compare 'a policy beside itself' a1.jsonl a1.jsonl
has '"verdict":"none"' 'a policy beside itself'
compare 'few pairs' a1.jsonl b1.jsonl
has '"headline":false' 'one training is no headline'
# One pair in ten solved by B alone: 0.1 of 100, and what 100 pairs could have shown.
episodes a 1 0 100 0 0 >none.jsonl
episodes b 1 0 100 'i % 10 == 0' 0 >tenth.jsonl
compare 'one side' none.jsonl tenth.jsonl
has '"success":{"difference":0.1,' 'the difference'
has '"a_only":0,"b_only":10,"p":0.001953125,' 'two in 2^10'
has '"verdict":"b"' 'seen'

episodes b 1 0 100 0 0 7 >elsewhere.jsonl
refused 4 'begins in another state' none.jsonl elsewhere.jsonl
refused 4 'not as often on side B' none.jsonl part1.jsonl
refused 4 'not as often on side A' part1.jsonl b2.jsonl
refused 3 'of the same policy' --a none.jsonl none.jsonl --b tenth.jsonl
refused 4 'no pair has a normalized' --by normalized none.jsonl tenth.jsonl
refused 2 "one of success, return, normalized" --by luck none.jsonl tenth.jsonl
refused 2 'two files are needed' none.jsonl
refused 2 'no such file' none.jsonl nowhere.jsonl
echo '{"episode":1}' >odd.jsonl
refused 3 'line 1: no line of gato act' none.jsonl odd.jsonl
: >empty.jsonl
refused 3 'holds no episodes' none.jsonl empty.jsonl

# ---- gato chart: two trainings of a at each point, one of b; 0 to 100 lies between x = 46 and 348, 0 to 1 between y = 168 and 8 ----

cat >points.json <<'X'
{"kind":"settings"}
{"variant":"a","point":1,"samples":-10,"minutes":1,"score":0.1}
{"variant":"a","point":1,"samples":10,"minutes":2,"score":-0.1}
{"variant":"a","point":2,"samples":100,"minutes":5,"score":1}
{"variant":"b","point":1,"samples":50,"minutes":3,"score":0.5}
{"variant":"c","point":1,"samples":900,"minutes":9,"score":9}
X
gato chart --in points.json --x samples minutes --y score --curves a b --out two.svg >out 2>err
verdict $? "a chart"
has '"points":3' 'means of the trainings'
grep -q -F '<polyline class="s0" points="46.0,168.0 348.0,8.0"/>' two.svg && grep -q -F '<circle class="p1" cx="197.0" cy="88.0" r="2.5"/>' two.svg
verdict $? "where its points stand"
[ "$(grep -c 'score against' two.svg)" -eq 2 ] && python3 -c "import xml.dom.minidom; xml.dom.minidom.parse('two.svg')"
verdict $? "two panels, well formed"
for case in '3:no line of variant .z. with:--x samples --y score --curves a z' '3:no line of variant .a. with:--x samples --y scores --curves a' '2:four at most:--x a b c d e --y score --curves a' '2:three at most:--x a --y score --curves a b c d'; do
    gato chart --in points.json --out no.svg ${case#*:*:} >out 2>err
    rc=$?
    pattern=${case#*:}
    [ $rc -eq "${case%%:*}" ] && grep -q "${pattern%%:*}" err && [ ! -e no.svg ]
    verdict $? "gato chart $case"
done

# ---- gato act --each: the starts are a function of seed and number, whoever plays ----

gato act --env grid --policy random --episodes 5 --seed 3 --each random.jsonl --threads 2 >act.json 2>err &&
    gato act --env grid --policy expert --episodes 2 --seed 3 --each expert1.jsonl >/dev/null 2>>err &&
    gato act --env grid --policy expert --first 2 --episodes 3 --seed 3 --each expert2.jsonl >/dev/null 2>>err
verdict $? 'episodes are played'
compare 'random beside expert' --a random.jsonl --b expert1.jsonl expert2.jsonl
has '"n":5,"trainings":1' pairs
[ "$(sed 's/.*"start":"\([0-9a-f]*\)".*/\1/' random.jsonl | sort -u | wc -l)" -eq 5 ]
verdict $? 'five starts'
mean=$(sed -n 's/.*"return_mean":\([-0-9.e]*\).*/\1/p' act.json)
sed 's/.*"return":\([-0-9.e]*\).*/\1/' random.jsonl | awk -v m="$mean" '{ s += $1 } END { exit !(NR == 5 && s / 5 - m < 1e-9 && m - s / 5 < 1e-9) }'
verdict $? 'their mean is that of gato act'
gato act --env grid --policy random --episodes 5 --seed 4 --each other.jsonl >/dev/null 2>err
sed 's/"seed":4/"seed":3/' other.jsonl >forged.jsonl
refused 4 'begins in another state' random.jsonl forged.jsonl
gato act --env grid --policy random --episodes 5 --each nowhere/x.jsonl >out 2>err
[ $? -eq 1 ]
verdict $? 'a file that cannot be written'

# ---- the pipeline ----

if ! gato --version | grep -q '^mujoco: yes' || ! gato --version | grep -q '^hdf5: yes' || ! command -v jq >/dev/null; then
    skip "the pipeline" "built without MuJoCo or HDF5, or no jq"
    finish
fi
if [ -n "${SANITIZED:-}" ]; then
    skip "the pipeline" "minutes under a sanitizer, and the programs have tests of their own there"
    finish
fi
cat >pipeline.sh <<X
#!/bin/sh
# pipeline.sh FOLDER [ASSIGNMENT...]
cd '$top' || exit 1
unset MAKEFLAGS MAKELEVEL
folder='$dir'/"\$1"
shift
exec make -f pipelines/compare.mk BIN='$(dirname "$(command -v gato)")' D="\$folder" SUITE=arm SEEDS=1 VARIANTS='codes codes-single table' STEPS=8 POINTS=2 \\
    PLAY=4 VQ_STEPS=6 EPISODES=12 THREADS=1 \\
    VQ_SET="train.warmup_no_quant=2 train.save_every=3 train.eval_every=6 train.tensorboard=false" \\
    GATO_SET="train.batch=4 train.save_every=3 train.eval_every=8 train.log_every=2 data.holdout=0.1 train.tensorboard=false" "\$@"
X
# What the tables have, without minutes.
timeless() { jq -c 'del(.minutes, .tokenizer_minutes)' "$1/compare.json"; }

mkdir -p built/compare
sh pipeline.sh built/compare/arm >out 2>err
verdict $? "two points of three variants"
[ "$(timeless built/compare/arm | grep -c '"kind":"cell"')" -eq 6 ] && [ "$(timeless built/compare/arm | grep -c '"kind":"comparison"')" -eq 2 ]
verdict $? "six cells, two comparisons"
[ "$(jq -c 'select(.kind == "cell" and .variant == "table") | [.step, .samples, .episodes, .cores, .minutes > 0]' built/compare/arm/compare.json | tr '\n' ' ')" = "[4,16,4,1,true] [8,32,4,1,true] " ]
verdict $? "samples of both points"
[ "$(jq -c 'select(.variant == "table" and .point == 2) | .tasks[0].return' built/compare/arm/compare.json)" = "$(sed 's/.*"return_mean":\([-0-9.e]*\).*/\1/' built/compare/arm/table/1/2/reacher.json)" ]
verdict $? "the return of a cell is that of gato act"
sh pipeline.sh built/compare/arm >out 2>err
[ $? -eq 0 ] && ! grep -Eq 'train|record|tokenize|act ' out
verdict $? "a finished comparison trains and plays nothing"
sh pipeline.sh built/compare/arm STEPS=16 >out 2>err
[ $? -eq 2 ] && grep -q 'was begun with other settings' err
verdict $? "other settings in the same folder are refused"
sh pipeline.sh built/compare/arm VARIANTS='codes cods' >out 2>err
[ $? -eq 2 ] && grep -q 'unknown variants: cods' err
verdict $? "an unknown variant is refused"

cp built/compare/arm/compare.json kept.json
cp built/compare/arm/table/1/2/reacher.jsonl kept.jsonl
sed 's/"start":"/"start":"0/' kept.jsonl >built/compare/arm/table/1/2/reacher.jsonl
sh pipeline.sh built/compare/arm >out 2>err
[ $? -eq 2 ] && grep -q 'begins in another state' err && cmp -s kept.json built/compare/arm/compare.json
verdict $? "episodes that cannot be compared stop it"
cp kept.jsonl built/compare/arm/table/1/2/reacher.jsonl

kills=0
for begun in tokenizers/both/1/training.json codes-single/1/policy/training.json table/1/1/trained.json table/1/2/reacher.jsonl; do
    setsid sh pipeline.sh killed >out 2>err &
    pid=$!
    sleep 0.2 # the group is there
    wait_for 60 test -e "killed/$begun"
    kill -s KILL -- "-$pid" 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ "$kills" -ge 3 ]
verdict $? "killed $kills times"
sleep 0.3
sh pipeline.sh killed >out 2>err
verdict $? "it ends"
timeless built/compare/arm >whole
timeless killed >again
cmp -s whole again
verdict $? "in the same tables"
cmp -s built/compare/arm/table/1/policy/model.safetensors killed/table/1/policy/model.safetensors
verdict $? "and the same weights"

# ---- the page ----

printf 'before\n<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n' >page.md
results() { (cd "$top" && RESULTS="$dir/page.md" KEPT="$dir/kept" BIN="$(dirname "$(command -v gato)")" sh pipelines/results.sh "$dir/built"); }
results >out 2>err
verdict $? "results.sh"
grep -q '^| table | 1 | 4 | 32 | [0-9.]* | 1 | [0-9.]* | [-0-9.]* | [0-9.]* |$' page.md && ! grep -q '^old$' page.md && [ "$(head -n 1 page.md)" = before ] && [ "$(tail -n 1 page.md)" = after ]
verdict $? "its table stands between the lines"
grep -q '^- Is a learned table of codes better than the vectors of the codebook? Success: no difference within noise; return: no difference within noise (4 pairs over 1 training: too few for a headline).$' page.md
verdict $? "a conclusion by rule"
[ "$(grep -c '^!\[' page.md)" -eq 2 ] && [ -s kept/arm-table.svg ] && [ -s kept/arm-codes-single.svg ]
verdict $? "a plot for each comparison"
cp page.md first.md
results >out 2>err
cmp -s page.md first.md
verdict $? "the same page again"
finish

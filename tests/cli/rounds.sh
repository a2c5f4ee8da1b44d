#!/bin/sh
# rounds.sh - pipelines/arm.mk with rounds of DAgger at a size of seconds: killed anywhere and started again it ends with the policies and
# metrics of an uninterrupted run, a finished stage does not run again, and other rounds are another summary.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/pipelines/json.sh"

# Rounds that could not be played are refused.
refuses() { # NAME PATTERN BIN ROUNDS
    (cd "$top" && unset MAKEFLAGS MAKELEVEL && make -n -f pipelines/arm.mk NAME=demo BIN="$3" D="$dir/none" ROUNDS="$4") >out 2>err
    [ $? -ne 0 ] && grep -q -e "$2" err
    verdict $? "$1"
}
mkdir bare
printf '#!/bin/sh\necho "mujoco: no"\n' >bare/gato
chmod +x bare/gato
refuses "ROUNDS=x" "ROUNDS='x': a number" "$dir/bare" x
refuses "rounds without MuJoCo" "ROUNDS=2: rounds need" "$dir/bare" 2

# An interrupted training goes on, and begins anew once its inputs are newer.
cat >bare/gato <<'X'
#!/bin/sh
[ "$1" = --version ] && exec echo "mujoco: no"
exit 9
X
stage() { # the policy's rule, its inputs taken as they are
    (cd "$top" && unset MAKEFLAGS MAKELEVEL && make -s -f pipelines/arm.mk NAME=demo BIN="$dir/bare" D="$dir/begun" \
        -o "$dir/begun/vqvae/done" -o "$dir/begun/tokens.lmdb/done" "$dir/begun/policy/done") >out 2>err
}
mkdir -p begun/policy begun/vqvae begun/tokens.lmdb
touch begun/vqvae/done begun/tokens.lmdb/done
touch -d '+1 hour' begun/policy/training.json
stage
[ -f begun/policy/training.json ]
verdict $? "an interrupted training goes on"
touch -d '+2 hours' begun/tokens.lmdb/done
stage
[ ! -e begun/policy ] && [ -f begun/policy.interrupted/training.json ] && grep -q "tokens.lmdb/done' is newer" err
verdict $? "inputs made anew: it begins anew"

if ! gato --version | grep -q '^mujoco: yes' || ! gato --version | grep -q '^hdf5: yes'; then
    skip "everything" "built without MuJoCo or HDF5"
    finish
fi
if [ -n "${SANITIZED:-}" ]; then
    skip "everything" "minutes under a sanitizer, and the programs have tests of their own there"
    finish
fi
cat >pipeline.sh <<X
#!/bin/sh
# pipeline.sh FOLDER ROUNDS
cd '$top' || exit 1
unset MAKEFLAGS MAKELEVEL
exec make -f pipelines/arm.mk NAME=reacher BIN='$(dirname "$(command -v gato)")' D='$dir'/"\$1" ROUNDS="\$2" \\
    EPISODES=24 FRAMES=4 PLAY=3 ROUND_EPISODES=6 ROUND_FRAMES=8 ROUND_STEPS=12 \\
    VQ_SET="train.steps=8 train.warmup_no_quant=2 train.save_every=4 train.eval_every=8 train.tensorboard=false" \\
    GATO_SET="train.steps=20 train.save_every=5 train.eval_every=10 data.holdout=0.1 train.tensorboard=false"
X
sh pipeline.sh whole 2 >out 2>err
verdict $? "two rounds"
for who in expert random 'policy, round 0' 'policy, round 1' 'policy, round 2' 'blank, last policy'; do
    grep -q "^  $who  *-[0-9.]*  *[0-9.]*%  *-*[0-9.]*$" out
    verdict $? "the table has a line for $who"
done
number='-?[0-9.]+'
round() { echo "\\{\"round\":$1,\"return\":$number,\"success_rate\":$number,\"normalized_score\":$number,\"loss_last\":$number\\}"; }
grep -Eq "\"rounds\":\\[$(round 0),$(round 1),$(round 2)\\]\\}\\}\$" whole/summary.json
verdict $? "and summary.json a member for each round: $(cat whole/summary.json)"
for n in 1 2; do
    [ "$(json_last "whole/round-$n/record.json" seed)" = "100$n" ] && grep -q '"policy":"mix"' "whole/round-$n/record.json"
    verdict $? "round $n records other episodes"
done
init() { grep -o '"init":"[0-9a-f]*"' "whole/$1/training.json"; }
[ -z "$(init policy)" ] && [ -n "$(init round-1/policy)" ] && [ -n "$(init round-2/policy)" ] && [ "$(init round-1/policy)" != "$(init round-2/policy)" ]
verdict $? "a round goes on from the weights of the one before: $(init round-1/policy) $(init round-2/policy)"
[ "$(json_last whole/round-2/act-policy.json return_mean)" = "$(sed 's/.*"policy":{"return":\([^,]*\).*/\1/' whole/summary.json)" ]
verdict $? "the policy of the summary is the last one"

sh pipeline.sh whole 2 >out 2>err
[ $? -eq 0 ] && ! grep -q '/bin/' out
verdict $? "a finished pipeline does nothing"

# --- kills as soon as a stage has begun to write; the processes of a pipeline are a group of their own
kills=0
for begun in episodes/data/metadata.json policy/training.json round-1/episodes/data/metadata.json round-1/tokens.lmdb round-1/policy/config.json \
    round-1/policy/training.json round-2/episodes/data/metadata.json round-2/policy/training.json; do
    setsid sh pipeline.sh killed 2 >out 2>err &
    pid=$!
    sleep 0.2 # the group is there
    wait_for 60 test -e "killed/$begun"
    kill -s KILL -- "-$pid" 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ "$kills" -ge 6 ]
verdict $? "killed $kills times"
# A worker of a killed recording may live some milliseconds longer, and holds its lock.
sleep 0.3
sh pipeline.sh killed 2 >out 2>err
verdict $? "goes on after $kills kills"
for f in episodes policy round-1/episodes round-1/policy round-2/episodes round-2/policy; do
    case $f in
    *policy) same "the same after kills: $f" "whole/$f" "killed/$f" ;;
    *) cmp "whole/$f/data/main_data.hdf5" "killed/$f/data/main_data.hdf5" >out 2>&1
        verdict $? "the same after kills: $f" ;;
    esac
done
played() { sed -E 's/"(images|tokens)_per_s":[^,}]*//g' "$1/summary.json"; }
[ "$(played whole)" = "$(played killed)" ]
verdict $? "the same metrics: $(played whole), after kills $(played killed)"

# --- other rounds
sh pipeline.sh whole 0 >out 2>err && grep -q '^  policy  *-[0-9.]*' out && ! grep -q 'round' out && ! grep -q -e '--out' out
verdict $? "no rounds: another table of the same policies"
grep -Eq "\"rounds\":\\[$(round 0)\\]" whole/summary.json
verdict $? "and another summary: $(cat whole/summary.json)"
sh pipeline.sh whole 1 >out 2>err && grep -q '^  policy, round 1' out && ! grep -Eq '(gato|vqvae|tokenize) (record|train|episodes)' out
verdict $? "one round trains nothing anew"
finish

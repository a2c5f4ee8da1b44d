#!/bin/sh
# improve.sh - pipelines/improve.mk at a size of seconds, the grid world being the new body: what a round learns from, and that a pipeline which is killed
# and started again ends with the policies of an uninterrupted one.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/pipelines/json.sh"

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
# pipeline.sh FOLDER
cd '$top' || exit 1
unset MAKEFLAGS MAKELEVEL
exec make -f pipelines/improve.mk BIN='$(dirname "$(command -v gato)")' D='$dir'/"\$1" NEW=grid KNOWN=reacher \\
    EPISODES_reacher=12 DEMOS=10 OWN=24 OWN_PLAY='--decode sample' STEPS=8 TUNE=16 PLAY=6 \\
    VQ_SET="train.steps=8 train.warmup_no_quant=2 train.save_every=4 train.eval_every=8 train.tensorboard=false" \\
    GATO_SET="train.save_every=5 train.eval_every=10 data.holdout=0.1 train.tensorboard=false"
X
sh pipeline.sh whole >out 2>err
verdict $? "two rounds"
learned=$(json_last whole/grid/tokenize.json records)
[ "$learned" -eq 10 ]
verdict $? "ten demonstrations"
for round in 0 1 2; do
    grep -Eq "^  round $round +$learned episodes +-?[0-9.]+ +[0-9.]+%   [0-9.]+ to [0-9.]+%\$" out &&
        grep -q "^{\"round\":$round,\"episodes\":$learned,\"return\":$(json_last whole/round-$round/act.json return_mean)," whole/improve.json
    verdict $? "round $round: $learned episodes"
    [ $round -eq 2 ] && break
    played=$(json_last whole/round-$round/record.json success_rate)
    kept=$(json_last whole/round-$round/tokenize.json records)
    [ "$kept" -gt 0 ] && [ "$kept" = "$(awk -v s="$played" 'BEGIN { printf "%.0f", 24 * s }')" ] &&
        [ "$(json_last whole/round-$round/tokenize.json skipped)" -eq $((24 - kept)) ]
    verdict $? "it keeps the $kept episodes that it solved"
    learned=$((learned + kept))
done
[ "$(json_last whole/round-0/record.json seed)" = 1000 ] && [ "$(json_last whole/round-1/record.json seed)" = 1001 ]
verdict $? "a round plays other episodes than the one before"
init() { grep -o '"init":"[0-9a-f]*"' "whole/$1/training.json"; }
[ -n "$(init round-0/policy)" ] && [ "$(init round-0/policy)" = "$(init round-1/policy)" ] && [ "$(init round-1/policy)" = "$(init round-2/policy)" ]
verdict $? "all rounds begin with the same weights"

sh pipeline.sh whole >out 2>err
[ $? -eq 0 ] && ! grep -q '/bin/' out
verdict $? "a finished pipeline does nothing"

kills=0
for begun in first/training.json round-0/episodes/data/metadata.json round-1/policy/training.json; do
    setsid sh pipeline.sh killed >out 2>err &
    pid=$!
    sleep 0.2 # the group is there
    wait_for 60 test -e "killed/$begun"
    kill -s KILL -- "-$pid" 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ "$kills" -ge 2 ]
verdict $? "killed $kills times"
sleep 0.3 # a worker of a killed recording may live some milliseconds longer, and holds its lock
sh pipeline.sh killed >out 2>err
verdict $? "it ends"
for file in improve.json round-2/act.json; do
    [ "$file" = improve.json ] && cmp -s whole/$file killed/$file
    [ "$file" = improve.json ] || [ "$(json_last whole/$file return_mean)" = "$(json_last killed/$file return_mean)" ]
    verdict $? "with the same $file"
done
cmp -s whole/round-2/policy/model.safetensors killed/round-2/policy/model.safetensors
verdict $? "and the same weights"
finish

#!/bin/sh
# gato_report.sh - `gato report`: held-out losses by task and modality in metrics.jsonl, and a page that shows them, the tokens of timesteps,
# results of `gato act` and images; the same bytes again; what is no such file is refused.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"
shows() { # NAME PAGE TEXT...
    name=$1
    shift
    python3 "$top/tests/interop/read_report.py" "$@" >summary 2>err
    verdict $? "$name: $(cat summary)"
}
cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 1, "heads": 2, "context": 128, "bins": 32},
 "optim": {"warmup": 2}, "loss": {"image": 0.1, "vector": 0.1},
 "train": {"steps": 6, "batch": 4, "save_every": 2, "eval_every": 3, "log_every": 3, "tensorboard": false},
 "data": {"holdout": 0.3, "split_by": "episode"}}
Y
vqvae train --data "$top/data/reacher" --config vq.json --out vq --threads 1 >out 2>err
verdict $? "a tokenizer"
i=0
while [ $i -lt 12 ]; do
    i=$((i + 1))
    printf 'line %d of a text that is long enough\n' $i
done >plain.txt
task='<arm>&"1"'
tokenize episodes --in "$top/data/reacher" --limit 4 --out arm.lmdb --model vq --task "$task" >out 2>err && tokenize text --in plain.txt --out text.lmdb >out 2>err
verdict $? "shards of two tasks"
does "train" train --data arm.lmdb text.lmdb --config policy.json --vqvae vq --out run --threads 1

# --- held out, by task and modality: those of eval
last=$(tail -n 1 run/metrics.jsonl)
[ "$(echo "$last" | grep -o '"loss_[a-z]*_held_out":[0-9]' | wc -l)" -eq 4 ] && echo "$last" | grep -qF '"loss_<arm>&\"1\"/action":' && echo "$last" | grep -q '"loss_text/text":[0-9]' &&
    ! echo "$last" | grep -q 'loss_text/action'
verdict $? "keys: $last"
gato eval --model run --data arm.lmdb text.lmdb --threads 1 >lines 2>err
verdict $? "eval"
for what in action image text vector; do
    tail -n 1 lines >all.json
    awk -v a="$(json_last all.json loss_$what)" -v b="$(json_last run/metrics.jsonl loss_${what}_held_out)" 'BEGIN { d = a - b; exit !(a > 0 && d < 1e-4 && d > -1e-4) }'
    verdict $? "eval's loss_$what: $(json_last all.json loss_$what), $(json_last run/metrics.jsonl loss_${what}_held_out)"
done

# --- the page
echo '{"env":"<reacher>","task":"arm","policy":"model","seed":0,"episodes":50,"failed":0,"return_mean":-6.25,"return_std":2,"success_rate":0.54,"success_ci":[0.401,0.674],"length_mean":50,"normalized_score":null}' >act.json
image=$(find "$top/data/clipart" -name '*.png' | LC_ALL=C sort | head -n 1)
cp "$image" 'str<i>p.png'
does "report" report run --act act.json --image 'str<i>p.png'
grep -q '"results":1,"images":1,' out
verdict $? "what it tells: $(cat out)"
shows "a page" run/report.html "$task" '<reacher>' '-6.250' '0.554' '54.0' '40.1' '67.4' 'str<i>p.png' 'Held out: vectors' 'loss.image' 'Timesteps'
grep -q '"charts": 13' summary && grep -q '"images": 1' summary
verdict $? "charts and bars: $(cat summary)"
cp run/report.html before.html
sed -E 's/"(wall|tokens_per_s)":[^,}]*/"\1":1/g' run/metrics.jsonl >metrics && cp metrics run/metrics.jsonl
does "report, another clock" report run --act act.json --image 'str<i>p.png' --out again.html
cmp again.html before.html >out 2>&1
verdict $? "the same bytes"
mkdir early bare
head -n 1 run/metrics.jsonl >early/metrics.jsonl
cp run/config.json run/model.safetensors bare
does "report of a training without a checkpoint" report early
does "report of a bare folder" report bare
shows "no curves" bare/report.html 'Timesteps' 'Configuration'
echo '{"step":1}' >bad.json
refuses 3 "'bad.json': line 1 is none of gato act" report run --act bad.json --out no.html
refuses 2 "'none.json': no such file" report run --act none.json --out no.html
refuses 3 "'bad.json'" report run --image bad.json --out no.html
refuses 2 'no policy folder' report nowhere
[ ! -e no.html ]
verdict $? "no page of what was refused"

# --- closed loop during training
gato record --env grid --policy expert --episodes 6 --out grid >out 2>err && tokenize episodes --in grid --model vq --out grid.lmdb >out 2>err
verdict $? "episodes of the grid"
play="--data grid.lmdb --config policy.json --vqvae vq --set train.eval_episodes=4 --set loss.vector=0"
# shellcheck disable=SC2086
{
    does "train and play" train $play --set train.eval_env=grid --out play --threads 1
    does "three threads" train $play --set train.eval_env=grid --out threads --threads 3
    gato train $play --set train.eval_env=grid --out stopped --stop-at 4 --threads 1 >out 2>err
    does "and on" train --data grid.lmdb --out stopped --resume --threads 1
    refuses 2 "unknown environment 'grit'" train $play --set train.eval_env=grit --out no
}
[ ! -e no ]
verdict $? "nothing is left of what was refused"
does "act" act --env grid --model play --episodes 4 --threads 1
for what in return success; do
    theirs=$(json_last out "$([ $what = return ] && echo return_mean || echo success_rate)")
    awk -v a="$theirs" -v b="$(json_last play/metrics.jsonl "${what}_grid")" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d < 1e-6 && d > -1e-6) }'
    verdict $? "$what of act: $theirs, $(json_last play/metrics.jsonl "${what}_grid")"
done
[ "$(grep -c '"return_grid":' play/metrics.jsonl)" -eq 2 ] && [ ! -e play/eval ]
verdict $? "at each evaluation, and nothing is left of it"
for other in play threads stopped; do
    sed -E 's/"(wall|tokens_per_s)":[^,}]*/"\1":1/g' $other/metrics.jsonl >$other.metrics
    cmp $other.metrics play.metrics >out 2>&1 && cmp $other/model.safetensors play/model.safetensors >out 2>&1
    verdict $? "the same bytes: $other"
done
does "report" report play
shows "what was played" play/report.html 'Mean return at play' 'Share of episodes that succeed'
finish

#!/bin/sh
# vqvae_watch.sh - watching and judging a run: what metrics.jsonl tells of the codebook, the TensorBoard events, `vqvae report`,
# and eval's metrics over the foreground.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/pipelines/json.sh"

events() { # NAME RUN
    python3 "$top/tests/interop/read_events.py" "$2" >out 2>err
    verdict $? "$1: $(cat out)"
}
report() { # NAME PAGE TEXT...
    name=$1
    shift
    python3 "$top/tests/interop/read_report.py" "$@" >summary 2>err
    verdict $? "$name: $(cat summary)"
}
sum_of() { json_all "$1/metrics.jsonl" "$2" | awk '{ s += $1 } END { print s + 0 }'; }

images 24 pics

# --- metrics: codes replaced are counted, whatever the distance of the lines and wherever the training stops
often='--set model.num_vq_embeddings=256 --set train.steps=280 --set train.save_every=0'
train each $often --set train.log_every=1
train third $often --set train.log_every=3
at=$(grep '"replaced":[1-9]' each/metrics.jsonl | grep -o '^{"step":[0-9]*' | tr -dc '0-9\n' | awk '$1 % 3 { print; exit }') # replaced, no line of `third`
train third2 $often --set train.log_every=3 --stop-at "${at:-1}"
train third2 $often --set train.log_every=3 --resume
n=$(sum_of each replaced)
[ "$n" -gt 0 ] && [ "$n" -eq "$(sum_of third replaced)" ]
verdict $? "codes replaced: $n in 280 lines, $(sum_of third replaced) in 94"
same "the sum goes over a stop (at '$at') between two lines" third third2
head -n 1 each/metrics.jsonl | grep -q '"z_norm":[0-9][0-9.]*,"quant_error":null' &&
    tail -n 1 each/metrics.jsonl | grep -q '"loss_rec":[0-9.e-]*,"loss_vq":[0-9.e-]*,.*"replaced":0,"z_norm":[0-9][0-9.]*,"quant_error":[0-9][0-9.e-]*'
verdict $? "encoder outputs in the metrics: $(tail -n 1 each/metrics.jsonl)"

# --- events
train base
events "events of a run" base
train part --stop-at 5
events "events of a stop" part
train part --resume
events "events after a resume" part
long='--steps 100000 --set train.save_every=40 --set train.eval_every=30'
for n in 40 60 90; do # saved at 40, 80, 120; grids at 30, 60, ...
    rm -rf killed
    vqvae train --data pics --config tiny.json --threads 1 --out killed $long >out 2>err &
    pid=$!
    wait_for 20 grep -q "step\":$n," killed/metrics.jsonl
    kill -s KILL $pid
    wait $pid 2>/dev/null
    train killed $long --resume --stop-at 130
    events "no step twice after a kill at about $n" killed
done
train part --force --steps 6
events "events of a run that replaces one" part
train none --set train.tensorboard=false
[ -z "$(find none -name 'events.*')" ]
verdict $? "train.tensorboard=false: no events"
train part --resume --set train.tensorboard=false
[ -z "$(find part -name 'events.*')" ]
verdict $? "a resume without events leaves none that would end too early"

# --- report
odd="<b>&amp;\"x'.png" run="r<&\">'"
cp "pics/$(ls pics | head -n 1)" "pics/$odd"
cp "pics/$odd" 'pics/<script>alert(1)<.png'
cp "pics/$odd" "$(printf 'pics/\377\n.png')"
train "$run"
works "report" report "$run" --data pics --split all --threads 1
grep -q '"images":27,' out && [ -s "$run/report.html" ]
verdict $? "report tells what it measured: $(cat out)"
report "a page with odd names" "$run/report.html" "$odd" '<script>alert(1)<.png' '\xff\x0a.png' "$run" 'data.holdout' '27'
grep -q '"charts": 10' summary && grep -q '"images": 57' summary && grep -q '\[16, 16\], \[49, 4\]' summary
verdict $? "ten charts, 28 pairs, the codes: $(cat summary)"
vqvae eval --model "$run" --data pics --split all --threads 1 >figures.json 2>err
figure() { json_all figures.json "$1" | awk -v f="$2" '{ printf f, $1 }'; }
report "eval's metrics in the page" "$run/report.html" "$(figure psnr %.2f)" "$(figure ssim %.4f)" "$(figure mse %.6f)" "$(figure perplexity %.1f)"
! python3 "$top/tests/interop/read_report.py" "$run/report.html" 'not there' >out 2>err
verdict $? "the reader of pages can refuse"
for n in 2 3; do
    works "report, $n threads" report "$run" --data pics --split all --threads "$n" --out page.html
    cmp page.html "$run/report.html" >out 2>&1
    verdict $? "the same bytes with $n threads"
done
sed -E 's/"(wall|images_per_s)":[^,]*/"\1":1/g' "$run/metrics.jsonl" >metrics && cp metrics "$run/metrics.jsonl"
works "report, another clock" report "$run" --data pics --split all --out page.html
cmp page.html "$run/report.html" >out 2>&1
verdict $? "no time in the page"
works "report without images" report base
report "curves and configuration" base/report.html 'Curves' 'Configuration' '[8,8]'
grep -q '"images": 0, "sizes": \[\], "charts": 9' summary
verdict $? "no images: $(cat summary)"
train base --force
[ ! -e base/report.html ]
verdict $? "--force takes a former run's page away"
mkdir bare early
cp base/config.json base/diffusion_pytorch_model.safetensors bare
works "report of a bare folder" report bare --data pics --set data.size=16
report "no curves" bare/report.html 'Codebook' 'VQModel'
head -n 3 base/metrics.jsonl >early/metrics.jsonl
printf '{"step":8,"lo' >>early/metrics.jsonl
works "report before the first checkpoint" report early
report "curves alone" early/report.html 'Curves'
exits 2 'early' report early --data pics
exits 2 'one RUN' report base part
exits 2 'split' report base --split both
exits 2 'none' report none.run
exits 1 'cannot' report base --out /proc/none/page.html

# --- the foreground: pixels off the median image, by numpy; all images are training images, so the median is theirs
python=$(numpy_python)
if [ -n "$python" ] && "$python" -c 'import PIL' 2>/dev/null; then
    vqvae reconstruct --model base --data pics --out pairs --threads 1 >out 2>err
    vqvae eval --model base --data pics --set data.holdout=0 --split train --foreground --threads 1 >figures.json 2>table
    "$python" - >out 2>err <<'X'
import glob, json, math
import numpy as np
from PIL import Image
pairs = np.stack([np.asarray(Image.open(f), dtype=np.int64) for f in sorted(glob.glob('pairs/0*.png'))])
x, y = pairs[:, :, :16], pairs[:, :, -16:]
median = np.sort(x, axis=0)[len(x) // 2]
front = (abs(x - median).max(axis=-1) > 16)[..., None]
mse = ((x - y) ** 2 * front).sum() / (3 * front.sum()) / 255 ** 2
wanted, got = -10 * math.log10(mse), json.load(open('figures.json'))
assert got['images'] == len(x) == 27 and abs(got['psnr_foreground'] - wanted) < 1e-4, (got, wanted)
assert abs(got['psnr'] + 10 * math.log10(((x - y) ** 2).mean() / 255 ** 2)) < 1e-4
X
    verdict $? "psnr_foreground by numpy"
    psnr=$(sed -n 's/.*"psnr":\([0-9]*\.[0-9]\).*/\1/p' figures.json)
    grep -q "perplexity *source" table && grep -Eq " 27 +$psnr[0-9] .* 16?[0-9]/16 .* pics$" table
    verdict $? "a table on stderr: $(tail -n 1 table)"
else
    skip "psnr_foreground by numpy" "no numpy and PIL"
fi
works "eval of a folder" eval --model base --data pics
grep -q '"psnr_foreground":null' out
verdict $? "a folder of mixed images has no foreground"
if vqvae eval --model base --data pics "$top/data/reacher" --limit 40 >out 2>err; then
    a=$(sed -n 's/.*"psnr_foreground":\([0-9.]*\).*/\1/p' out)
    [ -n "$a" ] && [ "$(echo "$a" | sed -n 2p)" = "$(echo "$a" | sed -n 3p)" ]
    verdict $? "episodes have a foreground, and what has none does not count"
else
    skip "the foreground of episodes" "$(head -n 1 err)"
fi
exits 2 'negative' eval --model base --data pics --limit -1

finish

#!/bin/sh
# vqvae_train.sh - `vqvae train` and the commands that look at its RUN: the same bytes for any number of threads and after any
# kill, stops on request, what a resume refuses, metrics and images.
. "$(dirname "$0")/../vqvae_common.sh"

images 24 pics
train base
verdict $? "a run of twelve steps"

# --- the RUN
files_of base >names
cat >want <<'X'
./config.json
./diffusion_pytorch_model.safetensors
./done
./metrics.jsonl
./samples/step-000006.png
./samples/step-000012.png
./tokenizer.json
./training.json
./training.safetensors
X
cmp names want >out 2>&1
verdict $? "the files of a RUN"
[ "$(wc -l <base/metrics.jsonl)" -eq 6 ] && [ "$(step_of base)" -eq 12 ]
verdict $? "six log lines, twelve steps"
number='-?[0-9][0-9.e+-]*'
grep -Evq "^\{\"step\":$number,\"wall\":$number,\"loss\":$number,\"lr\":$number,\"grad_norm\":$number,\"images_per_s\":$number,\"psnr\":$number,.*\"perplexity\":($number|null),\"codes_used\":([0-9]+|null)" base/metrics.jsonl
[ $? -eq 1 ]
verdict $? "members of every line of metrics.jsonl"
grep -c '"psnr_held_out":[0-9]' base/metrics.jsonl | grep -qx 2
verdict $? "held-out metrics twice"
head -n 1 base/metrics.jsonl | grep -q '"perplexity":null,"codes_used":null' && tail -n 1 base/metrics.jsonl | grep -q '"codes_used":[1-9]'
verdict $? "the first line is of the autoencoder, the last of the quantizer"

# --- the same bytes
train again
same "the same command again" base again
for n in 2 3; do
    train threads --force --threads "$n"
    same "--threads $n" base threads
done
LC_ALL=de_DE.UTF-8 train locale
same "fault_073: another locale" base locale
(mkdir elsewhere && cd elsewhere && vqvae train --data "$dir/pics" --config ../tiny.json --threads 1 --out "$dir/elsewhere/run" >../out 2>../err)
same "other paths to the same images" base elsewhere/run
train other --seed 1
! cmp -s base/diffusion_pytorch_model.safetensors other/diffusion_pytorch_model.safetensors
verdict $? "fault_078: another seed gives other weights"
train other --force
same "--force replaces a run" base other
train longer --steps 18
train longer --force
same "--force leaves nothing of a longer run" base longer

# --- stops on request
for n in 1 3 4 7 11; do
    train stopped --stop-at "$n" --force
    rc=$?
    [ "$rc" -eq 75 ] && [ "$(step_of stopped)" -eq "$n" ] && [ ! -e stopped/done ]
    verdict $? "--stop-at $n: status $rc"
    train stopped --resume
    same "fault_058: --stop-at $n and --resume" base stopped
done
train stopped --resume
same "--resume of a finished run changes nothing" base stopped
train stopped --stop-at 12 --force
[ $? -eq 0 ] && [ -e stopped/done ]
verdict $? "--stop-at the last step is no stop"
train stopped --stop-at 5 --force
train stopped --resume --stop-at 5
[ $? -eq 75 ]
verdict $? "--resume --stop-at a step that was reached"
train fresh --resume
same "--resume without a checkpoint starts one" base fresh

# by_signal NAME SIGNAL [ENVIRONMENT]: a long run is told to stop, leaves with 75, and is what --stop-at leaves.
by_signal() {
    rm -rf sig twin
    env ${3:+"$3"} vqvae train --data pics --config tiny.json --threads 1 --out sig --steps 100000 --set train.save_every=0 >out 2>err &
    pid=$!
    wait_for 20 grep -q step sig/metrics.jsonl
    kill -s "$2" $pid
    wait $pid
    rc=$?
    at=$(step_of sig)
    [ "$rc" -eq 75 ] && [ "${at:-0}" -gt 0 ] && [ ! -e sig/done ]
    verdict $? "$1: status $rc at step '$at'"
    train twin --steps 100000 --set train.save_every=0 --stop-at "${at:-1}"
    same "$1: as --stop-at $at" sig twin
}
by_signal "fault_057: SIGTERM" TERM
by_signal "fault_057: SIGUSR1 of a batch system" USR1 SLURM_JOB_ID=1
vqvae train --data pics --config tiny.json --threads 1 --out usr1 --steps 100000 >out 2>err &
pid=$!
wait_for 20 grep -q step usr1/metrics.jsonl
kill -s USR1 $pid
wait_for 20 grep -q 'step [0-9]* of 100000' err
verdict $? "fault_057: SIGUSR1 elsewhere asks for a line"
kill -s KILL $pid
wait $pid 2>/dev/null
train timed --steps 1000000 --time-limit 1s
rc=$?
[ "$rc" -eq 75 ] && [ "$(step_of timed)" -gt 0 ]
verdict $? "--time-limit: status $rc"

# --- kill -9 at any moment
for t in 0.02 0.06 0.1 0.14 0.18 0.22; do
    rm -rf killed
    for _ in 1 2; do
        vqvae train --data pics --config tiny.json --threads 1 --out killed --resume >out 2>err &
        pid=$!
        sleep "$t"
        kill -s KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    train killed --resume
    same "fault_055: kill -9 twice after $t s, then --resume" base killed
done
if strace -o /dev/null true 2>/dev/null; then
    # At the entry of the n-th rename: a checkpoint is five of them (training state, weights, three texts), an image one, done the last.
    for n in 1 2 6 7 8 9 13 18; do
        rm -rf killed
        strace -f -o /dev/null -e trace=rename -e "inject=rename:signal=KILL:when=$n" \
            vqvae train --data pics --config tiny.json --threads 1 --out killed >out 2>err
        rc=$?
        [ "$rc" -ne 0 ] && [ ! -e killed/done ]
        verdict $? "killed at rename $n: status $rc"
        train killed --resume
        same "fault_055: killed at rename $n, then --resume" base killed
    done
else
    skip "fault_055 at every rename" "strace does not work here"
fi

# --- what a resume compares
train part --stop-at 5
train_refuses() { # STATUS PATTERN ARGUMENTS...
    want=$1 pattern=$2
    shift 2
    exits "$want" "$pattern" train --data pics --config tiny.json --threads 1 --out part --resume "$@"
}
train_refuses 4 'model.vq_embed_dim' --set model.vq_embed_dim=5
train_refuses 4 'model.block_out_channels' --set 'model.block_out_channels=[8,16]'
train_refuses 4 'model.mid_attention' --set model.mid_attention=false
train_refuses 4 'seed' --seed 3
cp -r pics more
cp "$top/data/clipart/$(ls "$top/data/clipart" | tail -n 1)" more/zz.png
exits 4 'data' train --data more --config tiny.json --threads 1 --out part --resume
[ "$(step_of part)" -eq 5 ]
verdict $? "fault_059: a refused resume changes nothing"
cp -r part more-part
vqvae train --data more --config tiny.json --threads 1 --out more-part --resume --allow-data-change >out 2>err
[ $? -eq 0 ] && grep -q 'other data' err && [ "$(step_of more-part)" -eq 12 ]
verdict $? "fault_059: --allow-data-change goes on, and says so"
cp -r part threads-part
vqvae train --data pics --config tiny.json --threads 3 --out threads-part --resume >out 2>err
same "fault_060: a checkpoint of one thread, resumed with three" base threads-part
train part --resume --set optim.lr=0.002
[ $? -eq 0 ] && grep -q 'optim.lr' err && grep -q '"step":12' part/training.json
verdict $? "fault_058: a changed schedule is allowed and told"
train average --stop-at 5
train average --resume --set train.weight_average=0.5 --set optim.lr=1e-12 --set optim.schedule=constant
train average2 --stop-at 5
train average2 --resume --set optim.lr=1e-12 --set optim.schedule=constant
vqvae eval --model average --data pics --split all >average.json 2>err
vqvae eval --model average2 --data pics --split all >average2.json 2>err
[ "$(cut -d, -f3 average.json)" = "$(cut -d, -f3 average2.json)" ]
verdict $? "an average that begins at a resume begins with the weights: $(cut -d, -f3 average.json average2.json | tr '\n' ' ')"

# --- existing folders, typing mistakes
exits 2 'resume' train --data pics --config tiny.json --out base
exits 2 'is a file' train --data pics --config tiny.json --out tiny.json
exits 2 'folder of the images' train --data pics --config tiny.json --out pics --force
exits 1 'cannot' train --data pics --config tiny.json --out /proc/none/run
exits 2 'data' train --out new
exits 2 'out' train --data pics
exits 2 "did you mean '--steps'" train --data pics --out new --stepz 3
exits 2 "did you mean 'optim.lr'" train --data pics --out new --set optim.lrr=3
exits 2 'quantizer.kind' train --data pics --out new --set quantizer.kind=emu
exits 2 'optim.lr' train --data pics --out new --set optim.lr=1e30
exits 2 'steps' train --data pics --out new --steps many
exits 2 'negative' train --data pics --out new --steps -4
exits 2 'negative' train --data pics --out new --stop-at -1
exits 2 'stride' train --data pics --out new --config tiny.json --set data.size=17
exits 2 'norm_num_groups' train --data pics --out new --config tiny.json --set model.norm_num_groups=3
exits 2 'level' train --data pics --out new --config tiny.json --set 'model.attention_levels=[2]'
exits 2 'weight' train --data pics=0 --out new --config tiny.json
exits 2 'traim' traim
exits 2 'split' eval --model base --data pics --split both
[ ! -e new ]
verdict $? "a refused command leaves nothing behind"
vqvae train --help-config >out 2>err
verdict $? "--help-config needs no other option"
for key in model.block_out_channels model.layers_per_block model.attention_levels model.latent_channels model.vq_embed_dim model.num_vq_embeddings \
    model.norm_num_groups model.mid_attention quantizer.kind quantizer.commitment_weight quantizer.codebook_weight quantizer.decay quantizer.restart \
    quantizer.kmeans quantizer.levels loss.rec loss.focus loss.perceptual loss.perceptual_weights loss.disc loss.disc_start loss.disc_ramp loss.disc_kind \
    loss.disc_adaptive loss.disc_channels loss.disc_layers optim.kind optim.lr optim.betas optim.eps optim.weight_decay optim.clip optim.warmup optim.schedule \
    optim.min_ratio train.steps train.batch train.accumulate train.warmup_no_quant train.weight_average train.save_every train.eval_every train.freeze train.tensorboard \
    data.size data.crop data.flip data.holdout data.split_by data.background data.cache data.cache_file; do
    grep -q "^ *$key " out || { verdict 1 "--help-config does not tell $key"; continue; }
    passed=$((passed + 1))
done
awk 'NF < 4' out >short
[ ! -s short ]
verdict $? "--help-config says what each key means: $(head -n 1 short)"
# Every default that it names, given as a setting, changes nothing.
awk '{ print $1 "=" $2 }' out >said
[ "$(wc -l <said)" -ge 50 ]
verdict $? "a default for each of $(wc -l <said) keys"
works "the defaults" train --data pics --out preset --steps 1 --threads 1
set --
while read -r setting; do set -- "$@" --set "$setting"; done <said
works "the defaults, spelled out" train --data pics --out spelled --steps 1 --threads 1 "$@"
same "the defaults of --help-config are those of a run" preset spelled

# --- --dry-run
works "a dry run" train --data pics --config tiny.json --out dry --dry-run --threads 1
[ ! -e dry ] && grep -Eq '^\{"parameters":[0-9]+,"flops_per_step":[0-9.e+]+,"memory_bytes":[0-9.e+]+,"seconds_per_step":[0-9.e-]+,"expected_seconds":[0-9.e-]+\}$' out
verdict $? "one JSON object, nothing made: $(cat out)"

# --- accumulation: the same samples in two replays
train whole --set train.batch=4 --set optim.clip=0 --set train.log_every=1
train halves --set train.batch=2 --set train.accumulate=2 --set optim.clip=0 --set train.log_every=1
paste -d' ' whole/metrics.jsonl halves/metrics.jsonl | awk '
    function member(s, name) { if (!match(s, "\"" name "\":[-0-9.e]+")) return "none"; return substr(s, RSTART + length(name) + 3, RLENGTH - length(name) - 3) }
    function off(a, b) { a -= b; return a < 0 ? -a : a }
    { split($0, half, "} "); bad += off(member(half[1], "loss"), member(half[2], "loss")) > 1e-5 || off(member(half[1], "grad_norm"), member(half[2], "grad_norm")) > 1e-4 }
    END { exit !(NR == 12 && !bad) }'
verdict $? "two replays of two are a batch of four"

# --- eval
keys() { grep -o '"[a-z_]*":' "$1" | tr -d '\n'; }
works "eval" eval --model base --data pics --threads 1
cp out figures.json
[ "$(keys figures.json)" = '"source":"images":"psnr":"ssim":"mse":"codes_used":"codes":"perplexity":"images_per_s":"psnr_foreground":' ]
verdict $? "eval's members: $(keys figures.json)"
grep -q '^{"source":"pics",' figures.json && [ "$(wc -l <figures.json)" -eq 1 ]
verdict $? "one line of one source"
cp -r pics pics2
works "eval of two" eval --model base --data pics pics2 --split all --threads 2
[ "$(wc -l <out)" -eq 3 ] && grep -q '^{"source":null,"images":48,' out && [ "$(grep -c '"images":24,' out)" -eq 2 ]
verdict $? "a line a source, then all"
members() { grep -o "\"$2\":[0-9]*" "$1" | tr -dc 0-9; }
vqvae eval --model base --data pics --split train >train.json 2>err
vqvae eval --model base --data pics --set data.holdout=0.2 >fifth.json 2>err
vqvae eval --model base --data pics --set data.holdout=0.8 >most.json 2>err
n=$(members figures.json images)
[ $((n + $(members train.json images))) -eq 24 ] && [ "$n" -eq "$(members fifth.json images)" ] && [ "$n" -lt "$(members most.json images)" ]
verdict $? "eval holds out what training held out: $n of 24"
mkdir few
find pics -name '*.png' | LC_ALL=C sort | head -n 3 | while read -r f; do cp "$f" few; done
for h in 0.001 0.9; do
    vqvae train --data few --config tiny.json --threads 1 --out few.run --force --steps 4 --set "data.holdout=$h" >out 2>err &&
        vqvae eval --model few.run --data few >out 2>err && n=$(members out images) && [ "$n" -ge 1 ] && [ "$n" -le 2 ]
    verdict $? "no side of a split is empty: holdout $h gives '$n' of 3"
done
vqvae train --data few --config tiny.json --threads 1 --out none.run --set data.holdout=0 >out 2>err && [ "$(grep -c '"psnr_held_out":null' none.run/metrics.jsonl)" -eq 2 ]
verdict $? "nothing held out: no figure instead of a wrong one"
vqvae eval --model none.run --data few >out 2>err && grep -q '"images":0,"psnr":null,"ssim":null,"mse":null,"codes_used":0,' out
verdict $? "eval of nothing"
vqvae eval --model base --data pics --threads 1 --object 1,2 >out 2>err
[ $? -eq 2 ]
verdict $? "--object wants three numbers"

# --- reconstruct, info
works "reconstruct" reconstruct --model base --data pics --out shown --threads 1
[ "$(find shown -name '0*.png' | wc -l)" -eq 24 ] && [ -s shown/contact.png ] && [ -e shown/done ] && grep -qx '{"images":24}' out
verdict $? "a PNG an image and a contact sheet"
works "reconstruct with another number of threads" reconstruct --model base --data pics --out shown2 --threads 3
diff -r shown shown2 >out 2>&1
verdict $? "the same images"
exits 2 'not empty' reconstruct --model base --data pics --out shown
exits 2 'folder of the images' reconstruct --model base --data pics --out pics --force
works "reconstruct some" reconstruct --model base --data pics --out shown --force --limit 5
works "info" info base
grep -q '"codes":16,"code_dim":4,"stride":2,"block_out_channels":\[8,8\],"size":\[16,16\],"tokens":64,"quantizer":{"kind":"vq"},' out && grep -q '"step":12}' out
verdict $? "info: $(cat out)"
grep -q "\"fingerprint\":\"$(grep -o '"fingerprint":"[0-9a-f]*' base/tokenizer.json | cut -d'"' -f4)\"" out
verdict $? "info tells the fingerprint of tokenizer.json"
grep -qx 'vqvae: codebook  *16 codes of width 4' err && grep -qx 'vqvae: codes per image  *8 x 8, one per 2 x 2 pixels' err &&
    grep -qx 'vqvae: trained steps  *12' err &&
    grep -qx "vqvae: fingerprint  *$(grep -o '"fingerprint":"[0-9a-f]*' base/tokenizer.json | cut -d'"' -f4)" err && [ "$(wc -l <out)" -eq 1 ]
verdict $? "info's table on stderr, one line on stdout: $(cat err)"

# --- fine-tuning: frozen parameters stay, the fingerprint says so
works "fine-tune" train --data pics --config tiny.json --out tuned --init base --set train.freeze=decoder --set quantizer.kind=ste --set train.warmup_no_quant=0 --threads 1
works "a bare folder" info base tuned
[ "$(grep -o '"fingerprint":"[0-9a-f]*' out | sort -u | wc -l)" -eq 2 ]
verdict $? "training moved the encoder"
mkdir bare
cp base/config.json base/diffusion_pytorch_model.safetensors bare
works "a folder of two files is a tokenizer" eval --model bare --data pics --split all --set data.size=16 --threads 1

finish

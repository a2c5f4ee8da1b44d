#!/bin/sh
# vqvae_faults.sh - `vqvae` in a bad world: data, configuration files, disks and numbers that fail. Case numbers name the fault.
. "$(dirname "$0")/../vqvae_common.sh"

images 12 pics
train base
verdict $? "a run of twelve steps"

# --- images
mkdir empty other
echo text >other/notes.txt
exits 3 "'empty'" train --data empty --out new
grep -q 'png' err
verdict $? "fault_021: what was looked for"
exits 3 "'other'" train --data other --out new
grep -q '1' err
verdict $? "fault_022: with a count of other files"
exits 2 "'nowhere'" train --data nowhere --out new
exits 2 "'other/notes.txt'" train --data other/notes.txt --out new
exits 2 "'nowhere'" eval --model nowhere --data pics
exits 2 "'nowhere'" reconstruct --model base --data nowhere --out new
exits 2 "'nowhere.png'" trace --model base --image nowhere.png --out t
[ ! -e new ] && [ ! -e t ]
verdict $? "fault_023: nothing is made"
cp -r pics spoilt
: >spoilt/aa.png
head -c 300 "$(find pics -name '*.png' | head -n 1)" >spoilt/cut.png
exits 3 '2' train --data spoilt --config tiny.json --out new
vqvae train --data spoilt --config tiny.json --threads 1 --out spoilt.run --max-bad 0.2 >out 2>err && grep -q 'aa.png' err && grep -q 'cut.png' err &&
    cmp base/diffusion_pytorch_model.safetensors spoilt.run/diffusion_pytorch_model.safetensors >>err
verdict $? "fault_001: tolerated bad images change nothing for the good ones"
exits 3 "are bad .*max-bad 0 %" train --data spoilt --config tiny.json --threads 1 --out strict.run --max-bad 0.2 --strict
exits 3 'pixels' eval --model base --data pics --max-pixels 100 --split all

# --- configuration files: file, line and column
config_fault() { # NAME WHERE TEXT
    printf '%b' "$3" >bad.json
    exits 2 "bad.json.*$2" train --data pics --config bad.json --out new
}
config_fault comment '1:2' '{// why\n"optim": {"lr": 1}}'
config_fault trailing_comma '2:1[78]' '{\n"optim": {"lr": 1,}}'
config_fault unknown_key "2:12.*'optim.lrr'.*did you mean 'optim.lr'" '{\n "optim": {"lrr": 1}}'
config_fault unknown_group '2:' '{\n "optimm": {"lr": 1}}'
config_fault duplicate '1:2' '{"optim": {"lr": 1, "lr": 2}}'
config_fault wrong_type '1:' '{"train": {"steps": "many"}}'
config_fault nan '1:' '{"optim": {"lr": NaN}}'
config_fault too_large '1:' '{"optim": {"lr": 1e999}}'
config_fault out_of_range '1:' '{"train": {"batch": 99999999999999999999}}'
config_fault fraction '1:' '{"train": {"batch": 2.5}}'
config_fault negative '1:' '{"train": {"batch": -2}}'
config_fault not_an_object '' '[1]'
config_fault nothing '' ''
config_fault deep '' "$(printf '%0300d' 0 | sed 's/0/[/g')"
exits 2 "no.json" train --data pics --config no.json --out new
printf '{"train": {"steps": 7}, "optim": {"lr": 0.5}}' >part.json
train part --config part.json --set optim.lr=0.25 --set model.block_out_channels=8 --set model.norm_num_groups=2 --set model.num_vq_embeddings=4 --set data.size=8 \
    --set train.warmup_no_quant=0 --steps 2
grep -q '"steps": 2' part/training.json && grep -q '"lr": 0.25' part/training.json && grep -q '"size": \[8\]' part/training.json
verdict $? "default < config < set < flag"

# --- stdout that cannot be written
if [ -w /dev/full ]; then
    for command in "eval --model base --data pics --split all" "info base" "reconstruct --model base --data pics --out full.out --force --limit 1" \
        "train --help-config" "train --data pics --config tiny.json --out dry --dry-run"; do
        # shellcheck disable=SC2086
        vqvae $command >/dev/full 2>err
        rc=$?
        [ "$rc" -eq 1 ] && grep -q 'stdout\|output' err
        verdict $? "fault_071: $command >/dev/full: status $rc"
        # shellcheck disable=SC2086
        vqvae $command >&- 2>err
        rc=$?
        [ "$rc" -eq 1 ]
        verdict $? "fault_071: $command >&-: status $rc"
    done
else
    skip fault_071 "no /dev/full"
fi

# --- weights that are damaged, or fit something else
cp -r base damaged
printf 'x' | dd of=damaged/diffusion_pytorch_model.safetensors bs=1 seek=20000 conv=notrunc 2>/dev/null
exits 3 'diffusion_pytorch_model' eval --model damaged --data pics
head -c 9000 base/training.safetensors >damaged/training.safetensors
exits 3 'training.safetensors' train --data pics --config tiny.json --out damaged --resume
[ "$(wc -c <damaged/training.safetensors)" -eq 9000 ]
verdict $? "fault_063: what is damaged is left as it was"
cp base/diffusion_pytorch_model.safetensors damaged
sed 's/"vq_embed_dim":[^,}]*/"vq_embed_dim": 5/' base/config.json >damaged/config.json
exits 4 'quantize.embedding.weight' eval --model damaged --data pics
train seeded --seed 9 --stop-at 4
cp base/config.json damaged
cp seeded/tokenizer.json damaged
exits 4 'fingerprint' eval --model damaged --data pics
printf '{' >damaged/config.json
exits 3 'config.json' eval --model damaged --data pics
exits 2 'no tokenizer' eval --model pics --data pics

# --- numbers that are none: a decay of 99 a step grows until floats end
vqvae train --data pics --config tiny.json --threads 1 --out nan --steps 400 --set optim.kind=adamw --set optim.lr=10 --set optim.weight_decay=10 \
    --set optim.warmup=0 --set optim.schedule=constant --set train.save_every=1 --set optim.clip=0 --set quantizer.kind=ste >out 2>err
rc=$?
[ "$rc" -eq 1 ] && [ ! -e nan/done ] && [ "$(step_of nan)" -gt 3 ]
verdict $? "fault_062: a run that blows up: status $rc at step $(step_of nan)"
tail -n 1 err | grep -q 'finite\|NaN'
verdict $? "fault_062: and says so: $(tail -n 1 err)"
works "fault_062: the last good checkpoint is kept" info nan
vqvae trace --model nan --image "$(find pics -name '*.png' | head -n 1)" --out t.safetensors >out 2>err
verdict $? "fault_062: and can be used"

# --- a file-size limit below a checkpoint's size
(
    ulimit -f 20
    vqvae train --data pics --config tiny.json --threads 1 --out limited >out 2>err
)
rc=$?
[ "$rc" -eq 1 ] && grep -q 'training.safetensors' err && [ -z "$(find limited -name '*.tmp')" ]
verdict $? "fault_070: a file-size limit: status $rc"
train limited --resume
same "fault_070: --resume without the limit" base limited

# --- a full disk: 400 kB hold one checkpoint, not a second beside it
mkdir disk
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=400k none disk 2>/dev/null; then
    trap 'umount -l "$dir/disk" 2>/dev/null; rm -rf "$dir"' EXIT
    vqvae train --data pics --config tiny.json --threads 1 --out disk/run >out 2>err
    rc=$?
    [ "$rc" -eq 1 ] && [ "$(grep -c 'cannot save the checkpoint of step 8.*goes on' err)" -eq 1 ] && tail -n 1 err | grep -q 'step 12.*space'
    verdict $? "fault_054: a full disk: status $rc"
    [ "$(step_of disk/run)" -eq 4 ] && [ -z "$(find disk/run -name '*.tmp')" ] && [ ! -e disk/run/done ]
    verdict $? "fault_054: the old checkpoint is untouched, temporaries are gone"
    works "fault_054: and works" info disk/run
    mount -o remount,size=4m disk
    vqvae train --data pics --config tiny.json --threads 1 --out disk/run --resume >out 2>err
    same "fault_054: --resume when there is room" base disk/run
    rm -rf disk/run
    mount -o remount,size=400k disk
    vqvae train --data pics --config tiny.json --threads 1 --out disk/run --steps 750 --set train.save_every=250 --set train.log_every=250 --set train.eval_every=0 >out 2>err &
    pid=$!
    wait_for 60 grep -q "step 500.*goes on" err
    mount -o remount,size=4m disk
    wait $pid
    rc=$?
    [ "$rc" -eq 0 ] && [ "$(step_of disk/run)" -eq 750 ] && [ -e disk/run/done ] && grep -q "step 500.*goes on" err
    verdict $? "fault_054: room again at the next interval: status $rc"
    umount -l disk
else
    skip fault_054 "cannot mount a small file system"
fi

finish

#!/bin/sh
# vqvae_finetune.sh - `vqvae train --init`: what comes from the RUN, what stays when it is frozen, and settings that contradict it.
. "$(dirname "$0")/../vqvae_common.sh"

images 24 pics
train base --set train.weight_average=0.9
verdict $? "a run of twelve steps"
print_of() { grep -o '"fingerprint":"[0-9a-f]*' "$1/tokenizer.json" | cut -d'"' -f4; }
# tensors RUN: a line a tensor, its name and its bytes' checksum (of the weights that others load)
cat >tensors.py <<'PY'
import hashlib, json, struct, sys
with open(sys.argv[1] + "/diffusion_pytorch_model.safetensors", "rb") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    header, data = json.loads(f.read(n)), f.read()
header.pop("__metadata__")
for name in sorted(header):
    a, b = header[name]["data_offsets"]
    print(name, hashlib.sha256(data[a:b]).hexdigest())
PY
python=$(for p in ${PYTHON:-} python3 /usr/bin/python3; do "$p" -c '' 2>/dev/null && echo "$p" && break; done)
# moved RUN: the top-level names of which something differs from base
moved() {
    "$python" tensors.py base >a.txt && "$python" tensors.py "$1" >b.txt || return 1
    diff a.txt b.txt | sed -n 's/^> \([^. ]*\).*/\1/p' | sort -u | tr '\n' ' '
}
# tune RUN OPTIONS...: twelve steps from base that change whatever can change
tune() {
    r=$1
    shift
    vqvae train --init base --data pics --out "$r" --threads 1 --steps 12 --set train.batch=4 --set data.holdout=0.2 --set optim.weight_decay=0.1 --set optim.lr=0.01 \
        --set optim.warmup=0 --set quantizer.decay=0.5 --set train.save_every=4 --set train.log_every=1 --set train.eval_every=0 "$@" >out 2>err
}

# --- whole, decoder alone, codebook frozen: by averages and by gradient, with and without an average of the weights
all='decoder encoder post_quant_conv quant_conv quantize '
for kind in ema ste; do
    for average in 0 0.9; do
        with="--set quantizer.kind=$kind --set train.weight_average=$average"
        # shellcheck disable=SC2086
        tune whole --force $with && [ "$(moved whole)" = "$all" ]
        verdict $? "$kind, average $average: the whole network moves: $(moved whole)"
        # shellcheck disable=SC2086
        tune decoder --force $with --set train.freeze=encoder,quant_conv,quantize && [ "$(moved decoder)" = 'decoder post_quant_conv ' ]
        verdict $? "$kind, average $average: the decoder alone moves: $(moved decoder)"
        [ "$(print_of base)" = "$(print_of decoder)" ] && [ "$(print_of base)" != "$(print_of whole)" ]
        verdict $? "the fingerprint stays when what makes codes is frozen, and only then"
        # shellcheck disable=SC2086
        tune book --force $with --set train.freeze=quantize && [ "$(moved book)" = 'decoder encoder post_quant_conv quant_conv ' ]
        verdict $? "$kind, average $average: the codebook stays: $(moved book)"
    done
done
tune prefix --set train.freeze=decoder.up_blocks.1 && "$python" tensors.py base >a.txt && "$python" tensors.py prefix >b.txt
diff a.txt b.txt | grep -q '^> decoder.up_blocks.0' && ! diff a.txt b.txt | grep -q '^> decoder.up_blocks.1'
verdict $? "a prefix within the decoder"
grep -q '"perplexity":[0-9]' whole/metrics.jsonl && head -n 1 whole/metrics.jsonl | grep -q '"loss_vq":[0-9]'
verdict $? "the quantizer is on from the first step"
tune nomove --set train.freeze=encoder,quant_conv,quantize --set data.size=32 && [ "$(print_of base)" = "$(print_of nomove)" ] && grep -q '"size":\[16,16\]' nomove/tokenizer.json
verdict $? "frozen codes keep their preprocessing, whatever size the decoder learns at"
tune larger --set data.size=32 && grep -q '"size":\[32,32\]' larger/tokenizer.json
verdict $? "else the size that was asked for is the tokenizer's"
tune again && grep -q '"size":\[16,16\]' again/tokenizer.json && grep -q '"block_out_channels": \[8, *8\]' again/training.json
verdict $? "network and size come from the RUN"

# --- a stop and a resume need the same start
tune part --stop-at 5
[ $? -eq 75 ]
verdict $? "stopped"
tune part --resume
same "stopped and resumed" again part
tune part2 --stop-at 5
cp -r part2 part3
vqvae train --data pics --config tiny.json --out part2 --threads 1 --resume --set train.warmup_no_quant=0 >out 2>err
rc=$?
[ "$rc" -eq 4 ] && grep -q -e "needs the same --init" err
verdict $? "--resume without --init: status $rc: $(cat err)"
tune part3 --resume --init whole
rc=$?
[ "$rc" -eq 4 ] && grep -q -e "needs the same --init" err
verdict $? "--resume with another --init: status $rc"
train plain --stop-at 3
exits 4 "without --init" train --data pics --config tiny.json --out plain --resume --init base

# --- contradictions and typing mistakes
for set in model.vq_embed_dim=8 'model.block_out_channels=[8,16]' model.num_vq_embeddings=32 model.mid_attention=false 'model.attention_levels=[1]'; do
    exits 4 "${set%%=*}" train --data pics --out new --init base --set "$set"
done
printf '{"model": {"latent_channels": 4}}' >other.json
exits 4 'model.latent_channels: 8 vs 4' train --data pics --out new --init base --config other.json
works "the same network said again is no contradiction" train --data pics --config tiny.json --out new --init base --steps 1 --set train.warmup_no_quant=0
rm -rf new
exits 2 "did you mean 'encoder'" train --data pics --out new --init base --set train.freeze=encodr
exits 2 "did you mean 'quant_conv'" train --data pics --out new --init base --set train.freeze=encoder,quantconv
exits 2 "did you mean 'decoder.mid_block'" train --data pics --out new --init base --set train.freeze=decoder.midblock
exits 2 "no parameter begins with 'nothing_like_it'" train --data pics --out new --init base --set train.freeze=nothing_like_it
exits 2 "empty prefix" train --data pics --out new --init base --set train.freeze=encoder,,quantize
exits 2 "empty prefix" train --data pics --out new --init base --set train.freeze=encoder,
exits 2 "nothing is left" train --data pics --out new --init base --set train.freeze=encoder,decoder,quant_conv,post_quant_conv,quantize
exits 2 "no tokenizer" train --data pics --out new --init pics
exits 2 "both --init and --out" train --data pics --out base --init base --force
[ -e base/done ]
verdict $? "and the RUN is untouched"
cp -r base other_kind
sed 's/"kind":"vq"/"kind":"fsq"/' base/tokenizer.json >other_kind/tokenizer.json
exits 4 "fsq" train --data pics --out new --init other_kind
[ ! -e new ]
verdict $? "a refused command leaves nothing behind"

# --- tokenizer.json is written with sorted keys, so its bytes are those of what it says; it is read in any order
cp -r base turned
"${PYTHON:-python3}" - base/tokenizer.json turned/tokenizer.json >out 2>err <<'X'
import json, sys
levels = []
said = json.load(open(sys.argv[1]), object_pairs_hook=lambda pairs: levels.append([k for k, _ in pairs]) or dict(pairs))
assert len(levels) == 3 and all(keys == sorted(keys) for keys in levels), levels
assert set(said) == {"fingerprint", "format", "preprocess", "quantizer"}, said
turn = lambda v: {k: turn(v[k]) for k in sorted(v, reverse=True)} if isinstance(v, dict) else v
json.dump(turn(said), open(sys.argv[2], "w"), indent=1)
X
verdict $? "the keys of tokenizer.json: $(cat err)"
for run in base turned; do vqvae info $run 2>err | sed "s/$run/RUN/g" >$run.info; done
[ -s turned.info ] && cmp base.info turned.info
verdict $? "keys in another order are the same tokenizer"
finish

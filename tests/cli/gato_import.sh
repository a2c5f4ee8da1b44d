#!/bin/sh
# gato_import.sh - `gato import`: a GPT-2 of transformers gives transformers' logits and greedy text, a policy under NEKO's names the hidden
# states that PyTorch computed for it (tests/reference); both train on, and what does not fit is refused by name before anything is written.
. "$(dirname "$0")/../vqvae_common.sh"
reference=$top/tests/reference
python=$(numpy_python)
if [ -z "$python" ]; then
    skip "import" "no python3 with numpy"
    finish
fi
export PYTHONPATH="$top/tests/interop"
runs() { # NAME PROGRAM ARGUMENTS...: status 0; what it says is in out and err
    name=$1
    shift
    "$@" >out 2>err
    verdict $? "$name"
}
# refused STATUS PATTERN FROM WEIGHTS CONFIG: no RUN is made
refused() {
    rm -rf no
    gato import --from "$3" --weights "$4" --config "$5" --out no >out 2>err
    rc=$?
    [ "$rc" -eq "$1" ] && grep -q -e "$2" err && [ ! -s out ] && [ ! -e no ]
    verdict $? "import of $4, $5: status $rc, wanted $1 and '$2'"
}
# checked NAME: the Python script on stdin
checked() {
    "$python" - "$reference" >out 2>err
    verdict $? "$1: $(tail -n 1 out)"
}
gpt2() {
    gato import --from gpt2 --weights "$1" --config "$2" --out "$3" --force >out 2>err
}
g=$reference/gpt2

# --- GPT-2
gpt2 "$g/model.safetensors" "$g/config.json" run
verdict $? "import of a GPT-2"
grep -qx '{"from":"gpt2","tensors":42,"parameters":[0-9]*,"ignored":0,"width":24,"layers":3,"heads":3,"context":40,"text":257,"tasks":1}' out && [ ! -s err ]
verdict $? "what it tells: $(cat out)"
[ "$(cd run && find . -type f | LC_ALL=C sort | tr '\n' ' ')" = "./config.json ./done ./model.safetensors " ]
verdict $? "the files of the RUN"
checked "text" <<'P'
import sys, st
ids = st.load(sys.argv[1] + "/gpt2/out.safetensors")[0]["ids"]
open("text.txt", "wb").write(bytes(ids[:-1].tolist()))
P
runs "text of bytes" tokenize text --in text.txt --out text.lmdb
runs "trace" gato trace --model run --data text.lmdb --id 0 --out trace --threads 1
cat >same.py <<'P'
import sys, numpy as np, st
ours, (theirs, meta) = st.load("trace")[0], st.load(sys.argv[1] + "/gpt2/out.safetensors")
ids, given = theirs["ids"], int(meta["prompt"])
n = len(ids)
assert (ours["tokens"][:n] == ids).all(), "other tokens"
logits = ours["logits"][:n, :257]
off = float(np.abs(logits - theirs["logits"]).max())
assert off < 1e-4, f"logits are off by {off}"
greedy = 32 + logits[given - 1 : n - 2, 32:127].argmax(1)
assert (greedy == ids[given : n - 1]).all() and len(set(greedy)) > 3, "another greedy text"
rest = ours["logits"][:n, 257:]
assert np.abs(rest - logits.mean(1, keepdims=True)).max() < 1e-4, "new ids have no mean logit"
print(off)
P
checked "logits and greedy text" <same.py
# The names without "transformer.", a head of its own, causal masks; F64.
checked "another file of the same" <<'P'
import sys, json, numpy as np, st
t, _ = st.load(sys.argv[1] + "/gpt2/model.safetensors")
plain = {k.removeprefix("transformer."): np.float64(v) for k, v in t.items()}
plain["lm_head.weight"] = plain["wte.weight"]
for i in range(3):
    plain[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 40, 40), np.uint8))
    plain[f"h.{i}.attn.masked_bias"] = np.float32([-1e4]).reshape(())
st.save("plain.safetensors", plain)
bad = dict(t)
del bad["transformer.h.1.ln_2.bias"]
bad["transformer.h.3.ln_1.bias"] = t["transformer.ln_f.bias"]
bad["transformer.h.0.mlp.c_fc.weight"] = t["transformer.h.0.mlp.c_fc.weight"].T.copy()
st.save("bad.safetensors", bad)
nan = dict(t)
nan["transformer.wte.weight"] = nan["transformer.wte.weight"].copy()
nan["transformer.wte.weight"][3, 4] = np.nan
st.save("nan.safetensors", nan)
c = json.load(open(sys.argv[1] + "/gpt2/config.json"))
for name, change in {"inner": {"n_inner": 100}, "type": {"model_type": "gpt_neo"}, "act": {"activation_function": "relu"}, "eps": {"layer_norm_epsilon": 1e-6},
                     "cross": {"add_cross_attention": True}, "scale": {"scale_attn_by_inverse_layer_idx": True}, "heads": {"n_head": 5}, "large": {"n_embd": 60000, "n_head": 1},
                     "none": {"n_embd": None}, "word": {"n_layer": "three"}, "huge": {"n_layer": 4000}}.items():
    json.dump({**c, **change}, open(name + ".json", "w"))
open("broken.json", "w").write("{")
P
gpt2 plain.safetensors "$g/config.json" plain
grep -q '"ignored":6' out && cmp -s run/model.safetensors plain/model.safetensors && cmp -s run/config.json plain/config.json
verdict $? "the same RUN: $(cat out err)"
runs "eval" gato eval --model run --data text.lmdb --split all --threads 1
grep -q '"loss_text":[1-9]' out
verdict $? "a loss: $(cat out)"
i=0
while [ $i -lt 20 ]; do
    echo "a red ball and a blue ball $i"
    i=$((i + 1))
done >lines.txt
runs "lines" tokenize text --in lines.txt --out lines.lmdb
runs "train --init" gato train --init run --data lines.lmdb --out on --steps 3 --set train.batch=4 --threads 1
grep -q '"loss_held_out"' on/metrics.jsonl
verdict $? "it trains on"

# --- a GPT-2 of BPE tokens: it goes on with a text as its logits say
words=$reference/bpe/gpt2.json
if gato --version | grep -q '^pcre2: yes'; then
    checked "a GPT-2 of 460 ids" <<'P'
import sys, json, numpy as np, st
t, _ = st.load(sys.argv[1] + "/gpt2/model.safetensors")
rng = np.random.default_rng(5)
t["transformer.wte.weight"] = rng.normal(0, 2, (460, 24)).astype(np.float32)
vocab = json.load(open(sys.argv[1] + "/bpe/gpt2.json"))["model"]["vocab"]
head = np.zeros((460, 24), np.float32)
for word, i in vocab.items():
    if word.removeprefix("\u0120").isascii() and word.removeprefix("\u0120").isalpha():
        head[i] = rng.normal(0, 1, 24)
t["lm_head.weight"] = head
st.save("words.safetensors", t)
json.dump({**json.load(open(sys.argv[1] + "/gpt2/config.json")), "vocab_size": 460}, open("words.json", "w"))
P
    runs "import with --bpe" gato import --from gpt2 --weights words.safetensors --config words.json --bpe "$words" --out words
    printf 'the red ball' >red.txt
    runs "its texts" tokenize text --in red.txt --bpe "$words" --out red.lmdb
    runs "their trace" gato trace --model words --data red.lmdb --id 0 --out red --threads 1
    runs "what it writes" gato answer --model words --task text --question 'the red ball' --most 1 --threads 1
    mv out answer.json
    checked "the likeliest token" <<'P'
import sys, json, st
trace = st.load("red")[0]
vocab = json.load(open(sys.argv[1] + "/bpe/gpt2.json"))["model"]["vocab"]
likely = trace["logits"][:, :460].argmax(1)
n = list(trace["tokens"]).index(vocab["<|endoftext|>"])
assert len(set(likely[:n])) > 2, "every token is followed by the same"
best = likely[n - 1]
word = next(w for w, i in vocab.items() if i == best).replace("\u0120", " ")
wrote = json.load(open("answer.json"))["text"]
assert wrote == word, f"'{wrote}', not '{word}'"
P
    gato import --from gpt2 --weights words.safetensors --config words.json --out dumb >out 2>err
    [ $? -eq 0 ] && grep -q 'warning: .*460 text ids, which are no bytes' err
    verdict $? "ids without a tokenizer are told"
    gato answer --model dumb --task text --question red >out 2>err
    [ $? -eq 4 ] && grep -q '460 text ids and came without their tokenizer' err && [ ! -s out ]
    verdict $? "and written by no other"
    gato import --from gpt2 --weights "$g/model.safetensors" --config "$g/config.json" --bpe "$words" --out other >out 2>err
    [ $? -eq 4 ] && grep -q "has 460 ids, the network of '.*' has 257 of text" err && [ ! -e other ]
    verdict $? "a tokenizer of another size"
    mkdir own && cp "$words" own/tokenizer.json
    gato import --from gpt2 --weights words.safetensors --config words.json --bpe own --out own --force >out 2>err
    [ $? -eq 2 ] && cmp -s "$words" own/tokenizer.json && grep -q "where it would be replaced" err
    verdict $? "a tokenizer in the folder to be replaced stays: $(cat err)"
else
    skip "a GPT-2 of BPE tokens" "built without PCRE2"
fi

# --- refused, whole
refused 4 "in 3 places: .*another shape of 'transformer.h.0.mlp.c_fc.weight' (96,24, not 24,96)" gpt2 bad.safetensors "$g/config.json"
refused 4 "'transformer.h.3.ln_1.bias'" gpt2 bad.safetensors "$g/config.json"
refused 4 "missing tensor 'transformer.h.1.ln_2.bias'" gpt2 bad.safetensors "$g/config.json"
refused 3 "transformer.wte.weight" gpt2 nan.safetensors "$g/config.json"
refused 4 "'n_inner' is 100; 4 n_embd = 96" gpt2 "$g/model.safetensors" inner.json
refused 4 "'model_type' is 'gpt_neo'" gpt2 "$g/model.safetensors" type.json
refused 4 "'activation_function' is 'relu'" gpt2 "$g/model.safetensors" act.json
refused 4 "'layer_norm_epsilon'" gpt2 "$g/model.safetensors" eps.json
refused 4 "'add_cross_attention' must be false" gpt2 "$g/model.safetensors" cross.json
refused 4 "'scale_attn_by_inverse_layer_idx' must be false" gpt2 "$g/model.safetensors" scale.json
refused 4 "model.heads = 5" gpt2 "$g/model.safetensors" heads.json
refused 4 "network of more than" gpt2 "$g/model.safetensors" large.json
refused 4 "'n_embd' is missing" gpt2 "$g/model.safetensors" none.json
refused 4 "'n_layer' is no positive integer" gpt2 "$g/model.safetensors" word.json
refused 4 "model.layers" gpt2 "$g/model.safetensors" huge.json
refused 3 "broken.json" gpt2 "$g/model.safetensors" broken.json
refused 2 "no such file" gpt2 absent.safetensors "$g/config.json"
refused 2 "no such file" gpt2 "$g/model.safetensors" absent.json
refused 2 "'gpt2' or 'neko'" llama "$g/model.safetensors" "$g/config.json"
printf 'PK\003\004' >model.bin
refused 3 "is a PyTorch checkpoint" gpt2 model.bin "$g/config.json"
head -c 30000 "$g/model.safetensors" >cut.safetensors
refused 3 "cut.safetensors" gpt2 cut.safetensors "$g/config.json"
gato import --from gpt2 --weights "$g/model.safetensors" --config "$g/config.json" --out run >out 2>err
[ $? -eq 2 ] && grep -q "not empty" err
verdict $? "a RUN that is there stays"

# --- NEKO
checked "a policy under NEKO's names" <<'P'
import sys, json, numpy as np, st
t, _ = st.load(sys.argv[1] + "/gato/weights.safetensors")
t = {k.removeprefix("w."): v for k, v in t.items() if "image_codes" not in k}
t["transformer.wte.weight"] = np.zeros((1, 12), np.float32)
for i in range(2):
    t[f"transformer.h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 64, 64), np.uint8))
    t[f"transformer.h.{i}.attn.masked_bias"] = np.float32([-1e4]).reshape(())
st.save("neko.safetensors", t)
args = {"embed_dim": 12, "layers": 2, "heads": 2, "activation_fn": "gelu", "continuous_tokens": 32, "discrete_tokens": 1024, "mu": 100, "M": 256, "patch_size": 16,
        "pretrained_lm": None, "disable_inner_pos_encoding": False, "num_groups": 8}
json.dump(args, open("args.json", "w"))
json.dump({**args, "activation_fn": "relu"}, open("relu.json", "w"))
json.dump({**args, "discrete_tokens": 512}, open("discrete.json", "w"))
ids = st.load(sys.argv[1] + "/gato/text.safetensors")[0]["in.text"]
assert ids[-1] == 256
open("short.txt", "wb").write(bytes(ids[:-1].tolist()))
lora = dict(t)
lora["transformer.base_model.model.h.0.attn.c_attn.lora_A.default.weight"] = np.zeros((8, 12), np.float32)
st.save("lora.safetensors", lora)
more = dict(t)
more["goal_embedding"] = np.zeros(12, np.float32)
del more["image_embedding.patch_embedding.gn2.bias"]
st.save("more.safetensors", more)
few = dict(t)
del few["embed_token.weight"]
st.save("few.safetensors", few)
P
runs "import" gato import --from neko --weights neko.safetensors --config args.json --out neko
grep -q '"from":"neko","tensors":40,.*"ignored":5,"width":12,"layers":2,"heads":2,"context":64,"text":257,"tasks":2' out
verdict $? "what it tells: $(cat out)"
runs "short text" tokenize text --in short.txt --out short.lmdb
runs "trace" gato trace --model neko --data short.lmdb --id 0 --out trace --threads 1
checked "hidden states and loss" <<'P'
import sys, numpy as np, st
ours, theirs = st.load("trace")[0], st.load(sys.argv[1] + "/gato/text.safetensors")[0]
assert (ours["tokens"] == theirs["tokens"]).all()
for name in ("embeddings", "hidden", "loss"):
    off = float(np.abs(ours[name] - theirs[name]).max())
    assert off < 2e-5, (name, off)
print(off)
P
refused 4 "missing tensor 'transformer.h.0.attn.c_attn.lora_B.default.weight'" neko lora.safetensors args.json
refused 4 "'goal_embedding'" neko more.safetensors args.json
refused 4 "missing tensor 'image_embedding.patch_embedding.gn2.bias'" neko more.safetensors args.json
refused 4 "missing tensor 'embed_token.weight'" neko few.safetensors args.json
refused 4 "'activation_fn' is 'relu'" neko neko.safetensors relu.json
refused 4 "'discrete_tokens' is 512" neko neko.safetensors discrete.json
# Bodies come with shards: pixels enter through the patch block.
runs "pixels" tokenize episodes --in "$top/data/reacher" --keep-pixels --out pixels.lmdb --limit 3
runs "import for a body" gato import --from neko --weights neko.safetensors --config args.json --out body --data pixels.lmdb
grep -q '"tensors":40,.*"tasks":3' out
verdict $? "the body is a task: $(cat out)"
runs "its loss" gato eval --model body --data pixels.lmdb --split all --threads 1

# --- published sizes: parameters of the blocks and ln_f, and of everything else, by the formula
for preset in "gato-79m 768" "gato-364m 1536" "gato-1180m 2048" "neko 768"; do
    set -- $preset
    gato train --data pixels.lmdb --config "$top/pipelines/configs/$1.json" --set model.layers=1 --set train.batch=1 --set model.context=64 --set train.window=1 \
        --set model.bins=8 --out none --dry-run --threads 1 >out 2>err
    verdict $? "$1 is a configuration"
    "$python" -c "
import json, sys
d = int(sys.argv[1])
ids, side = 257 + 8 + 1024, 16
patch = 128 * 27 + 128 + 256 + 3 * 128 * 9 + 3 + d * 3 * side * side + d + 2 * 128 * d
want = 12 * d * d + 13 * d + 2 * d + d + 2 * ids * d + 64 * d + patch
have = json.load(open('out'))['parameters']
print(have, want)
sys.exit(have != want)" "$2" >told 2>err
    verdict $? "the parameters of $1: $(cat told)"
done
finish

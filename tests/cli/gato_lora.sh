#!/bin/sh
# gato_lora.sh - adapters: peft's hidden states, loss, gradients and merged layers for a policy of NEKO's that has some; what trains and what
# stays, bit for bit; the same bytes for any number of threads and after a stop; merging; settings that cannot be meant.
. "$(dirname "$0")/../vqvae_common.sh"
. "$top/tests/gato_common.sh"
reference=$top/tests/reference
cat >policy.json <<'Y'
{"model": {"width": 16, "layers": 2, "heads": 2, "context": 64}, "optim": {"warmup": 2},
 "train": {"steps": 6, "batch": 4, "save_every": 2, "eval_every": 3, "log_every": 3, "tensorboard": false}}
Y
i=0
while [ $i -lt 20 ]; do
    i=$((i + 1))
    printf 'line %d of a text that is long enough\n' $i
done >plain.txt
tokenize text --in plain.txt --out text.lmdb >out 2>err
verdict $? "a shard of texts"
does "a policy" train --data text.lmdb --out base --config policy.json --threads 1
lora="--init base --data text.lmdb --config policy.json --set lora.rank=4"
# shellcheck disable=SC2086
{
    does "adapters" train $lora --out run --threads 1
    grep -q "lora: the transformer's [0-9]* numbers are frozen, 512 of adapters train" err
    verdict $? "it says what trains"
    does "three threads" train $lora --out threads --threads 3
    gato train $lora --out stopped --stop-at 3 --threads 1 >out 2>err
    [ $? -eq 75 ]
    verdict $? "a stop"
    does "and on" train --data text.lmdb --out stopped --resume --threads 1
}
for other in threads stopped; do
    cmp -s run/model.safetensors $other/model.safetensors && cmp -s run/training.safetensors $other/training.safetensors && cmp -s run/config.json $other/config.json
    verdict $? "the same bytes: $other"
done
does "another dropout" train --init base --data text.lmdb --config policy.json --set lora.rank=4 --set lora.dropout=0 --out dry --threads 1
! cmp -s run/model.safetensors dry/model.safetensors
verdict $? "dropout acts"
does "info" info run
grep -q 'adapters *rank 4, alpha 32, on c_attn' err
verdict $? "info names the adapters"
does "merge" merge --model run --out whole
grep -q '^{"merged":2,"tensors":' out
verdict $? "what merge tells: $(cat out)"
does "eval" eval --model run --data text.lmdb --threads 1
one=$(json_last out loss)
does "eval of the merged" eval --model whole --data text.lmdb --threads 1
awk -v a="$one" -v b="$(json_last out loss)" 'BEGIN { d = a - b; exit !(a > 0 && d < 1e-5 && d > -1e-5) }'
verdict $? "merged is unmerged: $one, $(json_last out loss)"
does "more steps for the merged" train --init whole --data text.lmdb --config policy.json --out on --steps 1 --threads 1
does "more steps for adapters" train --init run --data text.lmdb --config policy.json --out further --steps 1 --threads 1
refuses 4 'lora.rank' train --init run --data text.lmdb --config policy.json --set lora.rank=2 --out no
refuses 2 'needs --init' train --data text.lmdb --config policy.json --set lora.rank=2 --out no
refuses 2 "lora.targets = 'c_attn,attn'" train --init base --data text.lmdb --config policy.json --set lora.rank=2 --set lora.targets=c_attn,attn --out no
refuses 2 'lora.rank = 17 is above' train --init base --data text.lmdb --config policy.json --set lora.rank=17 --out no
refuses 2 'an adapter' train --init base --data text.lmdb --config policy.json --set lora.rank=2 --set train.freeze=transformer --out no
refuses 2 'has no adapters' merge --model base --out no
refuses 2 'is both' merge --model run --out run
[ ! -e no ]
verdict $? "nothing is left of what was refused"

python=$(numpy_python)
if [ -z "$python" ]; then
    skip "peft's numbers" "no python3 with numpy"
    finish
fi
export PYTHONPATH="$top/tests/interop"
# checked NAME: the Python script on stdin
checked() {
    "$python" - "$reference" >out 2>err
    verdict $? "$1: $(tail -n 1 out)"
}
checked "what is frozen stays, what trains moves" <<'P'
import st
base, run = st.load("base/model.safetensors")[0], st.load("run/model.safetensors")[0]
for name, v in base.items():
    same = (v == run[name]).all()
    assert same if name.startswith("transformer.") else not same or not v.any(), name
new = sorted(set(run) - set(base))
assert new == [f"transformer.h.{i}.attn.c_attn.lora_{x}.default.weight" for i in (0, 1) for x in "AB"], new
assert all(run[name].any() for name in new)
assert run[new[0]].shape == (4, 16) and run[new[1]].shape == (48, 4)
P
checked "a policy of NEKO's with adapters, in peft's two ways" <<'P'
import sys, json, numpy as np, st
t, _ = st.load(sys.argv[1] + "/gato/weights.safetensors")
peft, meta = st.load(sys.argv[1] + "/gato/lora.safetensors")
peft = {k: v for k, v in peft.items() if k.startswith("transformer.")}
t = {k.removeprefix("w."): v for k, v in t.items() if "image_codes" not in k}
t["transformer.wte.weight"] = np.zeros((1, 12), np.float32)
def wrapped(name, layer):
    name = name.replace("transformer.", "transformer.base_model.model.")
    target = any(f".{x}." in name for x in ("c_attn", "c_proj", "c_fc"))
    return name.replace(".weight", layer + ".weight").replace(".bias", layer + ".bias") if target else name
st.save("old.safetensors", {wrapped(k, ""): v for k, v in t.items()} | peft)
st.save("new.safetensors", {wrapped(k, ".base_layer"): v for k, v in t.items()} | {k.replace(".default", ""): v for k, v in peft.items()})
part = dict(peft)
del part["transformer.base_model.model.h.1.mlp.c_fc.lora_B.default.weight"]
st.save("part.safetensors", {wrapped(k, ""): v for k, v in t.items()} | part)
json.dump({"embed_dim": 12, "layers": 2, "heads": 2, "activation_fn": "gelu", "continuous_tokens": 32, "discrete_tokens": 1024, "patch_size": 16, "pretrained_lm": None,
           "lora": 1, "lora_r": 2, "lora_alpha": float(meta["alpha"]), "lora_dropout": 0.1}, open("args.json", "w"))
ids = st.load(sys.argv[1] + "/gato/text.safetensors")[0]["in.text"]
open("short.txt", "wb").write(bytes(ids[:-1].tolist()))
P
does "import" import --from neko --weights old.safetensors --config args.json --out neko
does "import of the newer names" import --from neko --weights new.safetensors --config args.json --out neko2
cmp -s neko/model.safetensors neko2/model.safetensors
verdict $? "two ways to name a tensor"
refuses 4 "missing tensor 'transformer.h.1.mlp.c_fc.lora_B.default.weight'" import --from neko --weights part.safetensors --config args.json --out no
tokenize text --in short.txt --out short.lmdb >out 2>err
verdict $? "a short text"
does "trace" trace --model neko --data short.lmdb --id 0 --out trace --train --threads 1
does "merge" merge --model neko --out sum
does "trace of the merged" trace --model sum --data short.lmdb --id 0 --out trace2 --threads 1
checked "peft's numbers" <<'P'
import sys, numpy as np, st
theirs = st.load(sys.argv[1] + "/gato/lora.safetensors")[0]
def near(got, want, name):
    off = float(np.abs(got - want).max())
    assert got.shape == want.shape and off < 3e-5, (name, off)
    return off
ours, whole, layers = st.load("trace")[0], st.load("trace2")[0], st.load("sum/model.safetensors")[0]
most = max(near(t[name], theirs[name], name) for name in ("hidden", "loss") for t in (ours, whole))
grads = [k for k in theirs if k.startswith("grad/")]
assert len(grads) == 16
most = max([most] + [near(ours[k.replace("base_model.model.", "")], theirs[k], k) for k in grads])
assert not any(k.startswith("grad/transformer.") and "lora_" not in k for k in ours), "a gradient of what is frozen"
merged = [k for k in theirs if k.startswith("merged/")]
assert len(merged) == 4
print(max([most] + [near(layers[k.removeprefix("merged/")], theirs[k], k) for k in merged]))
P
# --- peft's folders: written, named as peft names them, and read back to the bytes they came from
does "adapters for peft" adapter --model run --out peft
grep -q '^{"adapters":2,"rank":4,"alpha":32,"targets":"c_attn"}$' out
verdict $? "what adapter tells: $(cat out)"
does "as NEKO wraps them" adapter --model run --out bare --bare
"${PYTHON:-python3}" - peft bare run >out 2>err <<'Y'
import json, struct, sys
def load(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    meta = head.pop("__metadata__", {})
    return {k: (v["shape"], raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in head.items()}, meta
run, _ = load(sys.argv[3] + "/model.safetensors")
for folder, root in ((sys.argv[1], "base_model.model.transformer."), (sys.argv[2], "base_model.model.")):
    config = json.load(open(folder + "/adapter_config.json"))
    assert config["peft_type"] == "LORA" and config["r"] == 4 and config["lora_alpha"] == 32 and config["bias"] == "none", config
    assert config["target_modules"] == ["c_attn"] and config["fan_in_fan_out"] is True and config["lora_dropout"] == 0.1, config
    tensors, meta = load(folder + "/adapter_model.safetensors")
    assert meta["format"] == "pt"
    assert sorted(tensors) == sorted(f"{root}h.{i}.attn.c_attn.lora_{ab}.weight" for i in (0, 1) for ab in "AB"), list(tensors)
    for name, value in tensors.items():
        assert value == run[name.replace(root, "transformer.").replace(".weight", ".default.weight")], name
Y
verdict $? "names and numbers of both: $(cat err)"
# `run` trained its tables and head too, so its own network without adapters stands in for the one that they were made for.
for from in peft bare; do
    does "taken back" adapter --model base --from $from --out back.$from
    does "and written again" adapter --model back.$from --out again.$from
    cmp -s peft/adapter_model.safetensors again.$from/adapter_model.safetensors && cmp -s peft/adapter_config.json again.$from/adapter_config.json
    verdict $? "$from: the same bytes"
done
does "goes on" train --init back.peft --data text.lmdb --config policy.json --out trained --steps 1 --threads 1
broken() { # STATUS PATTERN EXPRESSION: of sed over adapter_config.json
    rm -rf other
    cp -r peft other
    sed "$3" peft/adapter_config.json >other/adapter_config.json
    refuses "$1" "$2" adapter --model base --from other --out no
}
broken 4 "peft_type is 'LOHA'" 's/LORA/LOHA/'
broken 4 "bias = 'all'" 's/"none"/"all"/'
broken 4 "use_dora.* is set" 's/"r":/"use_dora":true,"r":/'
broken 4 "rank_pattern.* is set" 's/"r":/"rank_pattern":{"c_attn":2},"r":/'
broken 4 "init_lora_weights = 'pissa'" 's/"r":/"init_lora_weights":"pissa","r":/'
broken 4 "another shape" 's/"r":4/"r":3/'
broken 4 "r = 0, " 's/"r":4/"r":0/'
broken 4 "'r' is no number" 's/"r":4/"r":"4"/'
broken 3 "adapter_config.json" 's/,.*//'
broken 4 "no JSON object" 's/.*/[]/'
cp -r peft other2
head -c 300 peft/adapter_model.safetensors >other2/adapter_model.safetensors
refuses 3 "adapter_model.safetensors" adapter --model base --from other2 --out no
rm other2/adapter_model.safetensors
refuses 2 "no file 'other2/adapter_model.safetensors'" adapter --model base --from other2 --out no
refuses 2 "no file" adapter --model base --from nowhere --out no
refuses 2 "has adapters already" adapter --model run --from peft --out no
refuses 2 "has no adapters" adapter --model base --out no
refuses 2 "bare does nothing" adapter --model base --from peft --bare --out no
does "a shallower policy" train --data text.lmdb --out shallow --config policy.json --set model.layers=1 --threads 1
refuses 4 "stands beside no layer" adapter --model shallow --from peft --out no
does "a deeper policy" train --data text.lmdb --out deep --config policy.json --set model.layers=3 --threads 1
refuses 4 "there is no 'transformer.h.2.attn.c_attn.lora_" adapter --model deep --from peft --out no
[ ! -e no ]
verdict $? "what is refused leaves nothing behind"
finish

#!/bin/sh
# import_script.sh - pipelines/import_taming.py: made-up checkpoints as Lightning and diffusers save them become files that `vqvae import`
# takes, and nothing in them is run. Needs a python3 with torch ($TORCH_PYTHON, $PYTHON, python3) for pickles, PyYAML for YAML.
. "$(dirname "$0")/../vqvae_common.sh"
reference=$top/tests/reference
script=$top/pipelines/import_taming.py
plain=$(numpy_python)
with() { # MODULES: the interpreter that has them, or nothing
    for p in ${TORCH_PYTHON:-} ${PYTHON:-} python3 /usr/bin/python3; do
        if "$p" -c "import $1" 2>/dev/null; then
            echo "$p"
            return
        fi
    done
}
converted() { # PYTHON CHECKPOINT CONFIG OUT
    "$@" >out 2>err
}
if [ -z "$plain" ]; then
    skip "import_taming.py" "no python3 with numpy"
    finish
fi
"$plain" "$reference/taming_net.py" t --type F32 >out 2>err && "$plain" "$reference/taming_net.py" d --type F32 --spoil diffusers=1 >out 2>err
verdict $? "a network"
vqvae import --from taming --weights t/weights.safetensors --config t/config.json --out want --threads 1 >out 2>err
verdict $? "and its RUN"
check() { # NAME FROM FOLDER: imports to the same weights
    rm -rf got
    vqvae import --from "$2" --weights "$3/weights.safetensors" --config "$3/config.json" --out got --threads 1 >out 2>err &&
        for f in config.json tokenizer.json diffusion_pytorch_model.safetensors; do cmp "want/$f" "got/$f" >>out 2>>err || exit_code=1; done && [ -z "$exit_code" ]
    verdict $? "$1"
    exit_code=
}

# --- parts in safetensors: no library at all
cat >split.py <<'PY'
import json, struct
data = open("d/weights.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header, where = json.loads(data[8:8 + n]), {}
for k in (1, 2):
    out, body, name = {}, b"", f"model-0000{k}-of-00002.safetensors"
    for i, (tensor, t) in enumerate(sorted(header.items())):
        if i % 2 == k - 1:
            a, b = t["data_offsets"]
            out[tensor] = {**t, "data_offsets": [len(body), len(body) + b - a]}
            body += data[8 + n + a:8 + n + b]
            where[tensor] = name
    text = json.dumps(out).encode()
    open("parts/" + name, "wb").write(struct.pack("<Q", len(text)) + text + body)
json.dump({"metadata": {}, "weight_map": where}, open("parts/model.safetensors.index.json", "w"))
PY
mkdir parts && "$plain" split.py >out 2>err && converted "$plain" "$script" parts/model.safetensors.index.json d/config.json joined
verdict $? "two parts of safetensors"
grep -q -- '--from diffusers' err
verdict $? "says how to go on: $(cat err)"
check "and they are one network" diffusers joined
converted "$plain" "$script" none.ckpt t/config.json new
[ $? -eq 3 ] && grep -q "'none.ckpt'" err && [ ! -e new/weights.safetensors ]
verdict $? "no such file: $(cat err)"
converted "$plain" "$script" t
[ $? -eq 2 ]
verdict $? "two arguments are too few"

# --- pickles
torch=$(with torch,numpy)
if [ -z "$torch" ]; then
    skip "PyTorch checkpoints" "no python3 with torch"
    finish
fi
cat >make.py <<'PY'
import json, sys, types
sys.path.insert(0, sys.argv[1])
import torch, st
weights = {k: torch.from_numpy(v.copy()) for k, v in st.load("t/weights.safetensors")[0].items()}
theirs = types.ModuleType("pytorch_lightning_made_up")
sys.modules["pytorch_lightning_made_up"] = theirs
class Callback:
    def __init__(self):
        self.best = 0.5
class Trap:
    def __reduce__(self):
        return (exec, ("open('trapped', 'w').write('run')",))
Callback.__module__, Callback.__qualname__ = "pytorch_lightning_made_up", "Callback"
theirs.Callback = Callback
adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": []}
lightning = {"epoch": 3, "global_step": 99, "callbacks": {Callback: {"best": torch.ones(1)}, "x": Callback()}, "optimizer_states": [adam],
             "state_dict": weights}
torch.save({"state_dict": weights}, "plain.ckpt")
torch.save(lightning, "last.ckpt")
torch.save(lightning, "old.ckpt", _use_new_zipfile_serialization=False)
torch.save({**lightning, "trap": Trap()}, "trap.ckpt")
torch.save({k: torch.from_numpy(v.copy()) for k, v in st.load("d/weights.safetensors")[0].items()}, "diffusion_pytorch_model.bin")
torch.save([1, 2], "nothing.ckpt")
PY
"$torch" make.py "$top/tests/interop" >out 2>err
verdict $? "checkpoints"
cat >model.yaml <<'YAML'
model:
  base_learning_rate: 4.5e-06
  target: taming.models.vqgan.VQModel
  params:
    embed_dim: 8
    n_embed: 48
    ddconfig:
      double_z: False
      z_channels: 16
      resolution: 64
      in_channels: 3
      out_ch: 3
      ch: 32
      ch_mult: [ 1,1,2 ]  # num_down = len(ch_mult)-1
      num_res_blocks: 1
      attn_resolutions: [16]
      dropout: 0.0
    lossconfig:
      target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator
      params:
        disc_conditional: False
data:
  target: main.DataModuleFromConfig
YAML
config=t/config.json
if [ -n "$(with torch,yaml,numpy)" ]; then torch=$(with torch,yaml,numpy) config=model.yaml; else skip "YAML" "no python3 with torch and yaml"; fi
for f in plain last old trap; do
    rm -rf made
    converted "$torch" "$script" "$f.ckpt" "$config" made
    verdict $? "$f.ckpt and $config"
    check "$f.ckpt is the same network" taming made
done
[ ! -e trapped ]
verdict $? "nothing in a checkpoint is run"
grep -q loss made/weights.safetensors
[ $? -eq 1 ]
verdict $? "losses are left out"
converted "$torch" "$script" diffusion_pytorch_model.bin d/config.json made
verdict $? "diffusers' .bin"
check "is the same network" diffusers made
head -c 20000 last.ckpt >cut.ckpt
for f in cut.ckpt nothing.ckpt model.yaml; do
    converted "$torch" "$script" "$f" "$config" new
    [ $? -eq 3 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "'$f'" err && [ ! -e new/weights.safetensors ]
    verdict $? "'$f' is refused: $(cat err)"
done


# --- SEED, whose parts are pickles of their own
"$plain" "$reference/seed_net.py" seed >out 2>err
cat >pickle_seed.py <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import st, torch
for part in ("vit", "quantizer"):
    tensors = {k: torch.tensor(v) for k, v in st.load(f"seed/{part}.safetensors")[0].items()}
    torch.save(tensors if part == "vit" else {"model": tensors}, f"{part}.pth")
PY
"$torch" pickle_seed.py "$top/tests/interop" >out 2>err
verdict $? "pickles of SEED"
for part in vit quantizer; do
    converted "$torch" "$script" "$part.pth" "$part"
    verdict $? "$part.pth"
done
for way in seed/vit.safetensors:seed/quantizer.safetensors vit/weights.safetensors:quantizer/weights.safetensors; do
    vqvae import --from seed "${way%:*}" "${way#*:}" --config seed/config.json --out "seed.$(dirname "${way%:*}")" --threads 1 >out 2>err
done
cmp seed.seed/seed.safetensors seed.vit/seed.safetensors >out 2>err
verdict $? "the same SEED from pickles"
converted "$torch" "$script" plain.ckpt new
[ $? -eq 3 ] && grep -q "needs its CONFIG" err
verdict $? "a VQGAN without its configuration: $(cat err)"

finish

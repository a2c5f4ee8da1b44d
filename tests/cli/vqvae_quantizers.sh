#!/bin/sh
# vqvae_quantizers.sh - `vqvae train` with every quantizer: the same bytes after a stop and for any number of threads; what the RUN
# publishes against what was trained; simvq over another RUN; a RUN without a codebook through tokenize and gato.
. "$(dirname "$0")/../vqvae_common.sh"
python=$(numpy_python)
reference=$top/tests/reference
images 24 pics

# kind RUN KIND ARGUMENTS...
kind() {
    run=$1 k=$2
    shift 2
    case $k in fsq) set -- --set 'quantizer.levels=[5,3,3]' "$@" ;; *) set -- --set model.vq_embed_dim=4 --set model.num_vq_embeddings=16 "$@" ;; esac
    vqvae train --data pics --config small.json --threads 1 --out "$run" --set quantizer.kind="$k" "$@" >out 2>err
}
sed 's/"vq_embed_dim": 4, "num_vq_embeddings": 16, //' tiny.json >small.json

kinds=$(vqvae train --help-config | sed -n 's/^quantizer.kind .*\[\(.*\)\]$/\1/p' | tr '|' ' ')
[ "$(echo "$kinds" | wc -w)" -ge 6 ]
verdict $? "--help-config lists the kinds: $kinds"
for k in $kinds; do
    kind "$k" "$k"
    verdict $? "$k: a run of twelve steps"
    kind stopped "$k" --force --stop-at 5
    [ $? -eq 75 ] && kind stopped "$k" --resume --stop-at 10
    [ $? -eq 75 ] && kind stopped "$k" --resume
    same "$k: stopped twice and resumed" "$k" stopped
    kind threads "$k" --force --threads 3
    same "$k: three threads" "$k" threads
    works "$k: eval" eval --model "$k" --data pics --split all
    grep -q '"codes_used":[1-9]' out && tail -n 1 "$k/metrics.jsonl" | grep -q '"codes_used":[1-9]'
    verdict $? "$k: codes in use"
    works "$k: trace" trace --model "$k" --image "$(find pics -name '*.png' | head -n 1)" --out "$k.trace" --threads 1
done
for k in simvq l2 fsq; do
    kind "$k-average" "$k" --set train.weight_average=0.9
    verdict $? "$k: with averaged weights"
    kind stopped "$k" --force --set train.weight_average=0.9 --stop-at 7
    kind stopped "$k" --set train.weight_average=0.9 --resume
    same "$k: averaged, stopped and resumed" "$k-average" stopped
    ! cmp -s "$k/diffusion_pytorch_model.safetensors" "$k-average/diffusion_pytorch_model.safetensors"
    verdict $? "$k: the average is saved"
done
kind early simvq --stop-at 4
kind restarted simvq --set quantizer.restart=false --set quantizer.kmeans=false --set quantizer.decay=0.5
cmp -s simvq/diffusion_pytorch_model.safetensors restarted/diffusion_pytorch_model.safetensors
verdict $? "simvq: k-means, restart and decay do not apply"

# --- what is published
if [ -n "$python" ]; then
    cat >check.py <<'P'
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1] + "/tests/interop")
import st

E, W, B = "quantize.embedding.weight", "quantize.embedding_proj.weight", "quantize.embedding_proj.bias"
load = lambda p: {k: np.asarray(v, np.float64) for k, v in st.load(p)[0].items()}
weights = lambda run: load(run + "/diffusion_pytorch_model.safetensors")
training = lambda run: load(run + "/training.safetensors")
near = lambda a, b, tol=1e-6: a.shape == b.shape and float(np.abs(a - b).max()) <= tol
names = set(weights("ema"))
for k in ("ste", "rotation", "simvq", "l2", "simvq-average", "l2-average"):
    assert set(weights(k)) == names, k
    assert json.load(open(k + "/tokenizer.json"))["quantizer"] == {"kind": "vq"}, k
    assert json.load(open(k + "/config.json")) == json.load(open("ema/config.json")), k
assert near(weights("ste")[E], training("ste")["value/" + E], 0)
for run, block in (("simvq", "value/"), ("simvq-average", "average/")):
    t = training(run)
    assert near(weights(run)[E], t["value/" + E] @ t[block + W].T + t[block + B]), run
    assert not near(t["value/" + W], np.eye(4), 0.01), "W is random"
assert near(training("simvq")["value/" + E], training("early")["value/" + E], 0), "C is frozen"
assert not near(training("simvq")["value/" + W], training("early")["value/" + W], 1e-5), "W learns"
for run in ("l2", "l2-average"):
    raw = training(run)["value/" + E]
    assert near(weights(run)[E], raw / np.linalg.norm(raw, axis=1, keepdims=True)), run
assert set(weights("fsq")) == names - {E} and not any("quantize." in k for k in training("fsq"))
config = json.load(open("fsq/config.json"))
assert config["_class_name"] == "VQModelFSQ" and config["fsq_levels"] == [5, 3, 3], config
assert config["num_vq_embeddings"] == 45 and config["vq_embed_dim"] == 3, config
assert json.load(open("fsq/tokenizer.json"))["quantizer"] == {"kind": "fsq", "levels": [5, 3, 3]}
for k in ("ema", "ste", "simvq", "rotation", "l2", "fsq"): # codes and vectors of a trace, from its prequant
    t, e = load(k + ".trace"), weights(k).get(E)
    z = t["prequant"][0].reshape(t["prequant"].shape[1], -1).T
    q = t["quantized"][0].reshape(z.shape[1], -1).T
    ids = t["indices"].reshape(-1).astype(int)
    if k == "fsq":
        l = np.array([5, 3, 3])
        n = np.round(np.tanh(z) * (l - 1) * 1.001 / 2)
        assert near(q, n / (l // 2)) and (ids == (n + l // 2) @ [1, 5, 15]).all()
    else:
        if k == "l2":
            z = z / np.linalg.norm(z, axis=1, keepdims=True)
        d = ((z[:, None] - e[None]) ** 2).sum(-1)
        assert (d[np.arange(len(ids)), ids] <= d.min(1) * (1 + 1e-4)).all() and near(q, e[ids]), k
P
    "$python" check.py "$top" >out 2>err
    verdict $? "published codebooks, codes and vectors"

    # --- simvq over another RUN starts as that RUN
    one=$reference/image0_32x32.png
    step() { # OUT SET...
        t=$1
        shift
        vqvae trace --train --model "$reference/vq" --image "$one" --out "$t" --threads 1 --set train.weight_average=0 "$@" >out 2>err
        verdict $? "trace --train $*"
    }
    step t-ste --set quantizer.kind=ste
    step t-simvq --set quantizer.kind=simvq
    step t-rotation --set quantizer.kind=rotation
    step t-l2 --set quantizer.kind=l2
    cat >trace.py <<'P'
exec(open("check.py").read().split("names =")[0])
ste, sim, turned, l2 = (load("t-" + k) for k in ("ste", "simvq", "rotation", "l2"))
e = load(sys.argv[1] + "/tests/reference/vq/diffusion_pytorch_model.safetensors")[E]
for k in ("loss", "loss_rec", "loss_vq", "decoder_out", "grad/encoder.conv_in.weight", "grad/decoder.conv_in.weight", "param/1/encoder.conv_in.weight"):
    assert near(ste[k], sim[k], 0), k
g = ste["grad/" + E] # dL/de, which reaches W as its product with C and b as its sum
assert near(sim["grad/" + W], g.T @ e, 1e-6 * abs(g.T @ e).max()) and near(sim["grad/" + B], g.sum(0), 1e-6 * abs(g.sum(0)).max())
assert "grad/" + E not in sim and near(sim["param/1/" + E], e, 0) and "grad/" + W not in ste
assert near(np.abs(sim["param/1/" + W] - np.eye(4)), np.full((4, 4), 1e-3), 1e-5), "Adam's first step from the identity is lr"
for k in ("loss", "loss_vq", "grad/" + E, "grad/decoder.conv_in.weight"):
    assert near(ste[k], turned[k], 0), k
assert not near(ste["grad/encoder.conv_in.weight"], turned["grad/encoder.conv_in.weight"], 1e-6), "the gradient is turned"
z = l2["prequant"][0].reshape(4, -1).T
z, u = z / np.linalg.norm(z, axis=1, keepdims=True), e / np.linalg.norm(e, axis=1, keepdims=True)
assert near(l2["loss_vq"], np.array([1.25 * ((z[:, None] - u[None]) ** 2).sum(-1).min(1).mean() / 4]), 1e-5)
P
    "$python" trace.py "$top" >out 2>err
    verdict $? "first steps of simvq, rotation and l2 beside those of ste"
else
    skip "published codebooks" "no python3 with numpy"
fi
works "simvq from another RUN" train --data pics --config small.json --threads 1 --out sim --init ema --set quantizer.kind=simvq --set optim.lr=0 \
    --set train.warmup_no_quant=0
cmp -s ema/diffusion_pytorch_model.safetensors sim/diffusion_pytorch_model.safetensors
verdict $? "without learning it is that RUN"
works "info" info simvq
grep -q '"quantizer":{"kind":"vq"}' out && grep -q '"quantizer_kind":"simvq"' out
verdict $? "info tells what was trained and what is stored"
works "from a RUN without a codebook" train --data pics --config small.json --threads 1 --out fsq2 --init fsq --set optim.lr=0 --set train.warmup_no_quant=0
cmp -s fsq/diffusion_pytorch_model.safetensors fsq2/diffusion_pytorch_model.safetensors && cmp -s fsq/config.json fsq2/config.json
verdict $? "its network is kept"

# --- no codebook: through tokenize and gato
works "info" info fsq
grep -q '"codes":45,"code_dim":3,' out && grep -q '"quantizer":{"kind":"fsq","levels":\[5,3,3\]}' out
verdict $? "info tells the kind: $(cut -c1-300 out)"
works "reconstruct" reconstruct --model fsq --data pics --out look
tokenize images --in pics --model fsq --out x.lmdb --threads 1 >out 2>err && tokenize verify x.lmdb --in pics --model fsq >out 2>err &&
    tokenize info x.lmdb >out 2>err && grep -q '"codes":45,"code_dim":3,' out && grep -q '"quantizer":{"kind":"fsq","levels":\[5,3,3\]}' out
verdict $? "tokenize"
tokenize decode --model fsq --in x.lmdb --out back >out 2>err && [ "$(find back -name '0*.png' | wc -l)" -eq 24 ]
verdict $? "decode"
gato train --data x.lmdb --vqvae fsq --out policy --steps 2 --set model.width=16 --set model.layers=1 --set model.heads=2 --set loss.image=1 --threads 1 >out 2>err &&
    gato eval --model policy --data x.lmdb --split all --threads 1 >out 2>err && cmp policy/vqvae/config.json fsq/config.json
verdict $? "gato"
if [ -n "$python" ]; then
    "$python" -c '
exec(open("check.py").read().split("names =")[0])
k = np.arange(45)
want = np.stack([(k % 5 - 2) / 2, k // 5 % 3 - 1, k // 15 - 1], 1)
assert near(load("policy/model.safetensors")["image_codes.codebook"], want)' "$top" >out 2>err
    verdict $? "the shard carried the implicit codebook"
fi
tokenize verify x.lmdb --in pics --model l2 >out 2>err
[ $? -eq 4 ]
verdict $? "another tokenizer is refused"

# --- what does not fit
fsq_refuses() { # PATTERN SET...
    pattern=$1
    shift
    exits 2 "$pattern" train --data pics --config small.json --out new --set quantizer.kind=fsq "$@"
}
fsq_refuses 'product of the levels is 1000' --set 'quantizer.levels=[8,5,5,5]' --set model.num_vq_embeddings=512
fsq_refuses 'there are 4 levels' --set 'quantizer.levels=[8,5,5,5]' --set model.vq_embed_dim=16
fsq_refuses 'quantizer.levels' --set 'quantizer.levels=[8,2]'
fsq_refuses 'quantizer.levels' --set 'quantizer.levels=[]'
fsq_refuses 'quantizer.levels' --set 'quantizer.levels=[3,3,3,3,3,3,3,3,3]'
fsq_refuses 'exceeds' --set 'quantizer.levels=[1000,1000,1000]'
works "levels and a number that agrees" train --data pics --config small.json --out agree --set quantizer.kind=fsq --set 'quantizer.levels=[3,4]' \
    --set model.num_vq_embeddings=12 --set model.vq_embed_dim=2 --set train.warmup_no_quant=0 --steps 1
exits 4 'has no codebook' train --data pics --config small.json --out new --init fsq --set quantizer.kind=ema
kind part simvq --stop-at 5
exits 4 'quantizer.kind' train --data pics --config small.json --out part --resume --set model.vq_embed_dim=4 --set model.num_vq_embeddings=16
kind part2 fsq --stop-at 5
exits 4 'quantizer.levels' train --data pics --config small.json --out part2 --resume --set quantizer.kind=fsq --set 'quantizer.levels=[5,9]'
edited() { # PATTERN SED-EXPRESSION FILE
    rm -rf bad
    cp -r fsq bad
    sed "$2" "fsq/$3" >"bad/$3"
    exits 4 "$1" info bad
}
edited 'product of the levels is 75' 's/\[5, 3, 3\]/[5, 3, 5]/' config.json
edited 'fsq_levels' 's/\[5, 3, 3\]/[]/' config.json
edited 'a level of 2' 's/\[5, 3, 3\]/[5, 2, 3]/' config.json
edited "missing tensor 'quantize.embedding.weight'" 's/VQModelFSQ/VQModel/' config.json
edited 'quantizer' 's/\[5,3,3\]/[3,3,5]/' tokenizer.json
edited 'quantizer' 's/{"kind":"fsq","levels":\[5,3,3\]}/{"kind":"vq"}/' tokenizer.json
[ ! -e new ]
verdict $? "a refused command leaves nothing behind"

finish

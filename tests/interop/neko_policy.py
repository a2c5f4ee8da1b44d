#!/usr/bin/env python3
"""A policy of NEKO's tensors, of any sizes: transformers' GPT-2 and plain PyTorch compute it from the recorded numbers,
`gato trace` from the same tensors in a RUN.

    tests/interop/neko_policy.py build/bin [--width 48 --layers 3 --heads 4 --middle 64 --context 640]

Records two episodes of the reacher (images of 64 x 64, a mission, numbers, actions), keeps their pixels, makes a RUN of
the sizes asked for and puts random weights under NEKO's names into it, with the buffers that NEKO saves beside them.
Tokens and masks must be equal, embeddings, hidden states and logits within 1e-5 (relative to 1 + |value|). Runs by hand. Needs torch,
transformers, h5py and MuJoCo; without them it says so and skips (exit 0).
"""

import argparse
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    import h5py
    import numpy as np
    import torch
    import torch.nn.functional as F
    from transformers import GPT2Config, GPT2Model
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)
import st

TEXT, BINS, DISCRETE, POSITIONS, PATCH, GROUPS = 257, 1024, 1024, 128, 16, 32


def run(program, *args, ok=(0,)):
    done = subprocess.run([program, *args], capture_output=True, text=True)
    assert done.returncode in ok, f"{program} {' '.join(args)}: status {done.returncode}\n{done.stderr}"
    return done


# ---- tokens ----------------------------------------------------------------------------------------------------------


def bins(x):
    """In float32, as NEKO computes; its bin 1024, outside of the range, is the last."""
    x = np.clip(np.float32(x), -1, 1)
    return np.minimum(((x + np.float32(1)) * np.float32(BINS / 2)).astype(np.int64), BINS - 1)


def squash(x):
    x = np.float32(x)
    top = np.log(np.float32(100) * np.float32(256) + np.float32(1))
    return np.sign(x) * np.log(np.abs(x) * np.float32(100) + np.float32(1)) / top


def place(n):
    edge = [i * POSITIONS // n for i in range(n + 1)]
    return [round((edge[i] + edge[i + 1] - 1) / 2) for i in range(n)]  # round goes half to even


# ---- the network -----------------------------------------------------------------------------------------------------


class Neko:
    def __init__(self, o):
        self.o = o
        g = torch.Generator().manual_seed(o.seed)
        D, m = o.width, o.middle
        config = GPT2Config(vocab_size=1, bos_token_id=0, eos_token_id=0, n_embd=D, n_layer=o.layers, n_head=o.heads, n_positions=o.context)
        config.activation_function = "gelu"  # exact
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
        self.blocks = GPT2Model(config).eval()
        noise = lambda *shape, std=1.0: torch.randn(*shape, generator=g) * std
        with torch.no_grad():
            for name, p in self.blocks.named_parameters():
                p.copy_(noise(*p.shape, std=0.1) + (1.0 if ".ln_" in "." + name and name.endswith("weight") else 0.0))
            self.blocks.wpe.weight.zero_()  # NEKO drops it
        vocabulary = TEXT + BINS + DISCRETE
        e, c = "image_embedding.", PATCH * PATCH * 3
        self.w = {
            "separator_token": noise(D),
            "embed_token.weight": noise(vocabulary, D),
            "predict_token.weight": noise(vocabulary, D, std=0.2),
            "pos_embed_observation.weight": noise(o.context, D),
            e + "patch_embedding.conv1.weight": noise(m, 3, 3, 3, std=0.3),
            e + "patch_embedding.conv1.bias": noise(m, std=0.1),
            e + "patch_embedding.gn2.weight": 1 + noise(m, std=0.1),
            e + "patch_embedding.gn2.bias": noise(m, std=0.1),
            e + "patch_embedding.conv2.weight": noise(3, m, 3, 3, std=0.05),
            e + "patch_embedding.conv2.bias": noise(3, std=0.1),
            e + "post_embedding_projection.weight": noise(D, c, std=c**-0.5),
            e + "post_embedding_projection.bias": noise(D, std=0.1),
            e + "patch_pos_encoding.height_pos_embedding.weight": noise(POSITIONS, D),
            e + "patch_pos_encoding.width_pos_embedding.weight": noise(POSITIONS, D),
        }

    def state_dict(self):
        """Every tensor of a NEKO checkpoint."""
        out = dict(self.w)
        for name, v in self.blocks.state_dict().items():
            if not name.startswith(("wte", "wpe")) and not name.endswith((".attn.bias", ".attn.masked_bias")):
                out["transformer." + name] = v
        out["transformer.wte.weight"] = torch.zeros(1, self.o.width)
        n = self.o.context
        for i in range(self.o.layers):
            out[f"transformer.h.{i}.attn.bias"] = torch.ones(n, n, dtype=torch.uint8).tril()[None, None]
            out[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
        return {k: v.detach().numpy() for k, v in out.items()}

    def image(self, u8):
        """[h, w, 3] -> [patches, D]"""
        w, e = self.w, "image_embedding."
        h, wd = u8.shape[:2]
        nh, nw = -(-h // PATCH), -(-wd // PATCH)
        x = torch.zeros(3, nh * PATCH, nw * PATCH)
        x[:, :h, :wd] = torch.from_numpy(u8.astype(np.float32)).permute(2, 0, 1)
        x = (x / 255 * 2 - 1) / PATCH**0.5
        x = F.unfold(x[None], PATCH, stride=PATCH)[0].T.reshape(-1, 3, PATCH, PATCH)
        p = e + "patch_embedding."
        y = F.conv2d(F.gelu(x), w[p + "conv1.weight"], w[p + "conv1.bias"], padding=1)
        y = F.gelu(F.group_norm(y, GROUPS, w[p + "gn2.weight"], w[p + "gn2.bias"]))
        x = x + F.conv2d(y, w[p + "conv2.weight"], w[p + "conv2.bias"], padding=1)
        y = F.linear(x.flatten(1), w[e + "post_embedding_projection.weight"], w[e + "post_embedding_projection.bias"])
        p = e + "patch_pos_encoding."
        rows = w[p + "height_pos_embedding.weight"][place(nh)][:, None]
        columns = w[p + "width_pos_embedding.weight"][place(nw)][None]
        return y + (rows + columns).reshape(nh * nw, -1)

    def sequence(self, steps):
        table, inner = self.w["embed_token.weight"], self.w["pos_embed_observation.weight"]
        rows, ids, mask = [], [], []
        for image, text, vector, action in steps:
            seen = [*text, *(TEXT + bins(squash(vector)))]
            patches = self.image(image)
            rows.append(torch.cat([patches, table[seen]]) + inner[: len(patches) + len(seen)])
            acted = [int(i) for i in TEXT + bins(action)]
            rows += [self.w["separator_token"][None], table[acted]]
            ids += [0] * len(patches) + seen + [0] + acted
            mask += [0] * (len(patches) + len(seen) + 1) + [1] * len(acted)
        return torch.cat(rows), np.array(ids), np.array(mask)

    def __call__(self, steps):
        with torch.no_grad():
            rows, ids, mask = self.sequence(steps)
            hidden = self.blocks(inputs_embeds=rows[None]).last_hidden_state[0]
            logits = hidden @ self.w["predict_token.weight"].T
        return dict(embeddings=rows.numpy(), hidden=hidden.numpy(), logits=logits.numpy()), ids, mask


# ---- the comparison --------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    for name, default in dict(width=48, layers=3, heads=4, middle=64, context=640, seed=1).items():
        parser.add_argument("--" + name, type=int, default=default)
    o = parser.parse_args()
    torch.set_num_threads(1)
    gato, tokenize = (os.path.abspath(os.path.join(o.bin, p)) for p in ("gato", "tokenize"))
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)
    made = run(gato, "record", "--env", "reacher", "--episodes", "2", "--out", "episodes", ok=(0, 1))
    if made.returncode:
        print(f"skipped: {made.stderr.splitlines()[0]}")
        return
    run(tokenize, "episodes", "--in", "episodes", "--out", "x.lmdb", "--keep-pixels")
    sizes = [f"model.width={o.width}", f"model.layers={o.layers}", f"model.heads={o.heads}", f"model.patch_mid={o.middle}"]
    sizes += [f"model.context={o.context}", "model.image_in=patches", "train.batch=1", "train.tensorboard=false"]
    run(gato, "train", "--data", "x.lmdb", "--out", "run", "--steps", "1", "--set", *sizes)
    neko = Neko(o)
    ours = st.load("run/model.safetensors")[0]
    theirs = neko.state_dict()
    st.save("run/model.safetensors", theirs)
    assert set(ours) <= set(theirs), f"names that NEKO does not have: {sorted(set(ours) - set(theirs))}"
    print(f"{len(ours)} tensors, {sum(v.size for v in ours.values())} numbers")

    data, worst = h5py.File("episodes/data/main_data.hdf5"), {}
    for i in range(2):
        run(gato, "trace", "--model", "run", "--data", "x.lmdb", "--id", str(i), "--out", "t.safetensors")
        got = st.load("t.safetensors")[0]
        e = data[f"episode_{i}"]
        text = [*e["observations/text"][0], 256]
        per_step = 16 + len(text) + 6 + 1 + 2
        n = o.context // per_step
        see = e["observations"]
        steps = [(see["image"][t], text, see["vector"][t], e["actions"][t]) for t in range(n)]
        want, ids, mask = neko(steps)
        assert (got["tokens"] == ids).all() and (got["target_mask"] == mask).all(), "tokens"
        for name, v in want.items():
            assert got[name].shape == v.shape, (name, got[name].shape, v.shape)
            worst[name] = max(worst.get(name, 0), float((np.abs(got[name] - v) / (1 + np.abs(v))).max()))
    print(", ".join(f"{name} {d:.2g}" for name, d in worst.items()))
    assert max(worst.values()) < 1e-5, "they differ"
    print("ok")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""make_gato.py - reference values of a small policy: NEKO's network with codes of a VQVAE as a further image input,
in plain PyTorch.

    make_gato.py [OUT]        (OUT: the folder gato beside this script)

Needs torch alone (made with 1.13), one thread. README.md says what every file and tensor is. Everything is computed
in float32 and again in float64; the transformer is held against torch.nn.TransformerEncoder, image rows against a
loop over single patches and blocks: the script fails when they differ.
"""

import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from common import HERE, demand, largest_difference, normal, image, st, uniform

torch.set_num_threads(1)

D, LAYERS, HEADS, CONTEXT = 12, 2, 2, 64
TEXT, BINS, DISCRETE = 257, 32, 1024
VOCAB = TEXT + BINS + DISCRETE
K, DC, MERGE = 32, 4, 2
PATCH, MIDDLE, GROUPS, POSITIONS = 16, 64, 32, 128
MU, M = 100.0, 256.0
N_VECTOR, N_ACTIONS = 3, 2
CONFIG = dict(
    width=D,
    layers=LAYERS,
    heads=HEADS,
    context=CONTEXT,
    bins=BINS,
    text_vocab=TEXT,
    vocab=VOCAB,
    codes=K,
    code_dim=DC,
    merge=MERGE,
    patch=PATCH,
    middle_channels=MIDDLE,
    groups=GROUPS,
    patch_positions=POSITIONS,
    activation="gelu",
    mu=MU,
    M=M,
)


# ---- weights -------------------------------------------------------------------------------------------------------


def make_weights():
    """NEKO's names. Stored as F16 and rounded to it first, so that nothing is lost. Blocks are larger than GPT-2's
    0.02: attention must matter."""
    w = {}

    def put(name, a):
        w[name] = np.asarray(a).astype(np.float16)

    def linear(name, out, inp, order="oi"):
        shape = (out, inp) if order == "oi" else (inp, out)
        put(name + ".weight", uniform(name + ".w", shape) * math.sqrt(3.0 / inp))
        put(name + ".bias", 0.2 * uniform(name + ".b", (out,)))

    def norm(name, c):
        put(name + ".weight", 1 + 0.25 * uniform(name + ".w", (c,)))
        put(name + ".bias", 0.2 * uniform(name + ".b", (c,)))

    put("separator_token", normal("separator", (D,)))
    put("embed_token.weight", normal("embed", (VOCAB, D)))
    put("predict_token.weight", 0.5 * normal("predict", (VOCAB, D)))
    put("pos_embed_observation.weight", normal("inner", (CONTEXT, D)))
    for i in range(LAYERS):
        h = f"transformer.h.{i}."
        norm(h + "ln_1", D)
        linear(h + "attn.c_attn", 3 * D, D, "io")
        linear(h + "attn.c_proj", D, D, "io")
        norm(h + "ln_2", D)
        linear(h + "mlp.c_fc", 4 * D, D, "io")
        linear(h + "mlp.c_proj", D, 4 * D, "io")
    norm("transformer.ln_f", D)
    e = "image_embedding."
    put(e + "patch_embedding.conv1.weight", uniform("conv1", (MIDDLE, 3, 3, 3)) / math.sqrt(3))
    put(e + "patch_embedding.conv1.bias", 0.2 * uniform("conv1b", (MIDDLE,)))
    norm(e + "patch_embedding.gn2", MIDDLE)
    put(e + "patch_embedding.conv2.weight", uniform("conv2", (3, MIDDLE, 3, 3)) / math.sqrt(9 * MIDDLE))
    put(e + "patch_embedding.conv2.bias", 0.2 * uniform("conv2b", (3,)))
    linear(e + "post_embedding_projection", D, 3 * PATCH * PATCH)
    put(e + "patch_pos_encoding.height_pos_embedding.weight", normal("height", (POSITIONS, D)))
    put(e + "patch_pos_encoding.width_pos_embedding.weight", normal("width", (POSITIONS, D)))
    put("image_codes.codebook", normal("codebook", (K, DC)))
    linear("image_codes.proj", D, MERGE * MERGE * DC)
    put("image_codes.row.weight", normal("row", (POSITIONS, D)))
    put("image_codes.col.weight", normal("col", (POSITIONS, D)))
    return w


def extra_weights(*names):
    """Tensors that only some configurations have; they lie in the files of the cases that use them."""
    w = {
        "vector_embedding.weight": uniform("vector", (D, N_VECTOR)),
        "vector_embedding.bias": 0.2 * uniform("vectorb", (D,)),
        "predict_action.weight": 0.5 * uniform("action", (N_ACTIONS, D)),
        "predict_action.bias": 0.2 * uniform("actionb", (N_ACTIONS,)),
        "image_codes.proj.weight": uniform("proj1", (D, DC)),
        "image_codes.proj.bias": 0.2 * uniform("proj1b", (D,)),
    }
    return {k: v.astype(np.float16) for k, v in w.items() if k.rsplit(".", 1)[0] in names}


def as_torch(w, dtype, grad):
    return {k: torch.from_numpy(v.astype(np.float64)).to(dtype).requires_grad_(grad) for k, v in w.items()}


# ---- tokens --------------------------------------------------------------------------------------------------------


def observation_bins(x):
    m = np.sign(x) * np.log1p(MU * np.abs(x)) / np.log1p(MU * M)
    return action_bins(m)


def action_bins(a):
    return np.minimum(((np.clip(a, -1, 1) + 1) * (BINS / 2)).astype(np.int64), BINS - 1)


def demand_clear_bins(x, is_observation):
    """No value near an edge: every correct float32 computation gives the same bin."""
    x = np.asarray(x, np.float64)
    m = np.sign(x) * np.log1p(MU * np.abs(x)) / np.log1p(MU * M) if is_observation else x
    at = (m + 1) * (BINS / 2)
    inside = (m > -1) & (m < 1) & (m != 0)
    demand(np.all(np.abs(at - np.round(at))[inside] > 1e-3), "a value lies at the edge of its bin")


def position_index(n):
    """Which of the 128 rows stand for n places along an axis, in evaluation: integers, halves to even."""
    demand(1 <= n <= POSITIONS, f"{n} places")
    edge = [i * POSITIONS // n for i in range(n + 1)]
    return [
        round((edge[i] + edge[i + 1] - 1) / 2) for i in range(n)
    ]  # Python's round goes half to even; the quotients are exact


# ---- rows of the modalities ----------------------------------------------------------------------------------------


def place(rows, row_table, col_table):
    """rows [T, h, w, D] + row and column vectors -> [T, h*w, D]."""
    t, h, wd, _ = rows.shape
    rows = rows + row_table[position_index(h)][None, :, None] + col_table[position_index(wd)][None, None]
    return rows.reshape(t, h * wd, -1)


def rows_of_codes(w, codes, merge):
    t, h, wd = codes.shape
    v = w["image_codes.codebook"][torch.from_numpy(codes)]
    v = (
        v.reshape(t, h // merge, merge, wd // merge, merge, -1)
        .permute(0, 1, 3, 2, 4, 5)
        .reshape(t, h // merge, wd // merge, -1)
    )
    v = F.linear(v, w["image_codes.proj.weight"], w["image_codes.proj.bias"])
    return place(v, w["image_codes.row.weight"], w["image_codes.col.weight"])


def rows_of_pixels(w, u8):
    """u8 [T,H,W,3]; zero padding below and to the right, in the domain 0..255, before normalizing."""
    e = "image_embedding."
    t, h, wd, _ = u8.shape
    nh, nw = -(-h // PATCH), -(-wd // PATCH)
    padded = np.zeros((t, nh * PATCH, nw * PATCH, 3), np.float64)
    padded[:, :h, :wd] = u8
    x = torch.from_numpy(padded).to(w["separator_token"].dtype).permute(0, 3, 1, 2)
    x = (x / 255 * 2 - 1) / math.sqrt(PATCH)
    x = x.reshape(t, 3, nh, PATCH, nw, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, PATCH, PATCH)
    y = patch_block(w, x).reshape(t, nh, nw, -1)
    y = F.linear(y, w[e + "post_embedding_projection.weight"], w[e + "post_embedding_projection.bias"])
    p = e + "patch_pos_encoding."
    return place(y, w[p + "height_pos_embedding.weight"], w[p + "width_pos_embedding.weight"])


def patch_block(w, x):
    p = "image_embedding.patch_embedding."
    h = F.conv2d(F.gelu(x), w[p + "conv1.weight"], w[p + "conv1.bias"], padding=1)
    h = F.gelu(F.group_norm(h, GROUPS, w[p + "gn2.weight"], w[p + "gn2.bias"], eps=1e-5))
    return x + F.conv2d(h, w[p + "conv2.weight"], w[p + "conv2.bias"], padding=1)


# ---- sequence ------------------------------------------------------------------------------------------------------


def sequence(w, case):
    """Rows [T,D], ids, target mask, timestep, and the label of every position (the clean action's id where it differs
    from the executed one)."""
    table, sep, inner = w["embed_token.weight"], w["separator_token"], w["pos_embed_observation.weight"]
    x = case["in"]
    steps = case["steps"]
    image = (
        rows_of_codes(w, x["codes"], case["merge"])
        if "codes" in x
        else rows_of_pixels(w, x["pixels"]) if "pixels" in x else None
    )
    rows, ids, mask, step, label = [], [], [], [], []

    def add(r, i, m, t, lab=None):
        rows.append(r)
        ids.extend(i)
        mask.extend([m] * len(i))
        step.extend([t] * len(i))
        label.extend(i if lab is None else lab)

    def tokens(i, m, t, lab=None, first=None):
        i = [int(v) for v in i]
        r = table[i]
        add(r if first is None else r + inner[first : first + len(i)], i, m, t, lab)

    for t in range(steps):
        k = 0
        if image is not None:
            k = image.shape[1]
            add(image[t] + inner[:k], [0] * k, 0, t)
        if "text" in x:
            tokens(x["text"], 1, t, first=k)
            k += len(x["text"])
        if "continuous" in x and case["vector_in"] == "bins":
            tokens(TEXT + observation_bins(x["continuous"][t]), 0, t, first=k)
            k += x["continuous"].shape[1]
        elif "continuous" in x:
            v = torch.from_numpy(x["continuous"][t].astype(np.float64)).to(table.dtype)
            add((F.linear(v, w["vector_embedding.weight"], w["vector_embedding.bias"]) + inner[k])[None], [0], 0, t)
            k += 1
        if "discrete" in x:
            tokens(TEXT + BINS + x["discrete"][t], 0, t, first=k)
            k += x["discrete"].shape[1]
        add(sep[None], [0], 0, t)
        if "actions" in x:
            tokens(
                TEXT + action_bins(x["actions"][t]), 1, t, [int(v) for v in TEXT + action_bins(x["label_actions"][t])]
            )
        if "discrete_actions" in x:
            tokens(TEXT + BINS + x["discrete_actions"][t], 1, t)
    demand(len(ids) <= CONTEXT, f"{len(ids)} tokens")
    return torch.cat(rows), np.array(ids), np.array(mask), np.array(step), np.array(label)


def transformer(w, x, step, window=None):
    n = len(x)
    see = torch.ones(n, n, dtype=torch.bool).tril()
    if window is not None:
        s = torch.from_numpy(step)
        see &= s[None, :] > s[:, None] - window
    for i in range(LAYERS):
        h = f"transformer.h.{i}."
        y = F.layer_norm(x, (D,), w[h + "ln_1.weight"], w[h + "ln_1.bias"], 1e-5)
        q, k, v = ((y @ w[h + "attn.c_attn.weight"]) + w[h + "attn.c_attn.bias"]).split(D, dim=1)
        q, k, v = (a.reshape(n, HEADS, D // HEADS).transpose(0, 1) for a in (q, k, v))
        score = (q @ k.transpose(1, 2) / math.sqrt(D // HEADS)).masked_fill(~see, -math.inf)
        y = (score.softmax(-1) @ v).transpose(0, 1).reshape(n, D)
        x = x + y @ w[h + "attn.c_proj.weight"] + w[h + "attn.c_proj.bias"]
        y = F.layer_norm(x, (D,), w[h + "ln_2.weight"], w[h + "ln_2.bias"], 1e-5)
        y = F.gelu(y @ w[h + "mlp.c_fc.weight"] + w[h + "mlp.c_fc.bias"])
        x = x + y @ w[h + "mlp.c_proj.weight"] + w[h + "mlp.c_proj.bias"]
    return F.layer_norm(x, (D,), w["transformer.ln_f.weight"], w["transformer.ln_f.bias"], 1e-5)


def losses(w, case, hidden, ids, mask, label):
    """Named scalars and vectors; `at` are the positions that predict the next token."""
    at = np.flatnonzero(mask[1:])
    logits = hidden @ w["predict_token.weight"].T
    logp = logits[at].log_softmax(-1)
    pick = np.arange(len(at))
    out = {"logits_all": logits, "loss": -logp[pick, label[at + 1]].mean(), "logp": logp[pick, label[at + 1]]}
    x = case["in"]
    if "actions" in x:
        clean = torch.from_numpy(x["label_actions"].astype(np.float64)).to(hidden.dtype)
        out["loss_executed"] = -logp[pick, ids[at + 1]].mean()
        own = logits[at][:, TEXT : TEXT + BINS]
        centers = (2 * torch.arange(BINS, dtype=hidden.dtype) + 1) / BINS - 1
        out["loss_range"] = -own.log_softmax(-1)[pick, label[at + 1] - TEXT].mean()
        out["expectation"] = own.softmax(-1) @ centers
        out["loss_expectation_mse"] = (out["expectation"] - clean.reshape(-1)).pow(2).mean()
        out["loss_mix"] = 0.1 * out["loss"] + out["loss_expectation_mse"]
        out["loss_mix_range"] = 0.1 * out["loss_range"] + out["loss_expectation_mse"]
        if "predict_action.weight" in w:
            separators = at[:: clean.shape[1]]
            out["action"] = F.linear(hidden[separators], w["predict_action.weight"], w["predict_action.bias"])
            out["loss_mse"] = (out["action"] - clean).pow(2).mean()
    return out, at


def run(weights, case, dtype):
    w = as_torch(weights, dtype, True)
    rows, ids, mask, step, label = sequence(w, case)
    hidden = transformer(w, rows, step)
    out, at = losses(w, case, hidden, ids, mask, label)
    out.update(embeddings=rows, hidden=hidden)
    if case["steps"] > 2:
        out["hidden_window2"] = transformer(w, rows, step, window=2)
    for name, suffix in (("loss", "grad"), ("loss_mix", "grad_mix"), ("loss_mse", "grad_mse")):
        if name in out:
            grads = torch.autograd.grad(out[name], list(w.values()), retain_graph=True, allow_unused=True)
            out.update({f"{suffix}/{k}": g for k, g in zip(w, grads) if g is not None})
    values = {k: v.detach().numpy() if v.ndim else v.detach().numpy().reshape(1) for k, v in out.items()}
    return values, dict(
        tokens=ids, target_mask=mask.astype(np.uint8), steps=step.astype(np.int64), labels=label, target_positions=at
    )


# ---- second opinions -----------------------------------------------------------------------------------------------


def check_transformer(weights, values):
    w = as_torch(weights, torch.float64, False)
    layer = torch.nn.TransformerEncoderLayer(
        D, HEADS, 4 * D, dropout=0.0, activation="gelu", norm_first=True, batch_first=True
    ).double()
    net = torch.nn.TransformerEncoder(layer, LAYERS, norm=torch.nn.LayerNorm(D).double(), enable_nested_tensor=False)
    theirs = {
        "norm1": "ln_1",
        "norm2": "ln_2",
        "self_attn.in_proj_": "attn.c_attn.",
        "self_attn.out_proj": "attn.c_proj",
        "linear1": "mlp.c_fc",
        "linear2": "mlp.c_proj",
    }
    state = {f"norm.{k}": w[f"transformer.ln_f.{k}"] for k in ("weight", "bias")}
    for i in range(LAYERS):
        for a, b in theirs.items():
            for k in ("weight", "bias"):
                v = w[f"transformer.h.{i}." + (b + k if b.endswith(".") else f"{b}.{k}")]
                state[f"layers.{i}." + (a + k if a.endswith("_") else f"{a}.{k}")] = v.T if v.ndim == 2 else v
    net.load_state_dict(state)
    x = torch.from_numpy(values["embeddings"])[None]
    n = x.shape[1]
    net.train()  # the general path, not the fused one
    y = net(x, mask=torch.full((n, n), -math.inf, dtype=torch.float64).triu(1))[0].detach().numpy()
    return largest_difference(y, values["hidden"])


def check_rows(weights, case, values):
    """Image rows of step 1, one block or patch at a time and without torch where that is short."""
    w = {k: v.astype(np.float64) for k, v in weights.items()}
    x, worst = case["in"], 0.0
    per_step = len(values["embeddings"]) // case["steps"]
    base = per_step * (case["steps"] - 1)
    if "codes" in x:
        m, codes = case["merge"], x["codes"][-1]
        nh, nw = codes.shape[0] // m, codes.shape[1] // m
        for r in range(nh):
            for c in range(nw):
                v = [w["image_codes.codebook"][codes[r * m + a, c * m + b]] for a in range(m) for b in range(m)]
                y = (
                    w["image_codes.proj.weight"] @ np.concatenate(v)
                    + w["image_codes.proj.bias"]
                    + w["pos_embed_observation.weight"][r * nw + c]
                )
                y = (
                    y
                    + w["image_codes.row.weight"][position_index(nh)[r]]
                    + w["image_codes.col.weight"][position_index(nw)[c]]
                )
                worst = max(worst, largest_difference(y, values["embeddings"][base + r * nw + c]))
    if "pixels" in x:
        u8, e = x["pixels"][-1], "image_embedding."
        nh, nw = -(-u8.shape[0] // PATCH), -(-u8.shape[1] // PATCH)
        for r in range(nh):
            for c in range(nw):
                patch = np.full((3, PATCH, PATCH), -0.25)
                cut = u8[r * PATCH : (r + 1) * PATCH, c * PATCH : (c + 1) * PATCH]
                patch[:, : cut.shape[0], : cut.shape[1]] = ((cut / 255.0) * 2 - 1).transpose(2, 0, 1) / 4
                y = (
                    patch_block(as_torch(weights, torch.float64, False), torch.from_numpy(patch)[None])[0]
                    .numpy()
                    .reshape(-1)
                )
                y = w[e + "post_embedding_projection.weight"] @ y + w[e + "post_embedding_projection.bias"]
                p = e + "patch_pos_encoding."
                y = (
                    y
                    + w[p + "height_pos_embedding.weight"][position_index(nh)[r]]
                    + w[p + "width_pos_embedding.weight"][position_index(nw)[c]]
                )
                y = y + w["pos_embed_observation.weight"][r * nw + c]
                worst = max(worst, largest_difference(y, values["embeddings"][base + r * nw + c]))
    return worst


# ---- cases ---------------------------------------------------------------------------------------------------------


def integers(name, shape, n):
    return ((uniform(name, shape) + 1) / 2 * n).astype(np.int64)


def make_cases():
    vector = np.array([[0.0, 1.0, -1.1], [0.3, 300.0, -0.02], [2.0, -7.0, 0.13]], np.float32)
    actions = np.array([[-1.0, 0.97], [0.04, 1.0], [0.27, -0.72]], np.float32)
    clean = np.array([[-0.9, 0.97], [0.15, 1.0], [0.27, -0.41]], np.float32)
    for x, is_observation in ((vector, True), (actions, False), (clean, False)):
        demand_clear_bins(x, is_observation)
    control = dict(codes=integers("codes", (3, 4, 4), K), continuous=vector, actions=actions, label_actions=clean)
    head = extra_weights("predict_action")
    few = (
        "separator_token",
        "transformer.h.0.ln_1.weight",
        "transformer.h.0.attn.c_attn.weight",
        "transformer.h.0.attn.c_attn.bias",
        "transformer.h.0.mlp.c_fc.bias",
        "transformer.h.1.attn.c_proj.weight",
        "transformer.h.1.ln_2.bias",
        "transformer.h.1.mlp.c_proj.bias",
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
        "image_codes.proj.weight",
        "image_codes.proj.bias",
        "predict_action.weight",
        "predict_action.bias",
        "vector_embedding.weight",
        "vector_embedding.bias",
    )
    image = tuple(
        "image_embedding." + k
        for k in (
            "patch_embedding.conv1.bias",
            "patch_embedding.gn2.weight",
            "patch_embedding.gn2.bias",
            "patch_embedding.conv2.bias",
            "post_embedding_projection.bias",
        )
    )
    case = lambda steps, x, extra=None, logits=1, **o: dict(
        dict(steps=steps, merge=MERGE, vector_in="bins", extra=extra or {}, logits=logits, keep=few, norms="none"),
        **{"in": x},
        **o,
    )
    return {
        "codes": case(3, control, head, logits=2, norms=""),
        "vector_linear": case(
            3,
            dict(control, continuous=np.array([[0.5, -0.25, 1.5], [0.0, 1.0, -0.3], [-1.2, 0.7, 0.1]], np.float32)),
            dict(head, **extra_weights("vector_embedding")),
            vector_in="linear",
            logits=0,
        ),
        "codes_merge1": case(
            2,
            dict(
                codes=integers("codes1", (2, 2, 3), K),
                discrete=integers("obs1", (2, 2), 9),
                discrete_actions=integers("act1", (2, 1), 5),
            ),
            extra_weights("image_codes.proj"),
            merge=1,
            logits=0,
        ),
        "patches": case(
            2,
            dict(
                pixels=np.stack([image("p0", 20, 36), image("p1", 20, 36)]), discrete_actions=np.array([[3], [1]])
            ),
            keep=few + image,
            norms="image",
        ),
        "text": case(1, dict(text=np.array(list("a cat.".encode()) + [TEXT - 1]))),
    }


def make_case(name, shared, case):
    weights = dict(shared, **case["extra"])
    values, exact = run(weights, case, torch.float32)
    wide, exact_wide = run(weights, case, torch.float64)
    demand(all(np.array_equal(exact[k], exact_wide[k]) for k in exact), f"{name}: tokens depend on the precision")
    diff = {k: largest_difference(values[k], wide[k]) for k in values}
    plain, grad = (max(v for k, v in diff.items() if k.startswith("grad") == g) for g in (False, True))
    second = check_transformer(weights, wide), check_rows(weights, case, wide)
    print(
        f"{name}: {len(exact['tokens'])} tokens, loss {float(values['loss']):.6f}, "
        f"against float64 {plain:.2g}, gradients {grad:.2g}; "
        f"torch's transformer {second[0]:.2g}, single rows {second[1]:.2g}"
    )
    demand(plain < 1e-5 and grad < 1e-5, f"{name}: float64 differs: {max(diff, key=diff.get)}")
    demand(max(second) < 1e-12, f"{name}: the second opinion differs")
    if "hidden_window2" in values:
        changed = np.abs(wide["hidden_window2"] - wide["hidden"]).max(1) > 1e-3
        demand(
            np.array_equal(changed, exact["steps"] >= 2),
            f"{name}: the attention window must change exactly the tokens from step 2 on",
        )
    out = {f"w.{k}": v for k, v in case["extra"].items()}
    out.update({f"in.{k}": v.astype(np.uint8) if k == "pixels" else v for k, v in case["in"].items()})
    out.update(exact)
    norms = {}
    for k, v in values.items():
        if k.startswith("grad"):
            norms[k.replace("/", "_norm/", 1)] = np.sqrt((wide[k] ** 2).sum()).astype(np.float32).reshape(1)
            if k.split("/", 1)[1] in case["keep"] and (
                k.startswith("grad/")
                or k.split("/", 1)[1].startswith(("separator", "transformer.ln_f", "predict_action", "vector"))
            ):
                out[k] = v
        elif k != "logits_all":
            out[k] = v
    out.update(
        {k: v for k, v in norms.items() if k.startswith("grad_norm/" + case["norms"]) and not k.endswith("codebook")}
    )
    if case["logits"]:
        out["logit_rows"] = exact["target_positions"][: case["logits"]]
        out["logits"] = values["logits_all"][out["logit_rows"]]
    meta = dict(
        CONFIG,
        merge=case["merge"],
        vector_in=case["vector_in"],
        steps=case["steps"],
        image_in="patches" if "pixels" in case["in"] else "codes",
    )
    return out, {k: v if isinstance(v, str) else json.dumps(v) for k, v in meta.items()}


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "gato")
    os.makedirs(out, exist_ok=True)
    demand(
        position_index(5) == [12, 38, 63, 88, 114]
        and position_index(6) == [10, 31, 52, 74, 95, 116]
        and position_index(1) == [64],
        "the integer rule",
    )
    demand(
        list(observation_bins(np.array([0.0, 300.0, -300.0, np.inf]))) == [BINS // 2, BINS - 1, 0, BINS - 1],
        "bins of observations",
    )
    shared = make_weights()
    st.save(
        os.path.join(out, "weights.safetensors"),
        {f"w.{k}": v for k, v in shared.items()},
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in CONFIG.items()},
    )
    for name, case in make_cases().items():
        tensors, meta = make_case(name, shared, case)
        st.save(os.path.join(out, name + ".safetensors"), tensors, meta)


if __name__ == "__main__":
    main()

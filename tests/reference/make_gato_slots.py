#!/usr/bin/env python3
"""make_gato_slots.py - reference values of timesteps of many slots, and of every way in and out of the policy that
make_gato.py does not have: image tables, patches without or with two blocks, predicted images and vectors, missing
slots.

    make_gato_slots.py [OUT]        (OUT: the folder gato beside this script; needs its weights.safetensors' source)

Needs torch alone, one thread. The network, its weights and the numbers' bins are make_gato.py's. Everything is computed
in float32 and again in float64; the script fails when they differ. README.md says what every file and tensor is.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from common import HERE, demand, image, largest_difference, normal, st, uniform
from make_gato import (
    BINS,
    CONTEXT,
    D,
    DC,
    GROUPS,
    K,
    MERGE,
    MIDDLE,
    PATCH,
    TEXT,
    VOCAB,
    action_bins,
    as_torch,
    demand_clear_bins,
    integers,
    make_weights,
    observation_bins,
    place,
    rows_of_codes,
    transformer,
)

torch.set_num_threads(1)
TASK = "body"


# ---- rows ----------------------------------------------------------------------------------------------------------


def patch_rows(w, u8, blocks):
    """Patches through so many residual blocks, then the linear layer and the positions. u8 [T,H,W,3]."""
    e = "image_embedding."
    t, h, wd, _ = u8.shape
    nh, nw = -(-h // PATCH), -(-wd // PATCH)
    padded = np.zeros((t, nh * PATCH, nw * PATCH, 3), np.float64)
    padded[:, :h, :wd] = u8
    x = torch.from_numpy(padded).to(w["separator_token"].dtype).permute(0, 3, 1, 2)
    x = (x / 255 * 2 - 1) / PATCH**0.5
    x = x.reshape(t, 3, nh, PATCH, nw, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, PATCH, PATCH)
    for name in ("patch_embedding.", "patch_embedding_2.")[:blocks]:
        p = e + name
        y = F.conv2d(F.gelu(x), w[p + "conv1.weight"], w[p + "conv1.bias"], padding=1)
        y = F.gelu(F.group_norm(y, GROUPS, w[p + "gn2.weight"], w[p + "gn2.bias"], eps=1e-5))
        x = x + F.conv2d(y, w[p + "conv2.weight"], w[p + "conv2.bias"], padding=1)
    y = F.linear(
        x.reshape(t, nh, nw, -1),
        w[e + "post_embedding_projection.weight"],
        w[e + "post_embedding_projection.bias"],
    )
    p = e + "patch_pos_encoding."
    return place(y, w[p + "height_pos_embedding.weight"], w[p + "width_pos_embedding.weight"])


def code_rows(w, codes, merge, image_in):
    if image_in == "codes":
        return rows_of_codes(w, codes, merge)
    rows = w["embed_token.weight"][torch.from_numpy(VOCAB + codes)]
    if image_in == "both":
        v = w["image_codes.codebook"][torch.from_numpy(codes)]
        rows = rows + F.linear(v, w["image_codes.proj.weight"], w["image_codes.proj.bias"])
    return place(rows, w["image_codes.row.weight"], w["image_codes.col.weight"])


def blocks_of(codes, merge):
    """codes [h,w] -> [tokens, merge * merge], a block row by row."""
    h, wd = codes.shape
    x = codes.reshape(h // merge, merge, wd // merge, merge).transpose(0, 2, 1, 3)
    return x.reshape(h // merge * (wd // merge), merge * merge)


# ---- the sequence --------------------------------------------------------------------------------------------------


class Sequence:
    """Rows [T,D] and where everything lies: at[t][slot] = (first position, count); separator[t]."""

    def __init__(self, w, case):
        self.rows, self.ids, self.mask, self.step = [], [], [], []
        self.at, self.separator, self.start = [], [], []
        images = {}
        for s in case["slots"]:
            if s["kind"] != "image":
                continue
            pixels = s["data"].dtype == np.uint8
            images[s["name"]] = (
                patch_rows(w, s["data"], case["patch_blocks"])
                if pixels
                else code_rows(w, s["data"], case["merge"], case["image_in"])
            )
        for t in range(case["steps"]):
            self.add_step(w, case, images, t)
        self.rows = torch.cat(self.rows)
        demand(len(self.ids) <= CONTEXT, f"{len(self.ids)} tokens")

    def add(self, slot, rows, ids, mask, t, inner, table):
        if inner is not None:
            rows = rows + table[inner : inner + len(ids)]
        self.at[t][slot] = (len(self.ids), len(ids))
        self.rows.append(rows)
        self.ids += [int(i) for i in ids]
        self.mask += [mask] * len(ids)
        self.step += [t] * len(ids)

    def add_step(self, w, case, images, t):
        table, inner = w["embed_token.weight"], w["pos_embed_observation.weight"]
        self.at.append({})
        self.start.append(len(self.ids))
        k = 0
        for s in case["slots"]:
            name, kind = s["name"], s["kind"]
            if s["side"] != "observed" or not s["present"][t]:
                continue
            x = s["data"] if kind == "text" else s["data"][t]
            if kind == "image":
                rows = images[name][t]
                codes = case["image_in"] in ("table", "both")
                ids = VOCAB + x.reshape(-1) if codes else [0] * len(rows)
            elif kind == "vector" and case["vector_in"] == "linear":
                p = f"vector_embedding.{TASK}.{name}."
                v = torch.from_numpy(x.astype(np.float64)).to(table.dtype)
                rows, ids = F.linear(v, w[p + "weight"], w[p + "bias"])[None], [0]
            else:
                ids = {
                    "text": lambda: x,
                    "vector": lambda: TEXT + observation_bins(x),
                    "discrete": lambda: TEXT + BINS + x,
                }[kind]()
                rows = table[[int(i) for i in ids]]
            self.add(name, rows, ids, 0, t, k, inner)
            k += len(ids)
        self.separator.append(len(self.ids))
        self.add("separator", w["separator_token"][None], [0], 0, t, None, inner)
        for s in case["slots"]:
            if s["side"] == "acted" and s["present"][t]:
                ids = TEXT + action_bins(s["data"][t]) if s["kind"] == "vector" else TEXT + BINS + s["data"][t]
                self.add(s["name"], table[[int(i) for i in ids]], ids, 1, t, None, inner)


# ---- losses, as gato/model/head.h has them -------------------------------------------------------------------------


def follows(case, seq, t, position):
    """May the token before `position` predict it?"""
    return position > 0 and (case["linked"][t] or position != seq.start[t])


def token_terms(case, seq, logp):
    """-log p of acted tokens at the position before them: the clean ones'."""
    out = []
    for t in range(case["steps"]):
        for s in case["slots"]:
            if s["side"] != "acted" or not s["present"][t] or (s["kind"] == "vector" and case["action_kind"] == "mse"):
                continue
            first, n = seq.at[t][s["name"]]
            clean = s["label"][t]
            ids = TEXT + action_bins(clean) if s["kind"] == "vector" else TEXT + BINS + clean
            out += [-logp[first + i - 1, int(ids[i])] for i in range(n)]
    return out


def action_errors(w, case, seq, hidden):
    """Squared errors of all acted vectors that are there."""
    slots = [s for s in case["slots"] if s["side"] == "acted" and s["kind"] == "vector"]
    out = []
    for t in range(case["steps"]):
        y = F.linear(hidden[seq.separator[t]], w[f"predict_action.{TASK}.weight"], w[f"predict_action.{TASK}.bias"])
        at = 0
        for s in slots:
            n = s["data"].shape[1]
            if s["present"][t]:
                out += list((y[at : at + n] - torch.from_numpy(s["label"][t].astype(np.float64)).to(y.dtype)) ** 2)
            at += n
    return out


def future_prefix(i, k):
    """Of the tensors of the i-th horizon, k."""
    return f"predict_future.{k}." if i else "predict_future."


def block_terms(w, case, prefix, h, code, last):
    """-log p of the codes of one token, each behind those before it: gato/model/future.h. All codes of the block at
    once, by masks, where the program takes them one by one. last: the block one timestep before, None = nothing is
    known of it."""
    n = case["merge"] ** 2
    weight = w[prefix + "weight"].reshape(n, K, D)
    knows = case["image_last"] and prefix == "predict_future."
    if knows and last is not None:
        block = w["image_codes.codebook"][torch.from_numpy(last)]
        h = h + w[prefix + "last.weight"] @ block.reshape(-1)
    if n == 1 and not knows:
        logits = (weight[0] @ h)[None]
    else:
        v = w["image_codes.codebook"][torch.from_numpy(code[:-1])]
        x = h[None]
        if n > 1:
            e = w[prefix + "code.weight"].reshape(n - 1, D, DC)
            e = torch.einsum("ndc,nc->nd", e, v) + w[prefix + "code.bias"].reshape(n - 1, D)
            x = h + torch.tril(torch.ones(n, n - 1, dtype=h.dtype), -1) @ e
        u = x = F.layer_norm(x, (D,), w[prefix + "norm.weight"], w[prefix + "norm.bias"], eps=1e-5)
        y = F.gelu(F.linear(x, w[prefix + "fc1.weight"], w[prefix + "fc1.bias"]))
        x = x + F.linear(y, w[prefix + "fc2.weight"], w[prefix + "fc2.bias"])
        logits = torch.einsum("nkd,nd->nk", weight, x)
        if knows and last is not None:
            gate = (u * w[prefix + "copy.weight"]).sum(-1) + w[prefix + "copy.bias"]
            logits = logits + (gate + np.log(K))[:, None] * F.one_hot(torch.from_numpy(last).long(), K)
    logp = logits.log_softmax(-1)
    return [-logp[i, int(code[i])] for i in range(n)]


def image_terms(w, case, seq, hidden, k, prefix):
    merge, out = case["merge"], []
    for t in range(case["steps"]):
        for s in case["slots"]:
            if s["kind"] != "image" or not s["present"][t]:
                continue
            first, n = seq.at[t][s["name"]]
            code = blocks_of(s["data"][t], merge)
            known = case["linked"][t] and s["present"][t - 1]
            last = blocks_of(s["data"][t - 1], merge) if known else [None] * n
            for j in range(n):
                if k == 1:
                    if not follows(case, seq, t, first + j):
                        continue
                    read = first + j - 1
                else:
                    if t < k or not all(case["linked"][t - k + 1 : t + 1]) or not s["present"][t - k]:
                        continue
                    read = seq.at[t - k][s["name"]][0] + j
                out += block_terms(w, case, prefix, hidden[read], code[j], last[j])
    return out


def vector_terms(w, case, seq, hidden, logp):
    """Cross entropies of bins, or squared errors of standardized numbers."""
    out = []
    for t in range(case["steps"]):
        for s in case["slots"]:
            if s["kind"] != "vector" or s["side"] != "observed" or not s["present"][t]:
                continue
            first, n = seq.at[t][s["name"]]
            for j in range(n):
                if not follows(case, seq, t, first + j):
                    continue
                if case["vector_in"] == "bins":
                    out.append(-logp[first + j - 1, seq.ids[first + j]])
                    continue
                p = f"predict_vector.{TASK}.{s['name']}."
                y = F.linear(hidden[first - 1], w[p + "weight"], w[p + "bias"])
                z = (s["data"][t].astype(np.float64) - s["mean"]) / s["deviation"]
                out += list((y - torch.from_numpy(z).to(y.dtype)) ** 2)
    return out


def total(w, case, seq, hidden):
    """The loss of the case's weights, which are those of its `set`."""
    mean = lambda terms: torch.stack(terms).mean()
    logp = (hidden @ w["predict_token.weight"].T).log_softmax(-1)
    weight = case["weights"]
    loss = 0
    tokens = token_terms(case, seq, logp)
    if weight["action"] and tokens:
        loss = loss + weight["action"] * mean(tokens)
    if weight["action"] and case["action_kind"] == "mse":
        loss = loss + weight["action"] * mean(action_errors(w, case, seq, hidden))
    for i, k in enumerate(case["horizon"] if weight["image"] else []):
        terms = image_terms(w, case, seq, hidden, k, future_prefix(i, k))
        loss = loss + weight["image"] / len(case["horizon"]) * mean(terms)
    if weight["vector"]:
        loss = loss + weight["vector"] * mean(vector_terms(w, case, seq, hidden, logp))
    return loss


# ---- cases ---------------------------------------------------------------------------------------------------------


def slot(side, kind, name, data, label=None, missing=(), mean=None, deviation=None):
    data = np.asarray(data)
    steps = 64 if kind == "text" else len(data)
    return dict(
        side=side,
        kind=kind,
        name=name,
        data=data,
        label=data if label is None else np.asarray(label),
        present=[t not in missing for t in range(steps)],
        mean=mean,
        deviation=deviation,
    )


def numbers(name, shape, scale, is_observation):
    """Numbers of no edge of a bin."""
    x = (scale * uniform(name, shape)).astype(np.float32)
    demand_clear_bins(x, is_observation)
    return x


def case(slots, steps, seam=(), image=0.0, vector=0.0, action=1.0, horizon=(1,), **o):
    return dict(
        dict(merge=1, image_last=False, image_in="codes", vector_in="bins", patch_blocks=1, action_kind="ce"),
        slots=slots,
        steps=steps,
        linked=[t > 0 and t not in seam for t in range(steps)],
        weights=dict(image=image, vector=vector, action=action),
        horizon=list(horizon),
        **o,
    )


def make_cases():
    act = lambda n, steps: slot(
        "acted",
        "vector",
        "torque",
        numbers(f"torque{n}.{steps}", (steps, n), 0.9, False),
        numbers(f"clean{n}.{steps}", (steps, n), 0.9, False),
    )
    choice = slot("acted", "discrete", "choice", [[3], [1], [7]], [[3], [2], [7]])
    codes = lambda name, *shape: integers("slots." + name, shape, K)
    eight = [slot("observed", "image", "image", codes("eight", 8, 2, 2)), act(1, 8)]
    merged = [slot("observed", "image", "image", codes("merged", 3, 4, 4)), act(2, 3)]
    merged_eight = [slot("observed", "image", "image", codes("merged8", 8, 2, 4)), act(1, 8)]
    table = [slot("observed", "image", "image", codes("table", 3, 2, 3)), act(2, 3)]
    pixels = [
        slot("observed", "image", "image", np.stack([image(f"p{i}", 20, 36) for i in range(2)])),
        slot("acted", "discrete", "choice", [[3], [1]]),
    ]
    state = lambda **o: slot("observed", "vector", "state", numbers("state", (4, 3), 3, True), **o)
    gps = lambda **o: slot("observed", "vector", "gps", numbers("gps", (4, 2), 5, True), **o)
    stats = lambda n: dict(mean=uniform("mean", (n,)).astype(np.float32), deviation=(1.5 + uniform("dev", (n,))).astype(np.float32))
    grip = slot("acted", "vector", "grip", numbers("grip", (4, 1), 0.9, False), missing=(1,))
    cameras = [
        slot("observed", "image", "front", codes("front", 3, 4, 4)),
        slot("observed", "image", "wrist", codes("wrist", 3, 2, 2), missing=(1,)),
        slot("observed", "text", "mission", np.array(list("go".encode()) + [TEXT - 1])),
        slot("observed", "vector", "state", numbers("camstate", (3, 2), 2, True)),
        slot("observed", "discrete", "flags", integers("flags", (3, 2), 9), missing=(0,)),
        slot("observed", "discrete", "mode", integers("mode", (3, 1), 9)),
        act(2, 3),
        choice,
    ]
    return {
        "future_1": case(eight, 8, (2,), image=1.0, action=0.0),
        "future_5": case(eight, 8, (2,), image=1.0, action=0.0, horizon=(5,)),
        "future_1_5": case(eight, 8, (2,), image=0.5, horizon=(1, 5)),
        "future_merged": case(merged, 3, (1,), image=0.7, merge=2),
        "future_merged_1_5": case(merged_eight, 8, (1,), image=0.7, merge=2, horizon=(1, 5)),
        "last_1": case(eight, 8, (2,), image=0.5, horizon=(1, 5), image_last=True),
        "last_merged": case(cameras, 3, image=0.3, horizon=(1, 2), merge=2, image_last=True),
        "table": case(table, 3, image_in="table"),
        "both": case(table, 3, image_in="both"),
        "patches_0": case(pixels, 2, image_in="patches", patch_blocks=0),
        "patches_2": case(pixels, 2, image_in="patches", patch_blocks=2),
        "vectors_bins": case([state(), gps(missing=(2,)), act(2, 4)], 4, (3,), vector=0.5),
        "vectors_linear": case(
            [state(**stats(3)), gps(missing=(2,), **stats(2)), act(2, 4), grip],
            4,
            (3,),
            vector=0.5,
            vector_in="linear",
            action_kind="mse",
        ),
        "cameras": case(cameras, 3, image=0.3, horizon=(1, 2), merge=2),
    }


def extra_weights(case):
    """Tensors that the shared file lacks, and those of other sizes."""
    w, merge = {}, case["merge"]

    def linear(name, out, inp):
        w[name + ".weight"] = uniform(name + ".w", (out, inp)) * (3.0 / inp) ** 0.5
        w[name + ".bias"] = 0.2 * uniform(name + ".b", (out,))

    if case["image_in"] in ("table", "both"):
        w["embed_token.weight"] = normal("embed codes", (K, D))
        w["predict_token.weight"] = 0.5 * normal("predict codes", (K, D))
    if any(s["kind"] == "image" and s["data"].dtype != np.uint8 for s in case["slots"]) and merge != MERGE:
        linear("image_codes.proj", D, merge * merge * DC)
    if case["weights"]["image"]:
        for i, k in enumerate(case["horizon"]):
            p = future_prefix(i, k)
            w[p + "weight"] = uniform(p + "weight", (merge * merge * K, D))
            knows = case["image_last"] and k == 1
            if merge == 1 and not knows:
                continue
            if merge > 1:
                linear(p + "code", (merge * merge - 1) * D, DC)
            if knows:
                linear(p + "copy", merge * merge, D)
                w[p + "last.weight"] = uniform(p + "last", (D, merge * merge * DC))
            linear(p + "fc1", 2 * D, D)
            linear(p + "fc2", D, 2 * D)
            w[p + "norm.weight"] = 1 + 0.25 * uniform(p + "norm.w", (D,))
            w[p + "norm.bias"] = 0.2 * uniform(p + "norm.b", (D,))
    if case["patch_blocks"] == 2:
        p = "image_embedding.patch_embedding_2."
        w[p + "conv1.weight"] = uniform(p + "1", (MIDDLE, 3, 3, 3)) / 3**0.5
        w[p + "conv1.bias"] = 0.2 * uniform(p + "1b", (MIDDLE,))
        w[p + "gn2.weight"] = 1 + 0.25 * uniform(p + "g", (MIDDLE,))
        w[p + "gn2.bias"] = 0.2 * uniform(p + "gb", (MIDDLE,))
        w[p + "conv2.weight"] = uniform(p + "2", (3, MIDDLE, 3, 3)) / (9 * MIDDLE) ** 0.5
        w[p + "conv2.bias"] = 0.2 * uniform(p + "2b", (3,))
    acted = 0
    for s in case["slots"]:
        if s["kind"] != "vector":
            continue
        n = s["data"].shape[1]
        if s["side"] == "acted":
            acted += n
        elif case["vector_in"] == "linear":
            linear(f"vector_embedding.{TASK}.{s['name']}", D, n)
            if case["weights"]["vector"]:
                linear(f"predict_vector.{TASK}.{s['name']}", n, D)
    if case["action_kind"] == "mse":
        linear(f"predict_action.{TASK}", acted, D)
    return {k: v.astype(np.float16) for k, v in w.items()}


def all_weights(shared, extra, case):
    """Tables of codes are appended to those of the vocabulary."""
    w = dict(shared, **extra)
    if case["image_in"] in ("table", "both"):
        for k in ("embed_token.weight", "predict_token.weight"):
            w[k] = np.concatenate([shared[k], extra[k]])
    return w


KEPT = (
    "separator_token",
    "transformer.h.0.attn.c_attn.bias",
    "transformer.h.1.mlp.c_proj.bias",
    "transformer.ln_f.weight",
    "image_codes.",
    "image_embedding.patch_embedding.gn2.weight",
    "image_embedding.patch_embedding_2.conv2.bias",
    "image_embedding.patch_embedding_2.gn2.weight",
    "image_embedding.post_embedding_projection.bias",
    "predict_future",
    "predict_action",
    "predict_vector",
    "vector_embedding",
)
NOT_KEPT = ("image_codes.row", "image_codes.col", "image_codes.codebook")


def run(weights, case, dtype):
    w = as_torch(weights, dtype, True)
    seq = Sequence(w, case)
    hidden = transformer(w, seq.rows, np.array(seq.step))
    loss = total(w, case, seq, hidden)
    grads = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
    out = {"embeddings": seq.rows, "hidden": hidden, "loss": loss.reshape(1)}
    for k, g in zip(w, grads):
        if g is not None and k.startswith(KEPT) and not k.startswith(NOT_KEPT):
            out["grad/" + k] = g
    return {k: v.detach().numpy() for k, v in out.items()}, np.array(seq.ids), np.array(seq.mask, np.uint8)


def settings(case):
    """The configuration of the case, in the words of --set."""
    w = case["weights"]
    return " ".join(
        [
            f"model.merge={case['merge']}",
            f"model.image_in={case['image_in']}",
            f"model.vector_in={case['vector_in']}",
            f"model.patch_blocks={case['patch_blocks']}",
            f"loss.action_kind={case['action_kind']}",
            f"loss.action={w['action']:g}",
            f"loss.image={w['image']:g}",
            f"loss.vector={w['vector']:g}",
            "loss.horizon=[" + ",".join(map(str, case["horizon"])) + "]",
        ]
        + ["model.image_last=true"] * case["image_last"]
    )


def make_case(name, shared, case, out):
    extra = extra_weights(case)
    weights = all_weights(shared, extra, case)
    values, ids, mask = run(weights, case, torch.float32)
    wide, _, _ = run(weights, case, torch.float64)
    diff = max(largest_difference(values[k], wide[k]) for k in values)
    print(f"{name}: {len(ids)} tokens, loss {float(values['loss'][0]):.6f}, against float64 {diff:.2g}")
    demand(diff < 1e-5, f"{name}: float64 differs")
    tensors = {f"w.{k}": v for k, v in extra.items()}
    tensors.update(values, tokens=ids, target_mask=mask)
    text = []
    for s in case["slots"]:
        text.append(f"{s['side']} {s['kind']} {s['name']}")
        key = f"in.{s['name']}"
        tensors[key] = s["data"]
        if s["label"] is not s["data"]:
            tensors[f"label.{s['name']}"] = s["label"]
        if not all(s["present"]):
            tensors[f"present.{s['name']}"] = np.array(s["present"], np.uint8)
        if s["mean"] is not None:
            tensors[f"mean.{s['name']}"], tensors[f"deviation.{s['name']}"] = s["mean"], s["deviation"]
    meta = dict(
        slots=";".join(text),
        steps=str(case["steps"]),
        linked="".join(str(int(v)) for v in case["linked"]),
        set=settings(case),
    )
    st.save(os.path.join(out, f"slots_{name}.safetensors"), tensors, meta)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "gato")
    shared = make_weights()
    for name, c in make_cases().items():
        make_case(name, shared, c, out)


if __name__ == "__main__":
    main()

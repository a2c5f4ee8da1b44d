#!/usr/bin/env python3
"""seed_net.py - a small SEED tokenizer in the files that its authors publish: weights that are a function of their names
alone, so that they need not be stored. Numpy only.

    seed_net.py OUT [--type F16] [--head down|reverse|none] [--no-reconstruct] [--whole] [--one] [--spoil WHAT=TENSOR]...

Writes OUT/vit.safetensors (names without "visual_encoder."), OUT/quantizer.safetensors and OUT/config.json (what shapes do
not say). --whole: the ViT has one more block and a final norm. --one: all in quantizer.safetensors. --spoil changes one
tensor, by its published name: drop, add, nan, row (its last row is cut off).
"""

import argparse
import json
import os

import numpy as np

from common import normal, st

IMAGE, PATCH, E, BLOCKS, V_HEADS, V_MLP = 35, 7, 33, 3, 3, 50
D, LAYERS, HEADS, MLP, QUERIES = 20, 3, 4, 36, 9
CODES, CODE_WIDTH, EMBEDDING = 197, 5, 11
DECODE, DECODE_MLP, RECONSTRUCT, RECONSTRUCT_MLP = 2, 40, 1, 28
REVERSE, REVERSE_MLP, DOWN = 3, 24, (12, 8, 6)
CONFIG = {"vision_heads": V_HEADS, "heads": HEADS, "causal": True}
CENTER = np.array([0.4, 1.25, 0.65, -1.6, -1.2])  # about where the encoder's vectors lie, so that many codes are used
VISION = "visual_encoder."


def linear(name, out, inner, bias=True):
    yield f"{name}.weight", (out, inner)
    if bias:
        yield f"{name}.bias", (out,)


def norm(name, width):
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def vit_block(name, width, mlp, eva):
    yield from norm(f"{name}.norm1", width)
    if eva:
        yield f"{name}.attn.q_bias", (width,)
        yield f"{name}.attn.v_bias", (width,)
    yield from linear(f"{name}.attn.qkv", 3 * width, width, not eva)
    yield from linear(f"{name}.attn.proj", width, width)
    yield from norm(f"{name}.norm2", width)
    yield from linear(f"{name}.mlp.fc1", mlp, width)
    yield from linear(f"{name}.mlp.fc2", width, mlp)


def qformer(name, layers, memory, mlp):
    yield from norm(f"{name}.embeddings.LayerNorm", D)
    for i in range(layers):
        for kind, width in (("attention", D), ("crossattention", memory)):
            at = f"{name}.encoder.layer.{i}.{kind}"
            if kind == "crossattention" and i % 2:
                continue
            yield from linear(f"{at}.self.query", D, D)
            yield from linear(f"{at}.self.key", D, width)
            yield from linear(f"{at}.self.value", D, width)
            yield from linear(f"{at}.output.dense", D, D)
            yield from norm(f"{at}.output.LayerNorm", D)
        at = f"{name}.encoder.layer.{i}"
        yield from linear(f"{at}.intermediate_query.dense", mlp, D)
        yield from linear(f"{at}.output_query.dense", D, mlp)
        yield from norm(f"{at}.output_query.LayerNorm", D)


def shapes(head="down", reconstruct=True, blocks=BLOCKS):
    """(published name, shape) of every tensor."""
    yield "visual_encoder.cls_token", (1, 1, E)
    yield "visual_encoder.pos_embed", (1, (IMAGE // PATCH) ** 2 + 1, E)
    yield "visual_encoder.patch_embed.proj.weight", (E, 3, PATCH, PATCH)
    yield "visual_encoder.patch_embed.proj.bias", (E,)
    for i in range(blocks):
        yield from vit_block(f"visual_encoder.blocks.{i}", E, V_MLP, True)
    yield from norm("ln_vision", E)
    yield "query_tokens", (1, QUERIES, D)
    yield from qformer("Qformer.bert", LAYERS, E, MLP)
    yield "Qformer.bert.embeddings.position_ids", (1, 16)
    yield from linear("encode_task_layer.0", D, D)
    yield from linear("encode_task_layer.2", CODE_WIDTH, D)
    yield "quantize.embedding.weight", (CODES, CODE_WIDTH)
    yield from linear("decode_task_layer.0", CODE_WIDTH, CODE_WIDTH)
    yield from linear("decode_task_layer.2", D, CODE_WIDTH)
    yield "pos_embed_image", (1, QUERIES, D)
    for i in range(DECODE):
        yield from vit_block(f"blocks_image.{i}", D, DECODE_MLP, False)
    if reconstruct:
        yield "pos_embed", (1, QUERIES, D)
        for i in range(RECONSTRUCT):
            yield from vit_block(f"blocks.{i}", D, RECONSTRUCT_MLP, False)
    if head == "down":
        width = D
        for i, out in enumerate(DOWN):
            yield from linear(f"image_down.{2 * i}", out, width, False)
            width = out
        yield from linear("distill_image_proj", EMBEDDING, QUERIES * width)
    elif head == "reverse":
        yield "reverse_tokens", (1, 1, D)
        yield from qformer("Reverse_Qformer.bert", REVERSE, D, REVERSE_MLP)
        yield from linear("distill_image_proj", EMBEDDING, D)


def numbers(name, shape):
    """Of a size at which every part of the network matters."""
    if name.endswith("position_ids"):
        return np.arange(shape[1], dtype=np.int64)[None]
    x = normal(name, shape)
    if "norm" in name.lower() or name.startswith("ln_"):
        return x * 0.2 + (1 if name.endswith("weight") else 0)
    if len(shape) == 1:
        return x * 0.2
    if len(shape) == 3:
        return x
    if name.startswith("quantize"):
        return x * 0.35 + CENTER
    # What is added to the residual stream is small, or all queries become alike.
    small = name.endswith((".attention.output.dense.weight", "output_query.dense.weight", "proj.weight", "fc2.weight"))
    return x * (0.2 if small else 1.4) / np.sqrt(np.prod(shape[1:]))


def weights(head="down", reconstruct=True, dtype=np.float32, blocks=BLOCKS):
    """{published name: array}"""
    made = {name: numbers(name, shape) for name, shape in shapes(head, reconstruct, blocks)}
    return {k: v if v.dtype == np.int64 else v.astype(dtype) for k, v in made.items()}


def spoil(tensors, what, name):
    if what == "drop":
        del tensors[name]
    elif what == "add":
        tensors[name] = np.ones((2, 3), np.float32)
    elif what == "nan":
        tensors[name] = tensors[name].copy()
        tensors[name].flat[tensors[name].size // 2] = np.nan
    elif what == "row":
        tensors[name] = tensors[name][:-1]
    else:
        raise SystemExit(f"seed_net: --spoil {what}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--type", default="F32", choices=("F32", "F16"))
    p.add_argument("--head", default="down")
    p.add_argument("--no-reconstruct", action="store_true")
    p.add_argument("--whole", action="store_true")
    p.add_argument("--one", action="store_true")
    p.add_argument("--spoil", action="append", default=[])
    a = p.parse_args()
    dtype = np.float32 if a.type == "F32" else np.float16
    tensors = weights(a.head, not a.no_reconstruct, dtype, BLOCKS + a.whole)
    for s in a.spoil:
        spoil(tensors, *s.split("=", 1))
    os.makedirs(a.out, exist_ok=True)
    vit = {} if a.one else {k[len(VISION) :]: v for k, v in tensors.items() if k.startswith(VISION)}
    if a.whole:
        vit.update({"norm.weight": np.ones(E, dtype), "norm.bias": np.zeros(E, dtype)})
    if vit:
        st.save(os.path.join(a.out, "vit.safetensors"), vit)
    rest = {k: v for k, v in tensors.items() if a.one or not k.startswith(VISION)}
    st.save(os.path.join(a.out, "quantizer.safetensors"), rest)
    with open(os.path.join(a.out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(CONFIG, f)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""taming_net.py - a small VQGAN as taming-transformers would save it: its configuration, and weights that are a function
of their names alone, so that they need not be stored. Numpy only.

    taming_net.py OUT [--type F16] [--spoil WHAT=TENSOR]...

Writes OUT/weights.safetensors (with tensors of training beside the network's), OUT/config.json (taming's YAML as JSON),
OUT/map.txt (taming name, shape, diffusers name, shape; separated by tabs). --spoil changes one tensor of the file:
drop, add, nan, row (its last row is cut off), transpose, square (as [O,I]), ints. diffusers=1: names, shapes and
configuration as diffusers has them, diffusers=old: with attention named as its older files do.
"""

import argparse
import json
import os
import re
import struct

import numpy as np

from common import normal, uniform

CONFIG = {
    "model": {
        "base_learning_rate": 4.5e-6,
        "target": "taming.models.vqgan.VQModel",
        "params": {
            "embed_dim": 8,
            "n_embed": 48,
            "ddconfig": {
                "double_z": False,
                "z_channels": 16,
                "resolution": 64,
                "in_channels": 3,
                "out_ch": 3,
                "ch": 32,
                "ch_mult": [1, 1, 2],
                "num_res_blocks": 1,
                "attn_resolutions": [16],
                "dropout": 0.1,
            },
            "lossconfig": {"target": "taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator",
                           "params": {"disc_start": 10000, "codebook_weight": 1.0}},
        },
    },
    "data": {"params": {"batch_size": 5}},
}
DIFFUSERS = {
    "_class_name": "VQModel", "_diffusers_version": "0.30.0", "act_fn": "silu", "block_out_channels": [32, 32, 64],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"], "in_channels": 3,
    "latent_channels": 16, "layers_per_block": 1, "num_vq_embeddings": 48, "out_channels": 3, "sample_size": 64,
    "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"], "vq_embed_dim": 8,
}
# What a checkpoint holds beside the network.
TRAINING = {
    "loss.perceptual_loss.scaling_layer.shift": (1, 3, 1, 1),
    "loss.perceptual_loss.lin0.model.1.weight": (1, 64, 1, 1),
    "loss.discriminator.main.0.weight": (4, 3, 4, 4),
    "loss.discriminator.main.3.num_batches_tracked": (),
    "model_ema.encoderconv_inweight": (32, 3, 3, 3),
}


def shapes():
    """{taming name: shape}, from the configuration."""
    p = CONFIG["model"]["params"]
    d = p["ddconfig"]
    ch, z, out = [d["ch"] * m for m in d["ch_mult"]], d["z_channels"], {}

    def conv(name, i, o, k):
        out[name + ".weight"], out[name + ".bias"] = (o, i, k, k), (o,)

    def norm(name, c):
        out[name + ".weight"] = out[name + ".bias"] = (c,)

    def block(name, i, o):
        norm(name + ".norm1", i)
        conv(name + ".conv1", i, o, 3)
        norm(name + ".norm2", o)
        conv(name + ".conv2", o, o, 3)
        if i != o:
            conv(name + ".nin_shortcut", i, o, 1)

    def attention(name, c):
        norm(name + ".norm", c)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{name}.{part}", c, c, 1)

    def middle(name, c):
        block(name + ".mid.block_1", c, c)
        attention(name + ".mid.attn_1", c)
        block(name + ".mid.block_2", c, c)

    def level(name, i, at, width, blocks):
        for j in range(blocks):
            block(f"{name}.block.{j}", width, ch[at])
            width = ch[at]
            if d["resolution"] // 2**at in d["attn_resolutions"]:
                attention(f"{name}.attn.{j}", width)
        return width

    conv("encoder.conv_in", d["in_channels"], ch[0], 3)
    width = ch[0]
    for i in range(len(ch)):
        width = level(f"encoder.down.{i}", i, i, width, d["num_res_blocks"])
        if i + 1 < len(ch):
            conv(f"encoder.down.{i}.downsample.conv", width, width, 3)
    middle("encoder", width)
    norm("encoder.norm_out", width)
    conv("encoder.conv_out", width, z, 3)
    conv("decoder.conv_in", z, width, 3)
    middle("decoder", width)
    for i in reversed(range(len(ch))):
        width = level(f"decoder.up.{i}", i, i, width, d["num_res_blocks"] + 1)
        if i:
            conv(f"decoder.up.{i}.upsample.conv", width, width, 3)
    norm("decoder.norm_out", width)
    conv("decoder.conv_out", width, d["out_ch"], 3)
    out["quantize.embedding.weight"] = (p["n_embed"], p["embed_dim"])
    conv("quant_conv", z, p["embed_dim"], 1)
    conv("post_quant_conv", p["embed_dim"], z, 1)
    return out


def weights(seed=4):
    """{taming name: float16 array}"""
    out = {}
    for name, shape in shapes().items():
        if name == "quantize.embedding.weight":
            a = 0.8 * normal(name, shape, seed)
        elif len(shape) > 1:
            a = uniform(name, shape, seed) * np.sqrt(3.0 / np.prod(shape[1:])) * (3 if name.startswith("quant_") else 1)
        elif "norm" in name and name.endswith("weight"):
            a = 1 + 0.25 * uniform(name, shape, seed)
        else:
            a = 0.2 * uniform(name, shape, seed)
        out[name] = a.astype(np.float16)
    return out


def diffusers_name(name):
    """By textual replacement, as conversion scripts do it."""
    levels = len(CONFIG["model"]["params"]["ddconfig"]["ch_mult"])
    name = re.sub(r"decoder\.up\.(\d+)\.", lambda m: f"decoder.up_blocks.{levels - 1 - int(m[1])}.", name)
    name = re.sub(r"encoder\.down\.(\d+)\.", r"encoder.down_blocks.\1.", name)
    name = re.sub(r"mid\.block_(\d)\.", lambda m: f"mid_block.resnets.{int(m[1]) - 1}.", name)
    name = name.replace("mid.attn_1.", "mid_block.attentions.0.").replace("nin_shortcut", "conv_shortcut")
    name = re.sub(r"\.block\.(\d+)\.", r".resnets.\1.", name)
    name = re.sub(r"\.attn\.(\d+)\.", r".attentions.\1.", name)
    name = name.replace(".downsample.", ".downsamplers.0.").replace(".upsample.", ".upsamplers.0.")
    if ".attentions." in name:
        name = name.replace(".norm.", ".group_norm.").replace(".proj_out.", ".to_out.0.")
        name = re.sub(r"\.([qkv])\.", r".to_\1.", name)
    return name.replace("coder.norm_out", "coder.conv_norm_out")


def old_name(name):
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        name = name.replace(f".{new}.", f".{old}.")
    return name


def diffusers_shape(name, shape):
    linear = re.search(r"\.attentions\.\d+\.to_.*weight$", name)
    return shape[:2] if linear else shape


def encode(a, kind):
    """The file's bytes of a tensor and its type's name."""
    a = np.asarray(a)
    if a.dtype.kind == "i":
        return "I64", a.astype("<i8").tobytes()
    if kind == "BF16":  # cut off: the test compares with what the bits say
        return kind, (a.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return kind, a.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[kind]).tobytes()


def save(path, tensors, kind):
    header, data = {}, b""
    for name, a in tensors.items():
        dtype, part = encode(a, kind)
        header[name] = {"dtype": dtype, "shape": list(np.shape(a)), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def spoil(tensors, what, name):
    if what == "diffusers":
        rename = old_name if name == "old" else (lambda n: n)
        tensors = {diffusers_name(n): a for n, a in tensors.items() if n not in TRAINING}
        return {rename(n): a if name == "old" else a.reshape(diffusers_shape(n, a.shape)) for n, a in tensors.items()}
    if what == "add":
        return {**tensors, name: np.zeros(3, np.float32)}
    a = tensors[name].astype(np.float32)
    if what == "drop":
        return {n: b for n, b in tensors.items() if n != name}
    if what == "nan":
        a.reshape(-1)[-1] = np.nan
    elif what == "row":
        a = a[:-1]
    elif what == "transpose":
        a = a.swapaxes(0, 1)
    elif what == "square":
        a = a.reshape(a.shape[:2])
    elif what == "ints":
        a = a.astype(np.int64)
    return {**tensors, name: a}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--type", choices=["F16", "BF16", "F32", "F64"], default="F16")
    p.add_argument("--spoil", action="append", default=[], metavar="WHAT=TENSOR")
    o = p.parse_args()
    os.makedirs(o.out, exist_ok=True)
    tensors = weights()
    for name, shape in TRAINING.items():
        tensors[name] = np.zeros(shape, np.float16 if shape else np.int64)
    config = CONFIG
    for change in o.spoil:
        what, name = change.split("=", 1)
        tensors = spoil(tensors, what, name)
        config = DIFFUSERS if what == "diffusers" else config
    save(os.path.join(o.out, "weights.safetensors"), tensors, o.type)
    with open(os.path.join(o.out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=1)
    with open(os.path.join(o.out, "map.txt"), "w", encoding="utf-8") as f:
        for name, shape in shapes().items():
            new = diffusers_name(name)
            print(name, list(shape), new, list(diffusers_shape(new, shape)), sep="\t", file=f)


if __name__ == "__main__":
    main()

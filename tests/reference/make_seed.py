#!/usr/bin/env python3
"""make_seed.py - reference values of the SEED tokenizer of seed_net.py, in plain PyTorch, written from the paper's published
architecture and apart from our C code. README.md says what every file and tensor is.

    make_seed.py [OUT]        (OUT: this folder)

Needs torch and Pillow (made with torch 2.15 and Pillow 13.0), one thread. Everything is computed in float32 and again in
float64; the script refuses values that differ by more than the README promises, and codes that are nearly a tie.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import seed_net as net
from common import HERE, demand, largest_difference, st

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Seed:
    def __init__(self, weights, head, causal, dtype):
        self.w = {k: torch.tensor(v).to(dtype) for k, v in weights.items() if v.dtype != np.int64}
        self.head, self.causal, self.dtype, self.out = head, causal, dtype, {}

    def linear(self, x, name):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, x, name, eps):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def attention(self, q, k, v, heads, causal):
        n, tq, d = q.shape
        q, k, v = (a.reshape(n, -1, heads, d // heads).transpose(1, 2) for a in (q, k, v))
        s = q @ k.transpose(-1, -2) / (d // heads) ** 0.5
        if causal:
            s = s + torch.triu(torch.full((tq, tq), -10000.0, dtype=self.dtype), 1)
        return (s.softmax(-1) @ v).transpose(1, 2).reshape(n, tq, d)

    def vit_block(self, x, name, heads):
        h = self.norm(x, f"{name}.norm1", 1e-6)
        bias = self.w.get(f"{name}.attn.qkv.bias")
        if bias is None:
            q, v = self.w[f"{name}.attn.q_bias"], self.w[f"{name}.attn.v_bias"]
            bias = torch.cat([q, torch.zeros_like(v), v])
        qkv = F.linear(h, self.w[f"{name}.attn.qkv.weight"], bias)
        x = x + self.linear(self.attention(*qkv.chunk(3, -1), heads, False), f"{name}.attn.proj")
        h = F.gelu(self.linear(self.norm(x, f"{name}.norm2", 1e-6), f"{name}.mlp.fc1"))
        return x + self.linear(h, f"{name}.mlp.fc2")

    def qformer(self, x, memory, name, layers, causal, keep):
        x = self.norm(x, f"{name}.embeddings.LayerNorm", 1e-12)
        for i in range(layers):
            at = f"{name}.encoder.layer.{i}"
            for kind, read in (("attention", None), ("crossattention", memory)):
                if kind == "crossattention" and i % 2:
                    continue
                read = x if read is None else read
                q = self.linear(x, f"{at}.{kind}.self.query")
                k = self.linear(read, f"{at}.{kind}.self.key")
                v = self.linear(read, f"{at}.{kind}.self.value")
                h = self.attention(q, k, v, net.HEADS, causal and kind == "attention")
                x = self.norm(x + self.linear(h, f"{at}.{kind}.output.dense"), f"{at}.{kind}.output.LayerNorm", 1e-12)
            h = self.linear(F.gelu(self.linear(x, f"{at}.intermediate_query.dense")), f"{at}.output_query.dense")
            x = self.norm(x + h, f"{at}.output_query.LayerNorm", 1e-12)
            if keep:
                self.out[at] = x
        return x

    def task(self, x, name):
        return self.linear(torch.tanh(self.linear(x, f"{name}.0")), f"{name}.2")

    def run(self, pixels):
        w, out, n = self.w, self.out, len(pixels)
        x = F.conv2d(pixels, w["visual_encoder.patch_embed.proj.weight"], w["visual_encoder.patch_embed.proj.bias"],
                     stride=net.PATCH)
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([w["visual_encoder.cls_token"].expand(n, -1, -1), x], 1) + w["visual_encoder.pos_embed"]
        for i in range(net.BLOCKS):
            x = out[f"visual_encoder.blocks.{i}"] = self.vit_block(x, f"visual_encoder.blocks.{i}", net.V_HEADS)
        x = out["ln_vision"] = self.norm(x, "ln_vision", 1e-5)
        x = self.qformer(w["query_tokens"].expand(n, -1, -1), x, "Qformer.bert", net.LAYERS, self.causal, True)
        x = out["prequant"] = self.task(x, "encode_task_layer")
        book = w["quantize.embedding.weight"]
        d = ((x[:, :, None] - book) ** 2).sum(-1)
        out["indices"] = d.argmin(-1)
        near = d.sort(-1).values
        self.gap = ((near[..., 1] - near[..., 0]) / near[..., 0]).min().item()
        x = out["quantized"] = book[out["indices"]]
        x = up = out["decode_task_layer"] = self.task(x, "decode_task_layer")
        x = x + w["pos_embed_image"]
        for i in range(net.DECODE):
            x = out[f"blocks_image.{i}"] = self.vit_block(x, f"blocks_image.{i}", net.HEADS)
        if self.head == "down":
            for i in range(3):
                x = self.linear(F.relu(x) if i else x, f"image_down.{2 * i}")
            x = x.reshape(n, -1)
        elif self.head == "reverse":
            x = self.qformer(w["reverse_tokens"].expand(n, -1, -1), x, "Reverse_Qformer.bert", net.REVERSE, False, False)
            x = x[:, 0]
        if self.head != "none":
            out["embedding"] = self.linear(x, "distill_image_proj")
        if "pos_embed" in w:
            x = up + w["pos_embed"]
            for i in range(net.RECONSTRUCT):
                x = self.vit_block(x, f"blocks.{i}", net.HEADS)
            out["reconstructed"] = x
        return out


def case(files, head, reconstruct, causal, dtype, only=None):
    weights = net.weights(head, reconstruct, dtype)
    resized = [np.asarray(Image.open(os.path.join(HERE, f)).convert("RGB").resize((net.IMAGE,) * 2, Image.BICUBIC))
               for f in files]
    results = []
    for precision in (torch.float32, torch.float64):
        mean, std = (torch.tensor(v, dtype=precision)[:, None, None] for v in (MEAN, STD))
        x = torch.tensor(np.stack(resized)).permute(0, 3, 1, 2).to(precision) / 255
        seed = Seed(weights, head, causal, precision)
        with torch.no_grad():
            results.append({k: v.numpy() for k, v in seed.run((x - mean) / std).items()})
        demand(seed.gap > 1e-3, f"a code is nearly a tie: {seed.gap}")
    single, double = results
    worst = max(largest_difference(single[k], double[k]) for k in single)
    demand(np.array_equal(single["indices"], double["indices"]) and worst < 2e-5, f"float32 is off by {worst}")
    used = len(np.unique(double["indices"]))
    print(f"{head}: {used} codes used, smallest gap {seed.gap:.2g}, float32 within {worst:.2g} of float64")
    demand(used > 8, "too few codes tell nothing")
    keep = {k: v if v.dtype == np.int64 else v.astype(np.float32) for k, v in double.items() if not only or k in only}
    return {**keep, "resized": np.stack(resized)}


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    torch.set_num_threads(1)
    files = ("image2_24x40.png", "image3_32x48.png")
    st.save(os.path.join(out, "seed_down.safetensors"), case(files, "down", True, True, np.float32))
    few = ("prequant", "indices", "embedding")
    reverse = case(files[1:], "reverse", False, False, np.float16, few)
    image = Image.open(os.path.join(HERE, files[1])).convert("RGB")
    for w, h in ((5, 9), (48, 3), (101, 32), (1, 1), (7, 64)):
        reverse[f"bicubic_{w}x{h}"] = np.asarray(image.resize((w, h), Image.BICUBIC))
    st.save(os.path.join(out, "seed_reverse.safetensors"), reverse)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""make_causal.py - reference values of a small causal1d tokenizer, computed by PyTorch. README.md says what every file
and tensor is.

    make_causal.py [OUT]        (OUT: this folder)

Needs torch alone (made with torch 2.15), one thread. The graph is written here from its description
(common/model/kind_causal1d.c), over torch's own functions; everything is computed in float32 and again in float64, and
the script fails when they differ too much or when a code is nearly a tie.
"""

import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from common import HERE, demand, image, largest_difference, normal, st

torch.set_num_threads(1)

CHANNELS, LATENT, D, K, GROUPS = [4, 6], 5, 4, 32, 2
Q, W, HEADS, ENCODER, DECODER, ROWS, COLUMNS = 6, 12, 3, 3, 2, 6, 8
KEPT = 2
CONFIG = {
    "_class_name": "VQModelCausal1D",
    "block_out_channels": CHANNELS,
    "causal": True,
    "decoder_layers": DECODER,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "encoder_layers": ENCODER,
    "feature_size": [ROWS, COLUMNS],
    "heads": HEADS,
    "latent_channels": LATENT,
    "layers_per_block": 1,
    "mid_block_add_attention": False,
    "norm_num_groups": GROUPS,
    "num_vq_embeddings": K,
    "queries": Q,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "vq_embed_dim": D,
    "width": W,
}


class Net:
    """Weights are made when a name is first asked for."""

    def __init__(self, dtype):
        self.dtype, self.made = dtype, {}

    def get(self, name, shape, scale, offset=0.0):
        if name not in self.made:
            self.made[name] = (offset + scale * normal("causal1d." + name, shape)).astype(np.float32)
        return torch.from_numpy(self.made[name]).to(self.dtype)

    def conv(self, name, x, out, k=3, **o):
        c = x.shape[1]
        return F.conv2d(x, self.get(name + ".weight", (out, c, k, k), (c * k * k) ** -0.5), self.get(name + ".bias", (out,), 0.1), **o)

    def norm(self, name, x, layer=False):
        c = x.shape[-1 if layer else 1]
        w, b = self.get(name + ".weight", (c,), 0.2, 1.0), self.get(name + ".bias", (c,), 0.1)
        return F.layer_norm(x, (c,), w, b, 1e-5) if layer else F.group_norm(x, GROUPS, w, b, 1e-6)

    def linear(self, name, x, out, bias=True):
        w = self.get(name + ".weight", (out, x.shape[-1]), x.shape[-1] ** -0.5)
        return F.linear(x, w, self.get(name + ".bias", (out,), 0.1) if bias else None)

    def resnet(self, name, x, out):
        h = self.conv(name + ".conv1", F.silu(self.norm(name + ".norm1", x)), out, padding=1)
        h = self.conv(name + ".conv2", F.silu(self.norm(name + ".norm2", h)), out, padding=1)
        return h + (x if x.shape[1] == out else self.conv(name + ".conv_shortcut", x, out, 1))

    def middle(self, name, x):
        for j in range(2):
            x = self.resnet(f"{name}.mid_block.resnets.{j}", x, x.shape[1])
        return x

    def last(self, name, x, out):
        return self.conv(name + ".conv_out", F.silu(self.norm(name + ".conv_norm_out", x)), out, padding=1)

    def attention(self, name, x, context, causal=False):
        split = lambda y: y.reshape(*y.shape[:2], HEADS, W // HEADS).transpose(1, 2)
        q, k, v = (split(self.linear(f"{name}.to_{p}", y, W, False)) for p, y in zip("qkv", (x, context, context)))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.linear(name + ".to_out.0", y.transpose(1, 2).reshape(x.shape), W)

    def block(self, name, x, context=None, mine=True, causal=False):
        if mine:
            h = self.norm(name + ".norm1", x, True)
            x = x + self.attention(name + ".attn1", h, h, causal)
        if context is not None:
            x = x + self.attention(name + ".attn2", self.norm(name + ".norm2", x, True), context)
        h = self.linear(name + ".ff.net.0.proj", self.norm(name + ".norm3", x, True), 4 * W)
        return x + self.linear(name + ".ff.net.2", F.gelu(h), W)

    def tanh(self, name, x, inner, out):
        return self.linear(name + ".2", torch.tanh(self.linear(name + ".0", x, inner)), out)

    def features(self, x):
        x = self.conv("encoder.conv_in", x, CHANNELS[0], padding=1)
        for i, c in enumerate(CHANNELS):
            x = self.resnet(f"encoder.down_blocks.{i}.resnets.0", x, c)
            if i + 1 < len(CHANNELS):
                x = self.conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", F.pad(x, (0, 1, 0, 1)), c, stride=2)
        return self.last("encoder", self.middle("encoder", x), LATENT)

    def encode(self, features):
        n = len(features)
        context = self.linear("encoder.context", features.flatten(2).transpose(1, 2), W)
        context = self.norm("encoder.context_norm", context + self.get("encoder.positions", (ROWS * COLUMNS, W), 0.5), True)
        x = self.get("encoder.queries", (Q, W), 1.0).expand(n, Q, W)
        for i in range(ENCODER):
            x = self.block(f"encoder.blocks.{i}", x, None if i % 2 else context, causal=True)
        return self.tanh("encoder.to_code", self.norm("encoder.norm", x, True), W, D)

    def quantize(self, z):
        """Nearest rows [n,Q,D], their ids [n,Q], and the smallest relative gap to the second nearest."""
        book = self.get("quantize.embedding.weight", (K, D), 0.4)
        d = ((z[:, :, None] - book) ** 2).sum(-1)
        two, nearest = d.topk(2, dim=2, largest=False)
        return book[nearest[..., 0]], nearest[..., 0], float(((two[..., 1] - two[..., 0]) / two[..., 1]).min())

    def decode(self, codes, keep=Q):
        n = len(codes)
        h = self.tanh("decoder.from_code", codes, W, W)
        mask = self.get("decoder.mask_token", (1, W), 1.0).expand(n, Q, W)
        h = torch.where((torch.arange(Q) < keep)[None, :, None], h, mask) + self.get("decoder.positions", (Q, W), 0.5)
        for i in range(DECODER):
            h = self.block(f"decoder.blocks.{i}", h)
        h = self.norm("decoder.norm", h, True)
        y = self.get("decoder.grid_tokens", (ROWS * COLUMNS, W), 1.0).expand(n, ROWS * COLUMNS, W)
        for i in range(DECODER):
            y = self.block(f"decoder.grid_blocks.{i}", y, h, mine=False)
        x = self.linear("decoder.to_features", self.norm("decoder.grid_norm", y, True), LATENT)
        x = self.conv("decoder.conv_in", x.transpose(1, 2).reshape(n, LATENT, ROWS, COLUMNS), CHANNELS[-1], padding=1)
        x = self.middle("decoder", x)
        for i, c in enumerate(reversed(CHANNELS)):
            for j in range(2):
                x = self.resnet(f"decoder.up_blocks.{i}.resnets.{j}", x, c)
            if i + 1 < len(CHANNELS):
                x = self.conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", F.interpolate(x, scale_factor=2.0), c, padding=1)
        return self.last("decoder", x, 3)


def forward(dtype, images):
    net = Net(dtype)
    x = torch.from_numpy((np.stack(images).astype(np.float64) / 127.5 - 1).astype(np.float32)).to(dtype)
    with torch.no_grad():
        out = {"encoder_out": net.features(x.permute(0, 3, 1, 2))}
        z = net.encode(out["encoder_out"])
        codes, ids, gap = net.quantize(z)
        out["prequant"] = z.transpose(1, 2)[:, :, None]
        out["indices"] = ids[:, None]
        out["decoder_out"] = net.decode(codes)
        out["decoder_out_kept"] = net.decode(codes, KEPT)
    return {k: v.contiguous().numpy() for k, v in out.items()}, net.made, gap


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    images = [image(f"causal{i}", 2 * ROWS, 2 * COLUMNS) for i in range(2)]
    single, weights, gap = forward(torch.float32, images)
    double, _, _ = forward(torch.float64, images)
    demand(gap > 1e-3, f"a code is nearly a tie ({gap})")
    demand(np.array_equal(single["indices"], double["indices"]), "codes differ in float64")
    for k in single:
        demand(largest_difference(single[k], double[k]) < 1e-5, f"{k} is not stable")
    demand(len(np.unique(single["indices"])) > 4, "few codes")
    demand(largest_difference(single["decoder_out"], single["decoder_out_kept"]) > 0.05, "keeping all or some is the same")
    folder = os.path.join(out, "causal1d")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(CONFIG, f, indent=1)
        f.write("\n")
    st.save(os.path.join(folder, "diffusion_pytorch_model.safetensors"), weights)
    trace = {k: v.astype(np.int64 if k == "indices" else np.float32) for k, v in double.items()}
    trace["images"] = np.stack(images).astype(np.int64)
    st.save(os.path.join(out, "causal1d_trace.safetensors"), trace)


main()

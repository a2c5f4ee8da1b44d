#!/usr/bin/env python3
"""make_taming.py - reference values of the VQGAN of taming_net.py, in plain PyTorch under taming's names. README.md says
what every file and tensor is.

    make_taming.py [OUT]        (OUT: this folder)

Needs torch alone, one thread. Every result is computed in float32 and again in float64; the script fails when they
differ by more than the tolerances the README promises, or when a code is nearly a tie.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from common import HERE, demand, largest_difference, image, st, write_png
from taming_net import CONFIG, weights

torch.set_num_threads(1)
PARAMS = CONFIG["model"]["params"]
DD = PARAMS["ddconfig"]
# Gradients and parameters are stored whole for these, as norms for all: files stay small. Attention's weights and every
# other gradient whole: the training of make_vq.py.
FEW = (
    "encoder.conv_in.weight",
    "encoder.down.1.downsample.conv.bias",
    "encoder.down.2.block.0.nin_shortcut.weight",
    "encoder.down.2.attn.0.norm.weight",
    "encoder.mid.attn_1.v.bias",
    "encoder.conv_out.bias",
    "quant_conv.weight",
    "quant_conv.bias",
    "quantize.embedding.weight",
    "post_quant_conv.weight",
    "decoder.mid.attn_1.proj_out.bias",
    "decoder.up.1.block.0.nin_shortcut.bias",
    "decoder.up.2.upsample.conv.bias",
    "decoder.up.0.block.1.norm2.weight",
    "decoder.conv_out.weight",
    "decoder.conv_out.bias",
)


class Net:
    """The graph as functions over {taming name: tensor}."""

    def __init__(self, w):
        self.w = w

    def conv(self, name, x, **k):
        return F.conv2d(x, self.w[name + ".weight"], self.w[name + ".bias"], **k)

    def norm(self, name, x):
        return F.group_norm(x, 32, self.w[name + ".weight"], self.w[name + ".bias"], 1e-6)

    def act(self, name, x):
        x = self.norm(name, x)
        return x * torch.sigmoid(x)

    def block(self, name, x):
        h = self.conv(name + ".conv1", self.act(name + ".norm1", x), padding=1)
        h = self.conv(name + ".conv2", self.act(name + ".norm2", h), padding=1)
        shortcut = name + ".nin_shortcut"
        return (self.conv(shortcut, x) if shortcut + ".weight" in self.w else x) + h

    def attention(self, name, x):
        b, c, h, w = x.shape
        y = self.norm(name + ".norm", x)
        q, k, v = (self.conv(f"{name}.{part}", y).reshape(b, c, h * w) for part in "qkv")
        score = torch.softmax(torch.bmm(q.transpose(1, 2), k) * c**-0.5, dim=2)  # [b, query, key]
        out = torch.bmm(v, score.transpose(1, 2)).reshape(b, c, h, w)
        return x + self.conv(name + ".proj_out", out)

    def level(self, name, x, blocks):
        for j in range(blocks):
            x = self.block(f"{name}.block.{j}", x)
            if f"{name}.attn.{j}.q.weight" in self.w:
                x = self.attention(f"{name}.attn.{j}", x)
        return x

    def middle(self, name, x):
        x = self.attention(name + ".attn_1", self.block(name + ".block_1", x))
        return self.block(name + ".block_2", x)

    def encode(self, x):
        levels = len(DD["ch_mult"])
        x = self.conv("encoder.conv_in", x, padding=1)
        for i in range(levels):
            x = self.level(f"encoder.down.{i}", x, DD["num_res_blocks"])
            if i + 1 < levels:
                x = self.conv(f"encoder.down.{i}.downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
        x = self.middle("encoder.mid", x)
        return self.conv("encoder.conv_out", self.act("encoder.norm_out", x), padding=1)

    def decode(self, z):
        x = self.conv("decoder.conv_in", self.conv("post_quant_conv", z), padding=1)
        x = self.middle("decoder.mid", x)
        for i in reversed(range(len(DD["ch_mult"]))):
            x = self.level(f"decoder.up.{i}", x, DD["num_res_blocks"] + 1)
            if i:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
                x = self.conv(f"decoder.up.{i}.upsample.conv", x, padding=1)
        return self.conv("decoder.conv_out", self.act("decoder.norm_out", x), padding=1)

    def quantize(self, z):
        """Nearest rows, their ids [n,h,w], and the smallest relative gap to the second nearest."""
        book = self.w["quantize.embedding.weight"]
        flat = z.permute(0, 2, 3, 1).reshape(-1, book.shape[1])
        d = (flat**2).sum(1, keepdim=True) + (book**2).sum(1) - 2 * flat @ book.t()
        ids = d.argmin(1)
        exact = ((flat.detach().double()[:, None] - book.detach().double()) ** 2).sum(-1)
        two, nearest = exact.topk(2, dim=1, largest=False)
        demand(torch.equal(nearest[:, 0], ids), "two formulas choose different codes")
        n, _, h, w = z.shape
        e = book[ids].reshape(n, h, w, -1).permute(0, 3, 1, 2)
        return e, ids.reshape(n, h, w), float(((two[:, 1] - two[:, 0]) / two[:, 1]).min())


def load(dtype):
    return {k: torch.from_numpy(a.astype(np.float32)).to(dtype) for k, a in weights().items()}


def batch(images, dtype):
    x = (np.stack(images).astype(np.float64) / 127.5 - 1).astype(np.float32)
    return torch.from_numpy(x).to(dtype).permute(0, 3, 1, 2).contiguous()


def forward(images, dtype):
    net = Net(load(dtype))
    with torch.no_grad():
        out = {"encoder_out": net.encode(batch(images, dtype))}
        out["prequant"] = net.conv("quant_conv", out["encoder_out"])
        out["quantized"], out["indices"], gap = net.quantize(out["prequant"])
        out["decoder_out"] = net.decode(out["quantized"])
    return {k: v.contiguous().numpy() for k, v in out.items()}, gap


def trace(name, images):
    out, gap = forward(images, torch.float32)
    wide, _ = forward(images, torch.float64)
    used = len(np.unique(out["indices"]))
    worst = max(largest_difference(out[k], wide[k]) for k in out)
    print(f"{name}: {used} codes, smallest gap {gap:.2g}, against float64 {worst:.2g}, "
          f"largest {np.abs(out['decoder_out']).max():.3g}")
    demand(gap > 3e-4 and used >= 12, f"{name}: near tie, or few codes")
    demand(np.array_equal(out["indices"], wide["indices"]) and worst < 2e-5, f"{name}: float64 differs")
    return out


def train(images, dtype, steps=2):
    """The legacy loss: commitment 1, codebook 0.25, and squared error. Adam as taming sets it, with a larger rate."""
    net = Net({k: v.requires_grad_() for k, v in load(dtype).items()})
    x, out, least = batch(images, dtype), {}, np.inf
    adam = torch.optim.Adam(net.w.values(), lr=1e-3, betas=(0.5, 0.9), eps=1e-8)
    for step in range(1, steps + 1):
        z = net.conv("quant_conv", net.encode(x))
        e, _, gap = net.quantize(z)
        least = min(least, gap)
        loss_vq = ((e.detach() - z) ** 2).mean() + 0.25 * ((e - z.detach()) ** 2).mean()
        loss_rec = ((x - net.decode(z + (e - z).detach())) ** 2).mean()
        adam.zero_grad()
        (loss_rec + loss_vq).backward()
        if step == 1:
            out["scalars"] = torch.stack([loss_rec, loss_vq, loss_rec + loss_vq]).detach()
            out.update({f"grad.{k}": net.w[k].grad.clone() for k in FEW})
            out["norms"] = torch.stack([net.w[k].grad.norm() for k in sorted(net.w)])
        adam.step()
        small = [k for k in FEW if step == 2 or net.w[k].numel() < 1000]
        out.update({f"adam{step}.{k}": net.w[k].detach().clone() for k in small})
    return {k: v.numpy() for k, v in out.items()}, least


def train_case(name, images):
    out, gap = train(images, torch.float32)
    wide, _ = train(images, torch.float64)
    worst = {}
    for k, v in out.items():
        kind = k.split(".")[0]
        scale = 1.0 if kind.startswith("adam") else max(np.abs(wide[k]).max(), 1e-6)
        worst[kind] = max(worst.get(kind, 0.0), largest_difference(v, wide[k]) / scale)
    print(f"{name}: losses {out['scalars']}, smallest gap {gap:.2g}, against float64", worst)
    demand(gap > 1e-4, f"{name}: near tie")
    demand(worst["scalars"] < 1e-6 and worst["grad"] < 1e-4, f"{name}: float64 differs")
    demand(worst["adam1"] < 2e-5 and worst["adam2"] < 5e-5, f"{name}: float64 differs after Adam")
    return {k: v.astype(np.float32) for k, v in out.items()}


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    oblong = image("taming", 32, 48)
    write_png(os.path.join(out, "image3_32x48.png"), oblong)
    st.save(os.path.join(out, "taming_32x48.safetensors"), trace("taming 32x48", [oblong]))
    square = [image("zero", 32, 32), image("one", 32, 32)]
    st.save(os.path.join(out, "taming_train_mse_legacy.safetensors"), train_case("train", square))


if __name__ == "__main__":
    main()

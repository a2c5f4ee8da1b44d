#!/usr/bin/env python3
"""make_gan.py - reference values of the adversarial and perceptual losses: two training steps of the small VQModel of
make_vq.py with a PatchGAN discriminator and with a narrow LPIPS. README.md says what every file and tensor is.

    make_gan.py [OUT]        (OUT: this folder, which holds vq/)

Needs torch and diffusers. Every result is computed in float32 and again in float64; the script fails when they differ
by more than the tolerances the README promises, or when a hinge or a pixel's L1 gradient could change sign.
"""

import copy
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from diffusers import VQModel

from common import HERE, demand, largest_difference, normal, image, st, uniform

torch.set_num_threads(1)
ADAM = dict(lr=1e-3, betas=(0.5, 0.9), eps=1e-8, weight_decay=0.0)
FEW = (
    "encoder.conv_in.weight",
    "encoder.mid_block.attentions.0.to_q.weight",
    "quant_conv.weight",
    "quant_conv.bias",
    "quantize.embedding.weight",
    "post_quant_conv.weight",
    "decoder.conv_in.bias",
    "decoder.up_blocks.1.upsamplers.0.conv.weight",
    "decoder.conv_out.weight",
    "decoder.conv_out.bias",
)
VGG = [4, 4, "pool", 8, 8, "pool", 8, 8, 8, "pool", 16, 16, 16, "pool", 16, 16, 16]  # a sixteenth and less of VGG16


class Discriminator(nn.Module):
    """NLayerDiscriminator of taming-transformers."""

    def __init__(self, channels, layers):
        super().__init__()
        width = [channels * min(2**i, 8) for i in range(layers + 1)]
        parts = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(layers):
            stride = 2 if i < layers - 1 else 1
            parts += [nn.Conv2d(width[i], width[i + 1], 4, stride, 1, bias=False), nn.BatchNorm2d(width[i + 1])]
            parts += [nn.LeakyReLU(0.2)]
        parts += [nn.Conv2d(width[layers], 1, 4, 1, 1)]
        self.main = nn.Sequential(*parts)

    def forward(self, x):
        return self.main(x)


class Lpips(nn.Module):
    """Zhang et al. 2018 as lpips 0.1 and taming compute it, without the dropout of the linear layers."""

    def __init__(self):
        super().__init__()
        parts, before = [], 3
        for w in VGG:
            parts += [nn.MaxPool2d(2, 2)] if w == "pool" else [nn.Conv2d(before, w, 3, 1, 1), nn.ReLU()]
            before = before if w == "pool" else w
        self.features = nn.Sequential(*parts)
        self.taps = [3, 8, 15, 22, 29]
        self.lin = nn.ModuleList([nn.Conv2d(c, 1, 1, bias=False) for c in (4, 8, 8, 16, 16)])
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[None, :, None, None])

    def taps_of(self, x):
        x, out = (x - self.shift) / self.scale, []
        for i, part in enumerate(self.features):
            x = part(x)
            if i in self.taps:
                out.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    def forward(self, a, b):
        pairs = zip(self.lin, self.taps_of(a), self.taps_of(b))
        return sum(lin((u - v) ** 2).mean([2, 3], keepdim=True) for lin, u, v in pairs)


def make_disc(channels, layers, seed):
    disc = Discriminator(channels, layers)
    for name, t in disc.state_dict().items():
        if "running" in name or "num_batches" in name:
            continue
        shape = tuple(t.shape)
        if len(shape) == 4:
            a = normal(name, shape, seed) * np.sqrt(1.6 / np.prod(shape[1:]))
        elif name.endswith("weight"):
            a = 1 + 0.2 * uniform(name, shape, seed)
        else:
            a = 0.2 * uniform(name, shape, seed)
        t.copy_(torch.from_numpy(a.astype(np.float16).astype(np.float32)))
    return disc


def make_lpips(seed):
    net = Lpips()
    for name, t in net.state_dict().items():
        shape = tuple(t.shape)
        if name.startswith("lin"):
            a = (uniform(name, shape, seed) + 1) * 0.2
        elif len(shape) == 4 and name.startswith("features"):
            a = normal(name, shape, seed) * np.sqrt(2.0 / np.prod(shape[1:]))
        elif name.startswith("features"):
            a = 0.1 * uniform(name, shape, seed) + 0.02
        else:
            continue
        t.copy_(torch.from_numpy(a.astype(np.float16).astype(np.float32)))
    return net.requires_grad_(False)


def lpips_file(net):
    slices = {0: 1, 2: 1, 5: 2, 7: 2, 10: 3, 12: 3, 14: 3, 17: 4, 19: 4, 21: 4, 24: 5, 26: 5, 28: 5}
    out = {}
    for name, t in net.state_dict().items():
        part = name.split(".")
        if part[0] == "features":
            name = f"loss.perceptual_loss.net.slice{slices[int(part[1])]}.{part[1]}.{part[2]}"
        elif part[0] == "lin":
            name = f"loss.perceptual_loss.lin{part[1]}.model.1.weight"
        else:
            continue
        out[name] = t.numpy().astype(np.float16)
    return out


def disc_losses(kind, real, fake):
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def train(model, disc, lpips, x, kind, weight, perceptual, steps=2):
    """The losses and gradients of the first step, parameters after each. Commitment 0.25, codebook 1."""
    model, disc = copy.deepcopy(model).train(), copy.deepcopy(disc).train()
    model.quantize.legacy, model.quantize.beta = False, 0.25
    adam, adam_disc = (torch.optim.Adam(m.parameters(), **ADAM) for m in (model, disc))
    last = model.decoder.conv_out.weight
    out, margin = {}, np.inf
    for step in range(1, steps + 1):
        z = model.quant_conv(model.encoder(x))
        straight, loss_vq, _ = model.quantize(z)
        recon = model.decoder(model.post_quant_conv(straight))
        diff = x - recon
        distance = lpips(x, recon) if perceptual else torch.zeros(len(x), 1, 1, 1, dtype=x.dtype)
        nll = (diff.abs() + perceptual * distance).mean()
        statistics = {k: v.clone() for k, v in disc.named_buffers()}
        gan = -disc(recon).mean()
        norm_nll = torch.autograd.grad(nll, last, retain_graph=True)[0].norm()
        norm_gan = torch.autograd.grad(gan, last, retain_graph=True)[0].norm()
        d_weight = torch.clamp(norm_nll / (norm_gan + 1e-4), 0.0, 1e4).detach() * weight
        loss = nll + d_weight * gan + loss_vq
        adam.zero_grad()
        loss.backward()
        for k, v in disc.named_buffers():  # they move in the discriminator's own pass only
            v.copy_(statistics[k])
        real, fake = disc(x), disc(recon.detach())
        loss_disc = disc_losses(kind, real, fake)
        adam_disc.zero_grad()
        loss_disc.backward()
        if step == 1:
            scalars = dict(
                loss=loss,
                loss_rec=diff.abs().mean(),
                loss_vq=loss_vq,
                loss_gan=gan,
                d_weight=d_weight,
                loss_disc=loss_disc,
            )
            if perceptual:
                scalars["loss_perceptual"] = distance.mean()
            out.update({k: v.detach().reshape(1) for k, v in scalars.items()})
            out.update({f"grad/{k}": p.grad.clone() for k, p in model.named_parameters() if k in FEW})
            for k, p in disc.named_parameters():
                if p.numel() < 8000:  # the wider ones are like those of the hinge file
                    out[f"grad/discriminator.{k}"] = p.grad.clone()
        margin = min(margin, float(diff.detach().abs().min()) / 1e-6)
        if kind == "hinge":
            margin = min(margin, float((1 - real).detach().abs().min()) / 1e-5, float((1 + fake).detach().abs().min()) / 1e-5)
        adam.step()
        adam_disc.step()
        out.update({f"param/{step}/{k}": p.detach().clone() for k, p in model.named_parameters() if k in FEW})
        for k, p in disc.state_dict().items():
            if "num_batches" not in k and (p.dim() == 1 or p.numel() < 600):
                out[f"param/{step}/discriminator.{k}"] = p.detach().clone()
    return {k: v.numpy() for k, v in out.items()}, margin


def case(name, model, disc, lpips, x, kind, weight, perceptual):
    out, margin = train(model, disc, lpips, x, kind, weight, perceptual)
    demand(margin > 1, f"{name}: a sign is too close to turning ({margin:.2g})")
    wide = [copy.deepcopy(m).double() if m else None for m in (model, disc, lpips)]
    exact, _ = train(*wide, x.double(), kind, weight, perceptual)
    worst = {"scalars": 0.0, "grad": 0.0, "param": 0.0}
    for k, v in out.items():
        sort = k.split("/")[0] if "/" in k else "scalars"
        scale = 1.0 if sort == "param" else np.abs(exact[k]).max()
        worst[sort] = max(worst[sort], largest_difference(v, exact[k]) / max(scale, 1e-30))
    print(f"{name}: margin {margin:.2g}; against float64 " + ", ".join(f"{k} {v:.2g}" for k, v in worst.items()))
    print("    " + ", ".join(f"{k} {v[0]:.6f}" for k, v in out.items() if "/" not in k))
    demand(worst["scalars"] < 2e-6 and worst["grad"] < 5e-5, f"{name}: float64 differs")
    demand(worst["param"] < 1e-5, f"{name}: float64 differs after Adam")
    return out


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    model = VQModel.from_pretrained(os.path.join(HERE, "vq"), low_cpu_mem_usage=False).float()
    rgb = np.stack([image("zero", 32, 32), image("one", 32, 32)]).astype(np.float64)
    x = torch.from_numpy((rgb / 127.5 - 1).astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        wide, deep, lpips = make_disc(5, 2, 1), make_disc(4, 3, 5), make_lpips(4)
    st.save(os.path.join(out, "lpips_narrow.safetensors"), lpips_file(lpips))
    for file, prefix, disc in (("disc_5x2", "discriminator.", wide), ("disc_4x3", "loss.discriminator.", deep)):
        tensors = {
            prefix + k: v.numpy().astype(np.float16)
            for k, v in disc.state_dict().items()
            if "running" not in k and "num_batches" not in k
        }
        st.save(os.path.join(out, file + ".safetensors"), tensors)
    result = case("gan hinge", model, wide, None, x, "hinge", 0.8, 0.0)
    st.save(os.path.join(out, "gan_hinge.safetensors"), result)
    result = case("gan vanilla, lpips", model, deep, lpips, x, "vanilla", 0.1, 0.5)
    st.save(os.path.join(out, "gan_vanilla_lpips.safetensors"), result)


if __name__ == "__main__":
    main()

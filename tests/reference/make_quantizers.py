#!/usr/bin/env python3
"""make_quantizers.py - values and gradients of the quantizers rotation, simvq, l2 and fsq, from their formulas in PyTorch's
float64 autograd. README.md says what every tensor is.

    make_quantizers.py [OUT]        (OUT: this folder)

Needs torch and numpy. Inputs are float32 numbers; the script refuses codes that are nearly a tie, which float32 could
decide otherwise.
"""

import os
import sys

import numpy as np
import torch

from common import HERE, demand, normal, st

torch.set_num_threads(1)
N, K, D = 40, 24, 6
COMMITMENT, CODEBOOK = 0.25, 1.0
LEVELS = [[8, 5, 5, 5], [3, 4], [7, 6, 5], [8, 8, 8], [16]]


def leaf(name, shape, scale=1.0):
    x = torch.from_numpy(np.float32(scale * normal(name, shape))).double()
    return x.requires_grad_()


def nearest(z, e, what):
    d = ((z[:, None, :] - e[None, :, :]) ** 2).sum(-1).detach()
    best = torch.topk(d, 2, largest=False).values
    demand(float(((best[:, 1] - best[:, 0]) / best[:, 1]).min()) > 1e-3, f"{what}: nearly a tie")
    return d.argmin(1)


def losses(z, q):
    return COMMITMENT * ((q.detach() - z) ** 2).mean() + CODEBOOK * ((q - z.detach()) ** 2).mean()


def unit(x, floor):
    return x / x.norm(dim=-1, keepdim=True).clamp(min=floor)


def straight(z, q):
    return z + (q - z).detach()


def rotated(z, q):
    """z turned and stretched onto q by a matrix that counts as constant: R = I - 2 w w' + 2 v u', written out."""
    u, v = unit(z, 1e-6).detach(), unit(q, 1e-6).detach()
    w = unit(u + v, 1e-6).detach()
    eye = torch.eye(z.shape[1], dtype=z.dtype)
    R = eye - 2 * w[:, :, None] * w[:, None, :] + 2 * v[:, :, None] * u[:, None, :]
    ratio = (q.norm(dim=-1) / z.norm(dim=-1).clamp(min=1e-6)).detach()
    return ratio[:, None] * torch.einsum("nij,nj->ni", R, z)


def case(out, name, leaves, build):
    """The gradients of sum(upstream * output) + loss."""
    output, loss, indices = build()
    g = torch.from_numpy(np.float32(normal(f"{name} upstream", tuple(output.shape)))).double()
    grads = torch.autograd.grad((g * output).sum() + loss, list(leaves.values()), allow_unused=True)
    put = lambda key, t: out.__setitem__(f"{name}/{key}", t.detach().numpy())  # noqa: E731
    put("upstream", g.float())
    put("indices", indices.long())
    put("quantized", output.float())
    put("loss", torch.as_tensor(loss).double().reshape(1).float())
    for (key, x), dx in zip(leaves.items(), grads):
        put(key, x.float())
        put(f"grad/{key}", (torch.zeros_like(x) if dx is None else dx).float())


def main(folder):
    out = {}
    z, e = leaf("rotation z", (N, D)), leaf("rotation e", (K, D), 0.8)

    def rotation():
        i = nearest(z, e, "rotation")
        demand(float((rotated(z, e[i]) - e[i]).detach().abs().max()) < 1e-12, "the rotation does not end on the code")
        return rotated(z, e[i]), losses(z, e[i]), i

    case(out, "rotation", {"z": z, "e": e}, rotation)

    zs, C = leaf("simvq z", (N, D)), leaf("simvq C", (K, D), D**-0.5)
    W, b = leaf("simvq W", (D, D), 0.6), leaf("simvq b", (D,), 0.2)

    def simvq():
        codes = torch.nn.functional.linear(C, W, b)
        i = nearest(zs, codes, "simvq")
        return straight(zs, codes[i]), losses(zs, codes[i]), i

    case(out, "simvq", {"z": zs, "e": C, "weight": W, "bias": b}, simvq)
    out["simvq/codebook"] = torch.nn.functional.linear(C, W, b).detach().float().numpy()

    zl, el = leaf("l2 z", (N, D), 1.7), leaf("l2 e", (K, D), 0.3)

    def l2():
        zu, eu = unit(zl, 1e-12), unit(el, 1e-12)
        i = nearest(zu, eu, "l2")
        demand(bool((i == nearest(zl, eu, "l2 of any length")).all()), "unit codes: the nearest to any length")
        return straight(zu, eu[i]), losses(zu, eu[i]), i

    case(out, "l2", {"z": zl, "e": el}, l2)

    for levels in LEVELS:
        name = "fsq " + ",".join(map(str, levels))
        zf = leaf(name, (N, len(levels)), 1.5)
        l = torch.tensor(levels, dtype=torch.float64)

        def fsq():
            h, half = (l - 1) * 1.001 / 2, torch.floor(l / 2)
            o = torch.where(l % 2 == 0, 0.5, 0.0).double()
            bounded = torch.tanh(zf + torch.atanh(o / h)) * h - o
            demand(float((bounded - torch.floor(bounded) - 0.5).detach().abs().min()) > 1e-4, f"{name}: nearly a tie")
            q = straight(bounded, torch.round(bounded))
            place = torch.cumprod(torch.tensor([1] + levels[:-1]), 0)
            return q / half, 0.0, ((q + half).round().long() * place).sum(-1)

        case(out, name, {"z": zf}, fsq)
    path = os.path.join(folder, "quantizers.safetensors")
    st.save(path, out)
    print(path, os.path.getsize(path))


main(sys.argv[1] if len(sys.argv) > 1 else HERE)

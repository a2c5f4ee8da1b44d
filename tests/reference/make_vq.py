#!/usr/bin/env python3
"""make_vq.py - reference values of small VQModels, computed by diffusers' own VQModel. README.md says what every file
and tensor is.

    make_vq.py [OUT]        (OUT: this folder)

Needs torch and diffusers (made with torch 1.13 and diffusers 0.25.1), one thread. Every result is computed in float32
and again in float64; the script fails when they differ by more than the tolerances the README promises, when a code
is nearly a tie, or when a pixel's L1 gradient could change sign.
"""

import copy
import json
import os
import re
import sys

import numpy as np
import safetensors.torch  # noqa: F401  (diffusers 0.25 uses it without importing it)
import torch
from diffusers import VQModel

from common import HERE, demand, largest_difference, normal, image, st, uniform, write_png

torch.set_num_threads(1)

BASE = {
    "_class_name": "VQModel",
    "_diffusers_version": "0.25.1",
    "act_fn": "silu",
    "force_upcast": False,
    "in_channels": 3,
    "out_channels": 3,
    "lookup_from_codebook": False,
    "mid_block_add_attention": True,
    "norm_type": "group",
    "sample_size": 32,
    "scaling_factor": 0.18215,
}
# Two channels a group at least: a bias before a norm of one channel a group has gradient 0, and Adam would then
# amplify rounding noise.
VQ = dict(
    BASE,
    block_out_channels=[4, 6, 4],
    layers_per_block=1,
    latent_channels=8,
    vq_embed_dim=4,
    num_vq_embeddings=32,
    norm_num_groups=2,
    down_block_types=["DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
    up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
)
# Attention in the upper level only, none in the middle block, two blocks a level, odd widths, F16 weights.
VQ2 = dict(
    BASE,
    block_out_channels=[3, 6],
    layers_per_block=2,
    latent_channels=5,
    vq_embed_dim=3,
    num_vq_embeddings=48,
    norm_num_groups=3,
    mid_block_add_attention=False,
    down_block_types=["AttnDownEncoderBlock2D", "DownEncoderBlock2D"],
    up_block_types=["UpDecoderBlock2D", "AttnUpDecoderBlock2D"],
)
ADAM = dict(lr=1e-3, betas=(0.5, 0.9), eps=1e-8, weight_decay=0.0)
# The parameters after a step, and the gradients of the MSE case, are stored for these alone: files stay small, and the
# gradients of the L1 case pass through every tensor.
FEW = (
    "encoder.conv_in.weight",
    "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
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


def make_weights(config, seed, half):
    model = VQModel.from_config(config)
    out = {}
    for name, t in model.state_dict().items():
        shape = tuple(t.shape)
        if name == "quantize.embedding.weight":
            a = 0.8 * normal(name, shape, seed)
        elif len(shape) > 1:
            a = uniform(name, shape, seed) * np.sqrt(4.0 / np.prod(shape[1:]))
        elif "norm" in name and name.endswith("weight"):
            a = 1 + 0.25 * uniform(name, shape, seed)
        else:
            a = 0.2 * uniform(name, shape, seed)
        if name.startswith("quant_conv.weight"):
            a = 2.5 * a
        out[name] = a.astype(np.float16 if half else np.float32)
    return out


def write_folder(folder, config, weights):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps(config, indent=2, sort_keys=True) + "\n")
    st.save(os.path.join(folder, "diffusion_pytorch_model.safetensors"), weights)


def load_folder(folder):
    """Through diffusers' own reader; strictly, which from_pretrained is not."""
    model, info = VQModel.from_pretrained(folder, low_cpu_mem_usage=False, output_loading_info=True)
    demand(not any(info.values()), f"diffusers reads {folder} with {info}")
    return model.float().eval()


def batch(images, dtype):
    return (
        torch.from_numpy((np.stack(images).astype(np.float64) / 127.5 - 1).astype(np.float32))
        .to(dtype)
        .permute(0, 3, 1, 2)
        .contiguous()
    )


def gap_of(prequant, book):
    """Smallest relative gap of the two nearest squared distances, and the nearest ids."""
    z = prequant.detach().double().permute(0, 2, 3, 1).reshape(-1, book.shape[1])
    d = ((z[:, None] - book.detach().double()[None]) ** 2).sum(-1)
    two, ids = d.topk(2, dim=1, largest=False)
    return float(((two[:, 1] - two[:, 0]) / two[:, 1]).min()), ids[:, 0]


def forward(model, x):
    out = {"encoder_out": model.encoder(x)}
    out["prequant"] = model.quant_conv(out["encoder_out"])
    straight, _, (_, _, ids) = model.quantize(out["prequant"])
    n, d, h, w = out["prequant"].shape
    out["indices"] = ids.reshape(n, h, w)
    out["quantized"] = model.quantize.embedding(ids).reshape(n, h, w, d).permute(0, 3, 1, 2).contiguous()
    out["decoder_out"] = model.decoder(model.post_quant_conv(straight))
    return out


def trace(name, model, images):
    """The five tensors of a trace, with every check."""
    with torch.no_grad():
        x = batch(images, torch.float32)
        out = forward(model, x)
        demand(torch.equal(model(x).sample, out["decoder_out"]), f"{name}: not what VQModel.forward gives")
        gap, ids = gap_of(out["prequant"], model.quantize.embedding.weight)
        demand(
            torch.equal(ids, out["indices"].reshape(-1)), f"{name}: cdist and the plain formula choose different codes"
        )
        demand(gap > 1e-3, f"{name}: near tie {gap:.2g}")
        codes = len(set(ids.tolist()))
        demand(codes >= 8, f"{name}: only {codes} codes used")
        wide = forward(copy.deepcopy(model).double(), batch(images, torch.float64))
    demand(torch.equal(wide["indices"], out["indices"]), f"{name}: float64 chooses other codes")
    diff = max(largest_difference(out[k], wide[k]) for k in out)
    demand(diff < 1e-5, f"{name}: float64 differs by {diff:.2g}")
    print(
        f"{name}: {codes} codes, smallest gap {gap:.2g}, against float64 {diff:.2g}, "
        f"|decoder_out| <= {float(out['decoder_out'].abs().max()):.3g}"
    )
    return {k: v.numpy() for k, v in out.items()}


def train(model, images, rec, legacy, steps=2):
    """Losses and gradients of the first step, parameters after each. `rec`: l1 or mse; legacy: commitment 1 and
    codebook 0.25, else the reverse."""
    model = copy.deepcopy(model).train()
    x = batch(images, next(model.parameters()).dtype)
    model.quantize.legacy, model.quantize.beta = legacy, 0.25
    adam = torch.optim.Adam(model.parameters(), **ADAM)
    out, margin = {}, np.inf
    for step in range(1, steps + 1):
        z = model.quant_conv(model.encoder(x))
        straight, loss_vq, _ = model.quantize(z)
        diff = x - model.decoder(model.post_quant_conv(straight))
        loss_rec = diff.abs().mean() if rec == "l1" else diff.pow(2).mean()
        loss = loss_rec + loss_vq
        adam.zero_grad()
        loss.backward()
        suffix = "" if step == 1 else f"/{step}"
        out.update(
            {
                f"loss{suffix}": loss.detach().reshape(1),
                f"loss_rec{suffix}": loss_rec.detach().reshape(1),
                f"loss_vq{suffix}": loss_vq.detach().reshape(1),
            }
        )
        if step == 1:
            out.update({f"grad/{k}": p.grad.clone() for k, p in model.named_parameters()})
        margin = min(
            margin,
            gap_of(z, model.quantize.embedding.weight)[0] / 1e-3,
            float(diff.abs().min()) / 1e-6 if rec == "l1" else np.inf,
        )
        adam.step()
        out.update({f"param/{step}/{k}": p.detach().clone() for k, p in model.named_parameters()})
    return {k: v.numpy() for k, v in out.items()}, margin


def train_case(name, model, images, rec, legacy):
    out, margin = train(model, images, rec, legacy)
    demand(margin > 1, f"{name}: a code or a sign is too close to turning ({margin:.2g})")
    wide, _ = train(copy.deepcopy(model).double(), images, rec, legacy)
    worst = {"loss": 0.0, "grad": 0.0, "param/1": 0.0, "param/2": 0.0}
    for k, v in out.items():
        if k.endswith("to_k.bias"):
            continue  # softmax ignores it: the true gradient is 0
        kind = k[:7] if k.startswith("param") else k[:4]
        scale = np.abs(wide[k]).max() if kind in ("grad", "loss") else 1.0
        worst[kind] = max(worst[kind], largest_difference(v, wide[k]) / max(scale, 1e-30))
    noise = max(largest_difference(v, 0) for k, v in out.items() if k.startswith("grad") and k.endswith("to_k.bias"))
    least = min(
        float(np.abs(v[v != 0]).min()) for k, v in wide.items() if k.startswith("grad") and not k.endswith("to_k.bias")
    )
    print(
        f"{name}: loss {out['loss'][0]:.6f} then {out['loss/2'][0]:.6f}; margin {margin:.2g}; "
        "against float64 (loss, grad relative) "
        + ", ".join(f"{k} {v:.2g}" for k, v in worst.items())
        + f"; |grad| of to_k.bias {noise:.2g}, smallest other {least:.2g}"
    )
    demand(out["loss/2"][0] < out["loss"][0], f"{name}: the loss does not fall")
    demand(worst["loss"] < 1e-6 and worst["grad"] < 1e-4, f"{name}: float64 differs")
    demand(worst["param/1"] < 2e-5 and worst["param/2"] < 2e-5, f"{name}: float64 differs after Adam")
    return out


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    vq, vq2 = os.path.join(out, "vq"), os.path.join(out, "vq2")
    write_folder(vq, VQ, make_weights(VQ, 9, half=False))
    write_folder(vq2, VQ2, make_weights(VQ2, 2, half=True))
    images = {
        "image0_32x32": image("zero", 32, 32),
        "image1_32x32": image("one", 32, 32),
        "image2_24x40": image("two", 24, 40),
    }
    for name, rgb in images.items():
        write_png(os.path.join(out, name + ".png"), rgb)
    square, oblong = [images["image0_32x32"], images["image1_32x32"]], [images["image2_24x40"]]
    model, model2 = load_folder(vq), load_folder(vq2)
    print(f"parameters: {sum(p.numel() for p in model.parameters())}, {sum(p.numel() for p in model2.parameters())}")
    st.save(os.path.join(out, "vq_32x32.safetensors"), trace("vq 32x32", model, square))
    st.save(os.path.join(out, "vq_24x40.safetensors"), trace("vq 24x40", model, oblong))
    st.save(os.path.join(out, "vq2_24x40.safetensors"), trace("vq2 24x40", model2, oblong))
    for name, rec, legacy, whole in (("l1_paper", "l1", False, "grad/"), ("mse_legacy", "mse", True, "none")):
        result = train_case(f"train {name}", model, square, rec, legacy)
        demand(all(f"grad/{k}" in result for k in FEW), "a name in FEW is wrong")
        tensor = re.compile(r"grad/|param/\d/")
        keep = {
            k: v for k, v in result.items() if not tensor.match(k) or k.startswith(whole) or tensor.sub("", k) in FEW
        }
        st.save(os.path.join(out, f"vq_train_{name}.safetensors"), keep)


if __name__ == "__main__":
    main()

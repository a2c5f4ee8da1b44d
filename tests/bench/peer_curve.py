"""Learning curves by PyTorch: diffusers' encoder and decoder around vector-quantize-pytorch's VectorQuantize (k-means
start, moving averages, dead codes replaced), fed with our own stream of images in its order."""
import math
import sys
import time

import numpy
import torch
from diffusers import VQModel
from peer import compiled
from vector_quantize_pytorch import VectorQuantize


def images(path, side):
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.uint8).reshape(-1, side, side, 3))


def to_float(rgb):
    return rgb.permute(0, 3, 1, 2).float() / 127.5 - 1


def rate(s, r):
    """Learning rate of step s, as a share of the largest: our schedule."""
    if s < r["warmup"]:
        return (s + 1) / (r["warmup"] + 1)
    t = (s - r["warmup"]) / max(1, r["steps"] - r["warmup"])
    return r["min_ratio"] + (1 - r["min_ratio"]) * (1 + math.cos(math.pi * min(1, t))) / 2


class Net(torch.nn.Module):
    def __init__(self, run):
        super().__init__()
        self.vq = VQModel.from_config(VQModel.load_config(run))
        del self.vq.quantize
        c = self.vq.config
        self.book = VectorQuantize(dim=c.vq_embed_dim, codebook_size=c.num_vq_embeddings, decay=0.99, kmeans_init=True,
                                   kmeans_iters=10, threshold_ema_dead_code=2, commitment_weight=0.25,
                                   accept_image_fmap=True)
        self.encode = compiled(lambda x: self.vq.quant_conv(self.vq.encoder(x)))
        self.decode = compiled(lambda z: self.vq.decoder(self.vq.post_quant_conv(z)))

    def forward(self, x, quantized):
        z, loss = self.encode(x), 0
        if quantized:
            z, _, loss = self.book(z)
            loss = loss.sum()
        return self.decode(z), loss


def held_out(net, images_held, quantized):
    net.eval()
    with torch.no_grad():
        error = [((net(x, quantized)[0].clamp(-1, 1) - x) / 2).pow(2).mean((1, 2, 3))
                 for x in (to_float(part) for part in images_held.split(16))]
    net.train()
    return -10 * math.log10(torch.cat(error).mean().item())


def curve(run, folder, r):
    """[[step, seconds of training, held-out PSNR], ...]; evaluation is not counted."""
    torch.manual_seed(r["seed"])
    stream, held = images(f"{folder}/stream.rgb", r["side"]), images(f"{folder}/held.rgb", r["side"])
    net, told, seconds = Net(run).train(), [], 0.0
    adam = torch.optim.Adam(net.parameters(), lr=r["lr"], betas=r["betas"], fused=True)
    for s in range(r["steps"]):
        start, quantized = time.perf_counter(), s >= r["warmup_no_quant"]
        for group in adam.param_groups:
            group["lr"] = r["lr"] * rate(s, r)
        x = to_float(stream[s * r["batch"]:(s + 1) * r["batch"]])
        adam.zero_grad(set_to_none=True)
        out, commit = net(x, quantized)
        (torch.nn.functional.mse_loss(out, x) + commit).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), r["clip"])
        adam.step()
        seconds += time.perf_counter() - start
        if (s + 1) % r["every"] == 0:
            told.append([s + 1, seconds, held_out(net, held, quantized)])
            print("curve", told[-1], file=sys.stderr, flush=True)
    return {"curve": told}

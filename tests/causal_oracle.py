"""causal_oracle.py DUMP DB KEEP - from the pairs that `vqvae reconstruct --keep K` wrote to KEEP1, KEEP2 .. (original on the
left, a gap of 4 pixels): each record of the dump has as many codes as the first K whose image reaches DB, or all."""

import glob
import json
import os
import sys

import numpy as np
from PIL import Image

dump, limit, folder = sys.argv[1], float(sys.argv[2]), sys.argv[3]
most = len(glob.glob(folder + "[0-9]*"))


def psnr(path):
    pair = np.asarray(Image.open(path).convert("RGB"), np.float64) / 255
    w = (pair.shape[1] - 4) // 2
    return -10 * np.log10(((pair[:, :w] - pair[:, w + 4 :]) ** 2).mean())


records = [json.loads(line) for line in open(dump)]
checked = 0
for r in records:
    (name,) = [os.path.basename(p) for p in glob.glob(folder + "1/*-" + r["key"].replace("/", "_"))]
    by_keep = [psnr(f"{folder}{k}/{name}") for k in range(1, most + 1)]
    if min(abs(p - limit) for p in by_keep) < 1e-3:
        continue  # decided by rounding
    want = next((k for k, p in enumerate(by_keep, 1) if p >= limit), most)
    assert r["grid"] == [1, want], (r["key"], r["grid"], by_keep)
    checked += 1
assert checked >= len(records) / 2 and len({r["grid"][1] for r in records}) > 1
print(f"{checked} of {len(records)} records")

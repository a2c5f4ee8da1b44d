#!/usr/bin/env python3
"""golden_taming.py - turns a folder of taming-transformers reference numbers into a diffusers VQModel folder. Numpy
only; for developers.

    golden_taming.py GOLDENS OUT

GOLDENS (or GOLDENS/taming) holds taming_weights.safetensors (any float type), diffusers/name_map.txt (taming name,
shape, diffusers name, shape, separated by tabs) and diffusers/config.json. OUT receives config.json and
diffusion_pytorch_model.safetensors (F32). The 1x1 convolutions of attention, [C,C,1,1], become the linear layers
[C,C] that diffusers has there. Then, for example:

    vqvae trace --model OUT --image GOLDENS/taming/image{0,1}_64x64.png --out T.safetensors
    compare_trace.py T.safetensors GOLDENS/taming/fwd_64x64_b2.safetensors
    vqvae trace --train --steps 2 --model OUT --image (the two) --out T2.safetensors (settings: ../reference/README.md)
    compare_trace.py T2.safetensors GOLDENS/taming/train_l1_fixed.safetensors \\
        --map taming GOLDENS/taming/diffusers/name_map.txt --tol 'param/2/quantize.embedding.weight=5e-4,0'

(The last option: gradients near Adam's eps make two correct float32 runs differ by 2.4e-4 there.)
"""

import json
import os
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import st  # noqa: E402


def convert(goldens, out):
    if os.path.isdir(os.path.join(goldens, "taming")):
        goldens = os.path.join(goldens, "taming")
    weights, _ = st.load(os.path.join(goldens, "taming_weights.safetensors"))
    result = {}
    with open(os.path.join(goldens, "diffusers", "name_map.txt"), encoding="utf-8") as f:
        for line in f:
            if not line.strip():
                continue
            old, old_shape, new, new_shape = line.rstrip("\n").split("\t")
            a = weights.pop(old)
            if list(a.shape) != json.loads(old_shape):
                raise ValueError(f"'{old}' has shape {list(a.shape)}, the map says {old_shape}")
            result[new] = a.astype(np.float32).reshape(json.loads(new_shape))
    if weights:
        raise ValueError(f"tensors without a line in the map: {', '.join(sorted(weights))}")
    os.makedirs(out, exist_ok=True)
    st.save(os.path.join(out, "diffusion_pytorch_model.safetensors"), result)
    shutil.copyfile(os.path.join(goldens, "diffusers", "config.json"), os.path.join(out, "config.json"))
    return len(result), sum(a.size for a in result.values())


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    n, size = convert(sys.argv[1], sys.argv[2])
    print(f"{n} tensors, {size} parameters in '{sys.argv[2]}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""convert_lpips.py - one safetensors file of LPIPS's weights for `vqvae train --set loss.perceptual_weights=OUT`.

    convert_lpips.py VGG16 LINEAR OUT

VGG16: torchvision's vgg16-*.pth (its classifier is left out); LINEAR: vgg.pth of the lpips package or of taming
(lin0 .. lin4). VGG16 alone may be a whole LPIPS or taming checkpoint: then give it twice. Needs PyTorch. The files
are their authors' (torchvision BSD-3, lpips BSD-2) and are not part of this project.
"""

import os
import re
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "interop"))
import st  # noqa: E402

KEEP = re.compile(
    r"^(?:.*perceptual_loss\.)?(features\.\d+\.(?:weight|bias)|net\.slice\d\.\d+\.(?:weight|bias)"
    r"|lins?\.?\d\.model\.\d\.weight)$"
)
CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def read(path):
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    out = {}
    for name, t in state.items():
        m = KEEP.match(name)
        if m and hasattr(t, "detach"):
            short = re.sub(r"^net\.slice\d\.", "features.", m[1])
            short = re.sub(r"^lins?\.?(\d)\.model\.\d\.", r"lin\1.model.1.", short)
            out[short] = t.detach().float().contiguous().numpy()
    return out


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        tensors = {**read(sys.argv[1]), **read(sys.argv[2])}
    except ImportError:
        sys.exit("convert_lpips.py: PyTorch is not installed")
    except (OSError, RuntimeError, ValueError) as e:
        sys.exit(f"convert_lpips.py: {e}")
    wanted = [f"features.{i}.{part}" for i in CONVS for part in ("weight", "bias")]
    wanted += [f"lin{i}.model.1.weight" for i in range(5)]
    missing = [n for n in wanted if n not in tensors]
    if missing:
        sys.exit(f"convert_lpips.py: {len(missing)} tensors are in neither file: {', '.join(missing[:4])}")
    st.save(sys.argv[3], {n: np.ascontiguousarray(tensors[n]) for n in wanted})
    print(f"{sys.argv[3]}: {len(wanted)} tensors")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""check_diffusers.py - opens a RUN folder of `vqvae` with diffusers and compares it with a trace of ours.

    check_diffusers.py RUN TRACE.safetensors IMAGE.png...

TRACE is what `vqvae trace --model RUN --image IMAGE... --out TRACE` wrote, with the same images in the same order.
Checked:
  - VQModel.from_pretrained(RUN) finds every tensor, with its shape, and no other;
  - indices are equal, except where the best and the chosen squared distance differ by less than 1e-4 of the
    latter (a near tie, which the order of additions may turn);
  - prequant and decoder_out, when in the trace, agree within 1e-3 of their largest value (the decoder starts from the
    trace's own `quantized`).
Exit 0: they agree; 1: they do not; 77: skipped, torch or diffusers is not installed; 2: usage.
"""

import json
import os
import sys

try:
    import numpy as np
except ImportError:
    print("skip: numpy is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import st  # noqa: E402

NEAR_TIE = 1e-4
CLOSE = 1e-3


def load_images(paths):
    from PIL import Image

    return np.stack([np.asarray(Image.open(p).convert("RGB"), dtype=np.uint8) for p in paths])


def model_tensors(run):
    """Names and shapes as diffusers itself has them for this config.json: from_pretrained alone only warns about
    missing ones."""
    from diffusers import VQModel

    config = json.load(open(os.path.join(run, "config.json"), encoding="utf-8"))
    if config.get("_class_name") != "VQModel":
        return config.get("_class_name"), None
    return "VQModel", {k: list(v.shape) for k, v in VQModel.from_config(config).state_dict().items()}


def relative(ours, theirs):
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))


def check_indices(prequant, book, ours):
    """Counts (different, of those near ties, smallest gap of a real difference)."""
    z = prequant.transpose(0, 2, 3, 1).reshape(-1, prequant.shape[1]).astype(np.float64)
    e = book.astype(np.float64)
    ours = ours.reshape(-1)
    different = near = 0
    smallest = np.inf
    for row, k in zip(z, ours):
        d = ((row[None] - e) ** 2).sum(1)
        best = int(d.argmin())
        if best == k:
            continue
        different += 1
        # The gap to OUR choice: a far third place must not pass because the first two are close.
        gap = (d[k] - d[best]) / max(d[k], 1e-30)
        if gap < NEAR_TIE:
            near += 1
        else:
            smallest = min(smallest, gap)
    return different, near, smallest


def run_check(run, trace_path, images):
    import torch
    from diffusers import VQModel

    torch.set_num_threads(1)
    trace, _ = st.load(trace_path)
    name, want = model_tensors(run)
    if want is None:
        print(f"FAIL config.json says _class_name '{name}', which diffusers' VQModel cannot represent")
        return 1
    have = {
        k: list(t["shape"])
        for k, t in st.read_header(os.path.join(run, "diffusion_pytorch_model.safetensors"))[0].items()
    }
    failed = have != want
    print(
        f"{'FAIL' if failed else 'ok  '} tensors: {len(have)} in the file, {len(want)} in diffusers"
        + (
            f"; differ: {sorted(set(have) ^ set(want))[:5] or [k for k in want if have[k] != want[k]][:5]}"
            if failed
            else ""
        )
    )
    if failed:
        return 1
    model = VQModel.from_pretrained(run, low_cpu_mem_usage=False).float().eval()
    x = load_images(images)
    if len(trace["indices"]) != len(x):
        print(f"FAIL the trace holds {len(trace['indices'])} images, {len(x)} given")
        return 1
    with torch.no_grad():
        latents = model.encode(
            torch.from_numpy(x.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()
        ).latents
        prequant = latents.numpy()
        n, _, h, w = prequant.shape
        if trace["indices"].shape != (n, h, w):
            print(f"FAIL indices have shape {list(trace['indices'].shape)}, diffusers' latents give {[n, h, w]}")
            return 1
        # diffusers decides with torch.cdist; its own choice is held against the plain formula as well.
        theirs = model.quantize(latents)[2][2].reshape(-1).numpy()
        book = model.quantize.embedding.weight.numpy()
        for who, ids in (("diffusers", theirs), ("ours", trace["indices"])):
            different, near, gap = check_indices(prequant, book, ids)
            bad = different != near
            failed |= bad
            print(
                f"{'FAIL' if bad else 'ok  '} indices ({who}): {different} of {n * h * w} differ from the "
                f"nearest codes, {near} of them near ties"
                + (f", relative gap up from {gap:.3g}" if bad else f", {len(np.unique(ids))} codes used")
            )
        if "prequant" in trace:
            r = relative(trace["prequant"], prequant)
            failed |= not r <= CLOSE
            print(f"{'ok  ' if r <= CLOSE else 'FAIL'} prequant: relative difference {r:.3g}")
        if "decoder_out" in trace and "quantized" in trace:
            quantized = torch.from_numpy(trace["quantized"].copy())
            r = relative(trace["decoder_out"], model.decoder(model.post_quant_conv(quantized)).numpy())
            failed |= not r <= CLOSE
            print(f"{'ok  ' if r <= CLOSE else 'FAIL'} decoder_out: relative difference {r:.3g}")
            r = relative(
                trace["quantized"].transpose(0, 2, 3, 1).reshape(-1, book.shape[1]), book[trace["indices"].reshape(-1)]
            )
            failed |= not r <= 1e-6
            print(
                f"{'ok  ' if r <= 1e-6 else 'FAIL'} quantized: relative difference {r:.3g} from the rows of the codebook"
            )
    return 1 if failed else 0


def main():
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import PIL  # noqa: F401
        import safetensors.torch  # noqa: F401  (some versions of diffusers use it without importing it)
        import torch  # noqa: F401
        from diffusers import VQModel  # noqa: F401
    except Exception as e:  # an installed but broken diffusers raises more than ImportError
        print(f"skip: torch, Pillow or diffusers cannot be imported ({type(e).__name__}: {str(e)[:100]!r})")
        return 77
    return run_check(sys.argv[1], sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())

"""The tokenizer by PyTorch: diffusers' VQModel built from our own RUN; PIL, a DataLoader and LMDB around it. Its encoder
by the runtimes as well, from the ONNX file that PyTorch writes."""
import glob
import os
import shutil
import time

import numpy
import torch
from bench import end_with
from diffusers import VQModel
from peer import RUNTIMES, THREADS, VARIANT, compiled, measure, peak_mb

SIDE, BATCH = 64, 64
LAYOUT = torch.channels_last if VARIANT == "channels_last" else torch.contiguous_format


def images(path, n):
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.uint8).reshape(-1, SIDE, SIDE, 3)[:n].copy())


def to_float(rgb):
    """[n,h,w,3] bytes -> [n,3,h,w] in [-1,1]"""
    return (rgb.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=LAYOUT)


def encoder(run):
    model = VQModel.from_pretrained(run).eval().to(memory_format=LAYOUT)

    def codes(rgb):
        return model.quantize(model.encode(to_float(rgb)).latents)[2][2].view(len(rgb), -1)

    return compiled(codes)


def exported(run, n):
    """A runtime's function from n images as bytes to their codes."""
    model = VQModel.from_pretrained(run).eval().requires_grad_(False)

    class Encoder(torch.nn.Module):
        def forward(self, rgb):
            return model.quantize(model.encode(to_float(rgb)).latents)[2][2].view(n, -1)

    path = f"{run}-{VARIANT}-{n}.onnx"
    torch.onnx.export(Encoder().eval(), (torch.zeros(n, SIDE, SIDE, 3, dtype=torch.uint8),), path, dynamo=False,
                      opset_version=17, input_names=["rgb"])
    if VARIANT == "onnxruntime":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda rgb: session.run(None, {"rgb": rgb.numpy()})[0]
    import openvino
    ready = openvino.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY",
                                                 "INFERENCE_PRECISION_HINT": "f32"})
    return lambda rgb: ready(rgb.numpy())[0]


kept = {}  # one trainer a process: rounds go on with it


def train(run, raw, n, seconds):
    """Seconds of a step: reconstruction and commitment loss, backward, clipping, Adam."""
    if run not in kept:
        model = VQModel.from_config(VQModel.load_config(run)).train().to(memory_format=LAYOUT)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
        kept[run] = model, optimizer, compiled(model), to_float(images(raw, n))
    model, optimizer, net, x = kept[run]

    def step():
        optimizer.zero_grad(set_to_none=True)
        out = net(x)
        loss = torch.nn.functional.mse_loss(out.sample, x) + out.commit_loss.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return {"seconds": measure(step, seconds), "peak_mb": peak_mb()}


def encode(run, raw, n, seconds):
    key = run, n
    if key not in kept:
        torch._dynamo.reset()
        kept[key] = exported(run, n) if VARIANT in RUNTIMES else encoder(run), images(raw, n)
    codes, rgb = kept[key]
    with torch.no_grad():
        return {"seconds": measure(lambda: codes(rgb), seconds), "codes": codes(rgb)[0].tolist()}


class Folder(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = sorted(glob.glob(os.path.join(folder, "*.png")))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        from PIL import Image
        with Image.open(self.paths[i]) as im:
            return torch.from_numpy(numpy.array(im.convert("RGB")))


def tokenize(run, folder, out):
    """Seconds from listing the folder to the last transaction; importing packages is not counted, compiling neither."""
    import lmdb
    if run not in kept:
        kept[run] = encoder(run)
        with torch.no_grad():
            kept[run](torch.zeros(BATCH, SIDE, SIDE, 3, dtype=torch.uint8))
    shutil.rmtree(out, ignore_errors=True)
    start, n = time.perf_counter(), 0
    with torch.no_grad(), lmdb.open(out, map_size=1 << 30) as db:
        loader = torch.utils.data.DataLoader(Folder(folder), batch_size=BATCH, num_workers=THREADS,
                                             worker_init_fn=lambda _, me=os.getpid(): end_with(me))
        for batch in loader:
            codes = kept[run](batch).to(torch.int32).numpy().astype(numpy.uint16)
            with db.begin(write=True) as txn:
                for row in codes:
                    txn.put(n.to_bytes(8, "big"), row.tobytes())
                    n += 1
    return {"seconds": time.perf_counter() - start, "images": n}

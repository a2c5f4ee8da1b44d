"""peer.py VARIANT THREADS - the other side of `make bench`: a command a line on stdin, a line of JSON on stdout.

VARIANT is eager, channels_last or compile (of PyTorch), onnxruntime or openvino. Everything is float32 on THREADS
threads, as a user of torch, diffusers and transformers would write it.
"""
import importlib
import json
import os
import statistics
import sys
import time

VARIANT, THREADS = sys.argv[1], int(sys.argv[2])
RUNTIMES = ("onnxruntime", "openvino")  # they run what PyTorch exports
COMMANDS = {  # command -> module, imported when it is needed
    "conv": "peer_conv", "train": "peer_images", "encode": "peer_images", "tokenize": "peer_images",
    "curve": "peer_curve",
    "policy": "peer_gpt2", "control": "peer_gpt2", "first": "peer_gpt2", "save": "peer_gpt2",
}


def measure(call, seconds):
    """Median seconds of a call, of as many as fit (2 at least), after a second of warm-up (2 calls at most)."""
    start = time.perf_counter()
    call()
    if time.perf_counter() - start < 1:
        call()
    times, start = [], time.perf_counter()
    while len(times) < 2 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def compiled(function):
    """The function as this process's variant runs it."""
    if VARIANT != "compile":
        return function
    import torch
    return torch.compile(function, dynamic=False)


def peak_mb():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


def version():
    if VARIANT in RUNTIMES:
        return f"{VARIANT} {importlib.import_module(VARIANT).__version__.split('-')[0]}"
    return f"PyTorch {importlib.import_module('torch').__version__.split('+')[0]} {VARIANT}"


def answer(name, arguments):
    if name == "version":
        return {"version": version()}
    import torch
    torch.set_num_threads(THREADS)
    module = importlib.import_module(COMMANDS[name])
    return getattr(module, name)(*arguments)


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        name, *arguments = line.split()
        try:
            reply = answer(name, [json.loads(a) if a[0] in "{[" or a[0].isdigit() else a for a in arguments])
        except Exception as e:  # a package that is missing, a model that does not compile: the row says so
            import traceback
            traceback.print_exc()
            reply = {"error": f"{type(e).__name__}: {e}".splitlines()[0][:120]}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    sys.modules["peer"] = sys.modules["__main__"]  # one module, whoever imports it
    main()

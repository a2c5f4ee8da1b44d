#!/usr/bin/env python3
"""gpt2_transformers.py - a GPT-2 of any size with random weights: `gato import` against transformers.

    gpt2_transformers.py BIN [WIDTH LAYERS HEADS]...        (BIN: build/bin; without sizes: those of the published five)

By hand: needs torch and transformers (python3 -m venv V; V/bin/pip install torch transformers). For each size a model
is made and saved, imported, and run over a text that it continues greedily among printable ASCII: logits within 1e-4,
the same text. Texts are bytes here, so the vocabulary has 257 ids; everything else is as published.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import st

SIZES = ((768, 6, 12), (768, 12, 12), (1024, 24, 16), (1280, 36, 20), (1600, 48, 25))
PROMPT, CHOSEN, END = b"a red ball", 12, 256


def compare(programs, width, layers, heads):
    def run(program, *arguments):
        subprocess.run([os.path.join(programs, program), *arguments], check=True, stdout=subprocess.DEVNULL)

    torch.manual_seed(width + layers)
    config = GPT2Config(vocab_size=END + 1, n_embd=width, n_layer=layers, n_head=heads, bos_token_id=END, eos_token_id=END)
    model, ids = GPT2LMHeadModel(config).eval(), list(PROMPT)
    with torch.no_grad():
        for _ in range(CHOSEN):
            ids.append(32 + int(model(torch.tensor([ids])).logits[0, -1, 32:127].argmax()))
        logits = model(torch.tensor([ids])).logits[0].numpy()
    with tempfile.TemporaryDirectory() as d:
        path = lambda name: os.path.join(d, name)
        model.save_pretrained(d)
        with open(path("text.txt"), "wb") as f:
            f.write(bytes(ids))
        run("gato", "import", "--from", "gpt2", "--weights", path("model.safetensors"), "--config", path("config.json"),
            "--out", path("run"))
        run("tokenize", "text", "--in", path("text.txt"), "--out", path("text.lmdb"))
        run("gato", "trace", "--model", path("run"), "--data", path("text.lmdb"), "--out", path("trace"))
        ours = st.load(path("trace"))[0]["logits"][: len(ids), : END + 1]
    off, given = float(np.abs(ours - logits).max()), len(PROMPT)
    same = (32 + ours[given - 1 : -1, 32:127].argmax(1) == ids[given:]).all()
    print(f"width {width}, {layers} layers, {heads} heads: logits differ by {off:.2g}, greedy text {'equal' if same else 'DIFFERS'}",
          flush=True)
    return off < 1e-4 and same


def main():
    numbers = [int(a) for a in sys.argv[2:]]
    sizes = list(zip(*[iter(numbers)] * 3, strict=True)) or SIZES
    sys.exit(not all([compare(sys.argv[1], *size) for size in sizes]))


main()

#!/usr/bin/env python3
"""make_gpt2.py - a small GPT-2 as Hugging Face's transformers saves it, what it says of a text, and how it goes on.

    make_gpt2.py [OUT]        (OUT: the folder gpt2 beside this script)

Needs torch and transformers (made with 2.15 and 5.24), one thread. The vocabulary is that of byte texts, 257 ids.
Computed in float32 and again in float64: the script fails when they differ, or when a greedy choice is close.

    config.json, model.safetensors   of GPT2LMHeadModel.save_pretrained; numbers rounded to F16 first and stored so
    out.safetensors                  ids I64 [T], logits [T,257]; the first `prompt` ids are given, the others chosen
                                     greedily among printable ASCII, and the last is the end of text
"""

import os
import sys

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from common import HERE, demand, largest_difference, normal, st

torch.set_num_threads(1)

PROMPT, CHOSEN, END = b"a red ball", 16, 256
PRINTABLE = slice(32, 127)


def make_model():
    config = GPT2Config(vocab_size=END + 1, n_positions=40, n_embd=24, n_layer=3, n_head=3, bos_token_id=END,
                        eos_token_id=END)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            # The head is tied: with large tables or biases it would repeat one token.
            scale = 0.1 if "wte" in name or "bias" in name else 0.5
            value = scale * normal(name, tuple(p.shape)) + (1 if "ln_" in name and "weight" in name else 0)
            p.copy_(torch.from_numpy(np.float32(np.float16(value))))
    return model


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "gpt2")
    os.makedirs(out, exist_ok=True)
    model = make_model()
    ids = list(PROMPT)
    with torch.no_grad():
        for _ in range(CHOSEN):
            row = model(torch.tensor([ids])).logits[0, -1, PRINTABLE]
            best = torch.topk(row, 2)
            demand(float(best.values[0] - best.values[1]) > 1e-2, "a greedy choice is close")
            ids.append(PRINTABLE.start + int(best.indices[0]))
        ids.append(END)
        logits = model(torch.tensor([ids])).logits[0].numpy()
        model.half().save_pretrained(out)
        wide = model.double()(torch.tensor([ids])).logits[0].numpy()
    demand(largest_difference(logits, wide) < 1e-4, "float32 and float64 differ")
    st.save(os.path.join(out, "out.safetensors"), {"ids": np.int64(ids), "logits": np.float32(logits)},
            {"prompt": str(len(PROMPT))})
    os.remove(os.path.join(out, "generation_config.json"))


main()

#!/usr/bin/env python3
"""make_fast.py - FAST as physical-intelligence/fast computes it (its processing_action_tokenizer.py, by scipy and tokenizers), for tests/test_fast.c.

    python3 -m pip install numpy scipy tokenizers
    python3 tests/reference/make_fast.py            # writes tests/reference/fast/

library/          processor_config.json and tokenizer.json as the processor's fit() leaves them, its alphabet of characters included
bytes.json        the same trainer on the same texts with the alphabet of their bytes: what ours fits
values.json       chunks [H, D] of 24-bit numbers, their coefficients, and their ids by both
"""
import json
import os

import numpy as np
from scipy.fft import dct
from tokenizers import ByteLevelBPETokenizer
from tokenizers.trainers import BpeTrainer

H, D, SCALE, IDS = 6, 2, 60, 330
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fast")


def chunks(n, seed):
    """Walks in [-1,1]; none has a coefficient near a tie, where two libraries may round apart."""
    rng, out = np.random.default_rng(seed), []
    while len(out) < n:
        x = np.clip(rng.normal(0, 0.5, (1, D)) + np.cumsum(rng.normal(0, 0.08, (H, D)), axis=0), -1, 1).astype(np.float32)
        c = dct(np.float64(x), axis=0, norm="ortho") * SCALE
        if np.abs(np.abs(c - np.floor(c)) - 0.5).min() > 1e-3:
            out.append(x)
    return out


def coefficients(x):
    return np.around(dct(np.float64(x), axis=0, norm="ortho") * SCALE).astype(int).flatten()


def text(q, least):
    return "".join(map(chr, np.maximum(q - least, 0)))


def byte_characters():
    """GPT-2's character for each byte."""
    plain = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b]
    other = iter(range(256, 400))
    return [chr(b) if b in plain else chr(next(other)) for b in range(256)]


def fit(texts, alphabet):
    bpe = ByteLevelBPETokenizer()
    trainer = BpeTrainer(vocab_size=IDS, min_frequency=2, show_progress=False, special_tokens=[], initial_alphabet=alphabet, max_token_length=10000)
    bpe._tokenizer.train_from_iterator(iter(texts), trainer=trainer)
    return bpe


def main():
    os.makedirs(os.path.join(HERE, "library"), exist_ok=True)
    train, test = chunks(400, 1), chunks(12, 2)
    q = [coefficients(x) for x in train]
    least, greatest = int(np.concatenate(q).min()), int(np.concatenate(q).max())
    texts = [text(v, least) for v in q]
    every = [chr(i) for i in range(greatest - least + 1)]
    table = byte_characters()
    used = sorted({b for c in every for b in c.encode()})
    library, ours = fit(texts, every), fit(texts, [table[b] for b in used])
    library.save(os.path.join(HERE, "library", "tokenizer.json"), pretty=False)
    ours.save(os.path.join(HERE, "bytes.json"), pretty=False)
    config = {"action_dim": D, "auto_map": {"AutoProcessor": "processing_action_tokenizer.UniversalActionProcessor"}, "min_token": least,
              "processor_class": "UniversalActionProcessor", "scale": SCALE, "time_horizon": H, "vocab_size": IDS}
    json.dump(config, open(os.path.join(HERE, "library", "processor_config.json"), "w"), indent=2)
    rows = []
    for x in test:
        v = coefficients(x)
        row = {"chunk": [float(a) for a in x.flatten()], "coefficients": [int(a) for a in v]}
        for name, bpe in (("library", library), ("bytes", ours)):
            row[name] = bpe.encode(text(v, least)).ids
        rows.append(row)
    json.dump({"H": H, "D": D, "scale": SCALE, "ids": IDS, "min_token": least,
               "train": ["%s" % " ".join(map(str, v)) for v in q], "rows": rows},
              open(os.path.join(HERE, "values.json"), "w"))
    print("coefficients from %d to %d, mean ids of a chunk %.2f and %.2f of %d numbers" %
          (least, greatest, np.mean([len(r["library"]) for r in rows]), np.mean([len(r["bytes"]) for r in rows]), H * D))


if __name__ == "__main__":
    main()

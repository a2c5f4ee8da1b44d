#!/usr/bin/env python3
"""fast_library.py GATO TOKENIZE RUN SHARD [--records N] - the tokens of a policy of FAST (model.bin_kind = fast) beside those of scipy and of
pip's `tokenizers` with the RUN's own files, as physical-intelligence/fast computes them. By hand: needs numpy, scipy, tokenizers and safetensors
of tests/interop/st.py.

`gato trace` gives the tokens of the first timestep of each record, `tokenize dump` its actions, config.json how they are scaled. Equal ids, or
exit 1. Chunks with a coefficient within 1e-4 of a tie are left out, and counted.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from scipy.fft import dct, idct
from tokenizers import Tokenizer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import st


def lines(*command):
    return [json.loads(x) for x in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gato")
    parser.add_argument("tokenize")
    parser.add_argument("run")
    parser.add_argument("shard")
    parser.add_argument("--records", type=int, default=50)
    a = parser.parse_args()
    run = json.load(open(os.path.join(a.run, "config.json")))
    info = lines(a.gato, "info", a.run)[0]
    fast = json.load(open(os.path.join(a.run, "fast", "processor_config.json")))
    bpe = Tokenizer.from_file(os.path.join(a.run, "fast", "tokenizer.json"))
    first, H = info["ids"] - run["vocabulary"]["fast"], fast["time_horizon"] or run["config"]["model"]["chunk"]
    slots = [s for s in run["tasks"][0]["slots"] if s["side"] == "acted" and s["kind"] == "vector"]
    stored = [s for s in lines(a.tokenize, "info", a.shard)[0]["tasks"][0]["slots"] if s["side"] == "acted" and s["kind"] == "vector"]
    compared = ties = tokens = coefficients = 0
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "t.safetensors")
        for id, record in enumerate(lines(a.tokenize, "dump", a.shard)[:a.records]):
            actions = record.get("label_actions") or record["actions"]
            want, near = [], False
            for slot, own in zip(slots, stored):
                rows = np.float64(actions[slot["name"]] if isinstance(actions, dict) else actions)[:H]
                low, high, raw = np.float64(own["low"]), np.float64(own["high"]), np.array(own["raw"])
                units = np.where(raw == 1, rows, low + (rows + 1) / 2 * (high - low)) if not raw.all() else rows
                x = (2 * (units - slot["scale_low"]) / (np.float64(slot["scale_high"]) - slot["scale_low"]) - 1).clip(-1, 1)
                c = dct(x, axis=0, norm="ortho") * fast["scale"]
                near = near or np.abs(np.abs(c - np.floor(c)) - 0.5).min() < 1e-4
                q = np.around(c)
                worst = max(worst, np.abs(dct(idct(q / fast["scale"], axis=0, norm="ortho") - x, axis=0, norm="ortho")).max())
                want += bpe.encode("".join(map(chr, np.maximum(q.flatten() - fast["min_token"], 0).astype(int)))).ids
                coefficients += q.size
            if near:
                ties += 1
                continue
            subprocess.run([a.gato, "trace", "--model", a.run, "--data", a.shard, "--id", str(id), "--out", trace], check=True, capture_output=True)
            got = st.load(trace)[0]["tokens"][-len(want):] - first
            if list(got) != want:
                sys.exit(f"record {id}: {list(got)} instead of {want}")
            compared += 1
            tokens += len(want)
    print(f"{compared} chunks of {H} actions: equal ids, {tokens / max(compared, 1):.2f} tokens each; {ties} with ties left out; "
          f"largest error of a coefficient {worst * fast['scale']:.3f} / scale")
    sys.exit(not compared)


if __name__ == "__main__":
    main()

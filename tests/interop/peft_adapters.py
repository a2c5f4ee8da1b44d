#!/usr/bin/env python3
"""peft_adapters.py - `gato adapter` beside peft: both read what the other writes.

    peft_adapters.py [FOLDER OF THE PROGRAMS]        (build/bin)

Needs torch, transformers, peft and safetensors; runs by hand. A GPT-2 with random weights gets random adapters of peft's;
gato takes them (--from), adds them to the layers (merge), which must be those of peft's merge_and_unload, and writes them
again, which peft must read to the same numbers.
"""

import os
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

bin = sys.argv[1] if len(sys.argv) > 1 else "build/bin"


def gato(*args):
    subprocess.run([os.path.join(bin, "gato"), *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check(bare, rslora, dir):
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=257, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=256, eos_token_id=256)
    base = GPT2LMHeadModel(config)
    base.save_pretrained(f"{dir}/gpt2")
    gato("import", "--from", "gpt2", "--weights", f"{dir}/gpt2/model.safetensors", "--config", f"{dir}/gpt2/config.json", "--out", f"{dir}/run")
    wrap = GPT2Model.from_pretrained(f"{dir}/gpt2") if bare else GPT2LMHeadModel.from_pretrained(f"{dir}/gpt2")
    net = get_peft_model(wrap, LoraConfig(r=4, lora_alpha=6, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, use_rslora=rslora))
    for name, p in net.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(p, std=0.3)
    net.save_pretrained(f"{dir}/adapters")
    gato("adapter", "--model", f"{dir}/run", "--from", f"{dir}/adapters", "--out", f"{dir}/tuned")
    gato("merge", "--model", f"{dir}/tuned", "--out", f"{dir}/merged")
    gato("adapter", "--model", f"{dir}/tuned", "--out", f"{dir}/back", *(["--bare"] if bare else []))
    again = GPT2Model.from_pretrained(f"{dir}/gpt2") if bare else GPT2LMHeadModel.from_pretrained(f"{dir}/gpt2")
    again = PeftModel.from_pretrained(again, f"{dir}/back").merge_and_unload().state_dict()
    peft = net.merge_and_unload().state_dict()
    ours = load_file(f"{dir}/merged/model.safetensors")
    worst = moved = 0
    for name, theirs in peft.items():
        if not name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            continue
        full = name if name.startswith("transformer.") else "transformer." + name
        worst = max(worst, (ours[full] - theirs).abs().max().item(), (again[name] - theirs).abs().max().item())
        moved = max(moved, (base.state_dict()[full] - theirs).abs().max().item())
    print(f"bare {bare}, rslora {rslora}: layers differ by {worst:.1e} at most, adapters moved them by {moved:.2f}")
    return worst < 1e-5 and moved > 0.1


good = True
for bare in (False, True):
    for rslora in (False, True):
        with tempfile.TemporaryDirectory() as dir:
            good = check(bare, rslora, dir) and good
sys.exit(not good)

#!/usr/bin/env python3
"""make_lora.py - reference values of adapters (LoRA) beside the layers of a policy: peft's own, on transformers' GPT-2.

    make_lora.py [OUT]        (OUT: gato/lora.safetensors beside this script; needs gato/weights.safetensors, text.safetensors)

Needs torch, transformers and peft. The network is make_gato.py's, put into a GPT2Model without positions; the sequence is
that of text.safetensors. Writes peft's state dict of the adapters (as NEKO's checkpoints name it), hidden states, loss, the
gradients of the adapters, and the layers that peft merged. README.md says more.
"""

import os
import sys

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2Model

from common import HERE, demand, normal, st

RANK, ALPHA, TARGETS = 2, 6, ["c_attn", "c_proj", "c_fc"]
torch.set_num_threads(1)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "gato", "lora.safetensors")
    w = {k.removeprefix("w."): torch.from_numpy(v.astype("float32")) for k, v in st.load(os.path.join(HERE, "gato/weights.safetensors"))[0].items()}
    text = st.load(os.path.join(HERE, "gato/text.safetensors"))[0]
    width, layers, context = w["separator_token"].numel(), 2, len(w["pos_embed_observation.weight"])
    config = GPT2Config(vocab_size=1, n_positions=context, n_embd=width, n_layer=layers, n_head=2, activation_function="gelu",
                        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0)
    net = GPT2Model(config)
    state = {k.removeprefix("transformer."): v for k, v in w.items() if k.startswith("transformer.")}
    state["wte.weight"], state["wpe.weight"] = torch.zeros(1, width), torch.zeros(context, width)
    missing, unknown = net.load_state_dict(state, strict=False)
    demand(not unknown and all(k.endswith((".attn.bias", ".masked_bias")) for k in missing), f"names: {missing} {unknown}")
    net = get_peft_model(net, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS, fan_in_fan_out=True))
    adapters = {k: p for k, p in net.named_parameters() if "lora_" in k}
    demand(all(p.requires_grad == ("lora_" in k) for k, p in net.named_parameters()), "peft freezes all but the adapters")
    with torch.no_grad():
        for k, p in adapters.items():
            p.copy_(torch.from_numpy(0.3 * normal(k, tuple(p.shape))).float())
    head = w["predict_token.weight"]
    ids = torch.from_numpy(text["tokens"].astype("int64"))
    embeddings = torch.from_numpy(text["embeddings"].copy())
    hidden = net(inputs_embeds=embeddings[None]).last_hidden_state[0]
    target = torch.from_numpy(text["target_mask"].astype("int64"))[1:] > 0
    logits = hidden[:-1] @ head.T
    loss = F.cross_entropy(logits[target], ids[1:][target])
    loss.backward()
    tensors = {"transformer." + k: p.detach().numpy() for k, p in adapters.items()}
    tensors |= {"hidden": hidden.detach().numpy(), "loss": loss.detach().reshape(1).numpy()}
    tensors |= {"grad/" + k.replace("base_model.model", "transformer"): p.grad.numpy() for k, p in adapters.items()}
    merged = net.merge_and_unload().state_dict()
    tensors |= {"merged/transformer." + k: v.numpy() for k, v in merged.items() if k.endswith(("c_attn.weight", "c_fc.weight"))}
    st.save(out, {k: v.copy() for k, v in tensors.items()}, {"alpha": str(ALPHA)})


if __name__ == "__main__":
    main()

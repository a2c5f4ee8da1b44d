"""The policy by PyTorch: transformers' GPT-2 of the same size with SDPA; training, acting with and without a cache."""
import time

import numpy
import torch
from peer import compiled, measure
from transformers import GPT2Config, GPT2Model

SIDE = 64


def gpt2(s):
    """s: width, layers, heads, positions, vocabulary. Without dropout, as ours."""
    return GPT2Model(GPT2Config(vocab_size=s["vocabulary"], n_positions=s["positions"], n_embd=s["width"],
                                n_layer=s["layers"], n_head=s["heads"], resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                                bos_token_id=0, eos_token_id=0, attn_implementation="sdpa"))


kept = {}


def policy(s, seconds):
    """Seconds of a step on tensors from memory: the head and the loss on target rows only, as ours."""
    key = str(sorted(s.items()))
    if key not in kept:
        torch._dynamo.reset()
        torch.manual_seed(1)
        regress = s["loss"] == "mse"
        model = gpt2(s).train()
        head = torch.nn.Linear(s["width"], 2 if regress else s["vocabulary"], bias=regress)
        weights = [*model.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        B, T = s["batch"], s["tokens"]
        ids = torch.randint(s["vocabulary"], (B, T))
        at = torch.arange(B)[:, None] * T + torch.tensor(s["targets"])[None]
        target = torch.rand(at.numel(), 2) if regress else torch.randint(s["vocabulary"], (at.numel(),))
        loss_of = torch.nn.functional.mse_loss if regress else torch.nn.functional.cross_entropy

        def loss():
            hidden = model(ids, use_cache=False).last_hidden_state.flatten(0, 1)
            return loss_of(head(hidden[at.flatten()]), target)

        kept[key] = weights, optimizer, compiled(loss)
    weights, optimizer, loss = kept[key]

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    return {"seconds": measure(step, seconds)}


class Player:
    """An action of two tokens from a frame: [64 codes, vector, separator] -> token -> token."""

    def __init__(self, model, head, run, raw):
        from peer_images import encoder
        self.model, self.head, self.codes = model.eval(), head, encoder(run)
        self.rgb = torch.from_numpy(numpy.fromfile(raw, dtype=numpy.uint8).reshape(-1, 1, SIDE, SIDE, 3))
        self.cache = None

    def observation(self, t, past):
        """past: the action's last token, which nobody had to wait for."""
        codes = self.codes(self.rgb[t % len(self.rgb)])
        return torch.cat([past, codes, torch.tensor([[1, 2]])], 1)

    def choose(self, hidden):
        return self.head(hidden[:, -1]).argmax(-1, keepdim=True)

    def act(self, t, past):
        out = self.model(self.observation(t, past), past_key_values=self.cache, use_cache=True)
        self.cache = out.past_key_values
        first = self.choose(out.last_hidden_state)
        out = self.model(first, past_key_values=self.cache, use_cache=True)
        return [int(first), int(self.choose(out.last_hidden_state))]

    def rebuild(self, t, context):
        """NEKO's way: the whole context for every token."""
        ids = torch.cat([context, self.observation(t, context[:, :0])], 1)
        first = self.choose(self.model(ids, use_cache=False).last_hidden_state)
        ids = torch.cat([ids, first], 1)
        return [int(first), int(self.choose(self.model(ids, use_cache=False).last_hidden_state))]


def control(s, run, raw, steps, how):
    """p50 and p99 of a step behind s["context"] tokens, in milliseconds."""
    if how not in kept:
        torch._dynamo.reset()
        model = gpt2(s)
        kept[how] = Player(model, torch.nn.Linear(s["width"], s["vocabulary"], bias=False), run, raw)
        if how == "rebuild":
            model.forward = compiled(model.forward)
    p, times = kept[how], []
    context, past = torch.randint(s["vocabulary"], (1, s["context"])), torch.zeros(1, 1, dtype=torch.long)
    with torch.inference_mode():
        if how == "cache":
            p.cache = p.model(context, use_cache=True).past_key_values
        for t in range(-3, steps):  # three for warm-up
            before = time.perf_counter()
            p.act(t, past) if how == "cache" else p.rebuild(t, context)
            times.append((time.perf_counter() - before) * 1000)
            if how == "cache":  # back to the same context, outside of the time
                p.cache.crop(s["context"] - p.cache.get_seq_length())  # negative: so many tokens less
    times = sorted(times[3:])
    at = lambda q: times[int(q * (len(times) - 1) + 0.5)]
    return {"p50": at(0.5), "p99": at(0.99)}


def save(s, path):
    gpt2(s).save_pretrained(path)
    return {"saved": path}


def first(path, run, raw):
    """Loads a saved policy and acts once."""
    model = GPT2Model.from_pretrained(path, attn_implementation="sdpa")
    head = torch.nn.Linear(model.config.n_embd, model.config.vocab_size, bias=False)
    with torch.inference_mode():
        return {"action": Player(model, head, run, raw).act(0, torch.zeros(1, 1, dtype=torch.long))}

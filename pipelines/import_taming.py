#!/usr/bin/env python3
"""import_taming.py - PyTorch checkpoints of VQGANs and SEED as safetensors and JSON, for `vqvae import`.

    import_taming.py CHECKPOINT CONFIG OUT
    import_taming.py CHECKPOINT OUT             SEED's quantizer or its ViT, each by itself

CHECKPOINT: taming-transformers' (or latent-diffusion's) .ckpt, diffusers' .bin, or the .index.json of a checkpoint in
several parts (.bin or .safetensors). CONFIG: taming's YAML (project.yaml, model.yaml) or JSON; diffusers' config.json.
OUT receives weights.safetensors (the network alone; losses, optimizers and averages are left out) and config.json, and
the command that goes on is printed. A RUN is then made by, for example:

    vqvae import --from taming --weights OUT/weights.safetensors --config OUT/config.json --out RUN

Needs torch 1.13 or newer for pickles and PyYAML for YAML (Debian: apt-get install python3-torch python3-yaml). Nothing
in a checkpoint is run: what is no tensor is read as an inert placeholder.
"""

import json
import math
import os
import pickle
import struct
import sys

SEED = ("query_tokens", "patch_embed.proj.weight", "visual_encoder.patch_embed.proj.weight")
LEFT_OUT = ("loss.", "model_ema.", "quantize.remap", "quantize.used")
TYPES = {"torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float64": "F64",
         "torch.int64": "I64", "torch.int32": "I32", "torch.uint8": "U8"}


class Trouble(Exception):
    """What the user can read and mend."""


class Inert:
    """Stands for a class of a checkpoint that is no tensor; making or filling one does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return self is other


class Unpickler(pickle.Unpickler):
    """Finds what tensors and plain containers are made of; everything else becomes Inert."""

    TENSORS = {("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"),
               ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_parameter"), ("torch", "Size")}

    def find_class(self, module, name):
        storage = module in ("torch", "torch.storage") and name.endswith("Storage")
        dtype = module == "torch" and f"torch.{name}" in TYPES
        if storage or dtype or (module, name) in self.TENSORS:
            return super().find_class(module, name)
        return Inert


class CarefulPickle:
    """What torch.load takes as its pickle_module."""

    Unpickler = Unpickler
    load = staticmethod(lambda f, **k: Unpickler(f, **k).load())


def load_pickle(path):
    """{name: tensor} of the checkpoint's network."""
    try:
        import torch
    except ImportError:
        raise Trouble("torch is needed to read it (Debian: apt-get install python3-torch)") from None
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):  # Lightning stores callbacks of its own beside the weights
        try:
            read = torch.load(path, map_location="cpu", pickle_module=CarefulPickle, weights_only=False)
        except Exception as e:  # whatever a damaged file makes of a reader
            raise Trouble(f"no checkpoint that torch can read: {e}".splitlines()[0]) from None
    for key in ("state_dict", "model"):
        if isinstance(read, dict) and isinstance(read.get(key), dict):
            read = read[key]
    tensors = {k: v for k, v in read.items() if torch.is_tensor(v)} if isinstance(read, dict) else {}
    if not tensors:
        raise Trouble("no tensors in it")
    out = {}
    for name, t in tensors.items():
        if not name.startswith(LEFT_OUT):
            out[name] = describe(torch, t)
    return out


def describe(torch, t):
    """(type, shape, function that gives the bytes): bytes are made when they are written, one tensor at a time."""
    dtype = TYPES.get(str(t.dtype))
    if not dtype:
        raise Trouble(f"a tensor of {t.dtype}")

    def data():
        flat = t.detach().contiguous()
        return (flat.view(torch.int16) if dtype == "BF16" else flat).numpy().tobytes()

    return dtype, list(t.shape), data


def load_safetensors(path):
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        head = f.read(8)
        n = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if n > size - 8:
            raise Trouble("damaged: the header is longer than the file")
        header = json.loads(f.read(n).decode("utf-8"))
    out = {}
    for name, t in header.items():
        if name == "__metadata__" or name.startswith(LEFT_OUT):
            continue
        begin, end = t["data_offsets"]

        def data(begin=8 + n + begin, count=end - begin):
            with open(path, "rb") as g:
                g.seek(begin)
                return g.read(count)

        out[name] = t["dtype"], t["shape"], data
    return out


def load_weights(path):
    if path.endswith(".index.json"):
        with open(path, encoding="utf-8") as f:
            parts = sorted(set(json.load(f)["weight_map"].values()))
        out = {}
        for part in parts:
            if os.path.basename(part) != part:
                raise Trouble(f"part '{part}' lies in another folder")
            out.update(load_weights(os.path.join(os.path.dirname(path), part)))
        return out
    return load_safetensors(path) if path.endswith(".safetensors") else load_pickle(path)


def load_config(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if path.endswith(".json"):
        return json.loads(text)
    try:
        import yaml
    except ImportError:
        raise Trouble("PyYAML is needed to read it (Debian: apt-get install python3-yaml)") from None
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise Trouble(f"no YAML: {e}".replace("\n", " ")) from None
    if not isinstance(config, dict):
        raise Trouble("not a mapping")
    model = config.get("model", config)
    # Only what shapes the network: learning rates like 4.5e-6 are strings in YAML, data paths are no one's business.
    return {"model": {k: model[k] for k in ("target", "params") if k in model}} if isinstance(model, dict) else config


def write(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    width = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1}
    for name, (dtype, shape, _) in sorted(tensors.items()):
        size = width[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, (_, _, data) in sorted(tensors.items()):
            f.write(data())
        if f.tell() != 8 + len(text) + at:
            raise Trouble("a tensor's bytes are not those of its shape")
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".part", path)


def main():
    if len(sys.argv) not in (3, 4) or "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__, file=sys.stdout if "--help" in sys.argv or "-h" in sys.argv else sys.stderr)
        return 0 if "--help" in sys.argv or "-h" in sys.argv else 2
    checkpoint, config_path, out = sys.argv[1], sys.argv[2], sys.argv[-1]
    at = config_path
    try:
        config = load_config(config_path) if len(sys.argv) == 4 else None
        at = checkpoint
        tensors = load_weights(checkpoint)
        if config is None and not any(name in tensors for name in SEED):
            raise Trouble("no part of SEED; a VQGAN needs its CONFIG")
        at = out
        os.makedirs(out, exist_ok=True)
        write(os.path.join(out, "weights.safetensors"), tensors)
        if config is not None:
            with open(os.path.join(out, "config.json.part"), "w", encoding="utf-8") as f:
                json.dump(config, f, indent=1)
                f.write("\n")
            os.replace(os.path.join(out, "config.json.part"), os.path.join(out, "config.json"))
    except (Trouble, OSError, ValueError, KeyError) as e:
        print(f"import_taming: '{at}': {e}", file=sys.stderr)
        return 3
    if config is None:
        print(f"{len(tensors)} tensors; next: vqvae import --from seed '{out}/weights.safetensors' and the other part's"
              " --out RUN", file=sys.stderr)
        return 0
    kind = "diffusers" if "_class_name" in config else "taming"
    print(f"{len(tensors)} tensors; next: vqvae import --from {kind} --weights '{out}/weights.safetensors'"
          f" --config '{out}/config.json' --out RUN", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

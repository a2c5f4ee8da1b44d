"""st.py - reads and writes safetensors files with numpy alone; shared by the scripts of tests/interop and
tests/reference.

The file is: u64 little-endian N, N bytes of JSON {name: {dtype, shape, data_offsets}}, then the data. The writer's
bytes depend on the tensors only: widest types first, then by name, header padded with spaces to a multiple of 8. It
is written apart from the C code, so that each checks the other.
"""

import json
import struct

import numpy as np

TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "U64": "<u8",
    "I32": "<i4",
    "U32": "<u4",
    "I16": "<i2",
    "U16": "<u2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
ORDER = ["U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "U8", "I8", "BOOL"]


def read_header(path):
    """(header without __metadata__, metadata, offset of the data); ValueError when the file breaks the format."""
    with open(path, "rb") as f:
        blob = f.read(8)
        if len(blob) < 8:
            raise ValueError(f"{path}: shorter than 8 bytes")
        n = struct.unpack("<Q", blob)[0]
        if n > 100_000_000:
            raise ValueError(f"{path}: header of {n} bytes")
        text = f.read(n)
        if len(text) < n:
            raise ValueError(f"{path}: header is cut off")
        data_size = f.seek(0, 2) - 8 - n
    header = json.loads(text.decode("utf-8"))
    meta = header.pop("__metadata__", {})
    end = 0
    for name, t in sorted(header.items(), key=lambda kv: kv[1]["data_offsets"]):
        if t["data_offsets"][0] != end:
            raise ValueError(f"{path}: hole or overlap before '{name}'")
        end = t["data_offsets"][1]
    if end != data_size:
        raise ValueError(f"{path}: {data_size} bytes of data, {end} described")
    return header, meta, 8 + n


def load(path):
    """{name: array} and metadata. BF16 becomes float32; every other type stays what it is."""
    header, meta, base = read_header(path)
    with open(path, "rb") as f:
        f.seek(base)
        data = f.read()
    out = {}
    for name, t in header.items():
        if t["dtype"] not in TYPES:
            raise ValueError(f"{path}: '{name}' has type {t['dtype']}")
        begin, end = t["data_offsets"]
        a = np.frombuffer(data[begin:end], dtype=TYPES[t["dtype"]])
        if t["dtype"] == "BF16":
            a = (a.astype(np.uint32) << 16).view(np.float32)
        out[name] = a.reshape(t["shape"])
    return out, meta


def dtype_name(a):
    want = np.dtype(a.dtype).newbyteorder("<").str
    for name, code in TYPES.items():
        if name != "BF16" and np.dtype(code).str == want:
            return name
    raise ValueError(f"no safetensors type for {a.dtype}")


def save(path, tensors, meta=None):
    items = [(name, np.asarray(a)) for name, a in tensors.items()]
    items = [(name, np.ascontiguousarray(a).reshape(a.shape)) for name, a in items]
    items.sort(key=lambda it: (ORDER.index(dtype_name(it[1])), it[0]))
    header = {"__metadata__": {"format": "pt", **(meta or {})}}
    at = 0
    for name, a in items:
        header[name] = {"dtype": dtype_name(a), "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)))
        f.write(text)
        for _, a in items:
            f.write(a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes())

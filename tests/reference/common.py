"""common.py - what make_vq.py and make_gato.py share: seeded numbers that no library version changes, PNG files,
float32-against-float64 checks."""

import os
import struct
import sys
import zlib

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import st  # noqa: E402,F401


def uniform(name, shape, seed=0):
    """Uniform in [-1, 1), a function of (name, seed, index) alone: the PCG-like mixing is spelled out here so that no
    generator's version matters."""
    n = int(np.prod(shape, dtype=np.int64))
    key = np.uint64(zlib.crc32(name.encode()) | (seed + 1) << 32)
    with np.errstate(over="ignore"):
        x = (np.arange(n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key * np.uint64(
            0xD1342543DE82EF95
        )
        for shift, mul in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(mul)
        x ^= x >> np.uint64(31)
    return ((x >> np.uint64(11)).astype(np.float64) / 2**52 - 1).reshape(shape)


def normal(name, shape, seed=0):
    """Near-normal, variance 1: the sum of four uniforms (bounded by 2 sqrt 3). Exact in any libm, which Box-Muller
    would not be."""
    return sum(uniform(f"{name}#{i}", shape, seed) for i in range(4)) * np.sqrt(3 / 4)


def image(name, h, w, seed=0):
    """u8 [h,w,3]: smooth coloured waves of integer arithmetic, a rectangle and noise."""
    y, x = np.mgrid[0:h, 0:w]
    noise = ((uniform(name, (h, w, 3), seed) + 1) * 24).astype(np.int64)
    channels = []
    for c in range(3):
        a, b, m = (1 + (zlib.crc32(f"{name}{c}{k}".encode()) + seed) % r for k, r in (("a", 9), ("b", 7), ("m", 90)))
        wave = np.abs((a * x + b * y + m) % 256 - 128) * 3 // 2
        wave[h // 4 : h // 2 + c, w // 3 : w // 2 + 2 * c] += 60 - 50 * c
        channels.append(wave)
    return np.clip(np.stack(channels, -1) + noise, 0, 255).astype(np.uint8)


def write_png(path, rgb):
    h, w, _ = rgb.shape
    rows = b"".join(b"\0" + rgb[y].tobytes() for y in range(h))

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    with open(path, "wb") as f:
        f.write(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9))
            + chunk(b"IEND", b"")
        )


def largest_difference(a, b):
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))) if np.size(a) else 0.0


def demand(ok, text):
    """assert that survives python -O."""
    if not ok:
        raise SystemExit(f"reference refused: {text}")

"""imagine_oracle.py FOLDER CODES CONTEXT R,G,B < LINES - computes what `gato imagine` printed from the strips that it wrote (true
images above, imagined below, the last timestep shown first) and from those of `tokenize decode` in CODES (the true codes decoded).
Pure Python: PNG by zlib, SSIM by its formula."""

import glob
import json
import math
import os
import struct
import sys
import zlib


def read_png(path):
    """rows of (r, g, b) of an 8-bit RGB PNG without interlace"""
    data = open(path, "rb").read()
    at, body = 8, b""
    while at < len(data):
        n, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IHDR":
            w, h, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", data[at + 8 : at + 8 + n])
            assert (depth, color, interlace) == (8, 2, 0), path
        if name == b"IDAT":
            body += data[at + 8 : at + 8 + n]
        at += 12 + n
    raw, rows, before = zlib.decompress(body), [], bytearray(3 * w)
    for y in range(h):
        kind, row = raw[y * (3 * w + 1)], bytearray(raw[y * (3 * w + 1) + 1 : (y + 1) * (3 * w + 1)])
        for i in range(3 * w):
            a, b, c = row[i - 3] if i > 2 else 0, before[i], before[i - 3] if i > 2 else 0
            p = a + b - c
            paeth = a if abs(p - a) <= abs(p - b) and abs(p - a) <= abs(p - c) else b if abs(p - b) <= abs(p - c) else c
            row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        rows.append([tuple(row[3 * x : 3 * x + 3]) for x in range(w)])
        before = row
    return rows


def tile(rows, x, y, side):
    return [r[x * side : (x + 1) * side] for r in rows[y * side : (y + 1) * side]]


def pixels(image):
    return [p for row in image for p in row]


def squares(a, b, of=None):
    pairs = list(zip(pixels(a), pixels(b)))
    return [((u - v) / 255) ** 2 for i, (p, q) in enumerate(pairs) if of is None or of[i] for u, v in zip(p, q)]


def psnr(values):
    return -10 * math.log10(max(sum(values) / len(values), 1e-12)) if values else None


def ssim(a, b):
    side = min(11, len(a))
    g = [math.exp(-((i - (side - 1) / 2) ** 2) / 4.5) for i in range(side)]
    g = [v / sum(g) for v in g]
    total, n = 0, 0
    for c in range(3):
        for y in range(len(a) - side + 1):
            for x in range(len(a[0]) - side + 1):
                sums = [0] * 5
                for dy in range(side):
                    for dx in range(side):
                        k, p, q = g[dy] * g[dx], a[y + dy][x + dx][c] / 255, b[y + dy][x + dx][c] / 255
                        for i, v in enumerate((p, q, p * p, q * q, p * q)):
                            sums[i] += k * v
                p, q, pp, qq, pq = sums
                c1, c2 = 0.01**2, 0.03**2
                total += (2 * p * q + c1) * (2 * (pq - p * q) + c2) / ((p * p + q * q + c1) * (pp - p * p + qq - q * q + c2))
                n += 1
    return total / n


def place(image, color):
    found = [(x, y) for y, row in enumerate(image) for x, p in enumerate(row) if math.dist(p, color) <= 80]
    return len(found), sum(x for x, _ in found) / max(len(found), 1), sum(y for _, y in found) / max(len(found), 1)


def near(name, got, want, tolerance=2e-4):
    if (got is None) != (want is None) or (got is not None and abs(got - want) > tolerance):
        sys.exit(f"{name}: {got}, computed {want}")


def main(folder, codes, context, color):
    context, color = int(context), [int(v) for v in color.split(",")]
    strips = [(os.path.basename(f)[:6], read_png(f)) for f in sorted(glob.glob(folder + "/*.png"))]
    decoded = {n: read_png(glob.glob(f"{codes}/{n}-*.png")[0]) for n, _ in strips}
    lines = [json.loads(line) for line in sys.stdin]
    assert lines and strips
    for line in lines:
        h, all_of, objects = line["horizon"], {}, []
        for number, strip in strips:
            samples = line["samples"]
            side = len(strip) // (1 + samples)
            if h >= len(strip[0]) // side:
                continue
            last, truth, copy = tile(strip, 0, 0, side), tile(strip, h, 0, side), tile(strip, 0, 1, side)
            if tile(decoded[number], context - 1, 0, side) != copy:
                sys.exit("the copied image is not that of the true codes")
            ceiling = tile(decoded[number], context - 1 + h, 0, side)
            changed = [max(abs(u - v) for u, v in zip(p, q)) > 16 for p, q in zip(pixels(truth), pixels(last))]
            for s in range(samples):
                imagined = tile(strip, h, 1 + s, side)
                for name, value in (
                    ("psnr", squares(imagined, truth)),
                    ("psnr_changed", squares(imagined, truth, changed)),
                    ("copy_psnr", squares(copy, truth)),
                    ("copy_psnr_changed", squares(copy, truth, changed)),
                    ("ceiling_psnr", squares(ceiling, truth)),
                ):
                    all_of.setdefault(name, []).extend(value)
                all_of.setdefault("ssim", []).append(ssim(truth, imagined))
                n, x, y = place(truth, color)
                m, ix, iy = place(imagined, color)
                if n >= 4:
                    objects.append(math.hypot(ix - x, iy - y) if m else None)
        for name in ("psnr", "psnr_changed", "copy_psnr", "copy_psnr_changed", "ceiling_psnr"):
            near(f"horizon {h}, {name}", line[name], psnr(all_of[name]))
        near(f"horizon {h}, ssim", line["ssim"], sum(all_of["ssim"]) / len(all_of["ssim"]))
        found = [e for e in objects if e is not None]
        near(f"horizon {h}, objects", line["object_images"], len(objects))
        near(f"horizon {h}, found", line["object_found"], len(found))
        near(f"horizon {h}, object_error_px", line["object_error_px"], sum(found) / len(found) if found else None)
    print(len(lines), "lines agree")


main(*sys.argv[1:])

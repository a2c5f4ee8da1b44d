#!/usr/bin/env python3
"""compare_trace.py - compares the tensors of two safetensors files: ours A against the reference B. Numpy only.

    compare_trace.py A B [--abs 1e-7] [--rel 1e-4] [--tol 'PATTERN=ABS,REL']... [--only PATTERN]... [--skip PATTERN]...
                     [--map taming NAME_MAP] [--need PATTERN]... [--quiet]

A float tensor passes when max |a - b| <= abs + rel * max |b| (b's largest, of this tensor); integers must be equal. A
`--tol` whose shell pattern fits the name replaces both numbers (the last one that fits counts). Parameters after a
step, 'param/*', have 5e-5 and 0 unless told otherwise: beside the weight itself a missing update of 1e-3 would look
small. `--map taming F` first translates the names in B: weights by the table F (taming name, shape, diffusers name,
shape; separated by tabs), 'grad.' -> 'grad/', 'adam1.' -> 'param/1/', 'scalars' [rec, vq, total] -> loss_rec,
loss_vq, loss; a translated tensor may differ in shape if only axes of length 1 do. `--need` fails unless some
compared name fits it.
Exit 0: everything in both files agrees, and something was compared; 1: not; 2: usage or unreadable;
77: numpy is not installed.
"""

import argparse
import fnmatch
import os
import re
import sys

try:
    import numpy as np
except ImportError:
    print("skip: numpy is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import st  # noqa: E402


def read_map(path):
    table = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            part = line.rstrip("\n").split("\t")
            if len(part) >= 3:
                table[part[0]] = part[2]
    if not table:
        raise ValueError(f"{path}: no line 'name<TAB>shape<TAB>name<TAB>shape'")
    return table


def rename_taming(tensors, table):
    out = {}
    for name, a in tensors.items():
        if name == "scalars":
            out.update({"loss_rec": a[0:1], "loss_vq": a[1:2], "loss": a[2:3]})
            continue
        m = re.match(r"(grad|adam(\d+))\.(.*)$", name)
        if m:
            prefix = "grad/" if m[1] == "grad" else f"param/{m[2]}/"
            out[prefix + table.get(m[3], m[3])] = a
        else:
            out[table.get(name, name)] = a
    return out


def fits(name, patterns):
    return any(fnmatch.fnmatchcase(name, q) for q in patterns)


def squeezed(shape):
    return [d for d in shape if d != 1]


def compare(name, a, b, tol_abs, tol_rel, loose_shape):
    """(passed, text)."""
    if (
        a.shape != b.shape
        and not (loose_shape and squeezed(a.shape) == squeezed(b.shape))
        and not (a.size == b.size == 1)
    ):
        return False, f"shapes {list(a.shape)} and {list(b.shape)}"
    a, b = a.reshape(-1), b.reshape(-1)
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        if a.dtype.kind == "f" or b.dtype.kind == "f":
            return False, f"types {a.dtype} and {b.dtype}"
        bad = int(np.count_nonzero(a.astype(np.int64) != b.astype(np.int64)))
        return bad == 0, f"{bad} of {a.size} differ"
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not np.isfinite(b).all():
        return False, "the reference is not finite"
    if a.size == 0:
        return True, "empty"
    diff = np.abs(a - b)
    worst = int(np.argmax(np.where(np.isfinite(diff), diff, np.inf)))
    big, allowed = float(np.abs(b).max()), tol_abs + tol_rel * float(np.abs(b).max())
    return bool(diff[worst] <= allowed), (
        f"max difference {diff[worst]:.3g} at {worst} ({a[worst]:.8g} against {b[worst]:.8g}), largest {big:.3g}, "
        f"allowed {allowed:.3g}"
    )


def parse_tol(text):
    pattern, _, numbers = text.rpartition("=")
    part = numbers.split(",")
    if not pattern or len(part) != 2:
        raise argparse.ArgumentTypeError(f"'{text}' is not PATTERN=ABS,REL")
    try:
        return pattern, float(part[0]), float(part[1])
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not PATTERN=ABS,REL")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--abs", type=float, default=1e-7)
    p.add_argument("--rel", type=float, default=1e-4)
    p.add_argument("--tol", type=parse_tol, action="append", default=[])
    p.add_argument("--only", action="append", default=[])
    p.add_argument("--skip", action="append", default=[])
    p.add_argument("--need", action="append", default=[])
    p.add_argument("--map", nargs=2, metavar=("KIND", "FILE"))
    p.add_argument("--quiet", action="store_true", help="failures and the last line only")
    o = p.parse_args()
    if o.map and o.map[0] != "taming":
        p.error(f"--map knows 'taming', not '{o.map[0]}'")
    try:
        a, b = st.load(o.a)[0], st.load(o.b)[0]
        if o.map:
            b = rename_taming(b, read_map(o.map[1]))
    except (OSError, ValueError, KeyError) as e:
        print(f"compare_trace: {e}", file=sys.stderr)
        return 2

    failed, compared = 0, []
    for name in sorted(set(a) & set(b)):
        if (o.only and not fits(name, o.only)) or fits(name, o.skip):
            continue
        tol = [(q_abs, q_rel) for q, q_abs, q_rel in [("param/*", 5e-5, 0.0)] + o.tol if fnmatch.fnmatchcase(name, q)]
        ok, text = compare(name, a[name], b[name], *(tol[-1] if tol else (o.abs, o.rel)), loose_shape=bool(o.map))
        compared.append(name)
        failed += not ok
        if not ok or not o.quiet:
            print(f"{'ok  ' if ok else 'FAIL'} {name}: {text}")
    for q in o.need:
        if not any(fits(name, [q]) for name in compared):
            print(f"FAIL nothing compared fits '{q}'")
            failed += 1
    print(
        f"{len(compared)} compared, {failed} failed, only in A {len(set(a) - set(b))}, only in B {len(set(b) - set(a))}"
    )
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main())

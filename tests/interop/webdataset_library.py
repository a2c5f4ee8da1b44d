#!/usr/bin/env python3
"""WebDataset tars as the webdataset package and `tokenize images` read them: the same samples, images and words. By hand.

    pip install webdataset lmdb h5py pillow
    python3 tests/interop/webdataset_library.py build/bin/tokenize

Tars of Python's tarfile (ustar, GNU, pax) with members of a sample in any order, folders, long and non-ASCII names, dotted
folders, metadata and hidden members between them; plain, packed, packed in several pieces, by stdin; and tars of ShardWriter.
Skips (exit 0) where a package is missing.
"""

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))
os.environ["PATH"] = os.path.dirname(os.path.abspath(sys.argv[1])) + ":" + os.environ["PATH"]
try:
    import numpy as np
    import webdataset
    from PIL import Image
    from tokenize_oracle import shard
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

random.seed(2)
rng = np.random.default_rng(2)


def image():
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(out, "png")
    return out.getvalue()


def put(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), 0.5 if tar.format == tarfile.PAX_FORMAT else 1
    tar.addfile(member, io.BytesIO(data))


def sample(tar, i, long):
    folder = random.choice(["", "./", "a/b.c/", "deep/" * 15, f"ü-{i}/", "x" * long + "/"])
    key = f"{folder}s{i:03d}" + "y" * random.choice([0, long // 2, long])
    image = (".PNG" if i % 7 == 0 else ".png", image())
    others = [(".txt", f"words {i} ü".encode()), (".cls", b"%d" % i), (".seg.npy", b"junk"), (".json", json.dumps({"n": i}).encode())]
    parts = [image, *random.sample(others, random.randrange(5))]
    random.shuffle(parts)
    if i % 5 == 0:
        entry = tarfile.TarInfo(folder.rstrip("/") or "d")
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    for extension, data in parts:
        put(tar, key + extension, data)
    if i % 9 == 0:
        for name in ("__meta__", folder + ".hidden", "README"):
            put(tar, name, b"abc")


def theirs(names):
    samples = [s for s in webdataset.WebDataset(names, shardshuffle=False, empty_check=False) if "png" in s]
    return [(s["__key__"], s["png"], s.get("txt")) for s in samples]


def ours(source, stdin=None):
    with tempfile.TemporaryDirectory(dir=".") as folder:
        out = folder + "/x.lmdb"
        subprocess.run(["tokenize", "images", "--in", source, "--out", out, "--keep-pixels"], check=True, stdin=stdin, capture_output=True)
        lines = subprocess.run(["tokenize", "dump", out], check=True, capture_output=True).stdout.splitlines()
        raw = shard(out)
        return [(r["key"], raw[1, 0, i][1]["pixels"], bytes((r["text"] or [])[:-1])) for i, r in enumerate(map(json.loads, lines))]


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def compare(what, got, want):
    assert len(got) == len(want) > 0, f"{what}: {len(got)} samples, webdataset has {len(want)}"
    for a, b in zip(got, want):
        assert a[0] == b[0], f"{what}: '{a[0]}' where webdataset has '{b[0]}'"
        assert (pixels(a[1]) == pixels(b[1])).all(), f"{what}: {a[0]}: images differ"
        assert b[2] is None or a[2] == b[2], f"{what}: {a[0]}: words differ"
    print(f"ok: {what}: {len(got)} samples")


def pack(name, out, piece):
    """As gzip -c does a piece at a time."""
    with open(name, "rb") as f, open(out, "wb") as g:
        while data := f.read(piece):
            g.write(subprocess.run(["gzip", "-c"], input=data, check=True, capture_output=True).stdout)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name, form, long in (("ustar", tarfile.USTAR_FORMAT, 40), ("gnu", tarfile.GNU_FORMAT, 150), ("pax", tarfile.PAX_FORMAT, 150)):
        path = name + ".tar"
        with tarfile.open(path, "w", format=form) as tar:
            for i in range(40):
                sample(tar, i, long)
        want = theirs([path])
        compare(name, ours(path), want)
        with open(path, "rb") as f:
            compare(name + " by stdin", ours("-", f), want)
        pack(path, "one.tar.gz", -1)
        compare(name + " packed", ours("one.tar.gz"), want)
        pack(path, "many.tar.gz", 20000)
        compare(name + " packed in pieces", ours("many.tar.gz"), want)
    with webdataset.ShardWriter("w-%06d.tar", maxcount=10, verbose=0) as writer:
        for i in range(25):
            image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            writer.write({"__key__": f"k{i:04d}", "png": image, "txt": f"caption {i}", "json": {"a": 1}})
    braces = "w-{000000..000002}.tar"
    compare("ShardWriter", ours(braces), theirs(braces))

#!/usr/bin/env python3
"""What the lerobot package itself writes, through the converter and `tokenize`. By hand: it needs pip's packages.

    pip install lerobot 'numpy<2.3' h5py lmdb pillow pyarrow      # lerobot 0.4 writes v3.0, lerobot==0.3.3 writes v2.1
    python3 tests/interop/lerobot_library.py build/bin/tokenize

Two cameras, state and action vectors, five episodes of different lengths, three tasks. Kept images must be the written ones to the
last bit when they are stored as images; from videos, nearer to their own step than half the way to the next. Vectors, actions (by the smallest
and largest written), rewards, ends and words must be the written ones. Skips (exit 0) where a package is missing.
"""

import io
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))
# Not beside lerobot.py of this folder, which would be taken for the package.
sys.path = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]
os.environ["PATH"] = os.path.dirname(os.path.abspath(sys.argv[1])) + ":" + os.environ["PATH"]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import lerobot
    import numpy as np
    from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset
    from PIL import Image
    from tokenize_oracle import dump, shard
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

H, W, FPS, LENGTHS = 64, 96, 10, [7, 12, 5, 1, 20]
TASKS = ["pick it up", "lay it down ö", "wave \"twice\""]
rng = np.random.default_rng(4)


def moving(n, shift):
    y, x = np.mgrid[:H, :W]
    wave = lambda t: [128 + 80 * np.sin(x / 9 + t / 3 + shift), 128 + 80 * np.cos(y / 7 - t / 4), 100 + 50 * np.sin((x + y) / 11 + t / 5)]  # noqa: E731
    return np.stack([np.stack(wave(t), -1).astype(np.uint8) for t in range(n)])


EPISODES = [
    {
        "top": moving(T, i),
        "wrist": moving(T, 3 + i)[:, ::-1].copy(),
        "state": np.float32(rng.normal(size=(T, 6))),
        "action": np.float32(rng.normal(size=(T, 4)) * 3),
        "reward": np.float32(rng.normal(size=T)),
        "done": np.arange(T) == (T - 1 if i % 2 else T),
        "task": TASKS[i % 3],
    }
    for i, T in enumerate(LENGTHS)
]


def write(root, kind):
    image = {"dtype": kind, "shape": (H, W, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.images.top": image,
        "observation.images.wrist": image,
        "observation.state": {"dtype": "float32", "shape": (6,), "names": [f"j{i}" for i in range(6)]},
        "action": {"dtype": "float32", "shape": (4,), "names": [f"a{i}" for i in range(4)]},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    }
    d = LeRobotDataset.create("own/" + root, FPS, features, root=root, use_videos=kind == "video")
    for e in EPISODES:
        for t in range(len(e["action"])):
            frame = {
                "observation.images.top": e["top"][t],
                "observation.images.wrist": e["wrist"][t],
                "observation.state": e["state"][t],
                "action": e["action"][t],
                "next.reward": e["reward"][t : t + 1],
                "next.done": e["done"][t : t + 1],
            }
            if CODEBASE_VERSION.startswith("v2."):
                d.add_frame(frame, e["task"])
            else:
                d.add_frame({**frame, "task": e["task"]})
        d.save_episode()
    if hasattr(d, "finalize"):
        d.finalize()


def kept(parts):
    at = np.cumsum([0, *parts["pixel_size"].tolist()])
    return np.stack([np.asarray(Image.open(io.BytesIO(parts["pixels"][a:b]))) for a, b in zip(at, at[1:])]).astype(int)


def check_frames(got, want, exact, where):
    assert got.shape == want.shape, f"{where}: {got.shape} frames, {want.shape} were written"
    if exact:
        assert (got == want).all(), f"{where}: images differ"
        return 0
    own = np.abs(got - want).mean((1, 2, 3))
    next_one = np.abs(got[:-1] - want[1:].astype(int)).mean((1, 2, 3))
    assert len(got) == 1 or own.max() < next_one.min() / 2, f"{where}: frames of another step: {own.max():.2f} {next_one.min():.2f}"
    return own.max()


def check(kind):
    root, out = "written-" + kind, "minari-" + kind
    write(root, kind)
    converter = os.path.join(TOP, "pipelines", "lerobot_to_minari.py")
    subprocess.run([sys.executable, converter, "--in", root, "--out", out], check=True)
    low, high = (np.float64(f([f(e["action"], 0) for e in EPISODES], 0)) for f in (np.min, np.max))
    worst = 0
    for camera in ("top", "wrist"):
        name = f"{kind}-{camera}.lmdb"
        subprocess.run(["tokenize", "episodes", "--in", out, "--out", name, "--keep-pixels", "--obs", f"image=images.{camera},continuous=state,text=task"], check=True, stdout=subprocess.DEVNULL)
        raw, records = shard(name), dump(name)
        assert len(records) == len(EPISODES)
        for i, (r, e) in enumerate(zip(records, EPISODES)):
            where = f"{kind}: episode {i}"
            worst = max(worst, check_frames(kept(raw[1, 0, i][1]), e[camera], kind == "image", where))
            assert (np.float32(r["continuous"]) == e["state"]).all(), where + ": state"
            assert np.abs((np.float64(e["action"]) - low) / (high - low) * 2 - 1 - r["actions"]).max() < 1e-6, where + ": action"
            assert (np.float32(r["rewards"]) == e["reward"]).all(), where + ": reward"
            assert (np.asarray(r["terminated"], bool) == e["done"]).all(), where + ": terminated"
            last = np.arange(len(e["done"])) == len(e["done"]) - 1
            assert (np.asarray(r["truncated"], bool) == (last & ~e["done"])).all(), where + ": truncated"
            assert bytes(r["text"][:-1]).decode() == e["task"], where + ": task"
    print(f"ok: {CODEBASE_VERSION} of lerobot {getattr(lerobot, '__version__', '?')}, {kind}: images differ by {worst:.2f} at most in the mean")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for kind in ("image", "video"):
        check(kind)

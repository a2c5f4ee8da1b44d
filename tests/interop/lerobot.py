#!/usr/bin/env python3
"""LeRobot datasets of v2.1 and v3.0 (real Parquet and MP4 files, by their documented layout) through the converter and `tokenize`.

    python3 tests/interop/lerobot.py build/bin/tokenize [CODEC]

Frames must be those of their own step: nearer to the recorded image than to its neighbours, and equal to PyAV's decoding; the
minari package, when it is there, must read the result. Needs pyarrow, pandas, av, h5py, lmdb and pillow; without them it says
so and skips (exit 0). CODEC: libx264 (default), libsvtav1, ...
"""

import io
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))
os.environ["PATH"] = os.path.dirname(os.path.abspath(sys.argv[1])) + ":" + os.environ["PATH"]
try:
    import av
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image
    from tokenize_oracle import dump, shard
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

CODEC = sys.argv[2] if len(sys.argv) > 2 else "libx264"
H, W, FPS, LENGTHS, TOP_KEY = 48, 64, 10, [7, 5, 9], "observation.images.top"
STARTS = np.cumsum([0] + LENGTHS)
rng = np.random.default_rng(1)


def moving(n, shift):
    y, x = np.mgrid[:H, :W]
    wave = lambda t: [128 + 80 * np.sin(x / 9 + t / 3 + shift), 128 + 80 * np.cos(y / 7 - t / 4), 100 + 50 * np.sin((x + y) / 11 + t / 5)]  # noqa: E731
    return np.stack([np.stack(wave(t), -1).astype(np.uint8) for t in range(n)])


EPISODES = [{"top": moving(T, i), "state": np.float32(rng.normal(size=(T, 3))), "action": np.float32(rng.normal(size=(T, 2)) * 3)} for i, T in enumerate(LENGTHS)]
SCALAR = {"dtype": "int64", "shape": [1], "names": None}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [3], "names": None},
    "action": {"dtype": "float32", "shape": [2], "names": None},
    TOP_KEY: {"dtype": "video", "shape": [H, W, 3], "names": ["height", "width", "channels"]},
    **{k: SCALAR for k in ("frame_index", "episode_index", "index", "task_index")},
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
}


def save_video(path, frames):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with av.open(path, "w") as box:
        stream = box.add_stream(CODEC, rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.options = W, H, "yuv420p", {"g": "2", "crf": "10"}
        for f in frames:
            box.mux(stream.encode(av.VideoFrame.from_ndarray(f, format="rgb24")))
        box.mux(stream.encode())


def decode(path):
    with av.open(path) as box:
        return np.stack([f.to_ndarray(format="rgb24") for f in box.decode(video=0)])


def table(i):
    e, T = EPISODES[i], LENGTHS[i]
    return pa.table(
        {
            "observation.state": list(e["state"]),
            "action": list(e["action"]),
            "timestamp": np.float32(np.arange(T) / FPS),
            "frame_index": np.arange(T),
            "episode_index": np.full(T, i),
            "index": np.arange(STARTS[i], STARTS[i + 1]),
            "task_index": np.full(T, i % 2),
        }
    )


def save_info(root, version, data_path, video_path):
    os.makedirs(root + "/meta/episodes/chunk-000")
    os.makedirs(root + "/data/chunk-000")
    info = {"codebase_version": version, "fps": FPS, "features": FEATURES, "total_episodes": 3, "chunks_size": 1000, "data_path": data_path, "video_path": video_path}
    with open(root + "/meta/info.json", "w") as f:
        json.dump(info, f)


def make_v21(root):
    """Returns the decoded frames of each episode."""
    name = "chunk-{episode_chunk:03d}/%sepisode_{episode_index:06d}"
    save_info(root, "v2.1", "data/" + name % "" + ".parquet", "videos/" + name % "{video_key}/" + ".mp4")
    with open(root + "/meta/episodes.jsonl", "w") as f:
        f.writelines(json.dumps({"episode_index": i, "tasks": [], "length": T}) + "\n" for i, T in enumerate(LENGTHS))
    with open(root + "/meta/tasks.jsonl", "w") as f:
        f.writelines(json.dumps({"task_index": i, "task": f"task {i} ö"}) + "\n" for i in range(2))
    out = []
    for i, e in enumerate(EPISODES):
        pq.write_table(table(i), root + f"/data/chunk-000/episode_{i:06d}.parquet")
        path = root + f"/videos/chunk-000/{TOP_KEY}/episode_{i:06d}.mp4"
        save_video(path, e["top"])
        out.append(decode(path))
    return out


def make_v30(root):
    """Two episodes share the first video."""
    save_info(root, "v3.0", "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet", "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4")
    of = f"videos/{TOP_KEY}/"
    rows = {"episode_index": range(3), "length": LENGTHS, "data/chunk_index": [0] * 3, "data/file_index": [0] * 3, of + "chunk_index": [0] * 3}
    rows |= {of + "file_index": [0, 0, 1], of + "from_timestamp": [0.0, LENGTHS[0] / FPS, 0.0], "dataset_from_index": STARTS[:-1], "dataset_to_index": STARTS[1:]}
    pq.write_table(pa.table(rows), root + "/meta/episodes/chunk-000/file-000.parquet")
    pd.DataFrame({"task_index": [0, 1]}, index=["task 0 ö", "task 1 ö"]).to_parquet(root + "/meta/tasks.parquet")
    pq.write_table(pa.concat_tables([table(i) for i in range(3)]), root + "/data/chunk-000/file-000.parquet")
    paths = [root + f"/{of}chunk-000/file-00{i}.mp4" for i in range(2)]
    save_video(paths[0], np.concatenate([EPISODES[0]["top"], EPISODES[1]["top"]]))
    save_video(paths[1], EPISODES[2]["top"])
    both = decode(paths[0])
    return [both[: LENGTHS[0]], both[LENGTHS[0] :], decode(paths[1])]


def kept_frames(parts):
    at = np.cumsum([0, *parts["pixel_size"].tolist()])
    return np.stack([np.asarray(Image.open(io.BytesIO(parts["pixels"][a:b]))) for a, b in zip(at, at[1:])]).astype(int)


def check(name, make):
    decoded = make(name)
    converter = os.path.join(TOP, "pipelines", "lerobot_to_minari.py")
    subprocess.run([sys.executable, converter, "--in", name, "--out", "minari-" + name], check=True)
    subprocess.run(["tokenize", "episodes", "--in", "minari-" + name, "--out", name + ".lmdb", "--keep-pixels"], check=True)
    low, high = (np.float64(f([f(e["action"], 0) for e in EPISODES], 0)) for f in (np.min, np.max))
    raw = shard(name + ".lmdb")
    for i, (r, e) in enumerate(zip(dump(name + ".lmdb"), EPISODES)):
        frames = kept_frames(raw[1, 0, i][1])
        assert (frames == decoded[i]).all(), f"{name}: episode {i}: frames differ from PyAV's"
        own, next_one = np.abs(frames - e["top"]).mean((1, 2, 3)), np.abs(frames[:-1] - e["top"][1:].astype(int)).mean((1, 2, 3))
        assert own.max() < next_one.min() / 2, f"{name}: episode {i}: frames of another step"
        assert (np.float32(r["continuous"]) == e["state"]).all()
        assert np.abs((np.float64(e["action"]) - low) / (high - low) * 2 - 1 - r["actions"]).max() < 1e-6
        assert bytes(r["text"][:-1]).decode() == f"task {i % 2} ö"
    try:
        from minari.dataset.minari_dataset import MinariDataset
    except ImportError:
        return
    data = MinariDataset(os.path.join("minari-" + name, "data"))
    assert [len(e.rewards) for e in data.iterate_episodes()] == LENGTHS


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    check("v21", make_v21)
    check("v30", make_v30)
print(f"ok: {CODEC}")

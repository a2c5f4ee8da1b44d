#!/usr/bin/env python3
"""lerobot_to_minari.py - a LeRobot dataset (v2.0, v2.1 or v3.0, on disk) as a Minari dataset that `tokenize episodes` reads.

    python3 pipelines/lerobot_to_minari.py --in LEROBOT --out DIR [--camera KEY]... [--size W,H] [--limit N]

Observations become a Dict: each camera as frames, each `observation.*` vector, the task's words as text `task`. Actions are a
Box with the smallest and largest values that the dataset holds, by which `tokenize` scales them. LeRobot has no observation
after the last action: the last one stands twice. Videos are decoded once, front to back.

Needs h5py and numpy (Debian: python3-h5py), pyarrow (pip install pyarrow), and for videos PyAV (python3-av) or ffmpeg; for
images inside the tables, and for --size, Pillow (python3-pil).
"""

import argparse
import glob
import io
import json
import os
import re
import shutil
import subprocess
import sys


def fail(code, text):
    print("lerobot_to_minari: " + text, file=sys.stderr)
    sys.exit(code)


def need(module, how):
    try:
        return __import__(module, fromlist=["x"])
    except ImportError:
        fail(1, f"the Python package {module} is missing: {how}")


np = need("numpy", "apt install python3-numpy")
h5py = need("h5py", "apt install python3-h5py")
parquet = need("pyarrow.parquet", "it reads the dataset's tables; pip install pyarrow")

BOOK = {"timestamp", "frame_index", "episode_index", "index", "task_index"}  # columns that count, not observe


class Bad(Exception):
    """What makes one episode unusable."""


# ---- videos ----------------------------------------------------------------------------------------------------------
def frames_by_av(av, path, fps):
    """(number of the frame by its time, RGB)"""
    try:
        with av.open(path) as box:
            if not box.streams.video:
                raise Bad(f"{path}: no video in it")
            stream = box.streams.video[0]
            stream.thread_type = "AUTO"
            first = None
            for frame in box.decode(stream):
                at = float(frame.pts * frame.time_base)
                first = at if first is None else first
                yield round((at - first) * fps), frame.to_ndarray(format="rgb24")
    except av.error.FFmpegError as e:
        raise Bad(f"{path}: {e}") from e


def frames_by_ffmpeg(path, shape):
    height, width = shape[:2]
    size, n = height * width * 3, 0
    words = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "pipe:1"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        while len(data := child.stdout.read(size)) == size:
            yield n, np.frombuffer(data, np.uint8).reshape(height, width, 3)
            n += 1
    finally:
        child.kill()
        child.wait()


class Video:
    """Frames of one camera, asked for front to back; files are opened when their turn comes."""

    def __init__(self, fps, shape):
        self.fps, self.shape, self.path, self.source, self.at = fps, shape, None, None, 0
        self.waiting = None  # a frame read too far
        try:
            self.av = __import__("av")
        except ImportError:
            self.av = None
            if not shutil.which("ffmpeg"):
                fail(1, "no video decoder: PyAV (pip install av, apt install python3-av) or ffmpeg is needed")

    def open(self, path):
        if not os.path.isfile(path):
            raise Bad(f"{path} is missing")
        self.path, self.at, self.waiting = path, 0, None
        self.source = frames_by_av(self.av, path, self.fps) if self.av else frames_by_ffmpeg(path, self.shape)

    def read(self, path, first, n):
        if path != self.path or first < self.at:
            self.open(path)
        out = []
        while len(out) < n:
            number, frame = self.waiting or next(self.source, (None, None))
            self.waiting = None
            if number is None:
                self.path = None
                raise Bad(f"{path}: ends at frame {self.at}, {first + n} are needed")
            if number > first + len(out):
                self.waiting = (number, frame)
                raise Bad(f"{path}: frame {first + len(out)} is missing")
            self.at = number + 1
            if number == first + len(out):
                out.append(frame)
        return np.stack(out)


# ---- the dataset -----------------------------------------------------------------------------------------------------
def text_of(path):
    try:
        with open(path, encoding="utf-8-sig") as f:
            return f.read()
    except OSError as e:
        fail(3, f"'{path}': {e.strerror}; copy or download the dataset's whole folder meta/")
    except ValueError as e:
        fail(3, f"'{path}': {e}")


def rows_of(path):
    """JSON objects one a line, spread over lines, or in one list."""
    text, at, rows = text_of(path), 0, []
    blank = re.compile(r"[ \t\r\n]*")
    while (at := blank.match(text, at).end()) < len(text):
        try:
            row, at = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError) as e:
            fail(3, f"'{path}': {e}; one JSON object a line is needed")
        rows.append(row)
    if len(rows) == 1 and isinstance(rows[0], list):
        rows = rows[0]
    return rows


def tables(folder, pattern):
    """(path, rows) of every table; at least one."""
    paths = sorted(glob.glob(os.path.join(folder, pattern)))
    if not paths:
        fail(3, f"'{folder}/{pattern}' is missing; copy or download the dataset's whole folder meta/")
    for path in paths:
        try:
            yield path, parquet.read_table(path).to_pylist()
        except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as e:
            fail(3, f"'{path}': {one_line(e)}")


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def indexed(path, rows, key):
    """The rows, each of which must have a number by which it is found."""
    for n, row in enumerate(rows):
        if not isinstance(row, dict) or not whole(row.get(key)):
            fail(3, f"'{path}': item {n + 1} is no object with a whole number '{key}'")
    return rows


class Dataset:
    def __init__(self, folder):
        self.folder = folder
        try:
            with open(os.path.join(folder, "meta", "info.json"), encoding="utf-8-sig") as f:
                self.info = json.load(f)
        except OSError as e:
            fail(2, f"'{folder}' is no LeRobot dataset: {e}")
        except (ValueError, RecursionError) as e:
            fail(3, f"'{folder}/meta/info.json': {e}")
        if not isinstance(self.info, dict):
            fail(3, f"'{folder}/meta/info.json': no JSON object")
        self.version = str(self.info.get("codebase_version", ""))
        if not self.version.startswith(("v2.", "v3.")):
            fail(4, f"'{folder}' is of version '{self.version}'; v2.0 to v3.0 are read")
        self.check_info()
        self.features, self.fps = self.info["features"], float(self.info["fps"])
        self.three = self.version.startswith("v3.")
        self.table = (None, None)
        if self.three:
            self.episodes = [e for path, rows in tables(folder, "meta/episodes/*/*.parquet") for e in indexed(path, rows, "episode_index")]
            rows = [r for path, rows in tables(folder, "meta/tasks.parquet") for r in indexed(path, rows, "task_index")]
        else:
            episodes, tasks = (os.path.join(folder, "meta", name) for name in ("episodes.jsonl", "tasks.jsonl"))
            self.episodes = indexed(episodes, rows_of(episodes), "episode_index")
            rows = indexed(tasks, rows_of(tasks), "task_index")
        if not self.episodes:
            fail(3, f"'{folder}/meta' names no episodes")
        self.episodes = sorted(self.episodes, key=lambda e: e["episode_index"])
        # pandas keeps the words as the table's index, under whatever name
        self.tasks = {r["task_index"]: next((v for v in r.values() if isinstance(v, str)), "") for r in rows}

    def check_info(self):
        """What everything else stands on; one line names what is missing."""
        name, info = f"'{self.folder}/meta/info.json'", self.info
        features, fps = info.get("features"), info.get("fps")
        if not isinstance(features, dict):
            fail(3, f"{name}: 'features' must be an object of columns")
        if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e6:
            fail(3, f"{name}: 'fps' must be a number above 0")
        if not whole(info.get("chunks_size", 1000)) or not info.get("chunks_size", 1000):
            fail(3, f"{name}: 'chunks_size' must be a whole number above 0")
        for key, f in features.items():
            shape = f.get("shape") if isinstance(f, dict) else None
            if not isinstance(shape, list) or not all(map(whole, shape)) or not isinstance(f.get("dtype"), str):
                fail(3, f"{name}: feature '{key}' needs a dtype and a shape of whole numbers")
            if f["dtype"] in ("video", "image") and len(shape) != 3:
                fail(3, f"{name}: camera '{key}' needs a shape of three numbers, not {shape}")
        video = any(f["dtype"] == "video" for f in features.values())
        for key in ["data_path"] + ["video_path"] * video:
            if not isinstance(info.get(key), str):
                fail(3, f"{name}: '{key}' is missing, the pattern of the files' names")

    def path(self, template, episode, prefix, **more):
        if self.three:
            more.update(chunk_index=episode[prefix + "/chunk_index"], file_index=episode[prefix + "/file_index"])
        else:
            n = episode["episode_index"]
            more.update(episode_chunk=n // self.info.get("chunks_size", 1000), episode_index=n)
        try:
            return os.path.join(self.folder, self.info[template].format(**more))
        except (LookupError, ValueError, AttributeError) as e:
            raise Bad(f"{template} '{self.info[template]}' of meta/info.json does not fit: {one_line(e)}") from e

    def columns(self, episode):
        """The episode's rows: name -> list."""
        path = self.path("data_path", episode, "data")
        if self.table[0] != path:
            try:
                self.table = (path, parquet.read_table(path))
            except OSError as e:
                self.table = (None, None)
                raise Bad(f"{path}: {one_line(e)}") from e
        table = self.table[1]
        if "episode_index" not in table.column_names:
            raise Bad(f"{path}: column 'episode_index' is missing")
        own = np.flatnonzero(table.column("episode_index").to_numpy() == episode["episode_index"])
        if len(own) == 0 or own[-1] - own[0] + 1 != len(own):
            raise Bad(f"{path}: no rows of this episode" if len(own) == 0 else f"{path}: its rows are scattered")
        if len(own) != episode["length"]:
            raise Bad(f"{path}: {len(own)} rows, its length is {episode['length']}")
        return table.slice(int(own[0]), len(own))

    def frames(self, episode, key, video):
        path = self.path("video_path", episode, "videos/" + key, video_key=key)
        first = round(episode[f"videos/{key}/from_timestamp"] * self.fps) if self.three else 0
        return video.read(path, first, episode["length"])


def array(table, name, dtype, shape):
    try:
        a = np.asarray(table.column(name).to_pylist(), dtype)
        return a.reshape((len(a), *shape))
    except (TypeError, ValueError) as e:
        raise Bad(f"column {name}: {one_line(e)}") from e


def embedded(table, name, folder):
    """Images that stand in the table as files."""
    image = need("PIL.Image", "apt install python3-pil")
    out = []
    for cell in table.column(name).to_pylist():
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not data and not (isinstance(cell, dict) and isinstance(cell.get("path"), str)):
            raise Bad(f"column {name}: a cell holds no image")
        try:
            out.append(np.asarray(image.open(io.BytesIO(data) if data else os.path.join(folder, cell["path"])).convert("RGB")))
        except (OSError, SyntaxError, image.DecompressionBombError) as e:
            raise Bad(f"column {name}: {one_line(e)}") from e
    return np.stack(out)


def resized(frames, size):
    if not size or frames.shape[2:0:-1] == tuple(size):
        return frames
    image = need("PIL.Image", "apt install python3-pil")
    return np.stack([np.asarray(image.fromarray(f).resize(size, image.BILINEAR)) for f in frames])


# ---- Minari ----------------------------------------------------------------------------------------------------------
def box(shape, dtype, low, high):
    return {"type": "Box", "dtype": dtype, "shape": list(shape), "low": np.broadcast_to(low, shape).tolist(), "high": np.broadcast_to(high, shape).tolist()}


def put(group, name, data, image=False):
    rows = max(1, min(len(data), (64 << 20) // max(1, data[:1].nbytes)))
    group.create_dataset(name, data=data, chunks=(rows, *data.shape[1:]), maxshape=(None, *data.shape[1:]), track_times=False,
                         **({"compression": "gzip", "compression_opts": 4} if image else {}))


class Converter:
    def __init__(self, options):
        self.o, self.d = options, Dataset(options.source)
        f = self.d.features
        cameras = [k for k, v in f.items() if v["dtype"] in ("video", "image")]
        unknown = [k for k in options.camera or [] if k not in cameras]
        if unknown:
            fail(2, f"no camera {unknown[0]}; there are: {', '.join(cameras) or 'none'}")
        self.cameras = options.camera or cameras
        self.vectors = [k for k, v in f.items() if k.startswith("observation") and k not in cameras and v["dtype"] != "string"]
        if "action" not in f:
            fail(3, f"'{options.source}' has no actions")
        self.videos = {k: Video(self.d.fps, self.hwc(k)) for k in self.cameras if f[k]["dtype"] == "video"}
        self.episodes = self.d.episodes[: options.limit or None]
        self.bad = self.written = self.steps = 0
        self.low = self.high = None

    def hwc(self, key):
        """Declared channels last or first."""
        shape, names = self.d.features[key]["shape"], self.d.features[key].get("names") or []
        first = names[:1] in (["channels"], ["channel"]) or (shape[0] in (1, 3) and shape[2] not in (1, 3))
        return (*shape[1:], shape[0]) if first else tuple(shape)

    @staticmethod
    def name(key):
        return key[len("observation."):] if key.startswith("observation.") else key

    def observations(self, table, episode):
        out = {}
        for k in self.cameras:
            frames = self.d.frames(episode, k, self.videos[k]) if k in self.videos else embedded(table, k, self.d.folder)
            out[self.name(k)] = resized(frames, self.o.size)
        for k in self.vectors:
            out[self.name(k)] = array(table, k, "f4", self.d.features[k]["shape"])
        return {k: np.concatenate([v, v[-1:]]) for k, v in out.items()}

    def add(self, file, episode):
        table = self.d.columns(episode)
        T, names = table.num_rows, table.column_names
        for k in ["task_index", "action", *self.vectors, *(c for c in self.cameras if c not in self.videos)]:
            if k not in names:
                raise Bad(f"{self.d.table[0]}: column '{k}' is missing, which meta/info.json declares")
        observations = self.observations(table, episode)
        actions = array(table, "action", "f4", self.d.features["action"]["shape"])
        done = array(table, "next.done", bool, ()) if "next.done" in names else np.zeros(T, bool)
        last = np.arange(T) == T - 1
        group = file.create_group(f"episode_{self.written}", track_order=True)
        group.attrs.update({"id": self.written, "total_steps": T})
        inside = group.create_group("observations", track_order=True)
        for k, v in observations.items():
            put(inside, k, v, v.dtype == np.uint8)
        words = self.d.tasks.get(table.column("task_index")[0].as_py(), "")
        inside.create_dataset("task", data=[words] * (T + 1), dtype=h5py.string_dtype(), track_times=False)
        put(group, "actions", actions)
        put(group, "rewards", array(table, "next.reward", "f8", ()) if "next.reward" in names else np.zeros(T))
        put(group, "terminations", done)
        put(group, "truncations", last & ~done)
        self.low = np.min([actions.min(0), self.low if self.low is not None else actions.min(0)], 0)
        self.high = np.max([actions.max(0), self.high if self.high is not None else actions.max(0)], 0)
        self.shapes = {k: (v.shape[1:], v.dtype) for k, v in observations.items()}
        self.written += 1
        self.steps += T

    def spaces(self):
        inside = {k: box(s, "uint8", 0, 255) if t == np.uint8 else box(s, "float32", -np.inf, np.inf) for k, (s, t) in self.shapes.items()}
        longest = max(map(len, self.d.tasks.values()), default=1)
        inside["task"] = {"type": "Text", "max_length": max(1, longest), "min_length": 0, "charset": "".join(sorted(set("".join(self.d.tasks.values())))) or " "}
        return {"type": "Dict", "subspaces": dict(sorted(inside.items()))}, box(self.low.shape, "float32", self.low, self.high)

    def metadata(self):
        observation, action = self.spaces()
        name = os.path.basename(os.path.abspath(self.o.source))
        return {"action_space": json.dumps(action), "algorithm_name": "demonstrations", "data_format": "hdf5", "dataset_id": f"lerobot/{name}-v0",
                "jpeg_encoding": False, "minari_version": "0.5.3", "observation_space": json.dumps(observation), "total_episodes": self.written,
                "total_steps": self.steps}

    def run(self):
        folder = os.path.join(self.o.out, "data")
        final, meta = os.path.join(folder, "main_data.hdf5"), os.path.join(folder, "metadata.json")
        if os.path.exists(final) and not self.o.force:
            fail(2, f"'{self.o.out}' exists: --force replaces it")
        os.makedirs(folder, exist_ok=True)
        with h5py.File(final + ".part", "w", track_order=True) as file:
            for i, episode in enumerate(self.episodes):
                try:
                    self.add(file, episode)
                except (Bad, LookupError, ValueError, TypeError, NotImplementedError) as e:
                    self.bad += 1
                    what = f"{e.args[0]!r} is missing in its line of meta/episodes" if isinstance(e, KeyError) else one_line(e)
                    print(f"lerobot_to_minari: skipped episode {episode.get('episode_index', i)}: {what}", file=sys.stderr)
                    file.pop(f"episode_{self.written}", None)
        if not self.written or self.bad > self.o.max_bad * len(self.episodes):
            os.remove(final + ".part")
            fail(3, f"{self.bad} of {len(self.episodes)} episodes are bad, more than --max-bad {self.o.max_bad:g} allows")
        with open(meta + ".part", "w", encoding="utf-8") as f:
            json.dump(self.metadata(), f, sort_keys=True)
            f.flush()
            os.fsync(f.fileno())
        for path in (final, meta):
            os.replace(path + ".part", path)
        print(json.dumps({"episodes": self.written, "steps": self.steps, "bad": self.bad}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--in", dest="source", required=True, metavar="LEROBOT", help="the dataset's folder, with meta/info.json")
    p.add_argument("--out", required=True, metavar="DIR", help="the Minari dataset to make")
    p.add_argument("--camera", action="append", metavar="KEY", help="only this camera (observation.images.top); may be repeated")
    p.add_argument("--size", type=lambda s: [int(x) for x in s.split(",")], metavar="W,H", help="resize the frames")
    p.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N episodes")
    p.add_argument("--max-bad", type=float, default=0.01, metavar="F", help="share of unreadable episodes that is tolerated (0.01)")
    p.add_argument("--force", action="store_true", help="replace an existing dataset")
    options = p.parse_args()
    try:
        Converter(options).run()
    except OSError as e:  # a full disk, a folder that cannot be written
        fail(1, one_line(e))


if __name__ == "__main__":
    main()

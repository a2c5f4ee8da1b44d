#!/usr/bin/env python3
"""Ours read by the minari package, and theirs read by us.

    make build/tests/interop/minari_helper
    python3 tests/interop/minari_roundtrip.py build/tests/interop/minari_helper

Needs the packages minari, h5py and pillow; without them it says so and skips (exit 0).
"""

import json
import os
import subprocess
import sys
import tempfile

try:
    import gymnasium as gym
    import numpy as np
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_dataset import MinariDataset
    from minari.dataset.minari_storage import MinariStorage
    import h5py  # noqa: F401  (minari imports it late)
    from PIL import Image  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

HELPER = os.path.abspath(sys.argv[1])
EPISODES, SIDE = 12, 40


def equal(ours, theirs, what):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape} against {theirs.shape}"
    assert (ours == theirs).all(), f"{what}: values differ"


# ---- what minari_helper writes, by the same formulas -----------------------------------------------------------------
def vector(e, rows, width):
    t, j = np.mgrid[0:rows, 0:width]
    return (t * 0.25 - j * 0.5 + e).astype(np.float32)


def action(e, rows):
    t, j = np.mgrid[0:rows, 0:2]
    return ((t - j) / 8 - e / 64).astype(np.float32)


def frames(e, rows):
    t, y, x, c = np.mgrid[0:rows, 0:SIDE, 0:SIDE, 0:3]
    return ((t * 7 + y * 3 + x * 5 + c * 11 + e * 13) % 256).astype(np.uint8)


def check_ours(folder, is_dict):
    subprocess.run([HELPER, "write-dict" if is_dict else "write-bare", folder], check=True)
    data = MinariDataset(os.path.join(folder, "data"))
    assert data.total_episodes == EPISODES and data.total_steps == sum(range(1, EPISODES + 1))
    box = data.observation_space["vector"] if is_dict else data.observation_space
    assert (
        box.dtype == np.float32
        and box.low[0] == -np.inf
        and box.low[2] == np.float32(-0.1)
        and box.high[2] == np.float32(1e-7)
    )
    assert data.action_space == gym.spaces.Box(-1, 1, (2,), np.float32)
    if is_dict:
        assert data.observation_space["image"] == gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        assert data.observation_space["mode"] == gym.spaces.Discrete(5, start=-2)
    seen = 0
    for i, episode in enumerate(data.iterate_episodes()):
        T = i + 1
        if is_dict:
            assert list(episode.observations) == ["image", "mode", "text", "vector"]
            equal(episode.observations["image"], frames(i, T + 1), "image")
            equal(episode.observations["mode"], np.arange(T + 1) % 5 - 2, "mode")
            text = ["" if t == 1 else f'touch "{i}" at {t} °' for t in range(T + 1)]
            assert episode.observations["text"] == text, episode.observations["text"]
        obs = episode.observations["vector"] if is_dict else episode.observations
        assert obs.dtype == np.float32 and episode.terminations.dtype == bool
        equal(obs, vector(i, T + 1, 3), "vector")
        equal(episode.actions, action(i, T), "actions")
        equal(episode.infos["expert_action"], action(i, T) + np.float32(0.125), "expert_action")
        equal(episode.rewards, vector(i, T, 1)[:, 0] + 0.5, "rewards")
        last = np.arange(T) == T - 1
        equal(episode.terminations, last if i % 2 == 0 else last & False, "terminations")
        equal(episode.truncations, last if i % 2 else last & False, "truncations")
        seen += 1
    assert seen == EPISODES
    seeds = [m.get("seed") for m in data.storage.get_episode_metadata(range(EPISODES))]
    assert seeds == [100 + i if i % 2 else None for i in range(EPISODES)], seeds
    # Theirs must also be able to go on writing in ours.
    if not is_dict:
        data.storage.update_episodes(
            [
                EpisodeBuffer(
                    observations=vector(0, 3, 3),
                    actions=action(0, 2),
                    rewards=[0.0, 1.0],
                    terminations=[False, True],
                    truncations=[False, False],
                )
            ]
        )
        again = dump(folder)
        assert len(again) == EPISODES + 1 and again[-1]["T"] == 2


# ---- what the package writes -----------------------------------------------------------------------------------------
def dump(folder):
    out = subprocess.run([HELPER, "dump", folder], check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in out.splitlines()]


def write_theirs(folder, obs_space, act_space, buffers, **more):
    data = os.path.join(folder, "data")
    os.makedirs(data)
    try:
        storage = MinariStorage.new(
            data, observation_space=obs_space, action_space=act_space, **{"jpeg_encoding": False, **more}
        )
    except TypeError:  # releases without the option write raw frames
        storage = MinariStorage.new(data, observation_space=obs_space, action_space=act_space)
    storage.update_metadata({"dataset_id": "theirs-v0", "minari_version": minari.__version__})
    storage.update_episodes(buffers)


def buffers_of(rng, observe, act, continuous=True):
    out = []
    for i, T in enumerate((3, 1, 17)):
        out.append(
            EpisodeBuffer(
                seed=7 + i,
                observations=observe(T + 1),
                actions=act(T),
                rewards=list(rng.random(T)),
                terminations=[False] * (T - 1) + [True],
                truncations=[False] * T,
                infos=(
                    {"expert_action": rng.random((T, 2)).astype(np.float32)}
                    if i == 0 and continuous
                    else {"speed": [1.0] * T}
                ),
            )
        )
    return out


def check_theirs(folder, name, obs_space, act_space, observe, act, leaves):
    """leaves: path -> function from the package's observations to a flat list."""
    rng = np.random.default_rng(1)
    buffers = buffers_of(rng, observe, act, isinstance(act_space, gym.spaces.Box))
    folder = os.path.join(folder, name)
    write_theirs(folder, obs_space, act_space, buffers)
    ours = dump(folder)
    assert len(ours) == len(buffers)
    for o, b in zip(ours, buffers):
        assert "error" not in o, o
        T = len(b.rewards)
        assert o["T"] == T and o["seed"] == b.seed
        for path, pick in leaves.items():
            theirs = pick(b.observations)
            if isinstance(theirs, list):
                assert o["obs"][path] == theirs, f"{name}: {path}"
            else:
                equal(np.asarray(o["obs"][path], np.float32), np.asarray(theirs, np.float32).ravel(), f"{name}: {path}")
        start = act_space.start if isinstance(act_space, gym.spaces.Discrete) else 0
        equal(
            np.asarray(o["act"][""], np.float32),
            (np.asarray(b.actions) - start).astype(np.float32).ravel(),
            f"{name}: actions",
        )
        equal(np.asarray(o["rewards"], np.float32), np.asarray(b.rewards, np.float32), f"{name}: rewards")
        equal(o["terminated"], np.asarray(b.terminations, int), f"{name}: terminations")
        if "expert_action" in b.infos:
            equal(np.asarray(o["expert"][""], np.float32), b.infos["expert_action"].ravel(), f"{name}: expert_action")
        else:
            assert o["expert"] == {} and o["present"] == {} and "success" not in o


def check_all_theirs(folder):
    s = gym.spaces
    rng = np.random.default_rng(0)
    box2 = s.Box(-1, 1, (2,), np.float32)
    act = lambda T: rng.uniform(-1, 1, (T, 2)).astype(np.float32)  # noqa: E731
    image = lambda n: rng.integers(0, 256, (n, 64, 48, 3), dtype=np.uint8)  # noqa: E731
    check_theirs(folder, "image", s.Box(0, 255, (64, 48, 3), np.uint8), box2, image, act, {"": lambda o: o})
    check_theirs(
        folder,
        "gray",
        s.Box(0, 255, (33, 35), np.uint8),
        s.Discrete(4, start=2),
        lambda n: rng.integers(0, 256, (n, 33, 35), dtype=np.uint8),
        lambda T: rng.integers(2, 6, T),
        {"": lambda o: o},
    )
    check_theirs(
        folder,
        "float64",
        s.Box(-np.inf, np.inf, (2, 3), np.float64),
        box2,
        lambda n: rng.normal(size=(n, 2, 3)),
        act,
        {"": lambda o: o},
    )
    check_theirs(
        folder,
        "discrete",
        s.Discrete(9),
        s.Discrete(3),
        lambda n: rng.integers(0, 9, n),
        lambda T: rng.integers(0, 3, T),
        {"": lambda o: o},
    )
    check_theirs(
        folder, "text", s.Text(50), box2, lambda n: [f"wort {i} ß" for i in range(n)], act, {"": lambda o: list(o)}
    )
    check_theirs(
        folder,
        "multi",
        s.MultiBinary(5),
        s.MultiDiscrete([3, 5]),
        lambda n: rng.integers(0, 2, (n, 5), dtype=np.int8),
        lambda T: rng.integers(0, 3, (T, 2)),
        {"": lambda o: o},
    )
    space = s.Dict(
        {
            "image": s.Box(0, 255, (32, 32, 3), np.uint8),
            "vector": s.Box(-1, 1, (4,), np.float32),
            "text": s.Text(20),
            "state": s.Dict({"mode": s.Discrete(6, start=1)}),
            "pair": s.Tuple([s.Discrete(2), s.Box(0, 1, (), np.float32)]),
        }
    )
    check_theirs(
        folder,
        "dict",
        space,
        box2,
        lambda n: {
            "image": rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8),
            "vector": rng.random((n, 4), np.float32),
            "text": [f"s{i}" for i in range(n)],
            "state": {"mode": rng.integers(1, 7, n)},
            "pair": (rng.integers(0, 2, n), rng.random(n, np.float32)),
        },
        act,
        {
            "image": lambda o: o["image"],
            "vector": lambda o: o["vector"],
            "text": lambda o: list(o["text"]),
            "state/mode": lambda o: o["state"]["mode"] - 1,
            "pair/_index_0": lambda o: o["pair"][0],
            "pair/_index_1": lambda o: o["pair"][1],
        },
    )
    check_jpeg(folder, s, rng, box2, act)
    check_infos(folder, s, rng)


def check_infos(folder, s, rng):
    """Two cameras of which one drops out, two actions with the expert's, success: all in the package's infos."""
    cameras = {"front": s.Box(0, 255, (40, 56, 3), np.uint8), "wrist": s.Box(0, 255, (32, 32, 3), np.uint8)}
    space = s.Dict({"camera": s.Dict(cameras), "state": s.Box(-1, 1, (3,), np.float32)})
    act_space = s.Dict({"arm": s.Box(-1, 1, (2,), np.float32), "hand": s.Discrete(3, start=1)})

    def move(n):
        return {"arm": rng.uniform(-1, 1, (n, 2)).astype(np.float32), "hand": rng.integers(1, 4, n)}

    buffers, T = [], 9
    for later in (0, 1):  # by step, and with the row at reset that the package's collector writes
        n = T + later
        infos = {
            "success": rng.integers(0, 2, n).astype(bool),
            "present": {"camera": {"wrist": rng.integers(0, 2, n).astype(bool)}},
            "expert_action": move(n),
        }
        frames = {k: rng.integers(0, 256, (T + 1, *box.shape), dtype=np.uint8) for k, box in cameras.items()}
        observations = {"camera": frames, "state": rng.uniform(-1, 1, (T + 1, 3)).astype(np.float32)}
        false = [False] * T
        buffers.append(
            EpisodeBuffer(
                observations=observations,
                actions=move(T),
                rewards=list(rng.random(T)),
                terminations=false,
                truncations=false,
                infos=infos,
            )
        )
    folder = os.path.join(folder, "infos")
    write_theirs(folder, space, act_space, buffers)
    for later, (o, b) in enumerate(zip(dump(folder), buffers)):
        assert "error" not in o, o["error"]
        for name, frames in b.observations["camera"].items():
            equal(o["obs"]["camera/" + name], frames.ravel(), name)
        equal(o["success"], b.infos["success"][later:].astype(int), "success")
        present = np.append(b.infos["present"]["camera"]["wrist"], [] if later else [True])
        assert list(o["present"]) == ["camera/wrist"]
        equal(o["present"]["camera/wrist"], present.astype(int), "present")
        clean = b.infos["expert_action"]
        equal(np.float32(o["expert"]["arm"]), clean["arm"][:T].ravel(), "expert's arm")
        equal(np.float32(o["expert"]["hand"]), clean["hand"][:T] - 1, "expert's hand")


def rows_of(values, path):
    for part in path.split("/") if path else []:
        values = values[int(part[7:])] if part.startswith("_index_") else values[part]
    return np.asarray(values)


def check_jpeg(folder, s, rng, box2, act):
    """Frames that the package stored as JPEG: ours against the package's own reading of them, within 2 levels."""
    y, x = np.mgrid[:40, :56]

    def smooth(n, c):
        k = rng.random((n, c, 3))[..., None, None] * 6
        f = 128 + 60 * np.sin(x / 8 + k[:, :, 0]) + 60 * np.cos(y / 6 * k[:, :, 1] / 6 + k[:, :, 2])
        return np.moveaxis(f, 1, -1).astype(np.uint8)

    space = s.Dict(
        {
            "image": s.Box(0, 255, (40, 56, 3), np.uint8),
            "pair": s.Tuple([s.Box(0, 255, (40, 56), np.uint8), s.Box(0, 255, (6,), np.uint8)]),
            "text": s.Text(20),
        }
    )
    act_space = s.Dict({"camera": s.Box(0, 255, (40, 56, 3), np.uint8), "push": box2, "keys": s.MultiDiscrete([3, 5])})

    def observe(n):
        return {
            "image": smooth(n, 3),
            "pair": (smooth(n, 1)[..., 0], rng.integers(0, 256, (n, 6), dtype=np.uint8)),
            "text": [f"s{i}" for i in range(n)],
        }

    def move(n):
        return {"camera": smooth(n, 3), "push": act(n), "keys": rng.integers(0, [3, 5], (n, 2))}

    data = os.path.join(folder, "jpeg")
    write_theirs(data, space, act_space, buffers_of(rng, observe, move, False), jpeg_encoding=True)
    if not json.load(open(os.path.join(data, "data", "metadata.json"))).get("jpeg_encoding"):
        print("this release of minari does not store JPEG")
    theirs = list(MinariDataset(os.path.join(data, "data")).iterate_episodes())
    ours = dump(data)
    worst = 0
    assert len(ours) == len(theirs)
    for o, t in zip(ours, theirs):
        assert "error" not in o, o["error"]
        for path in ("image", "pair/_index_0"):
            a, b = np.asarray(o["obs"][path]), rows_of(t.observations, path).ravel().astype(int)
            worst = max(worst, np.abs(a - b).max())
        equal(np.float32(o["obs"]["pair/_index_1"]), rows_of(t.observations, "pair/_index_1").ravel(), "bytes")
        assert o["obs"]["text"] == list(t.observations["text"])
        worst = max(worst, np.abs(np.asarray(o["act"]["camera"]) - t.actions["camera"].ravel().astype(int)).max())
        equal(np.float32(o["act"]["push"]), t.actions["push"].ravel(), "push")
        equal(np.float32(o["act"]["keys"]), t.actions["keys"].ravel(), "keys")
    assert worst <= 2, f"a pixel of a JPEG differs by {worst}"
    print(f"JPEG pixels differ by at most {worst}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_ours(os.path.join(folder, "ours-dict"), True)
        check_ours(os.path.join(folder, "ours-bare"), False)
        check_all_theirs(folder)
    print(f"ok: minari {minari.__version__}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Two cameras, of which one drops out, in datasets that the minari package wrote: through tokenize, gato train, eval,
info, trace and act.

    tests/interop/minari_cameras.py build/bin

What a missing camera showed leaves no trace: where its frames are noise, and where the dataset has no such camera at all,
a policy computes the same bytes. Runs by hand. Needs minari, gymnasium, h5py and pillow; without them it says so and
skips (exit 0).
"""

import json
import os
import subprocess
import sys
import tempfile

try:
    import h5py  # noqa: F401  (minari imports it late)
    import minari
    import numpy as np
    from minari.data_collector import EpisodeBuffer
    from PIL import Image  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

BIN = os.path.abspath(sys.argv[1])
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
EPISODES, LENGTH = 4, 6

WORLD = '''
"""A square that an action moves, before two cameras."""
import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

LENGTH = 6


class Square(gym.Env):
    """wrist: "some" (it drops out at every third step), "never" or "none" (there is no such camera). noise: what a frame
    holds that is not there."""

    metadata = {"render_modes": []}

    def __init__(self, wrist="some", noise=False):
        self.wrist, self.noise = wrist, noise
        spaces = {"front": Box(0, 255, (48, 64, 3), np.uint8), "state": Box(-np.inf, np.inf, (3,), np.float32)}
        if wrist != "none":
            spaces["wrist"] = Box(0, 255, (40, 40, 3), np.uint8)
        self.observation_space, self.action_space = Dict(spaces), Box(-1, 1, (2,), np.float32)

    def draw(self, h, w, color):
        image = np.full((h, w, 3), 30, np.uint8)
        y, x = (np.clip(self.at, 0, 1) * (h - 12, w - 12)).astype(int)
        image[y:y + 12, x:x + 12] = color
        return image

    def look(self):
        there = self.wrist == "some" and self.t % 3 != 1
        state = np.array([*self.at, self.t], np.float32)
        seen = {"front": self.draw(48, 64, (250, 80, 40)), "state": state}
        if self.wrist != "none":
            nothing = np.random.default_rng(self.t).integers(0, 256, (40, 40, 3)) * self.noise
            seen["wrist"] = self.draw(40, 40, (60, 250, 90)) if there else nothing.astype(np.uint8)
        return seen, {"present": {"wrist": there}} if self.wrist != "none" else {}

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = self.np_random.uniform(0, 1, 2), 0
        return self.look()

    def step(self, action):
        self.at, self.t = self.at + 0.1 * action, self.t + 1
        seen, info = self.look()
        return seen, -float(np.abs(self.at - 0.5).sum()), False, self.t == LENGTH, info


gym.register("Square-v0", "square:Square", disable_env_checker=True)
'''


def run(program, *args):
    done = subprocess.run([os.path.join(BIN, program), *args], capture_output=True, text=True)
    assert done.returncode == 0, f"{program} {' '.join(args)}: status {done.returncode}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def stacked(values):
    """Rows of a list of Dicts, as the package's buffers have them."""
    if isinstance(values[0], dict):
        return {key: stacked([v[key] for v in values]) for key in values[0]}
    return np.asarray(values)


def collect(name, **kwargs):
    """A dataset that the package writes; the same actions whatever the cameras show."""
    import gymnasium as gym
    import square  # noqa: F401  (registers the environment)

    env, rng, buffers = gym.make("Square-v0", **kwargs), np.random.default_rng(3), []
    for i in range(EPISODES):
        actions = rng.uniform(-1, 1, (LENGTH, 2)).astype(np.float32)
        seen, info = env.reset(seed=i)
        rows = [(seen, 0, False, False, info)] + [env.step(a) for a in actions]
        observations, rewards, terminations, truncations, infos = map(list, zip(*rows))
        buffers.append(
            EpisodeBuffer(
                seed=i,
                observations=stacked(observations),
                actions=actions,
                rewards=rewards[1:],
                terminations=terminations[1:],
                truncations=truncations[1:],
                infos=stacked(infos),  # with a row at reset, as its collector has them
            )
        )
    minari.create_dataset_from_buffers(f"test/{name}-v0", buffers, env=env)
    env.close()
    return os.path.join(os.environ["MINARI_DATASETS_PATH"], "test", f"{name}-v0")


def same(a, b):
    with open(a, "rb") as f, open(b, "rb") as g:
        return f.read() == g.read()


def main():
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)
    os.environ["MINARI_DATASETS_PATH"] = os.path.abspath("datasets")
    with open("square.py", "w") as f:
        f.write(WORLD)
    sys.path.insert(0, ".")
    kinds = {
        "some": dict(),
        "noise": dict(noise=True),
        "never": dict(wrist="never", noise=True),
        "none": dict(wrist="none"),
    }
    paths = {name: collect(name, **kwargs) for name, kwargs in kinds.items()}

    vq = ["model.block_out_channels=[8,8,8]", "model.latent_channels=8", "model.vq_embed_dim=4", "model.num_vq_embeddings=16"]
    vq += ["model.norm_num_groups=2", "train.batch=2", "train.warmup_no_quant=1", "data.size=[16,16]"]
    run("vqvae", "train", "--data", paths["some"], "--out", "vq", "--steps", "3", "--threads", "1", "--set", *vq)
    for name, path in paths.items():
        made = run("tokenize", "episodes", "--in", path, "--model", "vq", "--task", "square", "--out", name + ".lmdb")[0][-1]
        cameras = {"some": LENGTH + LENGTH * 2 // 3, "never": LENGTH, "none": LENGTH}[name if name != "noise" else "some"]
        assert (made["episodes"], made["images"]) == (EPISODES, EPISODES * cameras), (name, made)

    policy = ["model.width=16", "model.layers=2", "model.heads=2", "model.context=256", "model.vector_in=linear"]
    policy += ["loss.image=0.2", "loss.vector=0.2", "train.batch=2", "optim.warmup=2", "train.tensorboard=false"]
    policy += ["data.holdout=0.3", "data.split_by=episode"]
    train = ["--vqvae", "vq", "--steps", "4", "--set", *policy]
    run("gato", "train", "--data", "some.lmdb", "--out", "policy", "--threads", "1", *train)
    run("gato", "train", "--data", "noise.lmdb", "--out", "other", "--threads", "2", *train)
    assert same("policy/model.safetensors", "other/model.safetensors"), "what a missing frame holds is learned from"

    info = run("gato", "info", "policy")[0][0]
    slots = {s["name"]: s for s in info["tasks"][0]["slots"] if s["kind"] == "image"}
    assert {n: s["image"] for n, s in slots.items()} == {"front": [16, 16], "wrist": [16, 16]}, slots
    assert info["tokens"] == {"square": 16 + 16 + 1 + 1 + 2}, info["tokens"]
    score = run("gato", "eval", "--model", "policy", "--data", "some.lmdb", "--split", "all")[0][0]
    assert score["records"] == EPISODES and score["loss_image"] > 0 and score["loss_vector"] > 0, score

    # 6 steps of 36 tokens and 16 less where the wrist is missing (steps 1 and 4)
    for name in kinds:
        for record in range(EPISODES):
            at = ["--data", name + ".lmdb", "--id", str(record), "--out", f"{name}{record}.st"]
            run("gato", "trace", "--model", "policy", *at)
    for i in range(EPISODES):
        assert same(f"some{i}.st", f"noise{i}.st"), "a missing frame is seen"
        assert same(f"never{i}.st", f"none{i}.st"), "a camera that is never there is not one that does not exist"
        assert not same(f"some{i}.st", f"none{i}.st"), "the second camera does not matter"

    child = f"cd {folder.name} && PYTHONPATH=. {sys.executable} {TOP}/pipelines/gym_env.py square:Square-v0 --task square"
    play = ["--policy", "model", "--model", "policy", "--episodes", "2", "--max-steps", "9"]
    both = run("gato", "act", "--env-cmd", child, *play)[0][-1]
    assert both["failed"] == 0 and both["length_mean"] == LENGTH, both
    none = child + """ --kwargs '{"wrist": "none"}'"""
    one = run("gato", "act", "--env-cmd", none, "--allow-missing", *play)[0][-1]
    assert one["failed"] == 0 and one["return_mean"] != both["return_mean"], (one, both)
    print(f"ok: minari {minari.__version__}")


if __name__ == "__main__":
    main()

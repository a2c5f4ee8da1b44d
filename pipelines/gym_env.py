#!/usr/bin/env python3
"""gym_env.py - any Gymnasium environment as the child process that `gato act` and `gato record` talk to (FORMATS.md 7).

    gato act --env-cmd "python3 pipelines/gym_env.py CartPole-v1" ...
    gato record --env-cmd "python3 pipelines/gym_env.py BabyAI-GoToRedBallGrey-v0" --policy expert ...
    gato record --env-cmd "python3 pipelines/gym_env.py metaworld:reach-v3 --cameras corner2,gripperPOV --stop-on-success" ...

Spaces: Box, Discrete, MultiDiscrete, MultiBinary, Text, and Dict and Tuple of them. Bytes of at least 32 x 32 with 1 or 3
channels are an image; whole numbers of at most 1,024 values are discrete; other numbers are vectors. What the environment
renders (`rgb_array`) becomes the image `image`, unless it shows an image anyway; --cameras names one or several cameras of a
MuJoCo model instead. An episode is a function of seed and episode. It is solved when `info` has `success` or `is_success`,
in MiniGrid when it ends with a reward.

Three kinds of environments come with an expert: BabyAI's levels (its bot, 56 x 56 egocentric images), Meta-World's tasks
(its scripted policies; `metaworld:TASK` is short for Meta-World/MT1 with that `env_name`), and Pong, Breakout and Freeway of
Atari (ALE/Pong-v5; scripts that read the console's memory). Needs gymnasium and numpy, and what the environment needs:
minigrid, metaworld, ale-py.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import warnings


def need(module, package=None):
    try:
        return __import__(module, fromlist=["x"])
    except ImportError as e:
        name = package or module
        absent = e.name if e.name and e.name.split(".")[0] != module.split(".")[0] else name  # what the package itself imports
        whose = "" if absent == name else f", which {name} needs,"
        sys.exit(f"gym_env: the Python package {absent}{whose} is missing ({e}): pip install {absent}")


np = need("numpy")
gym = need("gymnasium")
MOST = 1024  # values of a discrete column


# ---- spaces as slots ----

class Leaf:
    """A space without parts: its slot, and its values from Gymnasium's to bytes and back."""

    def __init__(self, name, space, size):
        S, self.name, self.space = gym.spaces, name, space
        shape = getattr(space, "shape", None) or ()
        if isinstance(space, S.Text) or "MissionSpace" in [c.__name__ for c in type(space).__mro__]:
            self.kind = "text"
        elif isinstance(space, S.Discrete):
            self.discrete(np.array([space.start]), np.array([space.start + space.n - 1]))
        elif isinstance(space, S.MultiDiscrete):
            start = np.broadcast_to(getattr(space, "start", 0), shape)
            self.discrete(start.ravel(), (start + space.nvec - 1).ravel())
        elif isinstance(space, S.MultiBinary):
            self.discrete(np.zeros(int(np.prod(shape)), int), np.ones(int(np.prod(shape)), int))
        elif isinstance(space, S.Box) and space.dtype == np.uint8 and image_shape(shape):
            self.kind, self.size = "image", size or image_shape(shape)
        elif isinstance(space, S.Box) and np.issubdtype(space.dtype, np.integer):
            self.discrete(space.low.ravel(), space.high.ravel())
        elif isinstance(space, S.Box):
            self.vector(space.low.ravel(), space.high.ravel())
        else:
            sys.exit(f"gym_env: '{name}' is a {type(space).__name__}, which has no slot")

    def discrete(self, low, high):
        if int(high.max()) - int(low.min()) >= 1 << 53 or (high.astype(float) - low.astype(float)).max() >= MOST:
            self.vector(low, high)
        else:
            self.kind, self.low, self.range = "discrete", low.astype(np.int64), [int(h - l) + 1 for l, h in zip(low, high)]

    def vector(self, low, high):
        bounds = [[float(v) if abs(v) < 3e38 else None for v in np.float32(b)] for b in (low, high)]
        self.kind, self.low, self.high = "vector", *bounds

    def width(self):
        return len(self.low)

    def slot(self, side):
        slot = {"kind": self.kind, "name": self.name, "side": side}
        if self.kind == "image":
            slot["image"] = list(self.size)
        if self.kind == "vector":
            slot.update(low=self.low, high=self.high)
        if self.kind == "discrete":
            slot["range"] = self.range
        return slot

    def pack(self, value):
        if self.kind == "text":
            return str(value).encode()
        if self.kind == "image":
            return resized(value, self.size).tobytes()
        if self.kind == "vector":
            return np.asarray(value, "<f4").tobytes()
        return (np.asarray(value).ravel().astype(np.int64) - self.low).astype("<u4").tobytes()

    def unpack(self, data):
        if self.kind == "vector":
            value = np.frombuffer(data, "<f4")
            value = np.rint(value) if np.issubdtype(self.space.dtype, np.integer) else value
        else:
            value = np.frombuffer(data, "<u4").astype(np.int64) + self.low
        value = value.reshape(self.space.shape or ()).astype(self.space.dtype)
        return value[()] if isinstance(self.space, gym.spaces.Discrete) else value


def image_shape(shape):
    """Height and width of an image of that shape, or None."""
    if len(shape) == 3 and shape[0] in (1, 3):
        shape = (*shape[1:], shape[0])
    ok = len(shape) == 2 or len(shape) == 3 and shape[2] in (1, 3)
    return tuple(int(n) for n in shape[:2]) if ok and min(shape[:2]) >= 32 else None


def overlaps(n, m):
    """[m, n]: how much of each of n pixels lies in each of m equal boxes, as weights that sum to 1."""
    edge = np.arange(m + 1) * (n / m)
    low, high = edge[:-1, None], edge[1:, None]
    at = np.arange(n)[None]
    return np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, 1) / (high - low)


def resized(image, size):
    """[h, w, 3] bytes: the mean over the box of each pixel."""
    a = np.asarray(image)
    if a.ndim == 2:
        a = a[..., None]
    if a.shape[2] not in (1, 3):
        a = a.transpose(1, 2, 0)
    a = np.broadcast_to(a, (*a.shape[:2], 3))
    if a.shape[:2] != tuple(size):
        a = np.einsum("yh,hwc->ywc", overlaps(a.shape[0], size[0]), a, optimize=True)
        a = np.rint(np.einsum("xw,ywc->yxc", overlaps(a.shape[1], size[1]), a, optimize=True))
    return np.ascontiguousarray(a, np.uint8)


def walk(space, path=()):
    """The leaves of a space as (path, space)."""
    if isinstance(space, (gym.spaces.Dict, gym.spaces.Tuple)):
        parts = space.spaces.items() if isinstance(space, gym.spaces.Dict) else enumerate(space.spaces)
        return [leaf for key, part in parts for leaf in walk(part, (*path, key))]
    return [(path, space)]


def leaves(space, side, size=None):
    """(path, Leaf) in the order of a timestep. Without Dict or Tuple an observation is named after its kind."""
    found = [(path, Leaf("/".join(map(str, path)), part, size)) for path, part in walk(space)]
    for path, leaf in found:
        if not path and side == "observed":
            leaf.name = leaf.kind
    order = ("image", "text", "vector", "discrete")
    found.sort(key=lambda f: order.index(f[1].kind))  # stable
    if side == "acted" and any(leaf.kind in ("image", "text") for _, leaf in found):
        sys.exit("gym_env: an action with images or texts")
    texts = [leaf.name for _, leaf in found if leaf.kind == "text"]
    if len(texts) > 1:
        print(f"gym_env: of {len(texts)} texts only '{texts[0]}' is shown", file=sys.stderr)
    return [f for f in found if f[1].kind != "text" or f[1].name == texts[0]]


def rebuild(space, values, path=()):
    """The value of a space from those of its leaves, {path: value}."""
    if isinstance(space, gym.spaces.Dict):
        return {key: rebuild(part, values, (*path, key)) for key, part in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(rebuild(part, values, (*path, i)) for i, part in enumerate(space.spaces))
    return values[path]


def lookup(value, path):
    for key in path:
        value = value[key]
    return value


# ---- kinds of environments ----

class World:
    """Any environment."""

    def __init__(self, o):
        module, _, self.id = o.id.rpartition(":")
        if module:
            need(module)
        self.o, self.task = o, o.task or re.sub(r"-v\d+$", "", self.id)
        self.kwargs = dict(o.kwargs)
        self.env = self.make()
        self.expert_known = False

    def make(self, **more):
        kwargs = {**more, **self.kwargs}
        if self.o.max_steps:
            kwargs["max_episode_steps"] = self.o.max_steps
        if self.o.cameras != ["none"]:
            try:
                modes = gym.spec(self.id).entry_point
                modes = (gym.envs.registration.load_env_creator(modes) if isinstance(modes, str) else modes).metadata
            except AttributeError:  # made by a function: it says nothing of itself
                modes = {}
            if "rgb_array" in modes.get("render_modes", ()):
                kwargs.setdefault("render_mode", "rgb_array")
        return gym.make(self.id, disable_env_checker=True, **kwargs)

    def reset(self, seed):
        return self.env.reset(seed=seed)

    def solved(self, reward, terminated, info):
        return bool(info.get("success", info.get("is_success", False)))

    def stepped(self, action, over):
        pass

    def frame(self, camera):
        """What a camera sees; where the model has none of that name, what is rendered."""
        drawn = getattr(self.env.unwrapped, "mujoco_renderer", None)
        names = [self.env.unwrapped.model.camera(i).name for i in range(self.env.unwrapped.model.ncam)] if drawn else []
        if drawn and camera in names:
            drawn.camera_id = names.index(camera)
        elif self.o.cameras and len(self.o.cameras) > 1:
            sys.exit(f"gym_env: no camera '{camera}'" + (f", there are {', '.join(names)}" if names else ""))
        return self.env.render()


class MiniGrid(World):
    """Images of what the agent sees; BabyAI's bot is the expert of its levels."""

    def make(self):
        wrappers = need("minigrid.wrappers", "minigrid")
        return wrappers.RGBImgPartialObsWrapper(super().make(), tile_size=8)

    def __init__(self, o):
        need("minigrid")
        super().__init__(o)
        self.expert_known = self.id.startswith("BabyAI")
        self.bot = None

    def solved(self, reward, terminated, info):
        return bool(terminated and reward > 0)

    def reset(self, seed):
        self.bot = self.advice = None
        return super().reset(seed)

    def replan(self, action=None):
        try:
            self.advice = int(self.bot.replan(action))
        except Exception as e:  # a level that the bot does not master: it knows nothing from here on
            print(f"gym_env: the bot gives up: {type(e).__name__}: {e}", file=sys.stderr)
            self.bot, self.advice = False, None

    def stepped(self, action, over):
        if self.bot and not over:
            self.replan(int(action))

    def expert(self, observation):
        if self.bot is None:
            self.bot = need("minigrid.utils.baby_ai_bot", "minigrid").BabyAIBot(self.env)
            self.replan()
        return self.advice


class MetaWorld(World):
    """One task of MT1, whose goals are the same 50 in every process; drawn without shadows. The corner cameras hang upside down."""

    def __init__(self, o):
        warnings.simplefilter("ignore")
        super().__init__(o)
        self.expert_known = True
        name = self.kwargs["env_name"]
        self.policy_class = need("metaworld.policies", "metaworld").ENV_POLICY_MAP[name]

    def make(self):
        need("metaworld")
        name = self.id if self.o.id.startswith("metaworld:") else self.kwargs.get("env_name")
        if not name:
            sys.exit("gym_env: which task? metaworld:reach-v3, or --kwargs '{\"env_name\": \"reach-v3\"}'")
        self.kwargs["env_name"], self.id = name, "Meta-World/MT1"
        self.task = self.o.task or "metaworld/" + re.sub(r"-v\d+$", "", name)
        self.o.size = self.o.size or (64, 64)
        self.o.cameras = self.o.cameras or ["corner2"]
        camera = [] if self.o.cameras == ["none"] else [("camera_name", self.o.cameras[0]), ("render_mode", "rgb_array")]
        env = super().make(seed=1, height=self.o.size[0], width=self.o.size[1], **dict(camera))
        # Shadow maps of 4,096 pixels and four samples a pixel are nine tenths of a small frame's time without a graphics card.
        quality = env.unwrapped.model.vis.quality
        quality.shadowsize = quality.offsamples = 0
        return Shown(env, self.o.first) if self.o.first else env

    def reset(self, seed):
        self.env.unwrapped.seed(seed)  # it draws the goal, and takes no notice of reset's seed
        self.policy = self.policy_class()
        first = super().reset(seed)
        # The marks of the goal would stand where the episode before had them until the first step.
        need("mujoco").mj_forward(self.env.unwrapped.model, self.env.unwrapped.data)
        return first

    def frame(self, camera):
        image = super().frame(camera)
        return image[::-1, ::-1] if camera.startswith("corner") else image

    def expert(self, observation):
        whole = self.env.whole if self.o.first else observation
        return np.clip(self.policy.get_action(np.asarray(whole, np.float64)), -1, 1)


class Shown(gym.ObservationWrapper):
    """Shows the first n numbers; its expert sees all."""

    def __init__(self, env, n):
        super().__init__(env)
        space = env.observation_space
        if not 0 < n <= space.shape[0]:
            sys.exit(f"gym_env: --first {n}: it observes {space.shape[0]} numbers")
        self.observation_space = gym.spaces.Box(space.low[:n], space.high[:n], dtype=space.dtype)
        self.n = n

    def observation(self, whole):
        self.whole = whole
        return whole[:self.n]


def pong(ram):
    """Right and left are up and down; the paddle's middle goes where the ball is."""
    paddle, ball_x, ball_y = ram[51] + 8, ram[49], ram[54]
    if not ball_x or not ball_y:
        return "FIRE"
    return "NOOP" if abs(ball_y - paddle) <= 4 else "RIGHT" if ball_y < paddle else "LEFT"


def breakout(ram):
    paddle, ball_x, ball_y = ram[72] + 8, ram[99], ram[101]
    if not ball_y:
        return "FIRE"
    return "NOOP" if abs(ball_x - paddle) <= 3 else "RIGHT" if ball_x > paddle else "LEFT"


class Atari(World):
    """Games of the Arcade Learning Environment, with its defaults: an action lasts four frames, and is that of the step before
    with probability 0.25. The experts of three games read the console's memory, not the image."""

    experts = {"Pong": pong, "Breakout": breakout, "Freeway": lambda ram: "UP"}

    def __init__(self, o):
        gym.register_envs(need("ale_py", "ale-py"))
        super().__init__(o)
        self.task = o.task or "atari/" + re.sub(r"^ALE/|-v\d+$", "", self.id).lower()
        self.play = self.experts.get(re.sub(r"^ALE/|-v\d+$", "", self.id))
        self.expert_known = self.play is not None

    def expert(self, observation):
        game = self.env.unwrapped
        return game.get_action_meanings().index(self.play([int(byte) for byte in game.ale.getRAM()]))


# ---- the protocol ----

class Child:
    def __init__(self, o, world):
        self.o, self.world, self.env = o, world, world.env
        self.seen = leaves(self.env.observation_space, "observed", o.size)
        self.acted = leaves(self.env.action_space, "acted")
        if o.cameras is None:
            drawn = self.env.render_mode == "rgb_array" and all(leaf.kind != "image" for _, leaf in self.seen)
            o.cameras = ["image"] if drawn else ["none"]
        self.cameras = {} if o.cameras == ["none"] else dict.fromkeys(o.cameras, o.size)
        names = [leaf.name for _, leaf in self.seen]
        for camera in self.cameras:
            if camera in names:
                sys.exit(f"gym_env: '{camera}' is what the environment shows: name the camera otherwise (--cameras)")
            if self.env.render_mode != "rgb_array":
                sys.exit(f"gym_env: '{o.id}' renders no images (rgb_array)")
        self.measure()
        self.now = None

    def measure(self):
        """The sizes of what is rendered, by a first frame of each camera."""
        if self.cameras:
            self.world.reset(0)
        for camera in self.cameras:
            shape = self.world.frame(camera).shape
            self.cameras[camera] = self.o.size or shape[:2]

    def task(self):
        spec = self.env.spec
        frames = [{"image": list(size), "kind": "image", "name": c, "side": "observed"} for c, size in self.cameras.items()]
        task = {"kind": "episode", "name": self.world.task,
                "env": {"additional_wrappers": [], "disable_env_checker": True, "entry_point": None, "id": self.world.id,
                        "kwargs": self.world.kwargs, "max_episode_steps": spec.max_episode_steps,
                        "nondeterministic": spec.nondeterministic, "order_enforce": True,
                        "reward_threshold": spec.reward_threshold, "vector_entry_point": None},
                "slots": frames + [leaf.slot("observed") for _, leaf in self.seen]
                                + [leaf.slot("acted") for _, leaf in self.acted]}
        limit = spec.max_episode_steps or self.own_limit()
        if limit:
            task["max_steps"] = limit
        return task

    def own_limit(self):
        """Levels of MiniGrid cut their episodes themselves, at a number that each reset may set anew: the largest of some."""
        limits = []
        for seed in range(16):
            if hasattr(self.env.unwrapped, "max_steps"):
                self.world.reset(seed)
                limits.append(self.env.unwrapped.max_steps)
        return max((limit for limit in limits if isinstance(limit, int)), default=0)

    def observation(self, images):
        parts = {c: resized(self.world.frame(c), size).tobytes() for c, size in self.cameras.items() if images}
        for path, leaf in self.seen:
            if images or leaf.kind != "image":
                parts[leaf.name] = leaf.pack(lookup(self.now, path))
        return {"slots": {name: len(part) for name, part in parts.items()}}, b"".join(parts.values())

    def action_bytes(self):
        return 4 * sum(leaf.width() for _, leaf in self.acted)

    def step(self, data, images):
        values, at = {}, 0
        for path, leaf in self.acted:
            values[path] = leaf.unpack(data[at:at + 4 * leaf.width()])
            at += 4 * leaf.width()
        action = rebuild(self.env.action_space, values)
        self.now, reward, terminated, truncated, info = self.env.step(action)
        success = self.world.solved(reward, terminated, info)
        terminated = bool(terminated or success and self.o.stop_on_success)
        self.world.stepped(action, terminated or truncated)
        members, parts = self.observation(images)
        return {**members, "reward": float(reward), "success": success, "terminated": terminated,
                "truncated": bool(truncated)}, parts

    def expert(self):
        action = self.world.expert(self.now) if self.world.expert_known else None
        data = b"" if action is None else b"".join(leaf.pack(lookup(action, path)) for path, leaf in self.acted)
        return {"bytes": len(data)}, data

    def answer(self, request, data):
        verb, images = request["verb"], request.get("images", False)
        if verb == "hello":
            expert = self.world.expert_known and self.o.expert == "auto"
            return {"expert": expert, "protocol": 1, "task": self.task()}, b""
        if verb == "reset":
            mixed = hashlib.sha256(f"{request['seed']} {request['episode']}".encode()).digest()
            self.now, _ = self.world.reset(int.from_bytes(mixed[:4], "little"))
            return self.observation(images)
        if verb == "observe":
            return self.observation(images)
        if verb == "step":
            if len(data) != self.action_bytes():
                raise ValueError(f"an action of {len(data)} bytes, wanted {self.action_bytes()}")
            return self.step(data, images)
        if verb == "expert":
            return self.expert()
        raise ValueError(f"unknown verb '{verb}'")


def serve(child, stdin, stdout):
    """Until `close`, or the end of the input: the program that asks is gone."""
    for line in iter(stdin.readline, b""):
        request = json.loads(line)
        if request["verb"] == "close":
            return
        data = stdin.read(request.get("bytes", 0))
        try:
            members, parts = child.answer(request, data)
            head = json.dumps({"ok": True, **members}, allow_nan=False)
        except Exception as e:  # the episode has failed, not this program
            head, parts = json.dumps({"error": f"{type(e).__name__}: {e}", "ok": False}), b""
        stdout.write(head.encode() + b"\n" + parts)
        stdout.flush()


def parse():
    p = argparse.ArgumentParser(prog="gym_env.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("id", metavar="ENV_ID", help="CartPole-v1, BabyAI-GoToLocal-v0, metaworld:reach-v3, module:Name-v0")
    p.add_argument("--size", metavar="N|HxW", help="images of that size")
    p.add_argument("--cameras", metavar="A,B", help="images of these cameras; none = nothing is rendered")
    p.add_argument("--first", type=int, metavar="N", help="Meta-World: only the first N of the observed numbers (4: the hand)")
    p.add_argument("--max-steps", type=int, metavar="N", help="of an episode")
    p.add_argument("--kwargs", default="{}", metavar="JSON", help="arguments of the environment")
    p.add_argument("--expert", choices=("auto", "none"), default="auto", help="none = do not offer one")
    p.add_argument("--stop-on-success", action="store_true", help="an episode ends when it is solved")
    p.add_argument("--task", metavar="NAME", help="the task's name (default: ENV_ID without its version)")
    o = p.parse_args()
    if o.size and not re.fullmatch(r"[1-9]\d{0,3}(x[1-9]\d{0,3})?", o.size):
        p.error(f"--size {o.size}: wanted N or HxW")
    o.size = tuple(int(n) for n in (o.size.split("x") * 2)[:2]) if o.size else None
    o.cameras = o.cameras.split(",") if o.cameras else None
    try:
        o.kwargs = dict(json.loads(o.kwargs))
    except (ValueError, TypeError):
        p.error(f"--kwargs {o.kwargs}: wanted an object of JSON")
    return o


def main():
    o = parse()
    # The protocol alone has the real standard output: what libraries print there is dropped (MiniGrid tells of its dice),
    # what their C parts print goes to standard error.
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = open(os.devnull, "w")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "osmesa")  # MuJoCo draws without a screen
        os.environ.setdefault("LP_NUM_THREADS", "0")  # in the thread that asks: gato runs a worker for each processor
    kinds = {"metaworld:": MetaWorld, "Meta-World/": MetaWorld, "BabyAI-": MiniGrid, "MiniGrid-": MiniGrid, "ALE/": Atari}
    world = next((kind for prefix, kind in kinds.items() if o.id.startswith(prefix)), World)
    try:
        child = Child(o, world(o))
    except Exception as e:
        sys.exit(f"gym_env: '{o.id}': {type(e).__name__}: {e}")
    serve(child, sys.stdin.buffer, stdout)


main()

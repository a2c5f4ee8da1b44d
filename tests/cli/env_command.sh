#!/bin/sh
# env_command.sh - environments in child processes as a user meets them: `gato act` and `gato record` with --env-cmd, a child
# that misbehaves (tests/env_child.py, standard library alone), and pipelines/gym_env.py beside the Gymnasium environment that
# it serves. Finds gato in PATH or in $BIN. Needs python3; the second part also gymnasium and numpy in $GYM_PYTHON, $PYTHON or
# python3 (skipped without).
PATH=${BIN:+$BIN:}$PATH
PYTHON=${PYTHON:-python3}
top=$(cd "$(dirname "$0")/../.." && pwd)
passed=0 failed=0 skipped=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1

verdict() { # STATUS NAME
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAIL $2"
        head -n 5 err out 2>/dev/null
    fi
}
skip() { # NAME WHY
    skipped=$((skipped + 1))
    echo "skipped: $1 ($2)"
}
walk() { echo "exec $PYTHON -S '$top/tests/env_child.py' $1"; }
# member NAME: its value in the JSON of act, in out
member() { sed -n "s/.*\"$1\":\\([-0-9.a-z]*\\).*/\\1/p" out; }
# shows WHAT NAME WANTED
shows() {
    [ "$(member "$2")" = "$3" ]
    verdict $? "$1: $2 is '$(member "$2")', wanted $3"
}

# --- gato act: the expert pushes by 0.5 five times; random is -1.5 and expert 2.5 in the child's task
for threads in 1 2; do
    gato act --env-cmd "$(walk sure)" --policy expert --episodes 4 --threads $threads >out 2>err
    verdict $? "act with the expert, $threads workers"
    shows "expert, $threads workers" return_mean 2.5
    shows "expert, $threads workers" normalized_score 1
    shows "expert, $threads workers" success_rate 1
    shows "expert, $threads workers" length_mean 5
    gato act --env-cmd "$(walk)" --policy random --episodes 4 --seed 3 --threads $threads >"random$threads" 2>err
    verdict $? "act with random actions, $threads workers"
done
results() { sed 's/"step_ms[^,}]*//g' "$1"; }
[ "$(results random1)" = "$(results random2)" ] && [ -n "$(results random1)" ]
verdict $? "results do not depend on the number of workers"

# --- a child that misbehaves costs its episode: tried once more, counted, exit 1 when all fail
# fails FAULT PATTERN [OPTION...]
fails() {
    fault=$1 pattern=$2
    shift 2
    gato act --env-cmd "$(walk "$fault")" --policy random --episodes 2 --threads 1 "$@" >out 2>err
    rc=$?
    [ "$rc" -eq 1 ] && grep -q -e "$pattern" err && grep -q -e "env_child.py" err
    verdict $? "$fault: status $rc, wanted 1 and '$pattern'"
}
fails die-hello "hello: it ended with exit code 7"
fails die-step "step: it ended with exit code 7"
fails hang-step "step: no whole reply within 1 s" --env-timeout 1
fails half "step: no whole reply within 1 s.*began with" --env-timeout 1
fails wrong-size "step: 4 x 6 image 'front' has 71 bytes, wanted 72"
fails giant "step: 4 x 6 image 'front' has 1073741824 bytes, wanted 72"
fails garbage-step "step: not a line of JSON.*Loading world"
fails error-step "step: it says: the arm"
rm -f env_child.started
gato act --env-cmd "$(walk once-step)" --policy random --episodes 3 --threads 1 >out 2>err
verdict $? "a child that dies once is replaced, and its episode played again"
shows "died once" episodes 3
gato act --env-cmd "$(walk)" --env reacher --policy random --episodes 1 >out 2>err
[ $? -eq 2 ]
verdict $? "--env and --env-cmd exclude each other"

# --- gato record: what the child shows is what the dataset has
gato record --env-cmd "$(walk sure)" --policy expert --episodes 3 --out walked --threads 2 >out 2>err
verdict $? "record"
if "$PYTHON" -c 'import h5py' 2>/dev/null; then
    "$PYTHON" - >out 2>err <<'PY'
import glob
import h5py

data = h5py.File(glob.glob("walked/**/*.hdf5", recursive=True)[0])
for i in range(3):
    e = data[f"episode_{i}"]
    assert len(e["rewards"]) == 5 and list(e["rewards"][:]) == [0.5] * 5, i
    state = e["observations/state"][:]
    assert list(state[:, 1]) == [0, 1, 2, 3, 4, 5], state
    assert all(abs(b - a - (0.5 - 2 + t % 3)) < 1e-5 for t, (a, b) in enumerate(zip(state[:, 0], state[1:, 0]))), state
PY
    verdict $? "the recorded numbers"
else
    skip "the recorded numbers" "no python3 with h5py"
fi

# --- gym_env.py beside Gymnasium itself
cat >kitchen.py <<'PY'
"""An environment with every kind of space; what it shows is a function of the generator that reset(seed) makes."""
import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple


class Kitchen(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None, scale=1):
        self.render_mode, self.scale = render_mode, scale
        self.observation_space = Dict({
            "cam": Box(0, 255, (40, 48, 3), np.uint8), "gray": Box(0, 255, (36, 32), np.uint8),
            "chw": Box(0, 255, (3, 32, 50), np.uint8), "codes": Box(0, 255, (2, 2, 3), np.uint8),
            "arm": Dict({"q": Box(-1, 1, (2, 3)), "grip": Discrete(3, start=-1)}), "flags": MultiBinary(4),
            "dice": MultiDiscrete([2, 7]), "words": Text(20), "pair": Tuple((Box(-np.inf, np.inf, (1,)), Discrete(5))),
            "big": Discrete(5000), "counts": Box(2, 9, (3,), np.int64)})
        self.action_space = Dict({
            "move": Box(-2, 3, (2,), np.float64), "turn": Discrete(4, start=2),
            "both": Tuple((MultiDiscrete([3, 3]), Box(0, 2000, (1,), np.int32)))})

    def look(self):
        return self.observation_space.sample()

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.look(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        (dice, many), turn = action["both"], action["turn"]
        self.t += 1
        if many[0] == 1999:
            raise RuntimeError("the pan\nis too hot")
        reward = self.scale * (action["move"] @ [1, 10] + 100 * turn + dice @ [1000, 10000] + many[0] * 1e-3)
        return self.look(), float("nan") if many[0] == 1998 else reward, False, self.t == 4, {"success": self.t == 2}

    def render(self):
        frame = np.zeros((60, 90, 3), np.uint8)
        frame[:30, :45] = (255, self.t, 7)
        return frame


gym.register("Kitchen-v3", Kitchen, max_episode_steps=9)
PY
cat >check.py <<'PY'
"""check.py GYM_ENV - drives gym_env.py over its streams beside the environment itself, which is the oracle."""
import hashlib
import json
import struct
import subprocess
import sys

import gymnasium as gym
import kitchen
import numpy as np

failed = 0


def check(ok, what):
    global failed
    if not ok:
        failed += 1
        print("FAIL", what)


class Child:
    def __init__(self, *args):
        self.p = subprocess.Popen([sys.executable, sys.argv[1], *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, verb, data=b"", **more):
        self.p.stdin.write(json.dumps({"verb": verb, **more}).encode() + b"\n" + data)
        self.p.stdin.flush()
        reply = json.loads(self.p.stdout.readline())
        parts = {n: self.p.stdout.read(size) for n, size in reply.get("slots", {}).items()}
        return reply, parts, self.p.stdout.read(reply.get("bytes", 0))

    def close(self):
        self.p.stdin.write(b'{"verb":"close"}\n')
        self.p.stdin.close()
        return self.p.wait(10)


def expected(o):
    """The bytes of each slot, written down by hand."""
    f = lambda v: np.asarray(v, np.float32).tobytes()
    u = lambda v: np.asarray(v, np.uint32).tobytes()
    return {
        "cam": o["cam"].tobytes(), "gray": np.stack([o["gray"]] * 3, 2).tobytes(), "chw": o["chw"].transpose(1, 2, 0).tobytes(),
        "words": o["words"].encode(), "arm/q": f(o["arm"]["q"]), "pair/0": f(o["pair"][0]), "big": f([o["big"]]),
        "codes": u(o["codes"]), "arm/grip": u([o["arm"]["grip"] + 1]), "flags": u(o["flags"]), "dice": u(o["dice"]),
        "pair/1": u([o["pair"][1]]), "counts": u(o["counts"] - 2)}


c = Child("kitchen:Kitchen-v3", "--kwargs", '{"scale": 2}')
hello = c.ask("hello", protocol=1)[0]
task = hello["task"]
check(not hello["expert"] and hello["protocol"] == 1 and task["name"] == "Kitchen" and task["max_steps"] == 9, hello)
seen = [s for s in task["slots"] if s["side"] == "observed"]
acted = [s for s in task["slots"] if s["side"] == "acted"]
check([s["kind"] for s in seen] == ["image"] * 3 + ["text"] + ["vector"] * 3 + ["discrete"] * 6, seen)
kinds = [s["kind"] for s in acted]
check(kinds == ["vector", "vector", "discrete", "discrete"] and len({s["name"] for s in acted}) == 4, acted)
by = {s["name"]: s for s in task["slots"]}
check(by["cam"]["image"] == [40, 48] and by["gray"]["image"] == [36, 32] and by["chw"]["image"] == [32, 50], "sizes")
check(by["arm/grip"]["range"] == [3] and by["dice"]["range"] == [2, 7] and by["counts"]["range"] == [8] * 3, "ranges")
check(by["codes"]["range"] == [256] * 12 and by["flags"]["range"] == [2] * 4, "ranges")
check(by["pair/0"]["low"] == [None] and by["big"]["high"] == [4999] and by["arm/q"]["low"] == [-1] * 6, "bounds")
check(by["move"]["low"] == [-2, -2] and by["move"]["high"] == [3, 3] and by["turn"]["range"] == [4], "actions")
check(by["both/1"]["kind"] == "vector" and by["both/1"]["high"] == [2000], "a wide whole number is a number")

env = gym.make("Kitchen-v3", disable_env_checker=True)
order = [s["name"] for s in acted]
values = {"move": [2.5, -0.25], "turn": 5, "both/0": [2, 1], "both/1": 1234}


def action_bytes(many):
    parts = {"move": struct.pack("<2f", *values["move"]), "turn": struct.pack("<I", values["turn"] - 2),
             "both/0": struct.pack("<2I", *values["both/0"]), "both/1": struct.pack("<f", many)}
    return b"".join(parts[n] for n in order)


for seed, episode in ((0, 0), (5, 3), (2**64 - 1, 2**40)):
    word = int.from_bytes(hashlib.sha256(f"{seed} {episode}".encode()).digest()[:4], "little")
    o, _ = env.reset(seed=word)
    reply, parts, _ = c.ask("reset", seed=seed, episode=episode, images=True)
    want = expected(o)
    check(list(parts) == [s["name"] for s in seen], "order of the slots")
    check(all(parts[n] == want[n] for n in want), [n for n in want if parts.get(n) != want[n]])
    for t in range(4):
        data = action_bytes(1234.4)
        reply, parts, _ = c.ask("step", data, bytes=len(data), images=t % 2 == 0)
        o = env.step({"move": np.array(values["move"]), "turn": np.int64(5),
                      "both": (np.array([2, 1]), np.array([1234], np.int32))})[0]
        want = {n: b for n, b in expected(o).items() if t % 2 == 0 or n not in ("cam", "gray", "chw")}
        check(parts == want, f"step {t}")
        check(abs(reply["reward"] - 2 * (2.5 - 2.5 + 500 + 2000 + 10000 + 1.234)) < 1e-6, reply)
        check(reply["success"] == (t == 1) and reply["truncated"] == (t == 3) and not reply["terminated"], reply)
    check(c.ask("observe", images=True)[1] == expected(o), "observe")
    check(c.ask("expert")[0]["bytes"] == 0, "no expert")

c.ask("reset", seed=1, episode=1, images=False)
reply = c.ask("step", action_bytes(1999), bytes=len(action_bytes(0)), images=False)[0]
check(reply == {"ok": False, "error": "RuntimeError: the pan\nis too hot"}, reply)
c.ask("reset", seed=1, episode=1, images=False)
reply = c.ask("step", action_bytes(1998), bytes=len(action_bytes(0)), images=False)[0]
check(not reply["ok"] and "ValueError" in reply["error"], reply)
check(not c.ask("step", b"1234", bytes=4, images=False)[0]["ok"], "an action of 4 bytes")
check(not c.ask("dance")[0]["ok"], "an unknown verb")
check(c.ask("reset", seed=1, episode=1, images=False)[0]["ok"], "it goes on")
check(c.close() == 0, "close")

# Sizes: the mean of boxes, here of 3 x 4 and 2 x 2 pixels; a rendered frame beside what the environment shows.
c = Child("kitchen:Kitchen-v3", "--size", "12x24", "--cameras", "view", "--max-steps", "3", "--stop-on-success", "--task", "soup")
task = c.ask("hello", protocol=1)[0]["task"]
check(task["name"] == "soup" and task["max_steps"] == 3, task["name"])
check([s["image"] for s in task["slots"] if s["kind"] == "image"] == [[12, 24]] * 4, "sizes")
word = int.from_bytes(hashlib.sha256(b"4 2").digest()[:4], "little")
o, _ = env.reset(seed=word)
parts = c.ask("reset", seed=4, episode=2, images=True)[1]
gray = np.frombuffer(parts["gray"], np.uint8).reshape(12, 24, 3).astype(float)
third = o["gray"].astype(float)
edges = [i * 32 / 24 for i in range(25)]
for y in range(12):
    for x in range(24):
        total = sum(third[3 * y:3 * y + 3, i].mean() * max(0, min(edges[x + 1], i + 1) - max(edges[x], i)) for i in range(32))
        check(abs(gray[y, x, 0] - total / (32 / 24)) <= 0.51, "gray")
cam = np.frombuffer(parts["cam"], np.uint8).reshape(12, 24, 3)
check(abs(cam[0, 0].astype(float) - (o["cam"][:3, :2].sum((0, 1)) + o["cam"][3, :2].sum(0) / 3) / (20 / 3)).max() <= 0.51, "cam")
view = np.frombuffer(parts["view"], np.uint8).reshape(12, 24, 3)
check((view[:6, :12] == (255, 0, 7)).all() and not view[6:].any() and not view[:, 12:].any(), "view")
data = action_bytes(0)
check(not c.ask("step", data, bytes=len(data), images=True)[0]["terminated"], "step 1")
reply, parts, _ = c.ask("step", data, bytes=len(data), images=True)
check(reply["success"] and reply["terminated"], "it ends when it is solved")
check(np.frombuffer(parts["view"], np.uint8).reshape(12, 24, 3)[0, 0, 1] == 2, "the frame of now")
c.p.stdin.close()
check(c.p.wait(10) == 0, "the end of its input")
print("failed", failed)
sys.exit(failed > 0)
PY
gym=
for p in ${GYM_PYTHON:-} "$PYTHON" python3; do
    "$p" -c 'import gymnasium, numpy' 2>/dev/null && gym=$p && break
done
if [ -n "$gym" ]; then
    PYTHONPATH=$dir "$gym" check.py "$top/pipelines/gym_env.py" >out 2>err
    verdict $? "gym_env.py and Gymnasium agree"
    echo '{"protocol":1,"verb":"hello"}' | "$gym" "$top/pipelines/gym_env.py" Nowhere-v7 >out 2>err
    [ $? -eq 1 ] && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "gym_env: 'Nowhere-v7'" err
    verdict $? "gym_env.py names an environment that does not exist"
else
    skip "gym_env.py" "no python3 with gymnasium"
fi
# Experts that read a console's memory, beside chance.
if [ -n "$gym" ] && "$gym" -c 'import ale_py' 2>/dev/null; then
    score() { # score GAME POLICY
        gato act --env-cmd "$gym $top/pipelines/gym_env.py ALE/$1-v5 --cameras none --max-steps 400" --policy "$2" --episodes 2 2>err | sed 's/.*"return_mean":\([^,]*\).*/\1/'
    }
    for game in Pong Breakout Freeway; do
        expert=$(score $game expert) chance=$(score $game random)
        awk -v e="$expert" -v c="$chance" 'BEGIN { exit !(e > c + 2) }'
        verdict $? "$game: the expert $expert, chance $chance"
    done
else
    skip "Atari" "no python3 with gymnasium and ale_py"
fi
# A module that is missing is one line.
mkdir none && echo 'raise ImportError("no such thing")' >none/gymnasium.py && echo 'pass' >none/numpy.py
PYTHONPATH=$dir/none "$PYTHON" "$top/pipelines/gym_env.py" CartPole-v1 >out 2>err </dev/null
[ $? -eq 1 ] && [ ! -s out ] && [ "$(cat err)" = "gym_env: the Python package gymnasium is missing (no such thing): pip install gymnasium" ]
verdict $? "gym_env.py without gymnasium"
echo 'import nothing_of_the_kind' >none/gymnasium.py
PYTHONPATH=$dir/none "$PYTHON" "$top/pipelines/gym_env.py" CartPole-v1 >out 2>err </dev/null
[ $? -eq 1 ] && [ "$(cat err)" = "gym_env: the Python package nothing_of_the_kind, which gymnasium needs, is missing (No module named 'nothing_of_the_kind'): pip install nothing_of_the_kind" ]
verdict $? "gym_env.py without what gymnasium needs"

if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" -eq 0 ]

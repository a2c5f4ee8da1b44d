#!/usr/bin/env python3
"""The room of gato/env/grid_world.h beside pip's minigrid: the same states and actions in both, compared exactly.

    make build/tests/interop/grid_helper
    python3 tests/interop/grid_minigrid.py build/tests/interop/grid_helper [STATES]
    python3 tests/interop/grid_minigrid.py build/tests/interop/grid_helper checksums

Half of the STATES (600) are layouts of ours, half are any objects anywhere, also in the agent's hands. From each, random
actions are played until the mission is solved, a dozen at most. Equal are: position, direction, what is carried, every
cell, the mission's text, termination, reward, which cells of the view are seen, every pixel of the image. Needs the
package minigrid (3.2.0); without it, it says so and skips (exit 0). Closes with "N passed, N failed". With
`checksums` it prints what tests/test_grid.c compares with: of ten layouts the CRC-32 of all images of minigrid.
"""

import os
import random
import subprocess
import sys
import zlib

try:
    import numpy as np
    from minigrid.core.world_object import Ball, Box, Key
    from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
    from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc
    from minigrid.wrappers import RGBImgPartialObsWrapper
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

HELPER = os.path.abspath(sys.argv[1])
CHECKSUMS = sys.argv[2:] == ["checksums"]
STATES = int(sys.argv[2]) if len(sys.argv) > 2 and not CHECKSUMS else 600
ROOM, SIDE, ACTIONS = 8, 56, 12
KINDS = ["empty", "wall", "key", "ball", "box"]
COLORS = ["red", "green", "blue", "purple", "yellow", "grey"]
EMPTY, WALL = (0, 0), (1, 5)
MAKE = {2: Key, 3: Ball, 4: Box}


class State:
    """What a line of the helper says."""

    def __init__(self, numbers):
        pairs = list(zip(numbers[3::2], numbers[4::2]))
        self.x, self.y, self.direction = numbers[:3]
        self.carried, self.mission, self.cells = pairs[0], pairs[1], pairs[2:]

    def numbers(self):
        pairs = [self.carried, self.mission, *self.cells]
        return [self.x, self.y, self.direction, *(n for pair in pairs for n in pair)]


class Room(RoomGridLevel):
    """A room of minigrid in a given state."""

    def __init__(self, state):
        self.state = state
        super().__init__(room_size=ROOM, num_rows=1, num_cols=1)

    def gen_mission(self):
        s = self.state
        self.agent_pos, self.agent_dir = (s.x, s.y), s.direction
        for i, (kind, color) in enumerate(s.cells):
            if kind in MAKE:
                self.put_obj(MAKE[kind](COLORS[color]), i % ROOM, i // ROOM)
        self.instrs = GoToInstr(ObjDesc(KINDS[s.mission[0]], COLORS[s.mission[1]]))

    def reset(self, **kwargs):
        result = super().reset(**kwargs)
        kind, color = self.state.carried
        self.carrying = MAKE[kind](COLORS[color]) if kind else None
        return result


def thing_of(thing):
    return (KINDS.index(thing.type), COLORS.index(thing.color)) if thing else EMPTY


def state_of(env, mission):
    s = State([0] * 7)
    (s.x, s.y), s.direction, s.mission = map(int, env.agent_pos), int(env.agent_dir), mission
    s.carried = thing_of(env.carrying)
    s.cells = [thing_of(env.grid.get(x, y)) for y in range(ROOM) for x in range(ROOM)]
    return s


def random_state(rng):
    s = State([0] * 7)
    inside = [(x, y) for y in range(1, ROOM - 1) for x in range(1, ROOM - 1)]
    rng.shuffle(inside)
    s.x, s.y = inside.pop()
    s.direction = rng.randrange(4)
    any_thing = lambda: (rng.randrange(2, 5), rng.randrange(6))
    s.carried = any_thing() if rng.random() < 0.5 else EMPTY
    s.cells = [WALL if x in (0, ROOM - 1) or y in (0, ROOM - 1) else EMPTY for y in range(ROOM) for x in range(ROOM)]
    objects = [any_thing() for _ in range(rng.randrange(1, 25))]
    for thing, (x, y) in zip(objects, inside):
        s.cells[y * ROOM + x] = thing
    s.mission = rng.choice(objects)
    return s


def theirs(state, rng):
    """(state, terminated, reward, seen, mission, image) of every step, and the actions."""
    env = RGBImgPartialObsWrapper(Room(state), tile_size=8)
    env.reset(seed=0)
    bare = env.unwrapped
    bare.step_count, steps, actions = 0, [], []

    def look(terminated, reward):
        seen = "".join("01"[int(v)] for v in bare.gen_obs_grid()[1].T.reshape(-1))
        image = bare.get_frame(tile_size=8, agent_pov=True)
        steps.append((state_of(bare, state.mission), terminated, reward, seen, bare.mission, image))

    look(None, None)
    # Plain random actions seldom pick up or put down: half of the time one of those that change something is drawn.
    while len(actions) < ACTIONS and not steps[-1][1]:
        action = rng.randrange(7) if rng.random() < 0.5 else rng.choice([2, 2, 3, 4, 5])
        _, reward, terminated, _, _ = env.step(action)
        actions.append(action)
        look(bool(terminated), float(reward))
    return steps, actions


def ours(process):
    *numbers, solved, reward, seen, mission = process.stdout.readline().decode().rstrip("\n").split(" ", 138)
    image = np.frombuffer(process.stdout.read(SIDE * SIDE * 3), np.uint8).reshape(SIDE, SIDE, 3)
    return State(list(map(int, numbers))), solved == "1", float(reward), seen, mission, image


def differences(a, b):
    """Names of what differs between a step of theirs and of ours."""
    names = []
    if a[0].numbers() != b[0].numbers():
        names.append(f"state {a[0].numbers()} against {b[0].numbers()}")
    for i, name in ((1, "terminated"), (2, "reward"), (3, "seen"), (4, "mission")):
        if a[i] is not None and a[i] != b[i]:
            names.append(f"{name} {a[i]!r} against {b[i]!r}")
    if a[5].shape != b[5].shape or not (a[5] == b[5]).all():
        names.append("image")
    return names


def layouts(n):
    lines = subprocess.run([HELPER, "layouts", "3", str(n)], capture_output=True, check=True).stdout.decode().splitlines()
    return [State(list(map(int, line.split()))) for line in lines]


def checksums():
    """Of each layout: every action 0..6 in turn, some of them forward instead, until it is solved."""
    for state in layouts(10):
        env = RGBImgPartialObsWrapper(Room(state), tile_size=8)
        image = env.reset(seed=0)[0]["image"]
        crc, steps, done = zlib.crc32(image.tobytes()), 0, False
        while not done and steps < 40:
            seen, _, done, _, _ = env.step(steps % 7 if steps % 3 else 2)
            crc = zlib.crc32(seen["image"].tobytes(), crc)
            steps += 1
        print(f"{{0x{crc:08x}, {steps}}},")


def main():
    rng = random.Random(5)
    states = layouts(STATES // 2)
    states += [random_state(rng) for _ in range(STATES - len(states))]
    process = subprocess.Popen([HELPER, "play"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    passed = failed = frames = solved = changed = 0
    for number, state in enumerate(states):
        want, actions = theirs(state, rng)
        process.stdin.write((" ".join(map(str, state.numbers() + actions)) + "\n").encode())
        process.stdin.flush()
        wrong = []
        for i, step in enumerate(want):
            wrong += [f"state {number}, step {i}: {d}" for d in differences(step, ours(process))]
        frames += len(want)
        solved += bool(want[-1][1])
        changed += want[-1][0].cells != want[0][0].cells
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong and failed < 6:
            print("FAIL " + "\n     ".join(wrong[:5]))
    process.stdin.close()
    if process.wait() or min(solved, changed) < STATES // 10:
        failed += 1
        print(f"FAIL the helper's status is {process.returncode}; {solved} missions solved, {changed} rooms changed")
    print(f"{frames} frames of {STATES} states; {solved} missions solved, {changed} rooms changed")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(checksums() if CHECKSUMS else main())

#!/usr/bin/env python3
"""env_child.py [FAULT] - an environment for the tests, in the standard library alone: it speaks the protocol of FORMATS.md 7,
and misbehaves in the way that FAULT names.

Its state is a number x, at first seed + 10 * episode, and the step t. An action (push p, free f, grip g) adds p + f + g to x.
It shows two images whose bytes are x + place (modulo 256), the second one at even steps only, a text "mission of episode E",
the vector (x, t, seed) and the discrete values (t mod 4, episode mod 3). Reward: p. Success: at step 2 alone. End: terminated
at step 5. Its expert knows (0.5, -2, t mod 3), but nothing at step 1.
"""

import json
import os
import struct
import sys
import time

# "sure": no fault, an expert that always knows. "no-wrist": it never shows that camera; "one-camera": it has none of that name.
# "goal": it shows one, the bytes 100 to 171 from the front, but none at step 1; "worded-goal": with a text.
# "pid": it leaves its number in a file. "once-VERB": it dies at the first VERB of all, and a second one does not. "log": its
# expert always knows, too; episode 2^32 + i is episode i, and every action becomes a line of a file. "numbers": the same without grip,
# and an expert that pushes MOVES[t] and frees t mod 3.
FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
SIZES = {"front": (4, 6), "wrist": (2, 2)}
TASK = {
    "name": "walk", "kind": "episode", "max_steps": 20, "random_return": -1.5, "expert_return": 2.5,
    "env": {"id": "walk-v0"},
    "slots": [
        *({"kind": "image", "name": n, "side": "observed", "image": list(s)} for n, s in SIZES.items()),
        {"kind": "text", "name": "mission", "side": "observed"},
        {"kind": "vector", "name": "state", "side": "observed", "low": [None] * 3, "high": [None] * 3},
        {"kind": "discrete", "name": "phase", "side": "observed", "range": [4, 3]},
        {"kind": "vector", "name": "push", "side": "acted", "low": [-1], "high": [1]},
        {"kind": "vector", "name": "free", "side": "acted", "low": [None], "high": [None]},
        {"kind": "discrete", "name": "grip", "side": "acted", "range": [3]},
    ],
}
if FAULT == "numbers":
    del TASK["slots"][-1]
ACTION = struct.Struct("<ff" if FAULT == "numbers" else "<ffI")
MOVES = (0.9, 0.1, -0.6, 0.3, -0.9)
LOGS = FAULT in ("log", "numbers")
x = t = seed = episode = 0


def send(data):
    at = 0
    while at < len(data):
        at += os.write(1, data[at:])


def take(n):
    got = b""
    while len(got) < n:
        more = os.read(0, n - len(got))
        if not more:
            sys.exit(0)
        got += more
    return got


def request():
    line = b""
    while not line.endswith(b"\n"):
        line += take(1)
    return json.loads(line)


def reply(members, data=b""):
    send(json.dumps({"ok": True, **members}).encode() + b"\n" + data)


def observation(images):
    parts = {}
    for name, (h, w) in SIZES.items():
        if images and (name == "front" or t % 2 == 0 and FAULT not in ("no-wrist", "one-camera")):
            parts[name] = bytes((int(x) + i) % 256 for i in range(h * w * 3))
    parts["mission"] = f"mission of episode {episode}".encode()
    parts["state"] = struct.pack("<3f", float("nan") if FAULT == "nan" and t else x, t, seed)
    parts["phase"] = struct.pack("<2I", 7 if FAULT == "range" and t else t % 4, episode % 3)
    if FAULT == "utf8" and t:
        parts["mission"] = b"\xff\xfe"
    if FAULT == "nul" and t:
        parts["mission"] = b"a\0b"
    if FAULT == "no-state" and t:
        del parts["state"]
    sizes = {n: len(p) for n, p in parts.items()}
    if FAULT == "wrong-size" and t:
        sizes["front"] = 71
    if FAULT == "giant" and t:
        sizes["front"] = 1 << 30
    if FAULT == "giant-text" and t:
        sizes["mission"] = 1 << 30
    if FAULT == "stranger" and t:
        sizes["elbow"] = 4
    if FAULT == "acted" and t:
        sizes["push"] = 4
    return sizes, b"".join(parts.values())


def show(members, images):
    sizes, data = observation(images)
    if FAULT == "half" and t == 1:
        send(json.dumps({"ok": True, "slots": sizes, **members}).encode() + b"\n" + data[:40])
        time.sleep(60)
    if FAULT == "dribble":
        for b in json.dumps({"ok": True, "slots": sizes, **members}).encode() + b"\n" + data:
            send(bytes([b]))
        return
    reply({"slots": sizes, **members}, data + (b"tail" if FAULT == "tail" and t else b""))


def break_out(verb):
    """What goes wrong whatever the verb: FAULT = WHAT-VERB. Has it answered?"""
    what, _, where = FAULT.rpartition("-")
    if where != verb:
        return False
    if what == "die":
        sys.exit(7)
    if what == "abort":
        os.abort()
    if what == "hang":
        time.sleep(60)
    if what == "garbage":
        send(b"Loading world\x1b[0m ...\n")
    if what == "nul":
        send(b"\0\1\n")
    if what == "list":
        send(b"[1, 2]\n")
    if what == "no-ok":
        send(b"{}\n")
    if what == "no-end":
        send(b'{"ok": tr')
        time.sleep(60)
    if what == "endless":
        while True:
            send(b"a" * 65536)
    if what == "mute":
        send(b'{"error": "", "ok": false}\n')
    if what == "error":
        send(b'{"error": "the arm\\nis stuck", "ok": false}\n')
        return True
    if what == "close":
        os.close(1)
        time.sleep(60)
    if what == "bare":
        send(b'{"ok": true}\n')
        return True
    return False


def hello():
    task = json.loads(json.dumps(TASK))
    version = 2 if FAULT == "protocol" else 1
    if FAULT == "giant-task":
        task["slots"][0]["image"] = [1 << 16, 1 << 16]
    if FAULT == "large-task":
        task["slots"][0]["image"] = [1 << 14, 1 << 14]
    if FAULT == "no-size":
        del task["slots"][0]["image"]
    if FAULT == "one-camera":
        del task["slots"][1]
    if FAULT == "no-action":
        task["slots"] = task["slots"][:5]
    if FAULT == "wide":
        task["slots"][5].update(low=[-1] * 300, high=[1] * 300)
    if FAULT == "other-task" and os.path.exists("env_child.started"):
        task["name"] = "run"
    if FAULT in ("other-task", "pid"):
        open("env_child.started", "a").close()
        with open("env_child.pid", "w") as f:
            f.write(str(os.getpid()))
    goal = {"goal": True} if FAULT in ("goal", "worded-goal") else {}
    reply({"protocol": version, "expert": FAULT != "no-expert", "task": task, **goal})


def main():
    global x, t, seed, episode
    if FAULT == "chatty":
        print("hello from the world", file=sys.stderr, flush=True)
    if FAULT == "never-reads":
        time.sleep(60)
    if FAULT == "crossed":  # a long answer first, then a slow reader
        send(b'{"ok": true, "long": "' + b"a" * 900000 + b'"}\n')
    while True:
        r = request()
        verb = r["verb"]
        if FAULT == "once-" + verb and not os.path.exists("env_child.started"):
            open("env_child.started", "a").close()
            sys.exit(7)
        if verb == "close":
            return
        if FAULT == "deaf" or FAULT == "crossed":
            for _ in range(r["bytes"] // 65536):
                take(65536)
                time.sleep(0.001)
            if FAULT == "deaf":
                reply({"sum": r["bytes"]})
            continue
        if verb == "hello":
            break_out("hello") or hello()
        elif verb == "reset":
            seed, episode = r["seed"], r["episode"]
            if LOGS:
                episode %= 1 << 32
            x, t = float(seed + 10 * episode), 0
            break_out("reset") or show({}, r["images"])
        elif verb == "observe":
            show({}, r["images"])
        elif verb == "step":
            if r["bytes"] != ACTION.size:
                sys.exit(f"an action of {r['bytes']} bytes")
            p, f, g = (ACTION.unpack(take(ACTION.size)) + (0,))[:3]
            if LOGS:
                with open("env_child.log", "a") as file:
                    print(episode, t, p, f, g, file=file)
            x, t = x + p + f + g, t + 1
            end = {"reward": p, "success": t == 2, "terminated": t == 5, "truncated": False}
            break_out("step") or show(end, r["images"])
        elif verb == "expert":
            break_out("expert")
            n = ACTION.size * (t != 1 or FAULT == "sure" or LOGS)
            act = (MOVES[t], t % 3) if FAULT == "numbers" else (float("nan") if FAULT == "nan-expert" else 0.5, -2, t % 3)
            reply({"bytes": n + 4 * (FAULT == "wide-expert")}, ACTION.pack(*act)[:n])
        elif verb == "goal":
            parts = {"front": bytes(range(100, 172))} if t != 1 else {}
            if FAULT == "worded-goal":
                parts["mission"] = b"be there"
            reply({"slots": {n: len(p) for n, p in parts.items()}}, b"".join(parts.values()))
        else:
            sys.exit(f"verb {verb}")


main()

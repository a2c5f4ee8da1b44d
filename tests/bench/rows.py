"""The rows of `make bench`: what is measured on both sides, in groups that BENCH_ROWS chooses from."""
import json
import os
import shutil
import statistics
import tarfile
import time

from bench import ROUNDS, THREADS, Missing

ALL = ("eager", "channels_last", "compile")
RUNTIMES = ("onnxruntime", "openvino")
IMAGES = 5000
CONVS = ((8, 64, 64), (8, 32, 64), (8, 32, 128), (16, 16, 128), (16, 8, 256))  # batch, side, channels
CHANNELS = ([16, 16, 32, 64], [32, 32, 64, 128], [64, 128, 128])
STEP = 64 + 1 + 1 + 2  # tokens of a timestep of unmerged codes: image, vector, separator, action


class Peers:
    """A PyTorch process a variant, started when first asked."""

    def __init__(self, b, variants):
        self.b, self.variants, self.workers = b, variants, {}

    def ask(self, variant, line):
        if variant not in self.workers:
            self.workers[variant] = self.b.start_peer(variant)
        try:
            return self.workers[variant].ask(line)
        except Missing:
            self.workers.pop(variant).close()
            raise

    def calls(self, read):
        """compare()'s peers: read(ask) gives the number, ask sends one line to the variant's process."""
        return {v: (lambda v=v: read(lambda line: self.ask(v, line))) for v in self.variants}

    def close(self):
        for worker in self.workers.values():
            worker.close()


# ---- what rows share: images, a tokenizer, tokens, a policy; made once a run of the bench ----

def once(b, name, make):
    path = b.path(name)
    done = b.__dict__.setdefault("made", set())
    if name not in done:
        shutil.rmtree(path, ignore_errors=True)
        make(path)
        done.add(name)
    return path


def raw(b):
    path = b.path("images.rgb")
    once(b, "png", lambda png: b.ask(f"images {png} {path} {IMAGES} data/clipart data/photos"))
    return path


def vq_arguments(channels, out, steps, log_every):
    settings = ["--config", "pipelines/configs/start-vqvae.json"]
    for key, value in {"model.block_out_channels": channels, "loss.focus": 1, "train.batch": 16, "train.save_every": 0,
                       "train.warmup_no_quant": 0, "train.eval_every": 0, "train.log_every": log_every}.items():
        settings += ["--set", f"{key}={json.dumps(value)}"]
    return ["train", "--data", "data/clipart", "--data", "data/photos", *settings, "--steps", str(steps), "--out", out,
            "--force"]


def tokenizer(b):
    return once(b, "vqvae", lambda out: b.program("vqvae", *vq_arguments(CHANNELS[0], out, 16, 4)))


def tokens(b):
    run = tokenizer(b)
    return once(b, "tokens.lmdb", lambda out: b.program("tokenize", "episodes", "--in", "data/reacher", "--model", run,
                                                        "--out", out, "--force"))


def gato_arguments(b, p, out, steps, log_every):
    settings = ["--config", "pipelines/configs/demo-gato.json"]
    values = {"train.save_every": 0, "train.eval_every": 0, "train.log_every": log_every, "data.holdout": 0.2}
    if not p["demo"]:
        values.update({f"model.{k}": p[k] for k in ("width", "layers", "heads", "context")})
        values.update({"model.merge": 1, "model.bins": 1024, "loss.action_kind": "ce", "train.window": 0,
                       "train.batch": p["batch"], "optim.lr": 0.0001})
    for key, value in values.items():
        settings += ["--set", f"{key}={json.dumps(value)}"]
    return ["train", "--data", tokens(b), "--vqvae", tokenizer(b), *settings, "--steps", str(steps), "--out", out,
            "--force"]


def policy(b, p):
    return once(b, "policy", lambda out: b.program("gato", *gato_arguments(b, p, out, 2, 1)))


def plan_of(b, program, arguments, seconds):
    """From a dry run: (steps that take about `seconds`, steps a log line, multiply-adds x 2 of a step)."""
    told, _, _ = b.program(program, *arguments(1, 1), "--dry-run")
    every = max(1, int(seconds / told["seconds_per_step"] / 4))
    return 4 * every, every, told["flops_per_step"]


def logged(out, key):
    """Median over the log lines but the first, which pays for memory, plans and the codebook's start."""
    with open(os.path.join(out, "metrics.jsonl")) as f:
        return statistics.median([json.loads(line)[key] for line in f][1:])


# ---- groups ----

def conv(b):
    peers = Peers(b, ALL)
    for op in ("forward", "input", "weight"):
        for n, side, c in CONVS:
            flops, line = 2.0 * 9 * n * side * side * c * c, f"conv {op} {n} {side} {c} 0.25"
            speed = lambda ask: flops / ask(line)["seconds"] * 1e-9
            name = op if op == "forward" else f"{op} gradient"
            ours, peer, who = b.compare(lambda: speed(b.ask), peers.calls(speed), lower=False)
            b.row(f"conv 3x3 {name}, {n} x {side} px x {c}", "GFLOP/s", ours, peer, who, False,
                  ours and (lambda limit, v=ours: v / limit["gflops"]))
    peers.close()


def train(b):
    for channels in CHANNELS:
        name = ",".join(map(str, channels))
        out, memory, peer_memory, peers = b.path("train"), [], [], Peers(b, ALL)
        steps, every, flops = plan_of(b, "vqvae", lambda *n: vq_arguments(channels, out, *n), 5)

        def ours():
            memory.append(b.program("vqvae", *vq_arguments(channels, out, steps, every))[1])
            return logged(out, "images_per_s")

        def theirs(ask):
            told = ask(f"train {out} {images} 16 4")
            peer_memory[:] = [told["peak_mb"]]  # of the variant that was asked last: the best one, in the end
            return 16 / told["seconds"]

        images = raw(b)
        b.program("vqvae", *vq_arguments(channels, out, 1, 1))  # leaves the config.json that the peer is built from
        speed, peer, who = b.compare(ours, peers.calls(theirs), lower=False)
        peers.close()
        b.row(f"vqvae train {name}, batch 16", "images/s", speed, peer, who, False,
              speed and (lambda limit, v=speed, flops=flops: v / 16 * flops * 1e-9 / limit["gflops"]))
        b.row(f"vqvae train {name}, peak memory", "MB", statistics.median(memory), peer_memory[0] if peer else None,
              who, True)


CURVE = {"steps": 400, "every": 50, "batch": 16, "side": 64, "warmup_no_quant": 60, "lr": 0.002, "betas": [0.9, 0.99],
         "warmup": 40, "min_ratio": 0.05, "clip": 1.0}
SEEDS = 3  # of weights and, on our side, of the order of images


def our_curve(b, config, data, out, seed):
    """{step: (seconds, held-out PSNR)} of `vqvae train`."""
    b.program("vqvae", "train", *(w for d in data for w in ("--data", d)), "--config", config, "--seed", str(seed),
              "--out", out, "--force")
    with open(os.path.join(out, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    return {m["step"]: (m["wall"], m["psnr_held_out"]) for m in lines if m.get("psnr_held_out")}


def spread(values):
    """Mean, and how it is told: with the standard deviation of several."""
    mean = statistics.fmean(values)
    return mean, f"{mean:.2f}" + (f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else "")


def curve(b):
    """Held-out PSNR of both sides on the same images, SEEDS runs each: at equal steps, and at equal time."""
    config, out, folder, c = b.path("curve.json"), b.path("curve"), b.path("curve-data"), CURVE
    with open("pipelines/configs/start-vqvae.json") as f:
        settings = json.load(f)
    settings["loss"]["focus"] = 1
    settings["optim"].update({k: c[k] for k in ("lr", "betas", "warmup", "min_ratio", "clip")})
    settings["train"].update(steps=c["steps"], batch=c["batch"], warmup_no_quant=c["warmup_no_quant"], save_every=0,
                             eval_every=c["every"], log_every=c["every"])
    with open(config, "w") as f:
        json.dump(settings, f)
    data = ("data/clipart", "data/photos")
    b.ask(f"stream {config} {folder} {' '.join(data)}")
    peers, ours, theirs, who = Peers(b, ("eager",)), [], [], b.names.get("eager", b.no_peer)
    for seed in range(SEEDS):
        ours.append(our_curve(b, config, data, out, seed))
        try:
            told = peers.ask("eager", f"curve {out} {folder} {one_word({**c, 'seed': seed})}")["curve"]
            theirs.append({step: (seconds, psnr) for step, seconds, psnr in told})
        except Missing as e:
            who = str(e)
    peers.close()
    for step in sorted(ours[0]):
        mean, said = spread([run[step][1] for run in ours])
        their_mean, their_said = spread([run[step][1] for run in theirs]) if theirs else (None, "-")
        b.row(f"held-out PSNR, {step} steps: {said} dB and {their_said}", "dB", mean, their_mean, who, False)
    end = statistics.fmean(run[max(run)][0] for run in ours)
    reached = [[psnr for seconds, psnr in run.values() if seconds <= end] for run in theirs]
    reached = [run[-1] for run in reached if run]
    b.row(f"held-out PSNR after {end:.0f} s", "dB", statistics.fmean(run[max(run)][1] for run in ours),
          statistics.fmean(reached) if reached else None, who, False)


def encode(b):
    run, images, codes = tokenizer(b), raw(b), {}
    sides = {"": Peers(b, ALL), ", beside runtimes": Peers(b, RUNTIMES)}
    for n in (1, 16, 64):
        flops = []

        def speed(ask, side):
            told = ask(f"encode {run} {images} {n} 1")
            codes[side] = told["codes"]
            flops[:] = [told["flops"]] if side == "ours" else flops
            return n / told["seconds"]

        for beside, peers in sides.items():
            ours, peer, who = b.compare(lambda: speed(b.ask, "ours"),
                                        peers.calls(lambda ask, s=beside: speed(ask, "peer" + s)), lower=False)
            b.row(f"encode 64 px, batch {n}{beside}", "images/s", ours, peer, who, False,
                  ours and (lambda limit, v=ours, f=flops[0] / n: v * f * 1e-9 / limit["gflops"]))
    for beside, peers in sides.items():
        peers.close()
        if "ours" in codes and "peer" + beside in codes:
            same = sum(x == y for x, y in zip(codes["ours"], codes["peer" + beside]))
            b.row(f"encode, codes of 64 that agree{beside}", "codes", same, 64, "the peer's, for a check", False)


def tokenize(b):
    """The limit: 1 / (encoding with all threads + decoding shared by them), measured right after each run."""
    run, images, peers, out = tokenizer(b), raw(b), Peers(b, ALL), b.path("png.lmdb")
    folder, tar, shares = b.path("png"), b.path("png.tar"), {}
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as f:
        for name in sorted(os.listdir(folder)):
            f.add(os.path.join(folder, name), name)

    def ours(source):  # the whole process, its start included
        told, _, seconds = b.program("tokenize", "images", "--in", source, "--model", run, "--out", out, "--force")
        encode, decode = b.ask(f"encode {run} {images} 16 1")["seconds"] / 16, b.ask(f"decode {folder}")["seconds"]
        speed = told["images"] / seconds
        shares.setdefault(source, []).append(speed * (encode + decode / THREADS))
        return speed

    def theirs(ask):
        told = ask(f"tokenize {run} {folder} {b.path('peer.lmdb')}")
        return told["images"] / told["seconds"]

    for source, calls, name in ((folder, peers.calls(theirs), "PNG files"), (tar, {}, "PNG files in a tar")):
        speed, peer, who = b.compare(lambda: ours(source), calls, lower=False)
        b.row(f"tokenize images, {IMAGES} {name} to LMDB", "images/s", speed, peer, who, False,
              speed and (lambda limit, s=source: statistics.median(shares[s])))
    peers.close()


SIZES = (
    {"demo": True, "width": 128, "layers": 4, "heads": 4, "batch": 64, "tokens": 6, "context": 32},
    {"demo": False, "width": 256, "layers": 4, "heads": 4, "batch": 8, "context": 512},
    {"demo": False, "width": 384, "layers": 6, "heads": 6, "batch": 2, "context": 1024},
    {"demo": False, "width": 768, "layers": 4, "heads": 12, "batch": 1, "context": 1024},
)


def peer_size(p):
    """The same for GPT-2; ours: 257 bytes, bins, 1024 discrete values; codes are no rows of the table."""
    T = p.get("tokens") or p["context"] // STEP * STEP
    steps = T // STEP
    targets = [T - 1] if p["demo"] else [i * STEP + 65 + k for i in range(steps) for k in (0, 1)]
    return {"width": p["width"], "layers": p["layers"], "heads": p["heads"], "batch": p["batch"], "tokens": T,
            "positions": max(T, p["context"]), "vocabulary": 257 + (64 if p["demo"] else 1024) + 1024,
            "targets": targets, "loss": "mse" if p["demo"] else "ce"}


def one_word(value):
    return json.dumps(value, separators=(",", ":"))


def gato(b):
    for p in SIZES:
        s, out, peers = peer_size(p), b.path("gato"), Peers(b, ("eager", "compile"))
        a_step = s["batch"] * s["tokens"]
        steps, every, flops = plan_of(b, "gato", lambda *n: gato_arguments(b, p, out, *n), 6)

        def ours():
            b.program("gato", *gato_arguments(b, p, out, steps, every))
            return logged(out, "tokens_per_s")

        speed, peer, who = b.compare(ours, peers.calls(lambda ask: a_step / ask(f"policy {one_word(s)} 5")["seconds"]),
                                     rounds=2, lower=False)
        peers.close()
        name = f"width {p['width']}, {p['layers']} layers, {s['batch']} x {s['tokens']} tokens"
        b.row(f"gato train, {name}", "tokens/s", speed, peer, who, False,
              speed and (lambda limit, v=speed, f=flops / a_step: v * f * 1e-9 / limit["gflops"]))


WIDE = {"demo": False, "width": 768, "layers": 8, "heads": 12, "batch": 1, "context": 1024}
ACTING = {"demo": False, "width": 256, "layers": 4, "heads": 4, "batch": 2, "context": 1024}


def least_ms(limit, forwards):
    """Milliseconds of forwards [(tokens, context)] at the machine's limits: arithmetic or reading weights and cache."""
    D, L, ms = ACTING["width"], ACTING["layers"], 0
    for n, context in forwards:
        flops = L * n * (24.0 * D * D + 4 * context * D)
        ms += max(flops / limit["gflops"], L * 4 * (12.0 * D * D + 2 * context * D) / limit["gbytes"]) * 1e-6
    return ms


def acting(b, how, variants, steps):
    """Medians of p50 and p99 on both sides, and the peer's name: (p50, its p50, p99, its p99, name)."""
    run, images, s, peers = policy(b, ACTING), raw(b), peer_size(ACTING), Peers(b, variants)
    window, tails = ACTING["context"] // STEP, {"ours": [], "peer": []}
    s["context"], s["positions"] = (window - 1) * STEP, ACTING["context"] + STEP

    def ours():
        told = b.ask(f"control {run} {images} {window + 2} {steps} {how}")
        tails["ours"].append(told["p99"])
        return told["p50"]

    def theirs(ask):
        told = ask(f"control {one_word(s)} {run}/vqvae {images} {steps} {how}")
        tails["peer"].append(told["p99"])
        return told["p50"]

    p50, peer_p50, who = b.compare(ours, peers.calls(theirs))
    peers.close()
    p99, peer_p99 = statistics.median(tails["ours"]) if p50 else None, None
    if peer_p50:
        peer_p99 = statistics.median(tails["peer"][-ROUNDS:])  # what came before chose the variant
    return p50, peer_p50, p99, peer_p99, who


def control(b):
    full = ACTING["context"] // STEP * STEP

    def share(ms, forwards):
        return ms and (lambda limit: least_ms(limit, forwards) / ms)

    p50, peer_p50, p99, peer_p99, who = acting(b, "cache", ("eager",), 200)
    name = f"control step, {full} tokens"
    b.row(f"{name}, KV cache, p50", "ms", p50, peer_p50, who, True, share(p50, [(67, full), (1, full)]))
    b.row(f"{name}, KV cache, p99", "ms", p99, peer_p99, who, True)
    whole, peer_whole, _, _, who = acting(b, "rebuild", ("eager", "compile"), 12)
    b.row(f"{name}, cache vs. whole, p50", "ms", p50, peer_whole, who, True)
    b.row(f"{name}, whole again, p50", "ms", whole, peer_whole, who, True,
          share(whole, [(full - 2, full), (full - 1, full)]))


def weights(b):
    """16, 8 and 4 bits a weight beside our own 32."""
    run, images = once(b, "policy-wide", lambda out: b.program("gato", *gato_arguments(b, WIDE, out, 2, 1))), raw(b)
    told = {how: [] for how in ("cache", "bf16", "q8", "q4")}
    for _ in range(ROUNDS):
        for how, ms in told.items():
            ms.append(b.ask(f"control {run} {images} {WIDE['context'] // STEP + 2} 40 {how}")["p50"])
    f32 = statistics.median(told.pop("cache"))
    for how, ms in told.items():
        b.row(f"control step, width {WIDE['width']}, {how} weights", "ms", statistics.median(ms), f32,
              "ours, 32 bits a weight", True)


def start(b):
    run, images, s = policy(b, ACTING), raw(b), peer_size(ACTING)
    saved, peers = b.path("gpt2"), Peers(b, ("eager",))

    def timed(worker, line):
        worker.ask(line)
        seconds = time.monotonic() - worker.start
        worker.close()
        return seconds

    def theirs(ask):
        if not os.path.exists(saved):
            ask(f"save {one_word(s)} {saved}")
        return timed(b.start_peer("eager"), f"first {saved} {run}/vqvae {images}")

    timed(b.start_ours(), f"first {run} {images}")  # the page cache
    m, t, who = b.compare(lambda: timed(b.start_ours(), f"first {run} {images}"), peers.calls(theirs))
    peers.close()
    b.row("start of the process to the first action", "s", m, t, who, True)


GROUPS = {"conv": conv, "train": train, "curve": curve, "encode": encode, "tokenize": tokenize, "gato": gato,
          "control": control, "weights": weights, "start": start}
# Of the bench's minutes. A group that has none left still measures each of its rows once.
SHARES = {"conv": 2, "train": 3, "curve": 6, "encode": 2, "tokenize": 1.5, "gato": 4, "control": 1.5, "weights": 1,
          "start": 0.5}
DEFAULT = [name for name in GROUPS if name != "curve"]  # six trainings to the end: by name alone

"""bench.py BUILD [ROWS] - leads `make bench`: starts both sides, alternates them, prints a table, writes bench.json.

Two kinds of workers read a command a line and answer with a line of JSON: the C program bench (ours) and peer.py (a
library, one process a variant). Only one of them works at a time, and all end with the bench. bench.json has each row
as soon as it is there. Needs nothing beyond Python's library.
"""
import contextlib
import ctypes
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time

ROUNDS = 3
FULL = 0.85  # of the most multiply-adds a second seen: the machine counts as our own
PATIENCE = 60  # seconds that the bench waits for that, in all: on a machine that is never ours it would only wait
MINUTES = float(os.environ.get("BENCH_MINUTES") or 6)  # shared by the groups that are asked for
THREADS = len(os.sched_getaffinity(0))
HERE = os.path.dirname(os.path.abspath(__file__))


class Missing(Exception):
    """A side that cannot run here, and why."""


LIBC = ctypes.CDLL(None)  # loaded before a fork, where there is no time for it


def end_with(parent):
    """This process is killed when its parent ends, however that ends; at once when it has ended already."""
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def ends_with_me():
    """For a child to call between fork and exec."""
    me = os.getpid()
    return lambda: end_with(me)


class Worker:
    """A process that answers commands."""

    def __init__(self, argv, env, log, patience=900):
        self.log, self.patience = log, patience
        self.start = time.monotonic()
        try:
            self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=open(log, "ab"), preexec_fn=ends_with_me())
        except OSError as e:
            raise Missing(f"cannot run '{argv[0]}': {e.strerror}") from None

    def ask(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], self.patience)
            answer = self.process.stdout.readline() if ready else None
        except BrokenPipeError:
            answer = b""
        if not answer:
            self.close()
            raise Missing("no answer in time" if answer is None else f"ended early, see {self.log}")
        answer = json.loads(answer)
        if "error" in answer:
            raise Missing(answer["error"])
        return answer

    def close(self):
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # what was not sent
            self.process.stdin.close()
        self.process.stdout.close()


def busy_elsewhere(seconds=0.5):
    """Processors that work while the bench does not."""
    def work():
        with open("/proc/stat") as f:
            user, nice, system = map(int, f.readline().split()[1:4])
        return (user + nice + system) / os.sysconf("SC_CLK_TCK")
    before = work()
    time.sleep(seconds)
    return (work() - before) / seconds


class Bench:
    """Both sides, their folders, and the rows so far."""

    def __init__(self, build):
        self.build = build
        self.dir = os.path.join(build, "bench")
        os.makedirs(self.dir, exist_ok=True)
        self.python = os.environ.get("PEER_PYTHON", "python3")
        self.peer_env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        cache = os.path.abspath(self.path("inductor"))
        self.peer_env.update(HF_HUB_OFFLINE="1", TORCHINDUCTOR_CACHE_DIR=cache, TOKENIZERS_PARALLELISM="false",
                             TORCHINDUCTOR_COMPILE_THREADS="1")  # no processes that would survive the worker
        for log in ("ours.log", "peer.log"):
            open(self.path(log), "w").close()
        self.elsewhere, self.repeated, self.patience = 0, 0, PATIENCE
        self.rows, self.limit, self.no_peer = [], {"gflops": 0, "gbytes": 0}, None
        self.names = {}  # of the peers' variants, with their versions
        self.end = 0  # of the group's share of MINUTES
        self.ours = self.start_ours()

    def path(self, name):
        return os.path.join(self.dir, name)

    # ---- starting things ----

    def start_ours(self):
        return Worker([os.path.join(self.build, "tests/bench/bench"), str(THREADS)], None, self.path("ours.log"))

    def ask(self, line):
        """The C program's answer; a new process when it ended."""
        try:
            return self.ours.ask(line)
        except Missing:
            self.ours.close()
            self.ours = self.start_ours()
            raise

    def start_peer(self, variant):
        if self.no_peer:
            raise Missing(self.no_peer)
        return Worker([self.python, os.path.join(HERE, "peer.py"), variant, str(THREADS)], self.peer_env,
                      self.path("peer.log"))

    def find_peer(self):
        """Is there a PyTorch at all?"""
        try:
            self.name_of("eager")
        except Missing as e:
            self.no_peer = f"no peer: {e}"
            print(self.no_peer, file=sys.stderr)

    def name_of(self, variant):
        """The variant with its library's version."""
        if variant not in self.names:
            worker = self.start_peer(variant)
            try:
                self.names[variant] = worker.ask("version")["version"]
            finally:
                worker.close()
        return self.names[variant]

    def program(self, name, *arguments):
        """Runs one of the three programs: (its stdout's last JSON object or None, peak memory in MB, seconds)."""
        start = time.monotonic()
        with open(self.path("ours.log"), "ab") as log, open(self.path("stdout"), "wb") as out:
            argv = [os.path.join(self.build, "bin", name), *arguments, "--threads", str(THREADS)]
            child = subprocess.Popen(argv, stdout=out, stderr=log, preexec_fn=ends_with_me())
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        if child.returncode:
            raise Missing(f"{name} {arguments[0]} left with {child.returncode}, see {self.path('ours.log')}")
        with open(self.path("stdout")) as f:
            lines = f.read().splitlines()
        return json.loads(lines[-1]) if lines else None, usage.ru_maxrss / 1024, seconds

    # ---- measuring ----

    def measure_limits(self):
        self.elsewhere = max(self.elsewhere, busy_elsewhere())
        for name, value in self.ask("limits").items():
            self.limit[name] = max(self.limit.get(name, 0), value)

    def full_speed(self):
        """Does the machine give all of its arithmetic now? A virtual one's two processors may be one core's for a while."""
        now = max(self.ask("speed")["gflops"] for _ in range(2))
        self.limit["gflops"] = max(self.limit["gflops"], now)
        return now >= FULL * self.limit["gflops"]

    def steady(self, call):
        """call()'s number from a stretch with the machine at full speed before and after; the last one when none comes.

        Waiting and repeating come out of the bench's patience."""
        while True:
            start = time.monotonic()
            end = min(start + self.patience, self.end)
            while not self.full_speed() and time.monotonic() < end:
                time.sleep(0.5)
            begun = time.monotonic()
            self.patience -= begun - start
            value = call()
            if self.full_speed() or self.patience <= 0 or time.monotonic() >= self.end:
                return value
            self.patience -= time.monotonic() - begun
            self.repeated += 1

    def compare(self, ours, peers, rounds=ROUNDS, lower=True):
        """ours() and peers[variant]() give a number each. The best variant of a first pass alternates with ours, once
        at least and further rounds while the group has time.

        Returns (median ours or None, median peer or None, name of the variant or the reason of its absence).
        """
        first, why = {}, self.no_peer
        for variant, call in peers.items() if not why else ():
            try:
                first[variant] = self.steady(call)
            except Missing as e:
                why = f"{variant}: {e}"
                print(f"  {why}", file=sys.stderr)
        best = (min if lower else max)(first, key=first.get) if first else None
        mine, theirs = [], []
        for i in range(rounds):
            if i and time.monotonic() >= self.end:
                break
            try:
                mine.append(self.steady(ours))
            except Missing as e:
                print(f"  ours: {e}", file=sys.stderr)
                break
            if best:
                try:
                    theirs.append(self.steady(peers[best]))
                except Missing as e:
                    best, why = None, str(e)
        if not mine and best:
            theirs.append(first[best])
        median = lambda v: statistics.median(v) if v else None
        return median(mine), median(theirs), self.name_of(best) if best and theirs else why

    def row(self, name, unit, ours, peer, peer_name, lower, share=None):
        """share: a function of the limits, called when all of them are known."""
        ratio = (peer / ours if lower else ours / peer) if ours and peer and unit != "dB" else None
        self.rows.append({"row": name, "unit": unit, "ours": ours, "peer": peer, "peer_name": peer_name,
                          "ratio": ratio, "share_of_limit": share})
        print("  " + self.line(self.told()[-1]), file=sys.stderr, flush=True)
        self.write()

    # ---- telling ----

    def told(self):
        """The rows with four digits, shares by the limits known so far."""
        rows = []
        for r in self.rows:
            share = r["share_of_limit"]
            r = {**r, "share_of_limit": share(self.limit) if callable(share) and r["ours"] else None}
            for key in ("ours", "peer", "ratio", "share_of_limit"):
                if r[key] is not None:
                    r[key] = float(f"{r[key]:.4g}")
            rows.append(r)
        return rows

    def write(self):
        path = os.path.join(self.build, "bench.json")
        with open(path + ".part", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(r) for r in self.told()) + "\n]\n")
        os.replace(path + ".part", path)
        return path

    def finish(self):
        path = self.write()
        print(f"\n{'':44}{'ours':>10}{'peer':>10} {'unit':9}{'ratio':>7}{'limit':>7}  peer")
        for r in self.told():
            print(self.line(r))
        if self.elsewhere > 0.2:
            print(f"\nNOISY: other work kept {self.elsewhere:.1f} processors busy. PyTorch, whose threads wait for each"
                  " other in every op, suffers far more from it than ours: do not quote these ratios.")
        if self.repeated:
            print(f"\n{self.repeated} measurements were repeated because the machine was below full speed after them.")
        print(f"\n{THREADS} threads; in this run the machine did {self.limit['gflops']:.0f} GFLOP/s of multiply-adds"
              f" and read {self.limit['gbytes']:.1f} GB/s. {path}")

    @staticmethod
    def line(r):
        number = lambda v: "-" if v is None else f"{v:.0f}" if v >= 1000 else f"{v:.3g}"
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}x"
        share = r["share_of_limit"]
        share = f"{100 * share:.0f}%" if isinstance(share, float) else "-"
        return (f"{r['row']:44}{number(r['ours']):>10}{number(r['peer']):>10} {r['unit']:9}{ratio:>7}{share:>7}"
                f"  {r['peer_name'] or '-'}")


def main():
    sys.modules["bench"] = sys.modules["__main__"]  # one module, whoever imports it
    import rows
    end_with(os.getppid())
    wanted = [w for w in (sys.argv[2] if len(sys.argv) > 2 else "").split(",") if w] or rows.DEFAULT
    for w in wanted:
        if w not in rows.GROUPS:
            sys.exit(f"BENCH_ROWS: '{w}' is none of {', '.join(rows.GROUPS)}")
    b = Bench(sys.argv[1])
    b.find_peer()
    left = MINUTES * 60
    for i, w in enumerate(wanted):
        start = time.monotonic()
        share = left * rows.SHARES[w] / sum(rows.SHARES[x] for x in wanted[i:])
        b.end = start + share
        b.measure_limits()
        try:
            rows.GROUPS[w](b)
        except Missing as e:
            b.row(w, "-", None, None, str(e), True)
        left = max(0, left - (time.monotonic() - start))
        print(f"{w}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    b.ours.close()
    b.finish()


if __name__ == "__main__":
    main()

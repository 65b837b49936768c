#!/usr/bin/env python3
"""bench.py [NAME...]: speed and memory against their bars, as a table.

Each figure comes from whole programs on real input.  The machine's own floors
come first: disks differ nine-fold, so what waits for a sync is also given as a
ratio to that floor.
"""
import json, os, shutil, signal, statistics, subprocess, sys, tempfile, threading, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from procs import GIT_ENV, below

BIN = os.environ["BIN"]
TESTBIN = os.environ["TESTBIN"]
missed = 0


def row(what, value, bar="", ok=None):
    global missed
    missed += ok is False
    print(f"{what:<66} {value:>26}  {bar:<22} {'' if ok is None else 'ok' if ok else 'MISSED'}", flush=True)


def quantile(xs, q):
    xs = sorted(xs)
    return xs[min(len(xs) - 1, int(q * len(xs)))]


def run(*argv, **kw):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kw).stdout


def seconds(*argv, n=9, **kw):
    """Median wall time of a whole process."""
    t = []
    for _ in range(n):
        t0 = time.perf_counter()
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
        t.append(time.perf_counter() - t0)
    return statistics.median(t)


def pss_kib(pids):
    total = 0
    for p in pids:
        try:
            for line in open(f"/proc/{p}/smaps_rollup"):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


def family(pid):
    return [pid] + below(pid)


def ticks(pids):
    total = 0
    for p in pids:
        try:
            f = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
            total += sum(map(int, f[11:15]))
        except OSError:
            pass
    return total


class Agent:
    """A repository with N host applications, and an agent beside it."""

    def __init__(self, apps, sync="1m", targets=1, more=""):
        self.dir = tempfile.mkdtemp(prefix="pipecd-bench.")
        self.repo, self.roots, self.state, self.conf = (
            f"{self.dir}/{x}" for x in ("repo", "roots", "state", "piped.yaml"))
        self.apps, self.proc = apps, None
        self.read, self.seen = (0, 0), {}
        lines = ""
        for i in range(1, targets + 1):
            os.makedirs(f"{self.roots}/web-{i}")
            lines += f"        - {{name: web-{i}, config: {{root: {self.roots}/web-{i}}}}}\n"
        open(self.conf, "w").write(
            "apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n"
            f"  stateDir: {self.state}\n  syncInterval: {sync}\n"
            f"  repositories:\n    - {{repoId: web, remote: {self.repo}, branch: main}}\n"
            f"  plugins:\n    - name: host\n      deployTargets:\n{lines}{more}")
        run("git", "init", "-q", "-b", "main", self.repo, env=GIT_ENV)
        for i in range(apps):
            d = f"{self.repo}/apps/app-{i:05}"
            os.makedirs(d)
            open(f"{d}/app.pipecd.yaml", "w").write(
                "apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n"
                f"  name: app-{i:05}\n  labels: {{team: shop, env: prod}}\n"
                "  description: one of many\n  plugins:\n    host:\n      input:\n"
                "        keepReleases: 2\n        health: {command: \"true\", interval: 10ms, timeout: 5s}\n")
            open(f"{d}/index.html", "w").write("0\n")
        self.commit("first")

    def git(self, *args):
        return run("git", "-C", self.repo, *args, env=GIT_ENV).strip()

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def touch(self, n, text):
        for i in range(n):
            open(f"{self.repo}/apps/app-{i:05}/index.html", "w").write(text)

    def start(self):
        self.log = open(f"{self.dir}/log", "ab")
        self.proc = subprocess.Popen([f"{BIN}/piped", "-f", self.conf], stdout=self.log, stderr=self.log)
        self.wait(lambda: subprocess.run([f"{BIN}/piped", "-s", "-f", self.conf],
                                         capture_output=True).returncode == 0, 10)

    def wait(self, true, limit):
        end = time.time() + limit
        while not true():
            if time.time() > end:
                raise SystemExit(f"bench: waited {limit} s for nothing; see {self.dir}/log")
            time.sleep(0.005)

    def done(self, commit):
        """How many applications have been deployed at this commit."""
        try:
            f = open(f"{self.state}/journal/apps.ndjson", "rb")
        except OSError:
            return 0
        with f:	# only what is new, so that asking costs the agent nothing
            ino = os.fstat(f.fileno()).st_ino
            if ino != self.read[0]:
                self.read = (ino, 0)
            f.seek(self.read[1])
            for line in f:
                if not line.endswith(b"\n"):
                    break
                self.read = (ino, self.read[1] + len(line))
                past = json.loads(line)
                self.seen[past["application_id"]] = past.get("running_commit")
        return sum(c == commit for c in self.seen.values())

    def stop(self, keep=False):
        if self.proc:
            self.proc.terminate()
            self.proc.wait()
            self.proc = None
        if not keep:
            shutil.rmtree(self.dir)


def floors():
    d = tempfile.mkdtemp(prefix="pipecd-bench.", dir=tempfile.gettempdir())
    fd = os.open(f"{d}/f", os.O_WRONLY | os.O_CREAT)
    t = []
    for _ in range(200):
        t0 = time.perf_counter()
        os.write(fd, b"x" * 400)
        os.fdatasync(fd)
        t.append((time.perf_counter() - t0) * 1000)
    os.close(fd)
    shutil.rmtree(d)
    global sync_ms
    sync_ms = statistics.median(t)
    row("floor: fdatasync of 400 bytes, p50 / p99", f"{sync_ms:.2f} / {quantile(t, .99):.2f} ms")
    row("floor: start of a bare process", f"{seconds('/bin/true', n=51) * 1000:.2f} ms")
    row("floor: start of a process that opens libgit2",
        f"{seconds(f'{TESTBIN}/libgit/look', 'open', n=21) * 1000:.2f} ms")
    hop = run(f"{TESTBIN}/libbus/bench")
    for line in hop.strip().split("\n"):
        name, value = line.rsplit(":", 1)
        row("floor: " + name.strip(), value.strip())


def frames():
    out = run(f"{TESTBIN}/libmsg/bench").strip().split("\n")
    for line in out:
        name, value = line.rsplit(":", 1)
        n = float(value.split()[0])
        row(name, f"{n:,.0f}/s", ">= 300 000/s", n >= 300000)


def configs():
    t = float(run(f"{TESTBIN}/libconf/bench").split(":")[-1].split()[0])
    row("1000 application configs parsed and checked (PipeCD 70-120 ms)", f"{t:.1f} ms", "<= 60 ms", t <= 60)


def yaml50():
    d = tempfile.mkdtemp(prefix="pipecd-bench.")
    doc = "apiVersion: v1\nkind: List\nitems:\n"
    item = ("  - apiVersion: v1\n    kind: ConfigMap\n    metadata: {{name: cm-{0}, namespace: default}}\n"
            "    data:\n      key: \"value {0}\"\n      text: some words that are a value\n")
    with open(f"{d}/big.yaml", "w") as f:
        f.write(doc)
        i = 0
        while f.tell() < 50_000_000:
            f.write("".join(item.format(j) for j in range(i, i + 1000)))
            i += 1000
    size = os.path.getsize(f"{d}/big.yaml") / 1e6
    out = subprocess.run(["/usr/bin/env", "python3", "-c",
                          "import resource,subprocess,sys;subprocess.run(sys.argv[1:],check=True,stdout=subprocess.DEVNULL);"
                          "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
                          f"{TESTBIN}/libconf/conf", "node", f"{d}/big.yaml"], capture_output=True, text=True)
    shutil.rmtree(d)
    if out.returncode != 0:
        row("50 MB YAML manifest", "failed: " + out.stderr.strip()[-60:], "<= 5x", False)
        return
    peak = int(out.stdout.split()[-1]) * 1024 / 1e6
    row(f"{size:.0f} MB YAML manifest: peak memory", f"{peak:.0f} MB ({peak / size:.1f}x)", "<= 5x", peak / size <= 5)


def start():
    t = []
    for _ in range(7):
        a = Agent(1)
        t0 = time.perf_counter()
        a.log = open(f"{a.dir}/log", "ab")
        r, w = os.pipe()
        a.proc = subprocess.Popen([f"{BIN}/piped", "-f", a.conf], stdout=a.log, stderr=a.log)
        while subprocess.run([f"{BIN}/piped", "-s", "-f", a.conf], capture_output=True).returncode != 0:
            pass
        t.append((time.perf_counter() - t0) * 1000)
        os.close(r), os.close(w)
        a.stop()
    m = statistics.median(t)
    row("piped start to all children ready", f"{m:.0f} ms", "<= 150 ms", m <= 150)


def latency():
    """A ref renamed in a local repository -> `current` switched."""
    a = Agent(1)
    a.start()
    first = a.git("rev-parse", "HEAD")
    a.wait(lambda: a.done(first) == 1, 20)
    link = f"{a.roots}/web-1/app-00000/current"
    ref = f"{a.repo}/.git/refs/heads/main"
    t = []
    for i in range(100):
        open(f"{a.repo}/apps/app-00000/index.html", "w").write(f"change {i}\n")
        a.git("add", "-A")
        tree = a.git("write-tree")
        commit = a.git("commit-tree", tree, "-p", "HEAD", "-m", f"change {i}")
        open(ref + ".new", "w").write(commit + "\n")
        time.sleep(0.05)
        t0 = time.perf_counter()
        os.rename(ref + ".new", ref)
        end = t0 + 10
        while not os.readlink(link).endswith(commit):
            if time.perf_counter() > end:
                raise SystemExit(f"bench: never deployed; see {a.dir}/log")
            time.sleep(0.0005)
        t.append((time.perf_counter() - t0) * 1000)
        a.wait(lambda: a.done(commit) == 1, 10)
    a.stop()
    p50, p99 = statistics.median(t), quantile(t, .99)
    row("ref renamed -> current switched, p50 (PipeCD 43 s)", f"{p50:.1f} ms ({p50 / sync_ms:.0f}x sync)", "<= 60 ms", p50 <= 60)
    row("ref renamed -> current switched, p99", f"{p99:.1f} ms", "<= 200 ms", p99 <= 200)


def one_of_1000():
    """Head frame -> RUNNING record synced, one of 1000 applications touched."""
    a = Agent(1000)
    head = a.git("rev-parse", "HEAD")
    subprocess.run(f"'{BIN}/pipecd-gitwatch' -1 -f {a.conf} | '{BIN}/pipecd-plan' -f {a.conf} | "
                   f"'{BIN}/pipecd-exec' -f {a.conf}", shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def frame_for(i):
        open(f"{a.repo}/apps/app-00007/index.html", "w").write(f"change {i}\n")
        a.commit(f"touch one, {i}")
        return subprocess.run([f"{BIN}/pipecd-gitwatch", "-1", "-f", a.conf], capture_output=True).stdout

    def running(pipe):
        """Read exec's frames up to the RUNNING one; when it came."""
        for line in pipe:
            f = json.loads(line)
            if f["kind"] == "deployment" and f["deployment"].get("status") == "RUNNING":
                return time.perf_counter()
        return None

    cold, warm = [], []
    for k in range(5):
        first = frame_for(f"{k} cold")
        t0 = time.perf_counter()
        p = subprocess.Popen([f"{BIN}/pipecd-plan", "-f", a.conf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        e = subprocess.Popen([f"{BIN}/pipecd-exec", "-f", a.conf], stdin=p.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        p.stdout.close()
        p.stdin.write(first), p.stdin.flush()
        t1 = running(e.stdout)
        cold.append((t1 - t0) * 1000)
        for j in range(4):
            nxt = frame_for(f"{k} {j}")
            t0 = time.perf_counter()
            p.stdin.write(nxt), p.stdin.flush()
            t1 = running(e.stdout)
            warm.append((t1 - t0) * 1000)
        p.stdin.close()
        e.stdout.read()
        e.wait(), p.wait()
    a.stop()
    w, c = statistics.median(warm), statistics.median(cold)
    row("1 of 1000 apps touched: head frame -> RUNNING synced, warm", f"{w:.1f} ms ({w / sync_ms:.0f}x sync)", "<= 20 ms", w <= 20)
    row("the same, plan and exec just started", f"{c:.1f} ms", "<= 100 ms", c <= 100)


def peak_while(a, true, limit):
    peak = 0
    end = time.time() + limit
    while not true():
        peak = max(peak, pss_kib(family(a.proc.pid)))
        if time.time() > end:
            raise SystemExit(f"bench: waited {limit} s for nothing; see {a.dir}/log")
        time.sleep(0.2)
    return peak


def all_of(n):
    """One commit touching all of n applications -> all SUCCESS: (wall, PSS)."""
    a = Agent(n)
    a.start()
    first = a.git("rev-parse", "HEAD")
    a.wait(lambda: a.done(first) == n, 60 + n // 10)
    time.sleep(1)
    a.touch(n, "all\n")
    commit = a.commit("touch all")
    t0 = time.perf_counter()
    peak = peak_while(a, lambda: a.done(commit) == n, 60 + n // 10)
    return a, time.perf_counter() - t0, peak


def all_of_1000():
    a, wall, peak = all_of(1000)
    row("one commit touching 1000 apps -> all SUCCESS (PipeCD about 30 min)", f"{wall:.1f} s", "<= 12 s", wall <= 12)
    row("agent peak PSS meanwhile", f"{peak / 1024:.1f} MiB", "<= 64 MiB", peak <= 64 * 1024)
    idle(a, 1000, 20)


def idle(a, n, bar):
    time.sleep(8)
    pids = family(a.proc.pid)
    before, t0 = ticks(pids), time.time()
    time.sleep(float(os.environ.get("BENCH_IDLE_S", "62")))
    cpu = (ticks(family(a.proc.pid)) - before) / os.sysconf("SC_CLK_TCK") / (time.time() - t0) * 100
    pss = pss_kib(family(a.proc.pid)) / 1024
    row(f"idle agent, {n} host app{'s' if n > 1 else ''}: PSS summed (PipeCD 62-165 MB)", f"{pss:.1f} MiB", f"<= {bar} MiB", pss <= bar)
    row(f"idle agent, {n} host app{'s' if n > 1 else ''}: CPU at a 1-minute interval", f"{cpu:.2f} %", "< 0.5 %", cpu < 0.5)
    for p in family(a.proc.pid):
        try:
            name = open(f"/proc/{p}/cmdline").read().split("\0")[0].rsplit("/", 1)[-1]
            print(f"    {name:<28} {pss_kib([p]) / 1024:6.1f} MiB")
        except OSError:
            pass
    a.stop()


def idle_1():
    a = Agent(1)
    a.start()
    a.wait(lambda: a.done(a.git("rev-parse", "HEAD")) == 1, 20)
    idle(a, 1, 14)


def growth():
    """Cost per application at 100, 1000, 10 000."""
    sizes = [100, 1000] + ([10000] if os.environ.get("BENCH_LARGE") else [])
    per = []
    for n in sizes:
        a, wall, peak = all_of(n)
        a.stop()
        per.append(wall / n * 1000)
        row(f"{n} apps touched by one commit: wall per app, peak PSS", f"{wall / n * 1000:.1f} ms, {peak / 1024:.0f} MiB")
    row("cost per app grows no faster than linear", " -> ".join(f"{x:.1f}" for x in per) + " ms",
        "<= 1.3x", max(per[1:]) <= 1.3 * per[0])


def rpc():
    from rpc import measure
    measure(row, TESTBIN)


def api():
    global missed
    here = os.path.dirname(os.path.abspath(__file__))
    missed += subprocess.run([sys.executable, here + "/api.py"]).returncode != 0


def control():
    """The control plane's start, idle size and jobs."""
    global missed
    here = os.path.dirname(os.path.abspath(__file__))
    missed += subprocess.run([sys.executable, here + "/control.py"]).returncode != 0


ALL = [floors, frames, configs, yaml50, start, latency, one_of_1000, all_of_1000, idle_1, growth, rpc, api, control]
sync_ms = 1.0


def main(wanted):
    print(f"{'what':<66} {'measured':>26}  {'bar':<22}")
    for b in ALL:
        if not wanted or b.__name__ in wanted or b is floors:
            b()
    print(f"{missed} bar{'' if missed == 1 else 's'} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

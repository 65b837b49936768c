#!/usr/bin/env python3
"""control.py [NAME...]: the control plane's speed and memory against their bars.

Whole programs, from `pipecd -f control-plane.yaml` on.  Pages of LMDB's file
are the kernel's to give back, and are not counted (smaps).
"""
import json, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench
from bench import BIN, family, row, ticks


class Plane:
    """A control plane in a directory of its own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="pipecd-bench.")
        self.state, self.conf = f"{self.dir}/state", f"{self.dir}/control-plane.yaml"
        open(self.conf, "w").write(
            "apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec:\n"
            f"  stateDir: {self.state}\n  address: 127.0.0.1:0\n  adminAddress: 127.0.0.1:0\n"
            "  projects: [{id: demo, staticAdmin: {username: hello-pipecd, passwordHash: "
            "\"$2a$10$ye96mUqUqTnjUqgwQJbJzel/LJibRhUnmzyypACkvrTSnQpVFZ7qK\"}}]\n")
        self.proc = None

    def start(self):
        """Seconds from the start of pipecd until it says that all is ready."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.dir}/notify"
        if os.path.exists(path):
            os.unlink(path)
        s.bind(path)
        s.settimeout(60)
        t0 = time.perf_counter()
        self.proc = subprocess.Popen([f"{BIN}/pipecd", "-f", self.conf], stderr=open(f"{self.dir}/log", "ab"),
                                     env=dict(os.environ, NOTIFY_SOCKET=path))
        try:
            while not s.recv(4096).startswith(b"READY=1"):
                pass
        except TimeoutError:
            raise SystemExit(f"control: not ready; see {self.dir}/log")
        t = time.perf_counter() - t0
        s.close()
        return t

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(60)

    def status(self):
        return json.loads(bench.run(f"{BIN}/pipecd", "-s", "--json", "-f", self.conf))

    def address(self, name="main"):
        return next(x.split("=", 1)[1] for x in self.status()["listen"] if x.startswith(name + "="))

    def load(self, table, lines):
        p = subprocess.Popen([f"{BIN}/pipecd-store", "-f", self.conf, "-l", table], stdin=subprocess.PIPE,
                             stderr=open(f"{self.dir}/log", "ab"))
        for line in lines:
            p.stdin.write(line.encode() + b"\n")
        p.stdin.close()
        if p.wait() != 0:
            raise SystemExit(f"control: {table} cannot be loaded; see {self.dir}/log")

    def remove(self):
        if self.proc is not None and self.proc.poll() is None:
            self.stop()
        shutil.rmtree(self.dir)


def pss_mib(pids):
    """PSS without the pages of LMDB's file."""
    total = 0
    for p in pids:
        mapped = ""
        try:
            for line in open(f"/proc/{p}/smaps"):
                f = line.split()
                if not f[0].endswith(":"):
                    mapped = f[5] if len(f) > 5 else ""
                elif f[0] == "Pss:" and not mapped.endswith("/data.mdb"):
                    total += int(f[1])
        except OSError:
            pass
    return total / 1024


def deployments(n, apps=1000):
    now = int(time.time())
    for i in range(n):
        app, at = i % apps, now - (n - i)
        yield json.dumps({
            "id": f"00000000-0000-4000-8000-{i:012}", "application_id": f"10000000-0000-4000-8000-{app:012}",
            "application_name": f"app-{app:05}", "piped_id": f"piped-{app % 10}", "project_id": "demo",
            "labels": {"env": ("dev", "stg", "prod")[i % 3], "team": f"t{app % 20}"},
            "git_path": {"repo": {"id": "shop", "branch": "main"}, "path": f"apps/app-{app:05}",
                         "config_filename": "app.pipecd.yaml"},
            "trigger": {"commit": {"hash": f"{i:040x}", "message": "Change it", "author": "dev", "branch": "main",
                                   "created_at": at}, "timestamp": at},
            "summary": "Quick sync", "status": ("SUCCESS", "FAILURE", "SUCCESS", "CANCELLED")[i % 4],
            "stages": [{"id": f"stage-{k}", "name": "HOST_SYNC", "index": k, "status": "SUCCESS", "created_at": at,
                        "updated_at": at} for k in range(2)],
            "completed_at": at + 60, "created_at": at, "updated_at": at + 60}, separators=(",", ":"))


def start():
    t = []
    for _ in range(7):
        p = Plane()
        t.append(p.start())
        p.remove()
    ms = statistics.median(t) * 1000
    row("control plane: start to ready, empty directory, median of 7", f"{ms:.0f} ms", "<= 100 ms", ms <= 100)


def idle():
    p = Plane()
    p.start()
    time.sleep(3)
    pids = family(p.proc.pid)
    mib = pss_mib(pids)
    row(f"control plane: idle, PSS of {len(pids)} processes", f"{mib:.1f} MiB", "<= 16 MiB", mib <= 16)
    t0, c0 = time.time(), ticks(pids)
    time.sleep(10)
    used = (ticks(pids) - c0) / os.sysconf("SC_CLK_TCK") / (time.time() - t0)
    row("control plane: idle, share of one core", f"{used * 100:.2f} %")
    p.remove()


def large():
    n = 100000
    p = Plane()
    p.load("deployment", deployments(n))
    t = []
    for _ in range(5):
        t.append(p.start())
        if len(t) < 5:
            p.stop()
    ms = statistics.median(t) * 1000
    row(f"control plane: start to ready, {n} deployments, median of 5", f"{ms:.0f} ms", "<= 150 ms", ms <= 150)
    time.sleep(2)
    t0 = time.perf_counter()
    bench.run(f"{BIN}/pipecd-ops", "-f", p.conf, "-1", "insights")
    row(f"control plane: first collection of insights, {n} deployments", f"{time.perf_counter() - t0:.1f} s")
    t0 = time.perf_counter()
    bench.run(f"{BIN}/pipecd-ops", "-f", p.conf, "-1", "insights")
    row("control plane: the next one", f"{(time.perf_counter() - t0) * 1000:.0f} ms")
    mib = pss_mib(family(p.proc.pid))
    row(f"control plane: after that, PSS with {n} deployments", f"{mib:.1f} MiB", "<= 64 MiB", mib <= 64)
    p.remove()


ALL = {"start": start, "idle": idle, "large": large}
if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        if name in ALL:
            ALL[name]()
    sys.exit(bench.missed > 0)

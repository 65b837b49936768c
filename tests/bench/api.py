#!/usr/bin/env python3
"""api.py [small]: the control plane's figures, against their bars (bench.py api).

Records and requests are made by the protobuf of share/mk/grpc-peer.
"""
import json, os, re, select, signal, subprocess, sys, tempfile, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BIN = os.environ.get("BIN", os.path.join(ROOT, "bin"))
TESTBIN = os.environ.get("TESTBIN", os.path.join(ROOT, "build/plain/tests"))
if "PROTO_PY" not in os.environ:
    python = subprocess.run([ROOT + "/share/mk/grpc-peer"], check=True, capture_output=True, text=True).stdout.strip()
    os.environ["PROTO_PY"] = subprocess.run([ROOT + "/tests/lib/proto-py"], check=True, capture_output=True,
                                            text=True).stdout.strip()
    os.execv(python, [python] + sys.argv)
sys.path.insert(0, os.path.join(ROOT, "tests", "pipecd-api"))
import ask

small = "small" in sys.argv[1:]
only_watch = "watch" in sys.argv[1:]  # the agents, without the records
N = 2000 if small or only_watch else 100000
AGENTS = 50 if small else 2000
SECONDS = "1" if small else "4"
T = 1700000000
missed = 0


def row(what, value, bar="", ok=None):
    global missed
    missed += ok is False
    print(f"{what:<66} {value:>26}  {bar:<22} {'' if ok is None else 'ok' if ok else 'MISSED'}", flush=True)


def until(path, pattern, proc):
    end = time.time() + 30
    while time.time() < end:
        m = re.search(pattern, open(path).read())
        if m:
            return m.group(1)
        if proc.poll() is not None:
            break
        time.sleep(0.01)
    raise SystemExit("%s: %s" % (path, open(path).read()))


class Plane:
    def __init__(self, d):
        self.d = d
        self.conf = d + "/control.yaml"
        with open(self.conf, "w") as f:
            f.write("apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec:\n  address: 127.0.0.1:0\n"
                    "  adminAddress: 127.0.0.1:0\n  stateDir: %s/state\n" % d)
        self.store = self.start("pipecd-store")
        until(d + "/pipecd-store.log", r"(serving)", self.store)
        self.ask = ask.Store(d + "/state")
        self.api_start()

    def start(self, name):
        return subprocess.Popen([BIN + "/" + name, "-f", self.conf], stdin=subprocess.DEVNULL,
                                stderr=open("%s/%s.log" % (self.d, name), "w"))

    def api_start(self, address=None):
        if address:
            text = open(self.conf).read()
            open(self.conf, "w").write(text.replace("  address: 127.0.0.1:0", "  address: " + address))
        self.api = self.start("pipecd-api")
        self.address = until(self.d + "/pipecd-api.log", r"main=(\S+)", self.api)

    def end(self):
        for p in (self.api, self.store):
            p.terminate()
            p.wait()


def load(plane):
    """One project, 100 agents, N/10 applications, N deployments."""
    s = ask.s
    out = {}
    plane.ask.put("project", ask.model.project_pb2.Project(id="p"))
    kinds = [0, 1, 3, 4, 5]
    tokens = []
    for i in range(AGENTS):
        m = ask.model.piped_pb2.Piped(id="piped-%d" % i, name="piped-%d" % i, project_id="p")
        if i < 64:
            tokens.append("PIPED-TOKEN p,%s,%s" % (m.id, plane.ask.key(s.PIPED, m)))
        else:
            plane.ask.put("piped", m)
    m = ask.model.apikey_pb2.APIKey(name="k", project_id="p", role=1)
    out["key"] = "API-KEY " + plane.ask.key(s.API_KEY, m)
    out["tokens"] = tokens
    apps = max(N // 10, 100)
    git = {"repo": {"id": "r", "remote": "git@github.com:o/r.git", "branch": "main"}, "path": "web"}
    ops = []

    def flush():
        if ops:
            plane.ask.ask(write=s.Write(ops=ops))
            ops.clear()

    def put(table, m):
        ops.append(s.Op(kind=s.Op.PUT, table=table, value=m.SerializeToString()))
        if len(ops) >= 1000:
            flush()
    for i in range(apps):
        put("application", ask.model.application_pb2.Application(
            id="app-%d" % i, name="app-%d" % (i % 1000), piped_id="piped-%d" % (i % 64), project_id="p",
            kind=kinds[i % 5], git_path=git, labels={"env": ("dev", "prod")[i % 2], "team": "t%d" % (i % 20)},
            created_at=T + i))
    for i in range(N):
        a = i % apps
        put("deployment", ask.model.deployment_pb2.Deployment(
            id="dep-%d" % i, application_id="app-%d" % a, application_name="app-%d" % (a % 1000),
            piped_id="piped-%d" % (a % 64), project_id="p", kind=kinds[a % 5], git_path=git,
            labels={"env": ("dev", "prod")[a % 2], "team": "t%d" % (a % 20)},
            trigger={"commit": {"hash": "%040x" % i, "message": "change %d" % i, "author": "dev", "branch": "main",
                                "created_at": T + i}, "timestamp": T + i},
            summary="Sync with the specified pipeline", status=2 if i < 64 else 4 + i % 3,
            stages=[{"id": "s1", "name": "WAIT", "status": 2, "created_at": T, "updated_at": T}],
            completed_at=0 if i < 64 else T + i, created_at=T + i, updated_at=T + i))
    flush()
    return out


def apiload(*argv):
    out = subprocess.run([TESTBIN + "/libgrpc/apiload", *map(str, argv)], check=True, capture_output=True, text=True)
    if out.stderr:
        print(out.stderr, end="", file=sys.stderr)
    f = out.stdout.split()
    return {k: float(v) for k, v in zip(f[::2], f[1::2])}


def pss(pid):
    """Without the pages of files: LMDB's are the kernel's to take back."""
    kib, name = 0, ""
    for line in open("/proc/%d/smaps" % pid):
        if re.match(r"^[0-9a-f]+-", line):
            name = line.split()[5] if len(line.split()) > 5 else ""
        elif line.startswith("Pss:") and not name.endswith(".mdb"):
            kib += int(line.split()[1])
    return kib


def cpu(pid):
    f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return int(f[11]) + int(f[12])


def syncs(d):
    f = os.open(d + "/floor", os.O_CREAT | os.O_WRONLY)
    n, t, b = 0, time.time(), b"x" * 16384
    while time.time() < t + 1:
        os.write(f, b)
        os.fdatasync(f)
        n += 1
    os.close(f)
    return n


def main():
    import service.apiservice_pb2 as api
    d = tempfile.mkdtemp(prefix="api-bench.")
    plane = Plane(d)
    try:
        t = time.time()
        keys = load(plane)
        row("api: load %d deployments, %d applications" % (N, N // 10), "%.1f s" % (time.time() - t))
        who = d + "/who"
        open(who, "w").write(keys["key"] + "\n")
        A = "/grpc.service.apiservice.APIService/"

        def calls(what, path, q, bar, floor, conns=4, inflight=8):
            open(d + "/q", "wb").write(q.SerializeToString())
            one = apiload("call", plane.address, SECONDS, 1, 1, path, d + "/q", who)
            many = apiload("call", plane.address, SECONDS, conns, inflight, path, d + "/q", who)
            assert one["errors"] == many["errors"] == 0, (one, many)
            if "p50" in bar:
                row("api: %s, alone, p50" % what, "%d us" % one["p50_us"], "<= 300", one["p50_us"] <= 300 or small)
                row("api: %s, alone, p99" % what, "%d us" % one["p99_us"], "<= 3000", one["p99_us"] <= 3000 or small)
            row("api: %s, %d in flight" % (what, conns * inflight), "%d/s" % many["calls_per_s"], ">= %d/s" % floor,
                many["calls_per_s"] >= floor or small)
        L = api.ListDeploymentsRequest
        for what, q in () if only_watch else (("project", L(limit=20)), ("status", L(limit=20, statuses=["DEPLOYMENT_SUCCESS"])),
                        ("app", L(limit=20, application_ids=["app-7"])),
                        ("label", L(limit=20, labels={"team": "t3"})),
                        ("status, label", L(limit=20, statuses=["DEPLOYMENT_FAILURE"], labels={"env": "prod"}))):
            calls("ListDeployments, 20 of %d by %s" % (N, what), A + "ListDeployments", q, "p50", 5000)
        if not only_watch:
            calls("GetApplication", A + "GetApplication", api.GetApplicationRequest(application_id="app-7"), "", 20000, 8, 16)
            calls("GetDeployment", A + "GetDeployment", api.GetDeploymentRequest(deployment_id="dep-77"), "", 20000, 8, 16)

        n = min(64, len(keys["tokens"]))
        open(who, "w").write("".join("%s\tdep-%d\n" % (keys["tokens"][i], i) for i in range(n)))
        floor = syncs(d)
        row("floor: write of 16 KiB and sync, one after the other", "%d/s" % floor)
        c = [cpu(plane.api.pid), cpu(plane.store.pid)]
        r = apiload("logs", plane.address, SECONDS, n, 1, "-", "-", who)
        assert r["errors"] == 0, r
        done = r["calls_per_s"] * float(SECONDS)
        row("api: ReportStageLogs, %d agents, 10 lines a call, durable" % n, "%d/s" % r["calls_per_s"], ">= 5000/s",
            r["calls_per_s"] >= 5000 or small)
        row("api: the same, for each sync that the floor has", "%.1f" % (r["calls_per_s"] / floor))
        for name, pid, was in (("api", plane.api.pid, c[0]), ("store", plane.store.pid, c[1])):
            row("api: the same, CPU of pipecd-%s a call" % name,
                "%d us" % ((cpu(pid) - was) / os.sysconf("SC_CLK_TCK") * 1e6 / done))
        row("api: the same, p99", "%.1f ms" % (r["p99_us"] / 1000))

        before = pss(plane.api.pid)
        w = subprocess.Popen([TESTBIN + "/libgrpc/apiload", "watch", plane.address, "-", str(AGENTS), "-", "-", "-", who],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        f = w.stdout.readline().split()
        row("api: %d agents connect and watch" % AGENTS, "%s ms" % f[3], "<= 3000 ms", int(f[3]) <= 3000 or small)
        time.sleep(1)
        each = (pss(plane.api.pid) - before) / AGENTS
        row("api: each of them, idle", "%.1f kB" % each, "<= 40 kB", each <= 40 or small)
        t, c = time.time(), cpu(plane.api.pid)
        time.sleep(2 if small else 10)
        share = (cpu(plane.api.pid) - c) / os.sysconf("SC_CLK_TCK") / (time.time() - t) * 100
        row("api: of a core, for all of them idle", "%.2f %%" % share, "< 2 %", share < 2 or small)
        plane.api.send_signal(signal.SIGKILL)
        plane.api.wait()
        plane.api_start(plane.address)
        while True:
            f = w.stdout.readline().split()
            if f[0] == "greeted":
                break
        row("api: kill -9, all %d are back" % AGENTS, "%s ms" % f[3], "<= 3000 ms", int(f[3]) <= 3000 or small)
        w.stdin.close()
        w.wait()
        row("api: of pipecd-api after all this", "%.1f MiB" % (pss(plane.api.pid) / 1024))
        row("api: of pipecd-store after all this", "%.1f MiB" % (pss(plane.store.pid) / 1024))
    finally:
        plane.end()
        subprocess.run(["rm", "-rf", d])
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

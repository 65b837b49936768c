#!/usr/bin/env python3
"""store.py: the store alone, as api would use it: speed and memory against its bars.

100 000 deployments of 10 000 applications; the share of the store in what a
caller of the API waits for.  LMDB's file pages are not counted.
"""
import os, shutil, signal, subprocess, sys, tempfile, time

BIN, TESTBIN = os.environ["BIN"], os.environ["TESTBIN"]
missed = 0


def row(what, value, bar="", ok=None):
    global missed
    missed += ok is False
    print(f"{what:<66} {value:>26}  {bar:<22} {'' if ok is None else 'ok' if ok else 'MISSED'}", flush=True)


def start(conf):
    r, w = os.pipe()
    t0 = time.perf_counter()
    p = subprocess.Popen([f"{BIN}/pipecd-store", "-f", conf], env=dict(os.environ, PIPECD_READY="1"), close_fds=False,
                         preexec_fn=lambda: (os.dup2(w, 4), os.set_inheritable(4, True)), stderr=subprocess.DEVNULL)
    os.close(w)
    if os.read(r, 1) != b"\n":
        sys.exit("pipecd-store did not start")
    os.close(r)
    return p, (time.perf_counter() - t0) * 1000


def family(pid):
    kids = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [str(pid)] + kids


def pss_kib(pids):
    total = 0
    for p in pids:
        try:
            mapped = False
            for line in open(f"/proc/{p}/smaps"):
                if line[0] in "0123456789abcdef" and "-" in line.split()[0]:
                    mapped = line.rstrip().endswith("data.mdb")
                elif line.startswith("Pss:") and not mapped:
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


def bench(state, *argv):
    out = subprocess.run([f"{TESTBIN}/libstore/bench", state, *argv], check=True, capture_output=True, text=True).stdout
    return {k: float(v) for k, v in (x.split("=") for x in out.split())}


def sync_floor(directory):
    """fdatasync of 4 KiB, as many as there are in a second."""
    fd = os.open(f"{directory}/floor", os.O_RDWR | os.O_CREAT)
    t0, n = time.perf_counter(), 0
    while time.perf_counter() - t0 < 1:
        os.pwrite(fd, b"x" * 4096, n * 4096)
        os.fdatasync(fd)
        n += 1
    os.close(fd)
    return n


def main():
    d = tempfile.mkdtemp(dir=os.environ.get("BENCH_DIR"))
    state, conf = f"{d}/cp", f"{d}/control-plane.yaml"
    with open(conf, "w") as f:
        f.write(f"apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec:\n  stateDir: {state}\n")
    try:
        floor = sync_floor(d)
        row("the machine: fdatasync of 4 KiB", f"{floor}/s")
        p, ms = start(conf)
        row("store: start to ready, empty", f"{ms:.0f} ms", "<= 100 ms", ms <= 100)
        time.sleep(1.5)
        row("store: idle, PSS of its processes", f"{pss_kib(family(p.pid)) / 1024:.1f} MiB")
        subprocess.run([f"{TESTBIN}/libstore/bench", state, "fill", "10000", "100000"], check=True)
        p.send_signal(signal.SIGTERM)
        p.wait()
        p, ms = start(conf)
        row("store: start to ready, 100 000 deployments", f"{ms:.0f} ms", "<= 150 ms", ms <= 150)
        for name, filters in (("project", ["project_id=p1"]), ("status", ["project_id=p1", "status=4"]),
                              ("application", ["project_id=p1", "application_id=a0000000-0000-4000-8000-000000000001"]),
                              ("label", ["project_id=p1", "labels=env=prod"]),
                              ("two labels and a status", ["project_id=p1", "labels=env=prod", "labels=team=team-33", "status=5"])):
            v = bench(state, "list", "2", "1", *filters)
            ok = v["p50_us"] <= 100 if "two" not in name else None
            row(f"store: list, first page of 20 of 100 000, by {name}",
                f"p50 {v['p50_us']:.0f} p99 {v['p99_us']:.0f} us", "p50 <= 100 us" if ok is not None else "", ok)
        v = bench(state, "get", "3", "64")
        row("store: get, 64 in flight", f"{v['per_s']:.0f}/s", ">= 60 000/s", v["per_s"] >= 60000)
        v = bench(state, "write", "3", "64")
        row("store: update of a deployment, durable, 64 in flight", f"{v['per_s']:.0f}/s, {v['per_s'] / floor:.1f} x floor")
        v = bench(state, "log", "4", "64", "10")
        row("store: log append of 10 lines, durable, 64 in flight",
            f"{v['per_s']:.0f}/s, {v['per_s'] / floor:.1f} x floor", ">= 5 000/s", v["per_s"] >= 5000)
        time.sleep(1.5)
        kib = pss_kib(family(p.pid))
        row("store: in use with 100 000 deployments, PSS of its processes", f"{kib / 1024:.1f} MiB", "<= 32 MiB", kib <= 32 * 1024)
        p.send_signal(signal.SIGTERM)
        p.wait()
    finally:
        shutil.rmtree(d)
    sys.exit(missed > 0)


main()

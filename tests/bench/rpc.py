"""Calls and connections of libgrpc, with its own client as the load."""
import os, resource, subprocess, tempfile, time


def cpu_s(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def pss_kib(pid):
    return next(int(s.split()[1]) for s in open(f"/proc/{pid}/smaps_rollup") if s.startswith("Pss:"))


class Server:
    def __init__(self, testbin, dir):
        self.bin, self.cert = testbin + "/libgrpc", dir + "/cert.pem"
        if not os.path.exists(self.cert):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "30", "-keyout", dir + "/key.pem", "-out", self.cert, "-subj",
                            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        self.p = subprocess.Popen([self.bin + "/server", "-a", "127.0.0.1:0", "-t", "127.0.0.1:0", "-c", self.cert,
                                   "-k", dir + "/key.pem"], stdout=subprocess.PIPE, text=True, env=dict(os.environ, QUIET="1"))
        self.at = dict(self.p.stdout.readline().split() for _ in "at")

    def load(self, how, *args):
        tls = ["-t", "-C", self.cert] if how == "t" else []
        return [self.bin + "/load", *tls, *args, self.at[how], "an-id", "remote", "branch"]

    def stop(self):
        self.p.terminate()
        self.p.wait()


def calls(row, s, name, bar_rate, bar_us, how, *args):
    cpu = cpu_s(s.p.pid)
    out = subprocess.run(s.load(how, "-s", "3", *args), capture_output=True, text=True).stdout.split()
    rate, p50, p99, errors = (float(out[i]) for i in (1, 3, 5, 7))
    us = (cpu_s(s.p.pid) - cpu) * 1e6 / (rate * 3)
    row(f"gRPC, {name}: calls/s, p50, p99, server CPU", f"{rate / 1000:.1f} k, {p50 / 1000:.2f}, {p99 / 1000:.1f} ms, {us:.1f} us",
        f">= {bar_rate} k, <= {bar_us} us" if bar_rate else "",
        (rate >= bar_rate * 1000 and us <= bar_us and errors == 0) if bar_rate else errors == 0)


def idle(row, testbin, dir, how, bar):
    n = min(2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
    s = Server(testbin, dir)
    before = pss_kib(s.p.pid)
    load = subprocess.Popen(s.load(how, "-i", "-c", str(n)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    ms = int(load.stdout.readline().split()[3])
    # What the handshakes left is given back once nothing has come for a second.
    time.sleep(2.5)
    each = (pss_kib(s.p.pid) - before) / n
    cpu, t0 = cpu_s(s.p.pid), time.monotonic()
    time.sleep(5)
    share = (cpu_s(s.p.pid) - cpu) / (time.monotonic() - t0) * 100
    row(f"gRPC, {n} idle connections{', TLS' if how == 't' else ''}: memory each, CPU; all connected in",
        f"{each:.1f} kB, {share:.1f} %; {ms / 1000:.1f} s", f"<= {bar} kB, < 2 %; 3 s", each <= bar and share < 2 and ms <= 3000)
    load.stdin.close()
    load.wait()
    s.stop()


def measure(row, testbin):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10000), hard))
    with tempfile.TemporaryDirectory() as dir:
        s = Server(testbin, dir)
        calls(row, s, "one at a time", 0, 0, "a", "-w", "1")
        calls(row, s, "64 in flight on 8 connections", 20, 10, "a", "-c", "8", "-w", "64")
        calls(row, s, "the same, decoded and packed", 20, 10, "a", "-c", "8", "-w", "64", "-n", "Get")
        calls(row, s, "the same over TLS", 20, 12, "t", "-c", "8", "-w", "64")
        s.stop()
        idle(row, testbin, dir, "a", 40)
        idle(row, testbin, dir, "t", 40)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

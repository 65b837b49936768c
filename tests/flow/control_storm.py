#!/usr/bin/env python3
"""control_storm.py DIR KILLS [SEED]: a control plane under load, whose programs
are killed at random; nothing that was acknowledged may be lost.

The oracle is outside: what was answered with success is noted here, and in the
end asked for again, over the API and from dumps.  A pipecd that gives up (111)
or was killed is started again, as systemd would.  BREAK=1 spoils two records
before the end, which must be noticed.
"""
import collections, http.client, json, os, random, signal, subprocess, sys, threading, time, uuid, warnings

warnings.simplefilter("ignore")
import crypt

BIN, DIR, KILLS = os.environ["BIN"], sys.argv[1], int(sys.argv[2])
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 30)
rng = random.Random(SEED)
CONF, STATE = f"{DIR}/control-plane.yaml", f"{DIR}/state"
PIPED_KEY = "k" * 50
API_KEY = "key-1." + "s" * 32
PIPED = {"authorization": f"PIPED-TOKEN demo,piped-1,{PIPED_KEY}"}
CI = {"authorization": f"API-KEY {API_KEY}"}
WORKERS, EVENTS = 6, 2
wrong, stop = [], threading.Event()


def note(what):
    wrong.append(what)
    print("control_storm: " + what, file=sys.stderr, flush=True)


def hashed(key):
    return crypt.crypt(key, "$2b$04$" + "abcdefghijklmnopqrstuu")


# --- the control plane ---------------------------------------------------------

def load(table, *records):
    subprocess.run([f"{BIN}/pipecd-store", "-f", CONF, "-l", table], check=True, stderr=LOG,
                   input="".join(json.dumps(r) + "\n" for r in records).encode())


def dump(table):
    out = subprocess.run([f"{BIN}/pipecd-store", "-f", CONF, "-d", table], check=True, stderr=LOG,
                         capture_output=False, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in out.splitlines()]


def setup():
    open(CONF, "w").write(
        "apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec:\n"
        f"  stateDir: {STATE}\n  address: 127.0.0.1:0\n  adminAddress: 127.0.0.1:0\n  projects: [{{id: demo}}]\n")
    load("piped", {"id": "piped-1", "name": "one", "project_id": "demo", "created_at": 1, "updated_at": 1,
                   "keys": [{"hash": hashed(PIPED_KEY), "creator": "c", "created_at": 1}]})
    load("api_key", {"id": "key-1", "name": "ci", "project_id": "demo", "role": "READ_WRITE", "creator": "c",
                     "key_hash": hashed(API_KEY), "created_at": 1, "updated_at": 1})
    load("application", *({"id": f"app-{i}", "name": f"app-{i}", "piped_id": "piped-1", "project_id": "demo",
                           "kind": "TERRAFORM", "git_path": {"repo": {"id": "shop"}, "path": f"app-{i}"},
                           "created_at": 1, "updated_at": 1} for i in range(WORKERS)))


class Plane:
    def __init__(self):
        self.proc, self.starts = None, 0

    def start(self):
        self.starts += 1
        self.proc = subprocess.Popen([f"{BIN}/pipecd", "-f", CONF, "-g", "5"], stderr=LOG)

    def keep(self):
        """As systemd does it: again, unless it says that it would fail again."""
        rc = self.proc.poll()
        if rc is None:
            return
        if rc not in (111, -9):
            note(f"pipecd ended with {rc}")
        self.start()


def status():
    try:
        return json.load(open(f"{STATE}/run/status.json"))
    except (OSError, ValueError):
        return {}


def address():
    for x in status().get("listen", []):
        if x.startswith("main="):
            host, port = x[5:].rsplit(":", 1)
            return host, int(port)
    raise OSError("nobody listens yet")


# --- calls ---------------------------------------------------------------------

AGAIN = {"unavailable", "deadline_exceeded", "aborted", "internal", "resource_exhausted", "unknown", "cancelled"}


class Client:
    def __init__(self, headers):
        self.headers, self.conn, self.calls, self.retries = dict(headers), None, 0, 0
        self.headers["content-type"] = "application/json"

    def once(self, method, body):
        """An answer, or the code of an error; None: nobody knows."""
        try:
            if self.conn is None:
                self.conn = http.client.HTTPConnection(*address(), timeout=20)
            self.conn.request("POST", "/grpc.service." + method, json.dumps(body), self.headers)
            r = self.conn.getresponse()
            text = r.read()
            answer = json.loads(text or b"{}")
            if r.status == 200:
                return answer, None
            return None, answer.get("code", f"http-{r.status}") if isinstance(answer, dict) else f"http-{r.status}"
        except (OSError, http.client.HTTPException, ValueError):
            if self.conn is not None:
                self.conn.close()
            self.conn = None
            return None, None

    def call(self, method, body, fine=()):
        """Until it is acknowledged; None when the storm is over."""
        again = False
        while True:
            self.calls += 1
            answer, code = self.once(method, body)
            if answer is not None:
                return answer
            if again and code in fine:
                return {}
            if code is not None and code not in AGAIN:
                note(f"{method}: {code}: {body}")
                return None
            if stop.is_set():
                return None
            again = True
            self.retries += 1
            time.sleep(0.02)


# --- load ----------------------------------------------------------------------

STATUS = ["PENDING", "PLANNED", "RUNNING", "ROLLING_BACK", "SUCCESS", "FAILURE", "CANCELLED"]


class Worker(threading.Thread):
    """One application's deployments, one after the other."""

    def __init__(self, i):
        super().__init__(daemon=True)
        self.i, self.c, self.acked = i, Client(PIPED), collections.OrderedDict()
        self.reader = Client(CI)

    def run(self):
        while not stop.is_set():
            self.deployment()

    def call(self, method, body, **kw):
        return self.c.call("pipedservice.PipedService/" + method, body, **kw)

    def deployment(self):
        d, now = str(uuid.uuid4()), int(time.time())
        mine = {"status": 0, "lines": set(), "tried": set(), "stage": 0}
        commit = {"hash": d.replace("-", "") + "0" * 8, "message": "m", "author": "a", "branch": "main", "createdAt": now}
        if self.call("CreateDeployment", {"deployment": {
                "id": d, "applicationId": f"app-{self.i}", "applicationName": f"app-{self.i}", "pipedId": "piped-1",
                "projectId": "demo", "kind": "TERRAFORM", "gitPath": {"repo": {"id": "shop"}, "path": f"app-{self.i}"},
                "trigger": {"commit": commit, "timestamp": now}, "status": "DEPLOYMENT_PENDING",
                "createdAt": now, "updatedAt": now}}, fine=("already_exists",)) is None:
            return
        self.acked[d] = mine
        if self.call("ReportDeploymentPlanned", {"deploymentId": d, "summary": "s", "statusReason": "r", "version": "v", "stages": [
                {"id": "s1", "name": "TERRAFORM_SYNC", "createdAt": now, "updatedAt": now}]}) is None:
            return
        mine["status"] = 1
        if self.call("ReportDeploymentStatusChanged", {"deploymentId": d, "status": "DEPLOYMENT_RUNNING", "statusReason": "r"}) is None:
            return
        mine["status"] = 2
        for k in range(4):
            lines = range(k * 5 + 1, k * 5 + 6)
            mine["tried"].update(lines)
            if self.call("ReportStageLogs", {"deploymentId": d, "stageId": "s1", "blocks": [
                    {"index": n, "log": f"{d} {n}", "severity": "INFO", "createdAt": now} for n in lines]}) is None:
                return
            mine["lines"].update(lines)
        self.look(d, mine)
        if self.call("ReportStageStatusChanged", {"deploymentId": d, "stageId": "s1", "status": "STAGE_SUCCESS",
                                                  "statusReason": "r", "completedAt": now}) is None:
            return
        mine["stage"] = 2
        if self.call("ReportDeploymentCompleted", {"deploymentId": d, "status": "DEPLOYMENT_SUCCESS", "statusReason": "r",
                                                   "stageStatuses": {"s1": "STAGE_SUCCESS"}, "completedAt": now}) is None:
            return
        mine["status"] = 4

    def look(self, d, mine):
        """What was acknowledged is what anybody reads, whatever was killed meanwhile."""
        at_least = mine["status"]
        answer, _ = self.reader.once("apiservice.APIService/GetDeployment", {"deploymentId": d})
        if answer is not None:
            got = status_of(answer["deployment"])
            if got < at_least:
                note(f"{d}: read {STATUS[got]}, acknowledged {STATUS[at_least]}")


def status_of(d):
    s = d.get("status", "DEPLOYMENT_PENDING").replace("DEPLOYMENT_", "")
    return STATUS.index(s)


class Events(threading.Thread):
    def __init__(self, i):
        super().__init__(daemon=True)
        self.i, self.c, self.acked, self.commands = i, Client(CI), {}, []

    def run(self):
        n = 0
        while not stop.is_set():
            n += 1
            data = f"{self.i}-{n}"
            a = self.c.call("apiservice.APIService/RegisterEvent", {"name": "image", "data": data, "labels": {"n": str(n)}})
            if a is not None:
                self.acked[a["eventId"]] = data
            a = self.c.call("apiservice.APIService/SyncApplication", {"applicationId": f"app-{n % WORKERS}"})
            if a is not None:
                self.commands.append(a["commandId"])
            time.sleep(0.01)


# --- kills ---------------------------------------------------------------------

def kill_some(plane, kills):
    count = collections.Counter()
    while sum(count.values()) < kills and not wrong:
        time.sleep(rng.uniform(0.01, 0.4))
        plane.keep()
        what = rng.choice(["api", "api", "api", "store", "store", "store", "ops", "ops", "pipecd"])
        if what == "pipecd":
            pids = [plane.proc.pid]
        else:
            pids = [p["pid"] for p in status().get("programs", []) if p["name"] == what and "pid" in p]
        for pid in pids:
            try:
                # The status may be of before: only what is ours still.
                if what == "pipecd" or open(f"/proc/{pid}/comm").read().strip() == f"pipecd-{what}":
                    os.kill(pid, signal.SIGKILL)
                    count[what] += 1
            except OSError:
                pass
        if what == "pipecd":
            plane.proc.wait()
            plane.keep()
    return count


def wait_ready(plane, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        plane.keep()
        if subprocess.run([f"{BIN}/pipecd", "-s", "-f", CONF], capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    note("not ready again")


# --- the oracle ----------------------------------------------------------------

def check_deployments(workers):
    c, n, lines = Client(CI), 0, 0
    for w in workers:
        for d, mine in w.acked.items():
            n += 1
            a = c.call("apiservice.APIService/GetDeployment", {"deploymentId": d})
            if a is None:
                note(f"{d}: lost")
                continue
            if status_of(a["deployment"]) < mine["status"]:
                note(f"{d}: {a['deployment'].get('status')}, acknowledged {STATUS[mine['status']]}")
            if mine["status"] == 4 and a["deployment"]["stages"][0].get("status") != "STAGE_SUCCESS":
                note(f"{d}: stage {a['deployment']['stages'][0]}")
            a = c.call("apiservice.APIService/ListStageLogs", {"deploymentId": d})
            got = [(int(b["index"]), b["log"]) for b in a.get("stageLogs", {}).get("s1", {}).get("blocks", [])]
            index = [i for i, _ in got]
            lines += len(index)
            if index != sorted(set(index)) or not mine["lines"] <= set(index) <= mine["tried"]:
                note(f"{d}: log {index}, acknowledged {sorted(mine['lines'])}")
            if any(text != f"{d} {i}" for i, text in got):
                note(f"{d}: a line is not what was said")
    return n, lines


def check_dumps(workers, events):
    there = {e["id"]: e["data"] for e in dump("event")}
    commands = {c["id"] for c in dump("command")}
    for e in events:
        for i, data in e.acked.items():
            if there.get(i) != data:
                note(f"event {i}: {there.get(i)}, acknowledged {data}")
        for i in e.commands:
            if i not in commands:
                note(f"command {i}: lost")
    tried = sum(len(w.acked) for w in workers)
    have = len(dump("deployment"))
    if not tried <= have <= tried + len(workers):
        note(f"{have} deployments, {tried} acknowledged")
    r = subprocess.run([f"{BIN}/pipecd-store", "-f", CONF, "-V"], capture_output=True, text=True)
    if r.returncode != 0:
        note(f"the store does not verify: {r.stdout}{r.stderr}")
    return len(there), len(commands)


def spoil(workers, events):
    """To see that this notices: a deployment goes back, an event changes."""
    d = dump("deployment")[0]
    load("deployment", dict(d, status="PLANNED"))
    e = dump("event")[0]
    load("event", dict(e, data="spoiled"))


def main():
    global LOG
    os.makedirs(DIR, exist_ok=True)
    LOG = open(f"{DIR}/log", "ab")
    setup()
    plane = Plane()
    plane.start()
    wait_ready(plane)
    workers = [Worker(i) for i in range(WORKERS)]
    events = [Events(i) for i in range(EVENTS)]
    t0 = time.time()
    for t in workers + events:
        t.start()
    count = kill_some(plane, KILLS)
    wait_ready(plane)
    time.sleep(0.5)
    stop.set()
    for t in workers + events:
        t.join(60)
        if t.is_alive():
            note("a client hangs")
    took = time.time() - t0
    stop.clear()
    if os.environ.get("BREAK"):
        spoil(workers, events)
    n, lines = check_deployments(workers)
    n_events, n_commands = check_dumps(workers, events)
    subprocess.run([f"{BIN}/pipecd-ops", "-f", CONF, "-1", "insights"], check=True, stderr=LOG, stdout=LOG)
    plane.proc.terminate()
    if plane.proc.wait(60) != 0:
        note("pipecd does not end well")
    print(json.dumps({"seed": SEED, "kills": dict(count), "seconds": round(took, 1), "pipecd_starts": plane.starts,
                      "deployments": n, "lines": lines, "events": n_events, "commands": n_commands,
                      "retries": sum(t.c.retries for t in workers + events), "wrong": len(wrong)}))
    return 1 if wrong else 0


sys.exit(main())

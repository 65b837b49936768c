#!/usr/bin/env python3
"""sweep.py DIR VICTIM STORY: kill -9 at every frame boundary of a deployment.

VICTIM  exec, stage, checkout, all, or state (all, and then the
        state directory is deleted)
STORY   good (the canary goes through) or bad (it fails and rolls back)

Frame N of exec's output is the boundary: what it says is on disk.  After the
kill the same pipe runs again until it ends by itself.  The oracle is outside
the programs: a file that the stage's own command appends to, and a lock that it
holds while it runs.  Prints one line per boundary that broke something, and at
the end "kills N, broken M".
"""
import json, os, shutil, signal, subprocess, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from procs import GIT_ENV, argv, below, kill, write

BIN = os.environ["BIN"]
DIR, VICTIM, STORY = sys.argv[1:4]
STEP = int(os.environ.get("SWEEP_STEP", "1"))
repo, roots, state, conf = (f"{DIR}/{x}" for x in ("repo", "roots", "state", "piped.yaml"))
oracle = f"{DIR}/oracle"
TARGETS = [f"web-{i}" for i in range(1, 5)]


def git(*args):
    return subprocess.run(["git", "-C", repo, *args], env=GIT_ENV, check=True,
                          capture_output=True, text=True).stdout.strip()


def prepare():
    for t in TARGETS:
        os.makedirs(f"{roots}/{t}")
    targets = "".join(f"        - {{name: {t}, config: {{root: {roots}/{t}}}}}\n" for t in TARGETS)
    write(conf, f"""apiVersion: pipecd.dev/v1beta1
kind: Piped
spec:
  stateDir: {state}
  repositories:
    - {{repoId: web, remote: {repo}, branch: main}}
  plugins:
    - name: host
      deployTargets:
{targets}""")
    subprocess.run(["git", "init", "-q", "-b", "main", repo], env=GIT_ENV, check=True)
    # The lock shows two at once, the file what was done how often.
    activate = (f"exec 9>>{DIR}/lock; flock -n 9 || echo overlap >>{oracle}; "
                f"echo $PIPECD_TARGET $PIPECD_COMMIT >>{oracle}")
    limit = "10s" if STORY == "good" else "1s"
    write(f"{repo}/site/app.pipecd.yaml", f"""apiVersion: pipecd.dev/v1beta1
kind: Application
spec:
  name: site
  deployTargets: [{", ".join(TARGETS)}]
  pipeline:
    stages:
      - {{name: HOST_CANARY_ROLLOUT, with: {{targets: 1}}}}
      - {{name: WAIT, with: {{duration: 1ms}}}}
      - {{name: HOST_PRIMARY_ROLLOUT}}
  plugins:
    host:
      input:
        activate: '{activate}'
        health: {{command: "! grep -q bad index.html", interval: 10ms, timeout: {limit}}}
""")
    write(f"{repo}/site/index.html", "one\n")
    git("add", "-A"), git("commit", "-q", "-m", "one")


def pipe(boundary=None):
    """Run the pipe; kill at frame `boundary`.  (exec's status, frames, killed)"""
    log = open(f"{DIR}/log", "ab")
    g = subprocess.Popen([f"{BIN}/pipecd-gitwatch", "-1", "-f", conf], stdout=subprocess.PIPE, stderr=log)
    p = subprocess.Popen([f"{BIN}/pipecd-plan", "-f", conf], stdin=g.stdout, stdout=subprocess.PIPE, stderr=log)
    e = subprocess.Popen([f"{BIN}/pipecd-exec", "-f", conf], stdin=p.stdout, stdout=subprocess.PIPE, stderr=log)
    g.stdout.close(), p.stdout.close()
    n, killed = 0, False
    for line in e.stdout:
        n += 1
        if n != boundary:
            continue
        os.kill(e.pid, signal.SIGSTOP)	# starts nothing behind our back
        found = below(e.pid)
        victims = {
            "exec": [e.pid],
            "stage": [c for c in found if b"stage" in argv(c)],
            "checkout": [c for c in found if argv(c)[0].endswith(b"checkout")],
        }.get(VICTIM, [e.pid, p.pid, g.pid] + found)
        victims = [v for v in victims if argv(v) != [b""]]	# alive, and no zombie
        for v in victims:
            kill(v)
        os.kill(e.pid, signal.SIGCONT)
        killed = bool(victims)
        if VICTIM == "state":
            while any(os.path.exists(f"/proc/{v}") and argv(v) != [b""] for v in victims):
                time.sleep(0.001)	# dying ones may still write
            shutil.rmtree(state)
    rc = e.wait()
    p.wait(), g.wait()
    log.close()
    return rc, n, killed


def content():
    out = set()
    for t in TARGETS:
        try:
            with open(f"{roots}/{t}/site/current/index.html") as f:
                out.add(f.read().strip())
        except OSError as why:
            out.add(str(why))
    return out


def check(want, status, commit):
    wrong = []
    if content() != {want}:
        wrong.append(f"targets serve {content()}, not {want}")
    lines = open(oracle).read().split("\n")
    if "overlap" in lines:
        wrong.append("two stages at once")
    for t in TARGETS:
        for x in os.listdir(f"{roots}/{t}/site/releases"):
            if x.startswith("."):
                wrong.append(f"{t}: left over: {x}")
    journals = [f for f in os.listdir(f"{state}/journal") if f.endswith(".ndjson") and f != "apps.ndjson"]
    r = subprocess.run([f"{BIN}/pipecd-exec", "-V"] + [f"{state}/journal/{j}" for j in journals],
                       capture_output=True, text=True)
    if r.returncode != 0:
        wrong.append("journals do not verify: " + r.stderr.strip())
    for j in journals:
        frames = [json.loads(x) for x in open(f"{state}/journal/{j}")]
        last = [f for f in frames if f["kind"] == "deployment"][-1]["deployment"]
        if last["trigger"]["commit"]["hash"] != commit:
            continue
        if last["status"] != status:
            wrong.append(f"deployment is {last['status']}, not {status}: {last.get('status_reason')}")
        done = [f["stage_id"] for f in frames if f["kind"] == "stage_done"]
        if len(done) != len(set(done)):
            wrong.append(f"a stage is done twice: {done}")
    return wrong


def main():
    prepare()
    rc, _, _ = pipe()
    assert rc == 0, f"the first deployment: exit {rc}, see {DIR}/log"
    write(f"{repo}/site/index.html", "two\n" if STORY == "good" else "bad\n")
    git("add", "-A"), git("commit", "-q", "-m", "two")
    head = git("rev-parse", "HEAD")
    want, status = ("two", "SUCCESS") if STORY == "good" else ("one", "FAILURE")
    for d in (state, roots):
        subprocess.run(["cp", "-a", d, d + ".saved"], check=True)
    shutil.copy(oracle, oracle + ".saved")
    kills = broken = 0
    boundary = 1
    while True:
        for d in (state, roots):
            shutil.rmtree(d, ignore_errors=True)
            subprocess.run(["cp", "-a", d + ".saved", d], check=True)
        shutil.copy(oracle + ".saved", oracle)
        open(f"{DIR}/log", "w").close()
        rc, n, killed = pipe(boundary)
        if n < boundary:
            break
        kills += killed
        for _ in range(4):
            rc, _, _ = pipe()
            if rc in (0, 1):
                break
        wrong = check(want, status, head)
        if rc not in (0, 1):
            wrong.append(f"the pipe ends with {rc}")
        if wrong:
            broken += 1
            print(f"{VICTIM} {STORY} frame {boundary}: " + "; ".join(wrong), flush=True)
            if os.environ.get("SWEEP_KEEP"):
                subprocess.run(["cp", "-a", state, f"{DIR}/broken-{boundary}"])
                shutil.copy(f"{DIR}/log", f"{DIR}/broken-{boundary}.log")
        boundary += STEP
    print(f"kills {kills}, broken {broken}")
    return 1 if broken or kills == 0 else 0


sys.exit(main())

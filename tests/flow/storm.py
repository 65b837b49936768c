#!/usr/bin/env python3
"""storm.py DIR KILLS: kill -9 programs of a supervised agent at random moments.

A commit, then up to three kills of whatever runs below piped (its daemons, a
stage, a checkout), or of piped itself with all its children; then the commit
must arrive on every target.  The oracle is outside the programs: the lock that
the stage's own command holds, and the files.  The seed is printed.
"""
import json, os, random, subprocess, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from procs import GIT_ENV, argv, below, kill, write

BIN = os.environ["BIN"]
DIR, KILLS = sys.argv[1], int(sys.argv[2])
SEED = int(os.environ.get("STORM_SEED", time.time_ns() % 1000000))
repo, roots, state, conf = (f"{DIR}/{x}" for x in ("repo", "roots", "state", "piped.yaml"))
TARGETS = ["web-1", "web-2", "web-3"]
rnd = random.Random(SEED)


def git(*args):
    return subprocess.run(["git", "-C", repo, *args], env=GIT_ENV, check=True,
                          capture_output=True, text=True).stdout.strip()


def ours(pid):
    """No user's command: one that is killed fails its stage, as it should."""
    return os.path.basename(argv(pid)[0]).startswith(b"pipe")


def programs(pid):
    return [p for p in below(pid) if ours(p)]


def piped():
    log = open(f"{DIR}/log", "ab")
    return subprocess.Popen([f"{BIN}/piped", "-f", conf], stdout=log, stderr=log)


def served():
    out = set()
    for t in TARGETS:
        try:
            with open(f"{roots}/{t}/site/current/index.html") as f:
                out.add(f.read().strip())
        except OSError:
            out.add(None)
    return out


def main():
    print(f"seed {SEED}", flush=True)
    lines = "".join(f"        - {{name: {t}, config: {{root: {roots}/{t}}}}}\n" for t in TARGETS)
    write(conf, f"""apiVersion: pipecd.dev/v1beta1
kind: Piped
spec:
  stateDir: {state}
  syncInterval: 1s
  repositories:
    - {{repoId: web, remote: {repo}, branch: main}}
  plugins:
    - name: host
      deployTargets:
{lines}""")
    for t in TARGETS:
        os.makedirs(f"{roots}/{t}")
    subprocess.run(["git", "init", "-q", "-b", "main", repo], env=GIT_ENV, check=True)
    write(f"{repo}/site/app.pipecd.yaml", f"""apiVersion: pipecd.dev/v1beta1
kind: Application
spec:
  name: site
  deployTargets: [web-1, web-2, web-3]
  plugins:
    host:
      input:
        activate: 'exec 9>>{DIR}/lock; flock -n 9 || echo overlap >>{DIR}/oracle; sleep 0.01'
        health: {{command: "true", interval: 10ms, timeout: 10s}}
""")
    def unfinished():
        return subprocess.run([f"{BIN}/pipecd-report", "-l", "-f", conf], capture_output=True, text=True).stdout

    agent, kills, n = piped(), 0, 0
    try:
        while kills < KILLS:
            n += 1
            write(f"{repo}/site/index.html", f"{n}\n")
            git("add", "-A"), git("commit", "-q", "-m", f"number {n}")
            for _ in range(rnd.randint(1, 3)):
                time.sleep(rnd.random() * 0.06)
                kids = programs(agent.pid)
                if rnd.random() < 0.1:
                    for v in [agent.pid] + kids:
                        kill(v)
                    kills += 1 + len(kids)
                    agent.wait()
                    agent = piped()
                elif kids:
                    kill(rnd.choice(kids))
                    kills += 1
                if agent.poll() is not None:	# so many deaths in a minute: it gives up, as it says
                    agent = piped()
            end = time.time() + 60
            while served() != {str(n)}:
                if agent.poll() is not None:
                    agent = piped()
                if time.time() > end:
                    print(f"commit {n} never arrived: targets serve {served()}")
                    return 1
                time.sleep(0.02)
        end = time.time() + 30
        while unfinished() and time.time() < end:
            time.sleep(0.05)
    finally:
        agent.terminate()
        agent.wait()
    if os.path.exists(f"{DIR}/oracle"):
        print("two stages of one application at once")
        return 1
    journals = [f"{state}/journal/{f}" for f in os.listdir(f"{state}/journal") if f.endswith(".ndjson") and f != "apps.ndjson"]
    r = subprocess.run([f"{BIN}/pipecd-exec", "-V"] + journals, capture_output=True, text=True)
    if r.returncode != 0:
        print("journals do not verify: " + r.stderr)
        return 1
    ends = {}
    for j in journals:
        last = [f for f in map(json.loads, open(j)) if f["kind"] == "deployment"][-1]["deployment"]
        ends[last["status"]] = ends.get(last["status"], 0) + 1
        if last["status"] not in ("SUCCESS", "CANCELLED"):
            print(f"{j}: {last['status']}: {last.get('status_reason')}")
            return 1
    print(f"kills {kills}, commits {n}, deployments {ends}")
    return 0


sys.exit(main())

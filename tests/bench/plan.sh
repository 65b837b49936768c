#!/usr/bin/env bash
# pipecd-plan alone: head frame in -> PLANNED frame out, in one repository of
# N applications (1000).  Prints milliseconds and the peak of its memory.
set -eu
cd "$(dirname "$0")/../.."
: "${BIN:=$PWD/bin}" "${N:=${1:-1000}}"
export BIN N
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=dev GIT_AUTHOR_EMAIL=dev@example.com
export GIT_COMMITTER_NAME=dev GIT_COMMITTER_EMAIL=dev@example.com
D=$(mktemp -d) && trap 'rm -rf "$D"' EXIT
export D
mkdir -p "$D/state/mirror" "$D/state/journal" "$D/web/apps"
chmod 700 "$D" "$D/state"
cat >"$D/host.sh" <<'EOF'
#!/bin/sh
echo '{"v":1,"kind":"platform","name":"host","stages":[{"name":"HOST_SYNC","quick":true},{"name":"HOST_ROLLBACK","rollback":true}]}'
EOF
chmod 755 "$D/host.sh"
cat >"$D/piped.yaml" <<EOF
apiVersion: pipecd.dev/v1beta1
kind: Piped
spec:
  stateDir: $D/state
  repositories: [{repoId: web, remote: $D/web, branch: main}]
  plugins:
    - name: host
      url: file://$D/host.sh
      sha256: $(sha256sum <"$D/host.sh" | cut -d' ' -f1)
      deployTargets: [{name: web-1, config: {root: $D/root}}]
EOF
exec python3 - <<'EOF'
import json, os, statistics, subprocess, time
D, N, plan = os.environ["D"], int(os.environ["N"]), os.environ["BIN"] + "/pipecd-plan"
web, mirror = D + "/web", D + "/state/mirror/web.git"

def git(*a, d=web):
    return subprocess.run(["git", "-C", d, *a], check=True, capture_output=True, text=True).stdout.strip()

def commit(msg):
    git("add", "-A")
    git("commit", "-q", "-m", msg)
    git("push", "-q", mirror, "main")
    return git("rev-parse", "HEAD")

def head(c):
    return (json.dumps({"v": 1, "kind": "head", "repo": "web", "branch": "main", "commit": c, "seen_at": 1}) + "\n").encode()

def touch(i, text):
    open(f"{web}/apps/app-{i:05}/index.html", "w").write(text)

class Plan:
    def __init__(self):
        self.t0 = time.perf_counter()
        self.p = subprocess.Popen([plan, "-f", D + "/piped.yaml"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    def planned(self, c, n):
        t0, got = time.perf_counter(), []
        self.p.stdin.write(head(c)), self.p.stdin.flush()
        while len(got) < n:
            line = self.p.stdout.readline()
            if not line:
                raise SystemExit("plan ended")
            if b'"kind":"deployment"' in line and b'"status":"PLANNED"' in line:
                got.append(json.loads(line))
        return got, (time.perf_counter() - t0) * 1000
    def peak(self):
        return int(next(l for l in open(f"/proc/{self.p.pid}/status") if l.startswith("VmHWM")).split()[1])
    def rss(self):
        return int(next(l for l in open(f"/proc/{self.p.pid}/smaps_rollup") if l.startswith("Pss:")).split()[1])
    def end(self):
        self.p.stdin.close()
        for _ in self.p.stdout:
            pass
        self.p.wait()

git("init", "-q", "-b", "main")
git("init", "-q", "--bare", mirror)
for i in range(N):
    d = f"{web}/apps/app-{i:05}"
    os.makedirs(d)
    touch(i, "0")
    open(d + "/app.pipecd.yaml", "w").write(f"""apiVersion: pipecd.dev/v1beta1
kind: Application
spec:
  name: app-{i:05}
  labels: {{team: web, tier: "{i % 3}"}}
  plugins:
    host:
      input:
        keepReleases: 3
        health: {{command: "true", timeout: 10s}}
""")
c = commit("all")
p = Plan()
got, ms = p.planned(c, N)
print(f"first look, all {N} planned: {ms:.0f} ms, peak {p.peak()} KiB")
p.end()
# What exec would know: all deployed, the last triggers spread over commits.
with open(D + "/state/journal/apps.ndjson", "w") as out:
    for f in got:
        d = f["deployment"]
        out.write(json.dumps({"v": 1, "kind": "past", "application_id": d["application_id"], "repo": "web",
            "path": d["git_path"]["path"], "config_filename": d["git_path"]["config_filename"],
            "triggered_commit": c, "running_commit": c, "deployment_id": d["id"], "status": "SUCCESS",
            "completed_at": 1700000000, "triggered_at": 1700000000, "name": d["application_name"]}, separators=(",", ":")) + "\n")
warm, cold = [], []
for k in range(5):
    touch(N - 1, f"cold {k}")
    c = commit("one")
    p = Plan()
    _, ms = p.planned(c, 1)
    cold.append((time.perf_counter() - p.t0) * 1000)
    time.sleep(0.3)
    for j in range(5):
        touch(N - 1, f"warm {k} {j}")
        c = commit("one")
        warm.append(p.planned(c, 1)[1])
    pss, peak = p.rss(), p.peak()
    p.end()
print(f"1 of {N} touched, just started: {statistics.median(cold):.1f} ms")
print(f"1 of {N} touched, warm: {statistics.median(warm):.1f} ms (worst {max(warm):.1f})")
print(f"memory with {N} applications: PSS {pss} KiB, peak {peak} KiB")
for i in range(N):
    touch(i, "all")
c = commit("all again")
p = Plan()
got, ms = p.planned(c, N)
print(f"all {N} touched by one commit, just started: {ms:.0f} ms")
p.end()
EOF

#!/usr/bin/env python3
"""powercut.py DIR STORY [CUTS]: the power fails in the middle of a deployment.

STORY   good (the canary goes through) or bad (it fails and rolls back)

State directory and deploy targets are on an ext4 of their own whose block
device (blockdev.py) remembers every write and flush of one whole deployment.
Then the disk is rebuilt as it was at CUTS places: what was flushed is there,
and of what was written since nothing, all, or any part in any order.  On each
  - what exec had said of an end before the cut is in the journal,
  - `current` of every target leads to a whole release,
  - the pipe, run again, ends as it would have, and all journals verify.
Prints a line per broken cut, and at the end "cuts N, broken M".
"""
import json, os, random, shutil, struct, subprocess, sys, time

BIN = os.environ["BIN"]
HERE = os.path.dirname(os.path.abspath(__file__))
DIR, STORY = sys.argv[1:3]
CUTS = int(sys.argv[3]) if len(sys.argv) > 3 else 40
SEED = int(os.environ.get("POWERCUT_SEED", time.time_ns() % 1000000))
rnd = random.Random(SEED)
repo, disk, conf, oracle = (f"{DIR}/{x}" for x in ("repo", "disk", "piped.yaml", "oracle"))
state, roots = f"{disk}/state", f"{disk}/roots"
TARGETS = ["web-1", "web-2"]
MOUNT = "noauto_da_alloc,commit=60"	# the least that ext4 promises
ENV = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null",
           GIT_AUTHOR_NAME="dev", GIT_AUTHOR_EMAIL="dev@example.com",
           GIT_COMMITTER_NAME="dev", GIT_COMMITTER_EMAIL="dev@example.com")


def run(*argv, **kw):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kw).stdout.strip()


def git(*args):
    return run("git", "-C", repo, *args, env=ENV)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def attach(file):
    """Mount a file of blocks at `disk`; the loop device."""
    loop = run("losetup", "-f", "--show", file)
    try:
        run("mount", "-t", "ext4", "-o", MOUNT, loop, disk)
    except subprocess.CalledProcessError as e:
        run("losetup", "-d", loop)
        raise SystemExit("mount: " + e.stderr)
    return loop


def detach(loop):
    run("umount", disk)
    run("losetup", "-d", loop)


def prepare():
    write(conf, f"""apiVersion: pipecd.dev/v1beta1
kind: Piped
spec:
  stateDir: {state}
  repositories:
    - {{repoId: web, remote: {repo}, branch: main}}
  plugins:
    - name: host
      deployTargets:
""" + "".join(f"        - {{name: {t}, config: {{root: {roots}/{t}}}}}\n" for t in TARGETS))
    run("git", "init", "-q", "-b", "main", repo, env=ENV)
    limit = "10s" if STORY == "good" else "300ms"
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
        activate: 'exec 9>>{DIR}/lock; flock -n 9 || echo overlap >>{oracle}'
        health: {{command: "! grep -q bad index.html", interval: 10ms, timeout: {limit}}}
""")
    content("one")


def content(word):
    write(f"{repo}/site/index.html", word + "\n")
    for i in range(5):
        write(f"{repo}/site/part-{i}", f"{word} {i}\n" * 2000)
    git("add", "-A"), git("commit", "-q", "-m", word)


def pipe(each=None):
    with open(f"{DIR}/log", "ab") as log:
        g = subprocess.Popen([f"{BIN}/pipecd-gitwatch", "-1", "-f", conf], stdout=subprocess.PIPE, stderr=log)
        p = subprocess.Popen([f"{BIN}/pipecd-plan", "-f", conf], stdin=g.stdout, stdout=subprocess.PIPE, stderr=log)
        e = subprocess.Popen([f"{BIN}/pipecd-exec", "-f", conf], stdin=p.stdout, stdout=subprocess.PIPE, stderr=log)
        g.stdout.close(), p.stdout.close()
        for line in e.stdout:
            if each:
                each(json.loads(line))
        rc = e.wait()
        p.wait(), g.wait()
    return rc


def records(path):
    out = []
    with open(path, "rb") as f:
        while head := f.read(16):
            at, n = struct.unpack("<qQ", head)
            out.append((at, f.read(n)))
    return out


def n_records(path):
    """Whole records so far; told by their sizes, since we may be beside one."""
    global n_seen, n_at
    with open(path, "rb") as f:
        end = os.fstat(f.fileno()).st_size
        while n_at + 16 <= end:
            f.seek(n_at)
            _, n = struct.unpack("<qQ", f.read(16))
            if n_at + 16 + n > end:
                break
            n_at += 16 + n
            n_seen += 1
    return n_seen


def words():
    """What each target serves, whole: "one", "two"; or what is wrong."""
    out = set()
    for t in TARGETS:
        d = f"{roots}/{t}/site/current"
        try:
            word = open(f"{d}/index.html").read().strip()
            for i in range(5):
                if open(f"{d}/part-{i}").read() != f"{word} {i}\n" * 2000:
                    word = f"{t}: part-{i} is not whole"
            out.add(word)
        except OSError as e:
            out.add(str(e))
    return out


def journals():
    return [f"{state}/journal/{f}" for f in os.listdir(f"{state}/journal")
            if f.endswith(".ndjson") and f != "apps.ndjson"]


def journalled():
    """What the journals have, without a last line that was torn."""
    for j in journals() if os.path.isdir(f"{state}/journal") else []:
        for line in open(j, errors="replace"):
            try:
                yield json.loads(line)
            except ValueError:
                pass


def said_before(cut, said):
    """What exec had said before the cut and the journals do not know."""
    ends = list(journalled())
    known = {(f["deployment_id"], f["stage_id"], f["status"]) for f in ends if f["kind"] == "stage_done"}
    known |= {(f["deployment"]["id"], f["deployment"].get("status")) for f in ends if f["kind"] == "deployment"}
    return [what for at, what in said if at <= cut and what not in known]


def check(want, status, commit):
    wrong = []
    if words() != {want}:
        wrong.append(f"targets serve {words()}, not {want}")
    if os.path.exists(oracle):
        wrong.append("two stages at once")
    r = subprocess.run([f"{BIN}/pipecd-exec", "-V"] + journals(), capture_output=True, text=True)
    if r.returncode != 0:
        wrong.append("journals do not verify: " + r.stderr.strip())
    for j in journals():
        frames = [json.loads(x) for x in open(j)]
        last = [f for f in frames if f["kind"] == "deployment"][-1]["deployment"]
        if last["trigger"]["commit"]["hash"] == commit and last["status"] != status:
            wrong.append(f"deployment is {last['status']}, not {status}: {last.get('status_reason')}")
    return wrong


def main():
    global n_seen, n_at
    print(f"seed {SEED}", flush=True)
    os.makedirs(disk)
    prepare()
    with open(f"{DIR}/base", "wb") as f:
        f.truncate(48 << 20)
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", f"{DIR}/base")
    loop = attach(f"{DIR}/base")
    for t in TARGETS:
        os.makedirs(f"{roots}/{t}")
    try:
        rc = pipe()
        assert rc == 0, f"the first deployment: exit {rc}, see {DIR}/log"
    finally:
        detach(loop)

    # The deployment during which the power will have failed.
    content("two" if STORY == "good" else "bad")
    head = git("rev-parse", "HEAD")
    want, status = ("two", "SUCCESS") if STORY == "good" else ("one", "FAILURE")
    n_seen, n_at, said = 0, 0, []
    device = subprocess.Popen([sys.executable, f"{HERE}/blockdev.py", f"{DIR}/device", f"{DIR}/base", f"{DIR}/writes"],
                              stdout=subprocess.PIPE, text=True)
    try:
        if device.stdout.readline() != "ready\n":
            raise SystemExit("no device of our own")
        loop = attach(f"{DIR}/device")
        try:
            def each(f):
                what = None
                if f["kind"] == "stage_done":
                    what = (f["deployment_id"], f["stage_id"], f["status"])
                elif f["kind"] == "deployment" and f["deployment"].get("status") not in (None, "DEPLOYMENT_PENDING", "PENDING", "PLANNED"):
                    what = (f["deployment"]["id"], f["deployment"]["status"])
                if what:
                    said.append((n_records(f"{DIR}/writes"), what))
            rc = pipe(each)
            assert rc == (0 if STORY == "good" else 1), f"exit {rc}, see {DIR}/log"
        finally:
            detach(loop)
    finally:
        subprocess.run(["umount", f"{DIR}/device"], capture_output=True)
        device.wait()

    # Cuts: after a flush, with what was written since then lost, there, or torn.
    rec = records(f"{DIR}/writes")
    flushes = [0] + [i + 1 for i, (at, _) in enumerate(rec) if at == -1]
    places = []
    for i, k in enumerate(flushes):
        end = flushes[i + 1] - 1 if i + 1 < len(flushes) else len(rec)
        places.append((k, k, []))
        if end > k:
            places.append((k, end, list(range(k, end))))
            some = [j for j in range(k, end) if rnd.random() < 0.5]
            rnd.shuffle(some)
            places.append((k, end, some))
    if len(places) > CUTS:
        places = sorted(rnd.sample(places, CUTS), key=lambda p: p[0])
    base, done, broken = bytearray(open(f"{DIR}/base", "rb").read()), 0, 0
    for k, at, more in places:
        for off, data in rec[done:k]:
            if off != -1:
                base[off:off + len(data)] = data
        done = k
        cut = bytearray(base)
        for j in more:
            off, data = rec[j]
            cut[off:off + len(data)] = data
        with open(f"{DIR}/cut", "wb") as f:
            f.write(cut)
        open(f"{DIR}/log", "w").close()
        loop = attach(f"{DIR}/cut")
        try:
            # As if the machine had been started again.
            for mirror in os.listdir(f"{state}/mirror"):
                if os.path.exists(f"{state}/mirror/{mirror}/boot"):
                    write(f"{state}/mirror/{mirror}/boot", "another")
            # What was said when `at` records had been written may lack the last flush.
            wrong = [f"said, and lost: {w}" for w in said_before(k, said)]
            if not words() <= {"one", "two", "bad"}:
                wrong.append(f"after the cut targets serve {words()}")
            for _ in range(4):
                rc = pipe()
                if rc in (0, 1):
                    break
            else:
                wrong.append(f"the pipe ends with {rc}")
            wrong += check(want, status, head)
        finally:
            detach(loop)
        if wrong:
            broken += 1
            print(f"{STORY} flush at {k} of {len(rec)} and {len(more)} writes: " + "; ".join(wrong), flush=True)
            if os.environ.get("POWERCUT_KEEP"):
                shutil.copy(f"{DIR}/log", f"{DIR}/broken-{k}-{len(more)}.log")
                with open(f"{DIR}/broken-{k}-{len(more)}.img", "wb") as f:
                    f.write(cut)
    print(f"cuts {len(places)}, broken {broken}; {len(rec)} records, {len(flushes) - 1} flushes, {len(said)} ends said")
    return 1 if broken or not places else 0


n_seen = n_at = 0
sys.exit(main())

#!/usr/bin/env python3
"""mkjournal.py DIR: write a journal for each line of stdin:
id app status end commit commit_at [rolled] [reason...]
WAITING is RUNNING in a stage WAIT_APPROVAL that alice has approved.
Times are Unix seconds or ISO dates; a status that is not final is unfinished.
"""
import calendar, hashlib, json, os, sys, time

def when(s):
    if s.isdigit():
        return int(s)
    return calendar.timegm(time.strptime(s, "%Y-%m-%dT%H:%M:%SZ"))

for line in sys.stdin:
    w = line.split()
    if not w:
        continue
    id, app, status, end, commit, at = w[:6]
    rolled, reason = "rolled" in w[6:], " ".join(x for x in w[6:] if x != "rolled")
    app = app.encode().decode("unicode_escape")
    end, at = when(end), when(at)
    d = {"id": id, "application_id": "app-" + app, "application_name": app, "piped_id": "p", "project_id": "p",
         "git_path": {"repo": {"id": "r"}, "path": app, "config_filename": "app.pipecd.yaml"},
         "trigger": {"commit": {"hash": commit, "message": "m", "author": "a", "branch": "main", "created_at": at}, "timestamp": end - 60},
         "created_at": end - 60}
    waiting = status == "WAITING"
    if waiting:
        status = "RUNNING"
        stage = lambda n, name, st: {"id": "s%d" % n, "name": name, "index": n, "status": st, "created_at": at, "updated_at": at}
        d["stages"] = [stage(0, "HOST_SYNC", "SUCCESS"), stage(1, "WAIT_APPROVAL", "RUNNING"), dict(stage(2, "HOST_ROLLBACK", "NOT_STARTED_YET"), rollback=True)]
    steps = ["PENDING", "PLANNED", "RUNNING"] + (["ROLLING_BACK"] if rolled else [])
    if status not in steps:
        steps.append(status)
    frames = []
    for s in steps:
        f = dict(d, status=s, updated_at=end)
        if s in ("SUCCESS", "FAILURE", "CANCELLED"):
            f["completed_at"] = end
            if reason:
                f["status_reason"] = reason
        frames.append({"v": 1, "kind": "deployment", "deployment": f})
        if s == "RUNNING":
            for n in range(10):
                frames.append({"v": 1, "kind": "stage_log", "deployment_id": id, "stage_id": "s0", "text": "line %d of a log" % n})
    if waiting:
        frames.append({"v": 1, "kind": "stage_meta", "deployment_id": id, "stage_id": "s1", "key": "ApprovedBy", "value": "alice"})
    prev = "0" * 64
    with open(os.path.join(sys.argv[1], id + ".ndjson"), "w") as o:
        for n, f in enumerate(frames, 1):
            text = json.dumps(f, separators=(",", ":"))[:-1] + ',"seq":%d,"prev":"%s"}' % (n, prev)
            prev = hashlib.sha256(text.encode()).hexdigest()
            o.write(text + "\n")

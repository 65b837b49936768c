#!/usr/bin/env python3
"""journals.py DIR APPS DEPLOYMENTS LINES [STATUS]: journals as exec writes them.

DEPLOYMENTS of each of APPS applications app-0 ... (repository web, directory
of the same name), one after the other, each with two stages of LINES log lines
and an end STATUS (SUCCESS; "-" leaves the last one RUNNING).  Prints how many
records there are.
"""
import copy, hashlib, json, os, sys, uuid

dir, apps, each, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
final = sys.argv[5] if len(sys.argv) > 5 else "SUCCESS"
os.makedirs(dir, mode=0o700, exist_ok=True)
t0, total = 1_780_000_000, 0


def write(id, frames):
    prev = "0" * 64
    with open(os.path.join(dir, id + ".ndjson"), "w") as o:
        for n, f in enumerate(frames, 1):
            text = json.dumps({"v": 1, **f}, separators=(",", ":"))[:-1] + ',"seq":%d,"prev":"%s"}' % (n, prev)
            prev = hashlib.sha256(text.encode()).hexdigest()
            o.write(text + "\n")
    os.chmod(os.path.join(dir, id + ".ndjson"), 0o400)


for a in range(apps):
    for k in range(each):
        id = str(uuid.uuid5(uuid.NAMESPACE_DNS, "%d.%d" % (a, k)))
        t = t0 + k * 100 + a
        commit = hashlib.sha1(b"%d.%d" % (a, k)).hexdigest()
        d = {"id": id, "application_id": "app-%d" % a, "application_name": "app-%d" % a, "piped_id": "piped-1", "project_id": "p",
             "git_path": {"repo": {"id": "web"}, "path": "app-%d" % a, "config_filename": "app.pipecd.yaml"},
             "trigger": {"commit": {"hash": commit, "message": "m %d" % k, "author": "dev", "branch": "main", "created_at": t}, "timestamp": t},
             "created_at": t, "updated_at": t}
        st = [{"id": "s%d" % n, "name": "HOST_SYNC", "index": n, "created_at": t, "updated_at": t} for n in range(2)]
        f = [{"kind": "deployment", "deployment": dict(d, status="PENDING")},
             {"kind": "deployment", "deployment": dict(d, status="PLANNED", stages=copy.deepcopy(st), summary="quick", versions=[{"version": commit[:7], "name": "x"}]),
              "plan": {"stages": [{"id": s["id"], "program": "host"} for s in st]}},
             {"kind": "deployment", "deployment": dict(d, status="RUNNING", stages=copy.deepcopy(st))}]
        for s in st:
            ids = {"deployment_id": id, "stage_id": s["id"]}
            f.append({"kind": "stage_process", **ids, "pid": 1, "started_at": 1, "at_ms": t * 1000})
            f += [{"kind": "stage_log", **ids, "text": "%s line %d" % (s["id"], n), "at_ms": t * 1000 + n} for n in range(lines)]
            f.append({"kind": "stage_meta", **ids, "key": "k", "value": "v %s" % s["id"]})
            if final == "-" and k == each - 1:
                break
            s["status"] = "SUCCESS"
            f.append({"kind": "stage_done", **ids, "status": "SUCCESS", "took_ms": 5, "at_ms": t * 1000 + 50})
        else:
            f.append({"kind": "deployment", "deployment": dict(d, status=final if final != "-" else "SUCCESS", stages=copy.deepcopy(st), completed_at=t + 1, updated_at=t + 1)})
        total += len(f)
        write(id, f)
print(total)

"""Every method x every kind of caller x own and foreign things, from the rows of
methods.def (pipecd-api -l on stdin).

    matrix.py ADDRESS STATEDIR KEYS.json
"""
import json, sys, uuid

import peer, ask
from google.protobuf.descriptor import FieldDescriptor as F

T = 1700000000


def things(project, piped):
    """The ids that a request may name, all of one owner."""
    p = "%s-piped-%s" % (project, piped)
    x = "%s-%s" % (project, piped)
    return {
        "project_id": project, "piped_id": p, "application_id": x + "-app", "deployment_id": x + "-dep",
        "success_id": x + "-done", "command_id": x + "-cmd", "event_id": project + "-event",
        "deployment_chain_id": project + "-chain", "stage_id": "s1",
    }


def records(project, piped):
    t = things(project, piped)
    commit = {"hash": "c0ffee", "message": "m", "author": "a", "branch": "main", "created_at": T}
    git = {"repo": {"id": "r", "remote": "git@github.com:o/r.git", "branch": "main"}, "path": "web"}
    dep = {
        "id": t["deployment_id"], "application_id": t["application_id"], "application_name": "app",
        "piped_id": t["piped_id"], "project_id": project, "git_path": git,
        "trigger": {"commit": commit, "timestamp": T}, "status": "DEPLOYMENT_PLANNED",
        "deployment_chain_id": t["deployment_chain_id"],
        "stages": [{"id": "s1", "name": "ANALYSIS", "status": "STAGE_RUNNING", "created_at": T, "updated_at": T}],
        "created_at": T, "updated_at": T,
    }
    return [
        ("application", {"id": t["application_id"], "name": "app", "piped_id": t["piped_id"], "project_id": project,
                         "git_path": git, "created_at": T, "updated_at": T,
                         "most_recently_triggered_deployment": {
                             "deployment_id": t["deployment_id"], "trigger": dep["trigger"], "started_at": T}}),
        ("deployment", dep),
        ("deployment", dict(dep, id=t["success_id"], status="DEPLOYMENT_SUCCESS", completed_at=T)),
        ("command", {"id": t["command_id"], "piped_id": t["piped_id"], "project_id": project,
                     "application_id": t["application_id"], "type": "BUILD_PLAN_PREVIEW",
                     "created_at": 4000000000, "updated_at": T,
                     "build_plan_preview": {"repository_id": "r", "head_branch": "h", "head_commit": "c",
                                            "base_branch": "main"}}),
        ("event", {"id": t["event_id"], "name": "x", "data": "x", "project_id": project, "event_key": "k",
                   "created_at": T, "updated_at": T}),
        ("deployment_chain", {"id": t["deployment_chain_id"], "project_id": project, "created_at": T, "updated_at": T,
                              "blocks": [{"nodes": [{"application_ref": {"application_id": a}}
                                                    for a in (project + "-a-app", project + "-b-app")]}]}),
        ("piped", {"id": t["piped_id"], "name": piped, "project_id": project, "created_at": T, "updated_at": T,
                   "repositories": [git["repo"]]}),
        ("piped_stat", {"piped_id": t["piped_id"], "project_id": project}),
    ]


class World:
    def __init__(self, address, state, keys):
        self.peer = peer.Peer(address)
        self.store = ask.Store(state)
        self.keys = keys
        self.n = 0
        self.load_all()

    def put(self, recs):
        """Also what would be going back: a deployment is made anew."""
        ops = []
        gone = [ask.s.Op(kind=ask.s.Op.PURGE, table=t, id=v["id"]) for t, v in recs if t == "deployment"]
        for op in gone:
            self.store.ask(ok=(ask.s.OK, ask.s.NOT_FOUND), write=ask.s.Write(ops=[op]))
        for table, v in recs:
            m = ask.json_format.ParseDict(v, ask.TYPE[table]())
            ops.append(ask.s.Op(kind=ask.s.Op.PUT, table=table, value=m.SerializeToString()))
        self.store.ask(write=ask.s.Write(ops=ops))

    def load_all(self):
        for project in ("ours", "theirs"):
            for piped in ("a", "b"):
                self.put(records(project, piped))

    def versions(self, project, piped):
        out = []
        for table, v in records(project, piped):
            rid = v.get("id", v.get("piped_id"))
            if project == "ours" and table in ("event", "deployment_chain"):
                continue  # of the project, not of one agent
            r = self.store.ask(get=ask.s.Get(table=table, ids=[rid], deleted=True))
            out.append((table, rid, r.records[0].version, r.records[0].value))
        return out

    def objects(self, project):
        r = self.store.ask(object_list=ask.s.ObjectList())
        return sorted((o.key, o.updated_at, o.size) for o in r.objects if project in o.key)


def fill(m, t, method, depth=0):
    """A message that keeps the value rules and names only what t names."""
    d = m.DESCRIPTOR
    for f in d.fields:
        value = None
        name = f.name
        if name == "application_ids" and method in ("ListDeployments",):
            continue
        if f.label == F.LABEL_REPEATED:
            if f.message_type and f.message_type.GetOptions().map_entry:
                if name == "deploy_targets_by_plugin" and d.name.endswith("Request"):
                    getattr(m, name)["plugin"].deploy_targets.append("t")
                continue
            if name == "application_ids":
                getattr(m, name).append(t["application_id"])
            elif name == "commands" and method == "GetPlanPreviewResults":
                getattr(m, name).append(t["command_id"])
            elif name in ("events", "applications", "kubernetes_events") and f.message_type:
                fill(getattr(m, name).add(), t, method, depth + 1)
            elif name == "blocks":
                fill(getattr(m, name).add(), t, method, depth + 1)
            continue
        if f.message_type:
            if name in ("options", "secret_encryption"):
                continue
            if depth < 6 and (depth == 0 or name in ("git_path", "repo", "trigger", "commit", "version", "state",
                                                     "snapshot_version", "deployment")):
                fill(getattr(m, name), t, method, depth + 1)
            continue
        if f.type == F.TYPE_STRING:
            if d.name == "Deployment" and name == "id":
                value = str(uuid.uuid4())
            elif d.name in ("Deployment", "ChainSyncApplication") and name == "deployment_chain_id":
                value = ""
            elif method == "RollbackDeployment" and name == "deployment_id":
                value = t["success_id"]
            elif name == "id":
                value = {"GetDeploymentRequest": t["deployment_id"], "Event": t["event_id"],
                         "ApplicationInfo": t["application_id"], "RecreatePipedKeyRequest": t["piped_id"],
                         "ApplicationGitRepository": "r"}.get(d.name, "x1")
            elif name in t:
                value = t[name]
            elif name == "cursor" or (name == "kind" and not d.name.startswith("Kubernetes")) or (d.name.startswith("List") and name in ("name", "application_name")):
                value = ""
            elif name == "instance":
                value = str(uuid.uuid4())
            elif name == "repo_remote_url":
                value = "https://github.com/o/r"
            elif name in ("branch", "base_branch"):
                value = "main"
            else:
                value = "x1"
        elif f.type == F.TYPE_ENUM:
            e = f.enum_type.full_name
            value = {"model.CommandStatus": 1}.get(e, 0)
            if e == "model.DeploymentStatus":
                value = {"ReportDeploymentStatusChanged": 2, "ReportDeploymentCompleted": 5}.get(method, 0)
        elif f.type == F.TYPE_INT64:
            value = T if ("_at" in name or "time" in name or name in ("range_from", "range_to")) else 0
            if name == "epoch" or name == "to":
                value = 0
        elif f.type in (F.TYPE_INT32, F.TYPE_UINT32, F.TYPE_UINT64):
            value = 0
        elif f.type == F.TYPE_BOOL:
            value = False
        elif f.type == F.TYPE_BYTES:
            value = b"x"
        if value is not None:
            setattr(m, name, value)
    return m


# What a well-made request of one's own may also be answered with.
ELSE = {
    "Encrypt": "FAILED_PRECONDITION",  # the agent has no key pair
    "GetLatestAnalysisResult": "NOT_FOUND", "GetApplicationSharedObject": "NOT_FOUND",
    "GetPlanPreviewResults": "NOT_FOUND",  # still to be handled
    "GetLatestEvent": "NOT_FOUND", "GetStageLog": "NOT_FOUND",
    "RecreatePipedKey": "FAILED_PRECONDITION",  # two keys are enough
}


# Ids in these only narrow down what is the caller's anyway, or are answered one
# by one.
FILTERS = ("ReportApplicationLiveStateEvents", "ReportUnregisteredApplicationConfigurations", "ListApplications", "GetInsightData")


def main():
    address, state, keys = sys.argv[1:4]
    w = World(address, state, json.load(open(keys)))
    bad, n = [], 0

    def one(row, who, auth, t, want, what):
        nonlocal n
        service, name, may, kind = row
        path, d = peer.method(service + "/" + name)
        q = fill(peer.cls(d.input_type)(), t, name)
        r = w.peer.call(service + "/" + name, q, auth=auth, max=1, timeout=10)
        n += 1
        if r["code"] not in want:
            bad.append("%s %s as %s on %s: %s, not %s" % (name, r.get("message", ""), who, what, r["code"], want))
        return r, q.SerializeToString()

    rows = [l.split("\t") for l in sys.stdin.read().split("\n") if l]
    ours, theirs, beside = things("ours", "a"), things("theirs", "a"), things("ours", "b")
    o, f = w.keys["ours"], w.keys["theirs"]
    absent = {k: ("ours-absent" if k not in ("project_id", "piped_id", "stage_id") else v) for k, v in ours.items()}
    for row in rows:
        name, may = row[1], row[2]
        piped = may.startswith("piped")
        no = ["UNAUTHENTICATED"]
        w.load_all()
        for who, auth in (("nobody", None), ("nonsense", "Bearer x"), ("an empty token", "PIPED-TOKEN ,,"),
                          ("half a token", "PIPED-TOKEN ours,ours-piped-a"),
                          ("a wrong key", o["piped_b"].replace("piped-b", "piped-a") if piped
                           else o["key_rw"][:-3] + "xyz"),
                          ("another project's token", o["piped_a"].replace("ours,", "theirs,", 1) if piped
                           else "API-KEY x.y"),
                          ("the other kind", o["key_rw"] if piped else o["piped_a"])):
            # Ten wrong keys of one id, and it is locked.
            one(row, who, auth, ours, no + (["RESOURCE_EXHAUSTED"] if who == "a wrong key" else []), "ours")
        one(row, "disabled", o["piped_off"] if piped else o["key_off"], ours, ["PERMISSION_DENIED"], "ours")
        if may == "key-write":
            one(row, "read-only", o["key_ro"], ours, ["PERMISSION_DENIED"], "ours")
        before = [w.versions("theirs", "a"), w.versions("ours", "b"), w.objects("theirs"), w.objects("ours-b")]
        callers = [("piped", o["piped_a"])] if piped else [("rw", o["key_rw"])]
        if may == "key-read":
            callers.append(("ro", o["key_ro"]))
        for who, auth in callers:
            plain = fill(peer.cls(peer.method(row[0] + "/" + name)[1].input_type)(), ours, name)
            other = fill(peer.cls(plain.DESCRIPTOR)(), theirs, name)
            named = set(things("ours", "a").values()) & set(strings(plain)) - {"s1", "ours"}
            if named and name not in FILTERS:
                one(row, who, auth, theirs, ["PERMISSION_DENIED" if piped else "NOT_FOUND"], "theirs")
                mixed = dict(ours, deployment_chain_id=theirs["deployment_chain_id"])
                if "deployment_chain_id" in [x.name for x in plain.DESCRIPTOR.fields]:
                    one(row, who, auth, mixed, ["PERMISSION_DENIED", "INVALID_ARGUMENT"], "their chain")
                one(row, who, auth, absent, ["NOT_FOUND"], "what is not there") if named - {
                    "ours-piped-a"} else None
                # Whose turn it is in a chain, any agent of the project may ask.
                if piped and named - {"ours-event", "ours-chain"} and name != "InChainDeploymentPlannable":
                    one(row, who, auth, beside, ["PERMISSION_DENIED"], "the agent beside")
            r, _ = one(row, who, auth, ours, ["OK"] + ([ELSE[name]] if name in ELSE else []), "ours")
            if "theirs" in json.dumps({k: v for k, v in r.items() if k != "_m"}):
                bad.append("%s as %s: shows what is theirs" % (name, who))
            if who == "piped" and "ours-b-" in json.dumps({k: v for k, v in r.items() if k != "_m"}):
                bad.append("%s as %s: shows what is the other agent's" % (name, who))
        if [w.versions("theirs", "a"), w.versions("ours", "b"), w.objects("theirs"), w.objects("ours-b")] != before:
            bad.append("%s changed what is not the caller's" % name)
    for b in bad:
        print(b)
    print("%d methods, %d calls, %d wrong" % (len(rows), n, len(bad)))
    return 1 if bad else 0


def strings(m):
    for f, v in m.ListFields():
        for x in (v if f.label == F.LABEL_REPEATED and not (f.message_type and f.message_type.GetOptions().map_entry)
                  else [] if f.label == F.LABEL_REPEATED else [v]):
            if f.message_type:
                yield from strings(x)
            elif f.type == F.TYPE_STRING:
                yield x


if __name__ == "__main__":
    sys.exit(main())

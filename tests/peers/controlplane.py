#!/usr/bin/env python3
"""A control plane to try agents against: PipedService as PipeCD documents it.

usage: controlplane.py -d DIR -p PROTOS [-a ADDRESS] [-w]
  -d  where it lives: db.json (what it knows), calls.ndjson (each call and its
      answer), ctl.sock (orders of the test, see ctl), port
  -p  the directory of our .proto files
  -a  where to listen, 127.0.0.1:0
  -w  answers AgentService.Watch, as our own control plane does

It is no part of the product and shares no code with it: messages come from the
.proto files through protobuf's own reflection.  What it knows is on the disk
before it answers, so that it may be killed at any time.
"""
import argparse, json, os, queue, socket, subprocess, sys, tempfile, threading, time, uuid
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PS = "grpc.service.pipedservice"
END = ("DEPLOYMENT_SUCCESS", "DEPLOYMENT_FAILURE", "DEPLOYMENT_CANCELLED")
ORDER = ["DEPLOYMENT_PENDING", "DEPLOYMENT_PLANNED", "DEPLOYMENT_RUNNING", "DEPLOYMENT_ROLLING_BACK"]


class Refuse(Exception):
    def __init__(self, code, text):
        self.code, self.text = code, text


def refuse(code, text):
    raise Refuse(getattr(grpc.StatusCode, code), text)


def load(protos):
    with tempfile.NamedTemporaryFile() as f:
        names = [n for n in ("service/pipedservice.proto", "service/agent.proto")
                 if os.path.exists(os.path.join(protos, n))]
        subprocess.run(["protoc", "-I", protos, "--include_imports", "-o", f.name] + names, check=True)
        fds = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for fd in fds.file:
        pool.Add(fd)
    return pool


class Plane:
    def __init__(self, a):
        self.a, self.dir = a, a.d
        self.lock = threading.RLock()
        self.db = {"keys": ["key"], "project": "p", "piped": "piped-1", "apps": {}, "deployments": {}, "logs": {},
                   "commands": {}, "state": {}, "live": {}, "deploying": {}, "recent": {}, "meta": None, "stats": 0,
                   "unregistered": None, "infos": [], "chains": {}, "epoch": 0, "instances": {}, "order": []}
        self.faults = {"delay_ms": 0, "fail": {}}
        self.watchers = {}
        self.path = os.path.join(self.dir, "db.json")
        if os.path.exists(self.path):
            self.db.update(json.load(open(self.path)))
        self.calls = open(os.path.join(self.dir, "calls.ndjson"), "a", buffering=1)
        self.pool = load(a.p)

    def save(self):
        tmp = self.path + ".tmp"
        with open(tmp, "w") as f:
            json.dump(self.db, f)
        os.replace(tmp, self.path)

    def cls(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    # --- who may ------------------------------------------------------------
    def auth(self, ctx, write):
        md = dict(ctx.invocation_metadata())
        t = md.get("authorization", "")
        parts = t[len("PIPED-TOKEN "):].split(",") if t.startswith("PIPED-TOKEN ") else []
        if len(parts) != 3 or parts[0] != self.db["project"] or parts[1] != self.db["piped"] or parts[2] not in self.db["keys"]:
            refuse("UNAUTHENTICATED", "unauthenticated")
        e = md.get("pipecd-epoch")
        if write and e is not None and int(e) != self.db["epoch"]:
            refuse("FAILED_PRECONDITION", "fenced: epoch %s is not %d" % (e, self.db["epoch"]))
        return md

    # --- deployments ----------------------------------------------------------
    def dep(self, i):
        d = self.db["deployments"].get(i)
        if d is None:
            refuse("NOT_FOUND", "deployment %s is not found" % i)
        return d

    def move(self, d, to):
        now = d.get("status", "DEPLOYMENT_PENDING")
        if now in END or (to in ORDER and ORDER.index(to) < ORDER.index(now)):
            refuse("FAILED_PRECONDITION", "unable to update from %s to %s" % (now, to))
        d["status"] = to
        d.setdefault("history", []).append(to)

    def create(self, m):
        i = m["id"]
        if i in self.db["deployments"]:
            refuse("ALREADY_EXISTS", "deployment %s already exists" % i)
        for k in ("applicationId", "applicationName", "pipedId", "projectId", "gitPath", "trigger"):
            if not m.get(k):
                refuse("INVALID_ARGUMENT", "invalid Deployment.%s" % k)
        if m["applicationId"] not in self.db["apps"]:
            refuse("NOT_FOUND", "application %s is not found" % m["applicationId"])
        if m["pipedId"] != self.db["piped"] or m["projectId"] != self.db["project"]:
            refuse("PERMISSION_DENIED", "not of this piped")
        m["status"] = "DEPLOYMENT_PENDING"
        m["history"] = ["DEPLOYMENT_PENDING"]
        self.db["deployments"][i] = m
        self.db["order"].append(i)
        return i

    def CreateDeployment(self, m):
        self.create(m["deployment"])

    def CreateDeploymentChain(self, m):
        d = m["firstDeployment"]
        self.create(d)
        c = str(uuid.uuid4())
        d["deploymentChainId"] = c
        blocks = [{"apps": [d["applicationId"]], "deployments": {d["applicationId"]: d["id"]}}]
        for n, x in enumerate(m.get("matchers", []), 1):
            apps = [a for a in self.db["apps"].values() if not x.get("name") or a["name"] == x["name"]]
            blocks.append({"apps": [a["id"] for a in apps], "deployments": {}})
            for a in apps:
                i = str(uuid.uuid4())
                self.command({"id": i, "type": "CHAIN_SYNC_APPLICATION", "applicationId": a["id"], "commander": c,
                              "chainSyncApplication": {"deploymentChainId": c, "blockIndex": n, "applicationId": a["id"]}})
        self.db["chains"][c] = {"blocks": blocks}

    def block(self, c, n):
        b = self.db["chains"][c]["blocks"][n]
        for d in self.db["deployments"].values():
            if d.get("deploymentChainId") == c and d.get("deploymentChainBlockIndex", 0) == n:
                b["deployments"][d["applicationId"]] = d["id"]
        st = [self.db["deployments"][b["deployments"][a]]["status"] if a in b["deployments"] else "DEPLOYMENT_PENDING" for a in b["apps"]]
        for bad in ("DEPLOYMENT_FAILURE", "DEPLOYMENT_CANCELLED"):
            if bad in st:
                return bad
        return "DEPLOYMENT_SUCCESS" if all(s == "DEPLOYMENT_SUCCESS" for s in st) else "DEPLOYMENT_RUNNING"

    def InChainDeploymentPlannable(self, m):
        c, n = m["deploymentChainId"], m.get("deploymentChainBlockIndex", 0)
        if c not in self.db["chains"]:
            refuse("NOT_FOUND", "no such chain")
        if n == 0:
            return {"plannable": True}
        st = self.block(c, n - 1)
        if st == "DEPLOYMENT_SUCCESS":
            return {"plannable": True}
        if st in END:
            return {"cancel": True, "cancelReason": "block %d ended %s" % (n - 1, st)}
        return {"plannable": False}

    def GetDeployment(self, m):
        return {"deployment": self.clean(self.dep(m["id"]))}

    def clean(self, d):
        d = {k: v for k, v in d.items() if k != "history"}
        if "stages" in d:
            d["stages"] = [{k: v for k, v in s.items() if k != "history"} for s in d["stages"]]
        return d

    def ListNotCompletedDeployments(self, m):
        todo = [i for i in self.db["order"] if self.db["deployments"][i]["status"] not in END]
        at = int(m.get("cursor") or 0)
        page = todo[at:at + 2]
        return {"deployments": [self.clean(self.db["deployments"][i]) for i in page],
                "cursor": str(at + 2) if at + 2 < len(todo) else ""}

    def ReportDeploymentPlanned(self, m):
        d = self.dep(m["deploymentId"])
        for s in m.get("stages", []):
            for k in ("id", "name", "createdAt", "updatedAt"):
                if not s.get(k):
                    refuse("INVALID_ARGUMENT", "invalid PipelineStage.%s" % k)
        self.move(d, "DEPLOYMENT_PLANNED")
        for k in ("summary", "statusReason", "runningCommitHash", "runningConfigFilename", "versions", "stages"):
            if k in m:
                d[k] = m[k]

    def ReportDeploymentStatusChanged(self, m):
        d = self.dep(m["deploymentId"])
        self.move(d, m.get("status", "DEPLOYMENT_PENDING"))
        d["statusReason"] = m.get("statusReason", "")

    def ReportDeploymentCompleted(self, m):
        d = self.dep(m["deploymentId"])
        if not int(m.get("completedAt", 0)) > 0:
            refuse("INVALID_ARGUMENT", "invalid CompletedAt")
        if m.get("status") not in END:
            refuse("INVALID_ARGUMENT", "not a final status")
        self.move(d, m["status"])
        d["statusReason"] = m.get("statusReason", "")
        d["completedAt"] = m["completedAt"]
        for s in d.get("stages", []):
            s["status"] = m.get("stageStatuses", {}).get(s["id"], "STAGE_NOT_STARTED_YET")

    def stage(self, m):
        for s in self.dep(m["deploymentId"]).get("stages", []):
            if s["id"] == m["stageId"]:
                return s
        refuse("NOT_FOUND", "stage %s is not found" % m["stageId"])

    def ReportStageStatusChanged(self, m):
        s = self.stage(m)
        if not int(m.get("completedAt", 0)) > 0:
            refuse("INVALID_ARGUMENT", "invalid CompletedAt")
        s["status"] = m.get("status", "STAGE_NOT_STARTED_YET")
        s["statusReason"] = m.get("statusReason", "")
        s.setdefault("history", []).append(s["status"])
        if s["status"] == "STAGE_SUCCESS":
            s["completedAt"] = m["completedAt"]

    def SaveStageMetadata(self, m):
        self.stage(m)["metadata"] = m.get("metadata", {})

    def SaveDeploymentSharedMetadata(self, m):
        self.dep(m["deploymentId"])["metadataV2"] = {"shared": {"keyValues": m.get("metadata", {})}}

    # --- logs: live ones are for the eye, a checkpoint keeps them ----------------
    def log_of(self, m):
        self.dep(m["deploymentId"])
        k = "%s/%s/%d" % (m["deploymentId"], m["stageId"], m.get("retriedCount", 0))
        l = self.db["logs"].setdefault(k, {"live": [], "kept": [], "completed": False, "dup": 0})
        if l["completed"]:
            refuse("FAILED_PRECONDITION", "log is completed already")
        return l

    def merge(self, l, to, blocks):
        last = l[to][-1][0] if l[to] else 0
        for b in blocks:
            if not b.get("log"):
                refuse("INVALID_ARGUMENT", "invalid LogBlock.Log")
            if int(b["index"]) <= last:
                l["dup"] += 1
                continue
            last = int(b["index"])
            l[to].append([last, b["log"], b.get("severity", "INFO")])

    def ReportStageLogs(self, m):
        l = self.log_of(m)
        self.merge(l, "live", m.get("blocks", []))
        if self.a.w:
            self.merge(l, "kept", m.get("blocks", []))

    def ReportStageLogsFromLastCheckpoint(self, m):
        l = self.log_of(m)
        self.merge(l, "kept", m.get("blocks", []))
        l["completed"] = m.get("completed", False)

    # --- applications -----------------------------------------------------------
    def ListApplications(self, m):
        return {"applications": [a for a in self.db["apps"].values() if not a.get("disabled")]}

    def app(self, i):
        if i not in self.db["apps"]:
            refuse("NOT_FOUND", "application %s is not found" % i)
        return self.db["apps"][i]

    def ReportApplicationSyncState(self, m):
        self.app(m["applicationId"])["syncState"] = m["state"]
        self.db["state"].setdefault(m["applicationId"], []).append(m["state"])

    def ReportApplicationDeployingStatus(self, m):
        self.app(m["applicationId"])["deploying"] = m.get("deploying", False)

    def ReportApplicationMostRecentDeployment(self, m):
        a = self.app(m["applicationId"])
        k = "mostRecentlySuccessfulDeployment" if m.get("status") == "DEPLOYMENT_SUCCESS" else "mostRecentlyTriggeredDeployment"
        a[k] = m["deployment"]

    def GetApplicationMostRecentDeployment(self, m):
        a = self.app(m["applicationId"])
        k = "mostRecentlySuccessfulDeployment" if m.get("status") == "DEPLOYMENT_SUCCESS" else "mostRecentlyTriggeredDeployment"
        if k not in a:
            refuse("NOT_FOUND", "no such deployment")
        return {"deployment": a[k]}

    def UpdateApplicationConfigurations(self, m):
        for i in m.get("applications", []):
            a = self.app(i["id"])
            for k in ("name", "description", "labels"):
                if k in i:
                    a[k] = i[k]
            self.db["infos"].append(i)

    def ReportUnregisteredApplicationConfigurations(self, m):
        self.db["unregistered"] = m.get("applications", [])

    def ReportApplicationLiveState(self, m):
        s = m["snapshot"]
        if not s.get("version"):
            refuse("INVALID_ARGUMENT", "invalid Version")
        self.db["live"][s["applicationId"]] = s

    # --- commands ---------------------------------------------------------------
    def command(self, c):
        c.setdefault("pipedId", self.db["piped"])
        c.setdefault("projectId", self.db["project"])
        c.setdefault("createdAt", str(int(time.time())))
        c.setdefault("updatedAt", c["createdAt"])
        c["at_ms"] = time.time() * 1000
        self.db["commands"][c["id"]] = c
        for q in self.watchers.values():
            q.put({"commands": {"commands": [self.plain(c)]}})

    def plain(self, c):
        return {k: v for k, v in c.items() if k not in ("at_ms", "took_ms")}

    def open_commands(self):
        return [self.plain(c) for c in self.db["commands"].values() if c.get("status", "COMMAND_NOT_HANDLED_YET") == "COMMAND_NOT_HANDLED_YET"]

    def ListUnhandledCommands(self, m):
        return {"commands": self.open_commands()}

    def ReportCommandHandled(self, m):
        c = self.db["commands"].get(m["commandId"])
        if c is None:
            refuse("NOT_FOUND", "command is not found")
        if c.get("status", "COMMAND_NOT_HANDLED_YET") != "COMMAND_NOT_HANDLED_YET":
            refuse("FAILED_PRECONDITION", "handled already")
        c["status"] = m.get("status", "COMMAND_NOT_HANDLED_YET")
        c["metadata"] = m.get("metadata", {})
        c["handledAt"] = m["handledAt"]
        c["took_ms"] = time.time() * 1000 - c["at_ms"]

    # --- the agent itself ---------------------------------------------------------
    def ReportPipedMeta(self, m):
        self.db["meta"] = m
        return {"name": "agent one", "webBaseUrl": "http://web"}

    def ReportStat(self, m):
        self.db["stats"] += 1
        self.db["stat"] = m.get("pipedStats", "")
        return {"reportInterval": "0"}

    # --- gRPC ---------------------------------------------------------------------
    READS = ("GetDeployment", "ListNotCompletedDeployments", "ListApplications", "ListUnhandledCommands",
             "GetApplicationMostRecentDeployment", "InChainDeploymentPlannable")

    def answer(self, name, req, ctx, res):
        if self.faults["delay_ms"]:
            time.sleep(self.faults["delay_ms"] / 1000)
        m = json_format.MessageToDict(req)
        code, text = "OK", ""
        with self.lock:
            try:
                f = self.faults["fail"].get(name) or self.faults["fail"].get("*")
                if f and f["times"] != 0:
                    f["times"] -= 1
                    refuse(f["code"], "told to fail")
                self.auth(ctx, name not in self.READS)
                out = getattr(self, name, None)
                if out is None:
                    refuse("UNIMPLEMENTED", "method %s is not there" % name)
                out = out(m)
                if name not in self.READS:
                    self.save()
                return json_format.ParseDict(out or {}, res(), descriptor_pool=self.pool)
            except Refuse as r:
                code, text = r.code.name, r.text
                err = r
            finally:
                self.calls.write(json.dumps({"at": time.time(), "method": name, "code": code, "text": text,
                                             "peer": ctx.peer(), "request": m}) + "\n")
        if self.faults.get("lose"):  # done, and the answer is lost
            pass
        ctx.abort(err.code, err.text)

    def watch(self, req, ctx, res):
        if not self.a.w:
            ctx.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service pipecd.agent.AgentService")
        q = queue.Queue()
        with self.lock:
            try:
                self.auth(ctx, False)
            except Refuse as r:
                self.calls.write(json.dumps({"at": time.time(), "method": "Watch", "code": r.code.name, "peer": ctx.peer()}) + "\n")
                ctx.abort(r.code, r.text)
            if req.epoch and req.epoch != self.db["epoch"]:
                ctx.abort(grpc.StatusCode.FAILED_PRECONDITION, "fenced: epoch %d is not %d" % (req.epoch, self.db["epoch"]))
            if not req.epoch:
                self.db["epoch"] += 1
                self.save()
                for w in self.watchers.values():
                    w.put(None)
            self.watchers[ctx] = q
            hello = {"hello": {"epoch": str(self.db["epoch"]), "aliveS": self.faults.get("alive_s", 20), "commands": self.open_commands(), "server": "stand-in"}}
            self.calls.write(json.dumps({"at": time.time(), "method": "Watch", "code": "OK", "peer": ctx.peer()}) + "\n")
        ctx.add_callback(lambda: q.put("gone"))
        yield json_format.ParseDict(hello, res(), descriptor_pool=self.pool)
        while True:
            try:
                m = q.get(timeout=self.faults.get("alive_s", 20))
            except queue.Empty:
                m = {"alive": {}}
            if m == "gone" or m is None:
                with self.lock:
                    self.watchers.pop(ctx, None)
                if m is None:
                    ctx.abort(grpc.StatusCode.FAILED_PRECONDITION, "fenced: a newer agent is there")
                return
            yield json_format.ParseDict(m, res(), descriptor_pool=self.pool)

    def handlers(self):
        svc = self.pool.FindServiceByName(PS + ".PipedService")
        h = {}
        for md in svc.methods:
            req, res = self.cls(md.input_type.full_name), self.cls(md.output_type.full_name)
            h[md.name] = grpc.unary_unary_rpc_method_handler(
                lambda r, c, n=md.name, s=res: self.answer(n, r, c, s),
                request_deserializer=req.FromString, response_serializer=lambda m: m.SerializeToString())
        out = [grpc.method_handlers_generic_handler(PS + ".PipedService", h)]
        if self.a.w:
            req, res = self.cls("pipecd.agent.WatchRequest"), self.cls("pipecd.agent.WatchResponse")
            out.append(grpc.method_handlers_generic_handler("pipecd.agent.AgentService", {
                "Watch": grpc.unary_stream_rpc_method_handler(
                    lambda r, c: self.watch(r, c, res), request_deserializer=req.FromString,
                    response_serializer=lambda m: m.SerializeToString())}))
        return out

    # --- orders of the test ----------------------------------------------------------
    def order(self, o):
        with self.lock:
            if "faults" in o:
                self.faults.update(o["faults"])
            if "set" in o:
                for k, v in o["set"].items():
                    self.db[k] = v
            if "app" in o:
                self.db["apps"][o["app"]["id"]] = o["app"]
            if "unapp" in o:
                self.db["apps"].pop(o["unapp"], None)
            if "app" in o or "unapp" in o:
                for q in self.watchers.values():
                    q.put({"applications": {}})
            if "command" in o:
                self.command(o["command"])
            if "tell" in o:
                for q in self.watchers.values():
                    q.put(o["tell"])
            self.save()
            return {"watchers": len(self.watchers), "epoch": self.db["epoch"]}

    def orders(self):
        path = os.path.join(self.dir, "ctl.sock")
        if os.path.exists(path):
            os.unlink(path)
        s = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(self.dir)
        s.bind("ctl.sock")
        os.chdir(here)
        s.listen(16)
        while True:
            c, _ = s.accept()
            with c, c.makefile("rw") as f:
                try:
                    f.write(json.dumps(self.order(json.loads(f.readline()))) + "\n")
                except Exception as e:  # the test sees it
                    f.write(json.dumps({"error": str(e)}) + "\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-d", required=True)
    p.add_argument("-p", required=True)
    p.add_argument("-a", default="127.0.0.1:0")
    p.add_argument("-w", action="store_true")
    p.add_argument("--key")
    p.add_argument("--cert")
    a = p.parse_args()
    plane = Plane(a)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(tuple(plane.handlers()))
    if a.cert:
        cred = grpc.ssl_server_credentials([(open(a.key, "rb").read(), open(a.cert, "rb").read())])
        port = server.add_secure_port(a.a, cred)
    else:
        port = server.add_insecure_port(a.a)
    threading.Thread(target=plane.orders, daemon=True).start()
    server.start()
    with open(os.path.join(a.d, "port.tmp"), "w") as f:
        f.write("%d\n" % port)
    os.replace(os.path.join(a.d, "port.tmp"), os.path.join(a.d, "port"))
    plane.save()
    server.wait_for_termination()


main()

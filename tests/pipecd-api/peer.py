"""The control plane's client as grpc-python and Google's protobuf are one: an
implementation that has nothing of ours but the .proto files.

    peer.py ADDRESS         a call for each line of JSON on stdin:
        {"m": "SERVICE/METHOD", "auth": "API-KEY ...", "req": {...},
         "meta": {"pipecd-epoch": "1"}, "max": 3, "timeout": 5}
        an answer for each, one line: {"code": "OK", "res": {...}} or
        {"code": "NOT_FOUND", "message": "..."}; of a stream {"code", "all": [...]}
        with at most `max` messages.  "bg": NAME leaves a stream running; its
        messages are printed as {"bg": NAME, "res": ..., "ms": ...} when they come.
PROTO_PY names the directory that protoc made.
"""
import json, os, sys, threading, time

sys.path.insert(0, os.environ["PROTO_PY"])
import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
import service.agent_pb2, service.apiservice_pb2, service.operator_pb2  # noqa: F401
import service.pipedservice_pb2, service.webservice_pb2  # noqa: F401

pool = descriptor_pool.Default()
SHORT = {
    "piped": "grpc.service.pipedservice.PipedService",
    "api": "grpc.service.apiservice.APIService",
    "agent": "pipecd.agent.AgentService",
    "operator": "pipecd.operator.OperatorService",
}


def method(name):
    service, m = name.rsplit("/", 1)
    service = SHORT.get(service, service)
    d = pool.FindServiceByName(service).methods_by_name[m]
    return "/%s/%s" % (service, m), d


def cls(d):
    return message_factory.GetMessageClass(d)


def as_json(m):
    return json_format.MessageToDict(m, preserving_proto_field_name=True)


# Short names for the keys of ask.py: "rw", "a" are ours, "their rw" is theirs.
KEYS = {}
if os.environ.get("PEER_KEYS"):
    for project, keys in json.load(open(os.environ["PEER_KEYS"])).items():
        for k, v in keys.items():
            KEYS[("" if project == "ours" else "their ") + k.split("_")[1]] = v


class Peer:
    def __init__(self, address, creds=None):
        opts = [("grpc.max_receive_message_length", 10 << 20)]
        self.ch = (grpc.secure_channel(address, creds, opts) if creds
                   else grpc.insecure_channel(address, opts))
        self.lock = threading.Lock()

    def say(self, o):
        with self.lock:
            print(json.dumps(o, sort_keys=True), flush=True)

    def call(self, name, req=None, auth=None, meta=None, timeout=10, max=1 << 30, bg=None):
        path, d = method(name)
        q = cls(d.input_type)()
        if isinstance(req, bytes):
            q.ParseFromString(req)
        elif req is not None and not isinstance(req, dict):
            q = req
        else:
            json_format.ParseDict(req or {}, q)
        md = list((meta or {}).items())
        if auth is not None:
            auth = KEYS.get(auth, auth)
            md.append(("authorization", auth))
        ser = cls(d.input_type).SerializeToString
        des = cls(d.output_type).FromString
        try:
            if not d.server_streaming:
                r = self.ch.unary_unary(path, ser, des)(q, metadata=md, timeout=timeout)
                return {"code": "OK", "res": as_json(r), "_m": r}
            s = self.ch.unary_stream(path, ser, des)(q, metadata=md, timeout=None if bg else timeout)
            if bg:
                threading.Thread(target=self.follow, args=(bg, s), daemon=True).start()
                return {"code": "OK", "bg": bg}
            got = []
            for r in s:
                got.append(as_json(r))
                if len(got) >= max:
                    s.cancel()
                    break
            return {"code": "OK", "all": got}
        except grpc.RpcError as e:
            return {"code": e.code().name, "message": e.details() or ""}

    def follow(self, bg, s):
        try:
            for r in s:
                self.say({"bg": bg, "res": as_json(r), "ms": int(time.time() * 1000)})
            self.say({"bg": bg, "code": "OK"})
        except grpc.RpcError as e:
            self.say({"bg": bg, "code": e.code().name, "message": e.details() or ""})


def main():
    p = Peer(sys.argv[1])
    for line in sys.stdin:
        o = json.loads(line)
        r = p.call(o.pop("m"), **o)
        r.pop("_m", None)
        p.say(r)


if __name__ == "__main__":
    main()

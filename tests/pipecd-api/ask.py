"""Ask pipecd-store on its socket, as pipecd-api does: for setting tests up.

    ask.py STATEDIR keys            projects, agents and keys for a test, as JSON
    ask.py STATEDIR load FILE       records: lines of {"table": ..., "value": {...}}
"""
import json, os, socket, struct, sys, time

sys.path.insert(0, os.environ["PROTO_PY"])
import store_pb2 as s
from google.protobuf import json_format
import model.project_pb2, model.piped_pb2, model.apikey_pb2, model.application_pb2
import model.deployment_pb2, model.command_pb2, model.event_pb2, model.deployment_chain_pb2

TYPE = {
    "project": model.project_pb2.Project,
    "piped": model.piped_pb2.Piped,
    "api_key": model.apikey_pb2.APIKey,
    "application": model.application_pb2.Application,
    "deployment": model.deployment_pb2.Deployment,
    "command": model.command_pb2.Command,
    "event": model.event_pb2.Event,
    "deployment_chain": model.deployment_chain_pb2.DeploymentChain,
    "piped_stat": s.PipedStatus,
    "lease": s.Lease,
}


class Store:
    def __init__(self, state, wait=10):
        self.n = 0
        d = os.open(os.path.join(state, "run"), os.O_RDONLY | os.O_DIRECTORY)
        until = time.time() + wait
        while True:
            try:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.connect("/proc/self/fd/%d/store.sock" % d)
                return
            except OSError:
                if time.time() > until:
                    raise
                time.sleep(0.02)

    def send(self, q):
        self.n += 1
        q.id = self.n
        b = q.SerializeToString()
        self.sock.sendall(struct.pack("<I", len(b)) + b)

    def read(self, n):
        b = b""
        while len(b) < n:
            part = self.sock.recv(n - len(b))
            if not part:
                raise SystemExit("the store has gone")
            b += part
        return b

    def reply(self):
        n, = struct.unpack("<I", self.read(4))
        r = s.Reply()
        r.ParseFromString(self.read(n))
        return r

    def ask(self, ok=(s.OK,), **what):
        self.send(s.Request(**what))
        r = self.reply()
        if r.code not in ok:
            raise SystemExit("%s: %s" % (s.Code.Name(r.code), r.error))
        return r

    def put(self, table, m, kind=s.Op.PUT):
        return self.ask(write=s.Write(ops=[s.Op(kind=kind, table=table, value=m.SerializeToString())]))

    def key(self, kind, m):
        r = self.ask(key_make=s.KeyMake(kind=kind, id=m.id, value=m.SerializeToString(), creator="test"))
        return r.key


def keys(st):
    out = {}
    for p in ("ours", "theirs"):
        st.put("project", model.project_pb2.Project(id=p, static_admin={"username": "a", "password_hash": "x" * 60}))
        o = out[p] = {}
        for name in ("a", "b", "off"):
            m = model.piped_pb2.Piped(id="%s-piped-%s" % (p, name), name=name, project_id=p, disabled=name == "off")
            o["piped_" + name] = "PIPED-TOKEN %s,%s,%s" % (p, m.id, st.key(s.PIPED, m))
        for name, role in (("ro", 0), ("rw", 1), ("off", 1)):
            m = model.apikey_pb2.APIKey(name=name, project_id=p, role=role, creator="test", disabled=name == "off")
            o["key_" + name] = "API-KEY " + st.key(s.API_KEY, m)
    return out


def main():
    st = Store(sys.argv[1])
    if sys.argv[2] == "keys":
        print(json.dumps(keys(st)))
    elif sys.argv[2] == "load":
        ops = []
        for line in open(sys.argv[3]):
            o = json.loads(line)
            m = json_format.ParseDict(o["value"], TYPE[o["table"]]())
            ops.append(s.Op(kind=s.Op.PUT, table=o["table"], value=m.SerializeToString()))
        for i in range(0, len(ops), 500):
            st.ask(write=s.Write(ops=ops[i:i + 500]))


if __name__ == "__main__":
    main()

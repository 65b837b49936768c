#!/usr/bin/env python3
"""A plugin for PipeCD's v1 piped, so that it has something to deploy with.

usage: plugin.py PROTOS start --piped-plugin-service ADDRESS --config JSON

Stages: FILE_SYNC logs the commit and keeps an object; FILE_HOLD waits to be
approved, FILE_PAUSE to be skipped.  Messages come from our .proto files, by reflection.
"""
import json, subprocess, sys, tempfile, time, uuid
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

protos, config, piped = sys.argv[1], {}, ""
args = [x for a in sys.argv[2:] for x in (a.split("=", 1) if a.startswith("--") else [a])]
for k, v in zip(args, args[1:] + [""]):
    if k == "--config":
        config = json.loads(v)
    elif k == "--piped-plugin-service":
        piped = v
with tempfile.NamedTemporaryFile() as f:
    subprocess.run(["protoc", "-I", protos, "--include_imports", "-o", f.name, "service/pluginservice.proto",
                    "service/plugin_deployment.proto", "service/plugin_livestate.proto"], check=True)
    fds = descriptor_pb2.FileDescriptorSet.FromString(f.read())
pool = descriptor_pool.DescriptorPool()
for fd in fds.file:
    pool.Add(fd)
D, L, P = "grpc.plugin.deploymentapi.v1alpha1.", "grpc.plugin.livestateapi.v1alpha1.", "grpc.piped.service."
cls = lambda n: message_factory.GetMessageClass(pool.FindMessageTypeByName(n))
enum = lambda n, v: pool.FindEnumTypeByName(n).values_by_name[v].number
STAGE = lambda s: enum("model.StageStatus", "STAGE_" + s)
channel = grpc.insecure_channel(piped)
NAME = config.get("name", "file")


def ask(method, **kw):
    m = pool.FindServiceByName(P + "PluginService").methods_by_name[method]
    call = channel.unary_unary("/%sPluginService/%s" % (P, method), cls(m.input_type.full_name).SerializeToString,
                               cls(m.output_type.full_name).FromString)
    return call(cls(m.input_type.full_name)(**kw), timeout=10)


def log(i, text, done=False):
    block = cls("model.LogBlock")(index=time.time_ns(), log=text, severity=1, created_at=int(time.time()))
    kw = dict(deployment_id=i.deployment.id, stage_id=i.stage.id, blocks=[block])
    if done:
        ask("ReportStageLogsFromLastCheckpoint", completed=True, **kw)
    else:
        ask("ReportStageLogs", **kw)


def stage(name, index, rollback=False):
    now = int(time.time())
    hold = enum("model.ManualOperation", "MANUAL_OPERATION_" + {"FILE_HOLD": "APPROVE", "FILE_PAUSE": "SKIP"}.get(name, "NONE"))
    return cls("model.PipelineStage")(id=str(uuid.uuid4()), name=name, index=index, visible=not rollback, rollback=rollback,
                                      status=STAGE("NOT_STARTED_YET"), created_at=now, updated_at=now, available_operation=hold)


def execute(q, ctx):
    i = q.input
    log(i, "%s at %s" % (i.stage.name, i.target_deployment_source.commit_hash))
    status = "SUCCESS"
    if i.stage.name != "FILE_SYNC":
        names = {v.number: n for n, v in pool.FindEnumTypeByName("model.Command.Type").values_by_name.items()}
        kinds = []
        while not kinds:
            if not ctx.is_active():
                return cls(D + "ExecuteStageResponse")(status=STAGE("CANCELLED"))
            time.sleep(0.2)
            kinds = [names[c.type] for c in ask("ListStageCommands", deployment_id=i.deployment.id, stage_id=i.stage.id).commands]
        log(i, "told to %s" % kinds[0])
        status = "SKIPPED" if "SKIP_STAGE" in kinds else "SUCCESS"
    else:
        ask("PutStageMetadata", deployment_id=i.deployment.id, stage_id=i.stage.id, key="commit", value=i.target_deployment_source.commit_hash)
        ask("PutDeploymentPluginMetadata", deployment_id=i.deployment.id, plugin_name=NAME, key="by", value="plugin")
        app = dict(application_id=i.deployment.application_id, plugin_name=NAME, key="last")
        ask("PutApplicationSharedObject", object=i.deployment.id.encode(), **app)
        kept = ask("GetApplicationSharedObject", **app).object
        log(i, "kept %s" % ("well" if kept == i.deployment.id.encode() else "badly"))
    log(i, "done", True)
    return cls(D + "ExecuteStageResponse")(status=STAGE(status))


def live(q, ctx):
    now = int(time.time())
    it = cls("model.ResourceState")(id="it", name="it", resource_type="File", deploy_target=q.deploy_targets[0] if q.deploy_targets else "",
                                    plugin_name=NAME, health_status=1, created_at=now, updated_at=now)
    return cls(L + "GetLivestateResponse")(
        application_live_state=cls("model.ApplicationLiveState")(resources=[it], health_status=1),
        sync_state=cls("model.ApplicationSyncState")(status=enum("model.ApplicationSyncStatus", "SYNCED"), timestamp=now))


def pipeline(q, ctx):
    return cls(D + "BuildPipelineSyncStagesResponse")(stages=[stage(s.name, s.index) for s in q.stages])


ANSWERS = {
    "FetchDefinedStages": lambda q, c: cls(D + "FetchDefinedStagesResponse")(stages=["FILE_SYNC", "FILE_HOLD", "FILE_PAUSE"]),
    "DetermineVersions": lambda q, c: cls(D + "DetermineVersionsResponse")(
        versions=[cls("model.ArtifactVersion")(version=q.input.target_deployment_source.commit_hash[:7], name="file")]),
    "DetermineStrategy": lambda q, c: cls(D + "DetermineStrategyResponse")(unsupported=True),
    "BuildQuickSyncStages": lambda q, c: cls(D + "BuildQuickSyncStagesResponse")(stages=[stage("FILE_SYNC", 0)]),
    "BuildPipelineSyncStages": pipeline,
    "ExecuteStage": execute,
    "GetLivestate": live,
}


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        service, name = details.method.lstrip("/").split("/")
        if name not in ANSWERS:
            return None
        m = pool.FindServiceByName(service).methods_by_name[name]
        return grpc.unary_unary_rpc_method_handler(ANSWERS[name], cls(m.input_type.full_name).FromString,
                                                   cls(m.output_type.full_name).SerializeToString)


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([Handler()])
if not server.add_insecure_port("127.0.0.1:%d" % config["port"]):
    sys.exit("cannot listen on %s" % config["port"])
server.start()
server.wait_for_termination()

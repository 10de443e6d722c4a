"""Steps that call a service in another language and of another author, which the server knows by its reflection alone.

The service is a stock grpcio one: unlike tonic it sends the headers of a stream with its first answer, and its reflection speaks v1alpha only."""

import concurrent.futures
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from grpc_reflection.v1alpha import reflection

from harness import SharedServerTest

NEXUS = "amadeus.v1.NexusService/"
GRAPH = "amadeus.v1.GraphService/"
FIELD = descriptor_pb2.FieldDescriptorProto


def described():
    """The types of the service, as nothing in this tree knows them."""
    file = descriptor_pb2.FileDescriptorProto(name="stranger.proto", package="stranger.v9", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    ask = file.message_type.add(name="Ask")
    for number, (name, kind, label, of) in enumerate(
        [
            ("mode", FIELD.TYPE_STRING, FIELD.LABEL_OPTIONAL, None),
            ("count", FIELD.TYPE_INT64, FIELD.LABEL_OPTIONAL, None),
            ("tags", FIELD.TYPE_STRING, FIELD.LABEL_REPEATED, None),
            ("more", FIELD.TYPE_MESSAGE, FIELD.LABEL_OPTIONAL, ".google.protobuf.Struct"),
        ],
        1,
    ):
        ask.field.add(name=name, number=number, type=kind, label=label, type_name=of)
    told = file.message_type.add(name="Told")
    told.field.add(name="asked", number=1, type=FIELD.TYPE_MESSAGE, label=FIELD.LABEL_OPTIONAL, type_name=".stranger.v9.Ask")
    told.field.add(name="calls", number=2, type=FIELD.TYPE_UINT64, label=FIELD.LABEL_OPTIONAL)
    service = file.service.add(name="Stranger")
    service.method.add(name="Do", input_type=".stranger.v9.Ask", output_type=".stranger.v9.Told")
    return file


class Stranger:
    """The service: what it was asked for, by the key of the call."""

    def __init__(self):
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
        pool.AddSerializedFile(described().SerializeToString())
        self.ask = message_factory.GetMessageClass(pool.FindMessageTypeByName("stranger.v9.Ask"))
        self.told = message_factory.GetMessageClass(pool.FindMessageTypeByName("stranger.v9.Told"))
        self.lock = threading.Lock()
        self.calls = {}
        self.order = []
        self.begun = threading.Event()
        do = grpc.unary_unary_rpc_method_handler(self.do, self.ask.FromString, self.told.SerializeToString)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.method_handlers_generic_handler("stranger.v9.Stranger", {"Do": do})
        self.server.add_generic_rpc_handlers((handler,))
        reflection.enable_server_reflection(("stranger.v9.Stranger", reflection.SERVICE_NAME), self.server, pool)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def do(self, request, context):
        key = dict(context.invocation_metadata())["idempotency-key"]
        with self.lock:
            self.calls[key] = calls = self.calls.get(key, 0) + 1
            self.order.append(key.split("/", 1)[1])
        if request.mode == "flaky" and calls < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        if request.mode == "refuse":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this")
        if request.mode == "hang":
            self.begun.set()
            threading.Event().wait(60)
        return self.told(asked=request, calls=calls)


def call(name, *after, mode="", undo=True, **fields):
    method = {"type": "grpc", "target": "service/stranger", "action": "stranger.v9.Stranger/Do"}
    step = {"id": name, "depends_on": list(after), **method, "parameters": {"request": {"mode": mode}}, **fields}
    if undo:
        step["compensation"] = {**method, "parameters": {"request": {"mode": "undo"}}}
    return step


class AStockPythonService(SharedServerTest):
    def setUp(self):
        self.stranger = Stranger()
        self.addCleanup(self.stranger.server.stop, 0)
        service = {"name": "stranger", "endpoints": [{"path": f"grpc://127.0.0.1:{self.stranger.port}"}]}
        self.call(GRAPH + "RegisterService", {"service": service})

    def run_of(self, name, *steps, **fields):
        self.call(NEXUS + "RegisterPattern", {"pattern": {"name": name, "active": True, "steps": list(steps), **fields}})
        return self.call(NEXUS + "ExecutePattern", {"pattern": name, "wait": True}, timeout=60)["run"]

    def test_it_is_called_in_its_own_types_again_where_that_helps_and_its_numbers_are_numbers(self):
        request = {"mode": "flaky", "count": 7, "tags": ["a", "${run.pattern}"], "more": {"x": [1, None]}}
        run = self.run_of(
            "speaks",
            call("one", parameters={"request": request}, retry={"max_attempts": 5, "backoff_ms": 10}),
            {
                "id": "many",
                "type": "pass",
                "depends_on": ["one"],
                "condition": {"greater": ["${steps.one.result.calls}", 2]},
            },
            outputs=[{"name": "asked", "value": "${steps.one.result.asked}"}],
        )
        self.assertEqual(run["state"], "RUN_SUCCEEDED", run)
        self.assertEqual([(step["state"], step["attempts"]) for step in run["steps"]], [("STEP_SUCCEEDED", 3), ("STEP_SUCCEEDED", 1)])
        self.assertEqual(run["outputs"]["asked"], {"mode": "flaky", "count": 7, "tags": ["a", "speaks"], "more": {"x": [1, None]}})

    def test_what_it_refuses_is_not_tried_again_and_what_was_done_is_undone_in_reverse_order(self):
        run = self.run_of(
            "refused",
            call("one"),
            call("two", "one"),
            call("three", "two", mode="refuse", retry={"max_attempts": 5}),
            call("four", "three"),
        )
        self.assertEqual((run["state"], run["code"]), ("RUN_FAILED", "FAILED_PRECONDITION"))
        self.assertIn("not like this", run["message"])
        self.assertEqual(self.stranger.order, ["one", "two", "three", "two/undo", "one/undo"])

    def test_one_that_goes_away_in_the_middle_is_tried_again_and_then_the_rest_is_undone(self):
        self.call(
            NEXUS + "RegisterPattern",
            {
                "pattern": {
                    "name": "left",
                    "active": True,
                    "steps": [
                        {"id": "kept", "type": "pass", "compensation": {"type": "event", "action": "emit", "parameters": {"type": "kept.undone"}}},
                        call("gone", "kept", mode="hang", retry={"max_attempts": 3, "backoff_ms": 20}),
                    ],
                }
            },
        )
        run = self.call(NEXUS + "ExecutePattern", {"pattern": "left"})["run"]
        self.assertTrue(self.stranger.begun.wait(30), "it was not called")
        self.stranger.server.stop(0).wait()
        for line in self.call(NEXUS + "WatchRun", {"run_id": run["id"]}, timeout=60):
            last = line
        run = self.call(NEXUS + "GetRun", {"run_id": run["id"]})["run"]
        self.assertEqual((run["state"], run["code"]), ("RUN_FAILED", "UNAVAILABLE"), last)
        kept, gone = run["steps"]
        self.assertEqual((kept["state"], gone["state"], gone["attempts"]), ("STEP_COMPENSATED", "STEP_FAILED", 3))

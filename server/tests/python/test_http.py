"""Around the graph: health by name, reflection in both versions, metrics, liveness and readiness."""

import re
import threading

import grpc

from harness import ADMIN, GRAPH, SharedServerTest, put, register, status
from test_shutdown import SERVING, check_health

SERVICES = ("amadeus.v1.GraphService", "amadeus.v1.QueryService", "amadeus.v1.AdminService")


class Surroundings(SharedServerTest):
    @classmethod
    def prepare(cls):
        register(cls.call, "a", "b")

    def test_health_follows_the_full_names(self):
        for name in ("", *SERVICES):
            self.assertEqual(check_health(self.client, name), SERVING, name)
        with self.refused(grpc.StatusCode.NOT_FOUND):
            check_health(self.client, "amadeus.v1.NoSuchService")

    def test_reflection_lists_every_service_in_both_versions(self):
        self.assertLessEqual({*SERVICES, "grpc.health.v1.Health"}, set(self.client.services()))
        for version in ("v1", "v1alpha"):
            call = self.client.channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            )
            # list_services is field 7.
            reply = next(call(iter([b"\x3a\x00"]), timeout=10))
            self.assertIn(b"amadeus.v1.GraphService", reply)

    def test_every_method_of_the_contract_is_there(self):
        graph = """RegisterService GetService ListServices DeregisterService UpdateSchema SetCapability AddDependency
            RemoveDependency PutEntity GetEntity ListEntities DeleteEntity PutRelation DeleteRelation ListRelations GetNode
            UpdateNode DeleteNode Commit Import Export Watch Describe Validate Prune"""
        query = """Dependencies Impact FindPath FindByCapability Neighbors Subgraph Cycles StartOrder Search Visualize
            GenerateDocs"""
        admin = "Status Backup ListBackups Restore Compact CheckIntegrity Audit"
        user = """CreateUser GetUser GetUserByUsername UpdateUser DeleteUser ListUsers UpdatePassword UpdateProfile AssignRole
            RemoveRole"""
        auth = "Register Login ValidateToken RefreshToken Logout CreateApiKey RevokeApiKey ListApiKeys"
        services = (*SERVICES, "amadeus.v1.UserService", "amadeus.v1.AuthService")
        for service, expected in zip(services, (graph, query, admin, user, auth)):
            offered = {name.split("/")[1] for name in self.client.methods(service)}
            self.assertLessEqual(set(expected.split()), offered)

    def test_pages_for_probes(self):
        self.assertEqual(self.server.get("/livez")[0], 200)
        code, body = self.server.get("/readyz?verbose")
        self.assertEqual(code, 200)
        self.assertIn("store", body)
        self.assertEqual(self.server.get("/nothing")[0], 404)

    def test_metrics_have_the_promised_names_and_move(self):
        put(self.call, "probe/x", n=1)
        body = self.server.get("/metrics")[1]
        for name in (
            "grpc_server_started_total",
            "grpc_server_handled_total",
            "grpc_server_handling_seconds",
            "amadeus_graph_revision",
            "amadeus_graph_oldest_revision",
            "amadeus_graph_entities",
            "amadeus_graph_relations",
            "amadeus_commit_batch_size",
            "amadeus_commit_seconds",
            "amadeus_commit_queue_depth",
            "amadeus_history_bytes",
            "amadeus_watchers",
        ):
            with self.subTest(metric=name):
                self.assertRegex(body, rf"(?m)^{name}")
        self.assertEqual(self.value(body, "amadeus_graph_revision"), status(self.call)["revision"])
        before = self.handled(body)
        self.call(GRAPH + "GetService", {"name": "a"})
        with self.assertRaises(grpc.RpcError):
            self.call(GRAPH + "GetService", {"name": "nobody"})
        self.eventually(lambda: self.handled(self.server.get("/metrics")[1]) == (before[0] + 1, before[1] + 1))

    def value(self, body, name):
        return float(re.search(rf"(?m)^{name}(?:{{[^}}]*}})? (\S+)", body)[1])

    def handled(self, body):
        counts = []
        for code in ("OK", "NotFound|NOT_FOUND"):
            found = [
                line
                for line in body.splitlines()
                if line.startswith("grpc_server_handled_total")
                and 'grpc_method="GetService"' in line
                and re.search(f'"({code})"', line)
            ]
            counts.append(float(found[0].rsplit(" ", 1)[1]) if found else 0)
        return tuple(counts)

    def test_status_tells_what_it_is(self):
        told = status(self.call)
        self.assertTrue(told["version"])
        self.assertTrue(told["store"].startswith("sqlite:"))
        self.assertEqual(told["health"], "UP")
        self.assertEqual(len(told["hash"]), 32)
        self.assertTrue(self.call(ADMIN + "CheckIntegrity")["ok"])

    def test_a_deadline_that_has_passed_is_told(self):
        release = threading.Event()

        def withheld():
            release.wait(10)
            yield b""

        unfinished = self.client.channel.stream_unary(f"/{GRAPH}GetEntity")
        with self.refused(grpc.StatusCode.DEADLINE_EXCEEDED):
            unfinished(withheld(), timeout=0.5)
        release.set()
        # The server ended it by itself, and did not wait for the client to go away.
        ended = r'grpc_server_handled_total{.*"DeadlineExceeded".*"GetEntity".*} 1'
        self.eventually(lambda: re.search(ended, self.server.get("/metrics")[1]))

"""Stopping: told first, drained, durable, exit code 0; a second signal ends it at once."""

import re
import signal
import threading
import time

import grpc

from harness import GRAPH, Server, ServerTest, every_page, put, register, revision, status

# The wire of `grpc.health.v1` by hand, so that no further package is needed: a request names a service in field 1, a reply has the status in field 1.
SERVING, NOT_SERVING = 1, 2
ENDED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.OK)


def health_request(service):
    return b"\x0a" + bytes([len(service)]) + service.encode() if service else b""


def health_status(reply):
    return reply[1] if len(reply) > 1 else 0


def follow_health(client, service=""):
    call = client.channel.unary_stream("/grpc.health.v1.Health/Watch")
    return (health_status(reply) for reply in call(health_request(service)))


def check_health(client, service=""):
    return health_status(client.channel.unary_unary("/grpc.health.v1.Health/Check")(health_request(service), timeout=5))


class Shutdown(ServerTest):
    def test_sigterm_under_load_with_100_watches(self):
        self.serve()
        for index in range(20):
            put(self.call, f"seed/{index}")
        ended = []

        def watch(client):
            stream = client.call(GRAPH + "Watch", {"from_revision": 1})
            try:
                for _ in stream:
                    pass
                ended.append(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                ended.append(error.code())

        watchers = [self.server.client() for _ in range(4)]
        threads = [threading.Thread(target=watch, args=(watchers[index % 4],), daemon=True) for index in range(100)]
        for thread in threads:
            thread.start()
        told, told_at = [], []

        def health():
            try:
                for one in follow_health(self.server.client()):
                    told.append(one)
                    told_at.append(time.monotonic())
            except grpc.RpcError:
                pass

        threading.Thread(target=health, daemon=True).start()
        self.eventually(lambda: told == [SERVING])
        acknowledged, outcomes, last_at = {}, [], [0.0]

        def write(index):
            client = self.server.client()
            for number in range(100_000):
                name = f"load/{index}-{number}"
                try:
                    acknowledged[name] = revision(put(client.call, name))
                    last_at[0] = time.monotonic()
                except grpc.RpcError as error:
                    outcomes.append(error.code())
                    return

        writers = [threading.Thread(target=write, args=(index,), daemon=True) for index in range(16)]
        for thread in writers:
            thread.start()
        self.eventually(lambda: len(acknowledged) > 200)
        self.eventually(lambda: status(self.call)["watchers"] >= 100)
        started = time.monotonic()
        self.assertEqual(self.server.terminate(), 0, self.server.tail())
        took = time.monotonic() - started
        print(f"    ended {took:.2f} s after SIGTERM, with {len(acknowledged)} writes acknowledged")
        self.assertLess(took, 35, "longer than any grace period")
        for thread in (*writers, *threads):
            thread.join(20)
        self.assertEqual(set(outcomes), {grpc.StatusCode.UNAVAILABLE})
        self.assertEqual(len(ended), 100)
        self.assertLessEqual(set(ended), set(ENDED))
        self.assertEqual(told[-1], NOT_SERVING, told)
        self.server.start()
        self.call = self.server.client().call
        found, _ = every_page(self.call, GRAPH + "ListEntities", {"kind": "load"}, "entities")
        found = {f"load/{one['ref']['name']}": one["created_revision"] for one in found}
        self.assertEqual({name: at for name, at in acknowledged.items() if found.get(name) != at}, {})

    def test_the_second_sigterm_ends_it_at_once(self):
        self.serve()
        release = threading.Event()
        self.addCleanup(release.set)

        # A call is in flight for as long as its request has not arrived whole.
        def withheld():
            release.wait(60)
            yield b""

        stuck = self.client.channel.stream_unary(f"/{GRAPH}GetService")
        call = stuck.future(withheld(), timeout=60)
        self.addCleanup(call.cancel)
        self.eventually(lambda: self.started("GetService") == 1)
        self.server.signal(signal.SIGTERM)
        time.sleep(1)
        self.assertIsNone(self.server.process.poll(), "it did not wait for the call in flight")
        started = time.monotonic()
        self.server.signal(signal.SIGTERM)
        self.server.process.wait(10)
        self.assertLess(time.monotonic() - started, 1.0)

    def started(self, method):
        """How many calls of this method have begun."""
        found = re.search(f'^grpc_server_started_total{{.*grpc_method="{method}".*}} ([0-9]+)', self.server.get("/metrics")[1], re.M)
        return int(found[1]) if found else 0

    def test_an_idle_server_stops_in_no_time(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve(folder=self.folder / str(int(number)))
            register(server.client().call, "kept")
            started = time.monotonic()
            server.signal(number)
            self.assertEqual(server.process.wait(20), 0)
            self.assertLess(time.monotonic() - started, 5)
            server.start()
            self.assertEqual(status(server.client().call)["revision"], 1)

    def test_a_taken_address_is_an_error(self):
        self.serve()
        other = Server(self.folder / "other")
        other.folder.mkdir()
        other.address = self.server.address
        self.addCleanup(other.end)
        other.start(wait=False)
        self.assertGreater(other.process.wait(20), 0)
        self.assertIn(self.server.address.split(":")[1], other.log.read_text())

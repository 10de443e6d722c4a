"""Leases for a client that knows nothing but what reflection tells it."""

import queue
import time

import grpc

from harness import GRAPH, SharedServerTest, register

LIVENESS = "amadeus.v1.LivenessService/"


def service(call, name):
    return call(GRAPH + "GetService", {"name": name})["service"]


class Leases(SharedServerTest):
    def test_a_service_is_up_while_it_calls_and_down_soon_after(self):
        reply = self.call(
            GRAPH + "RegisterService", {"service": {"name": "calls"}, "lease_ttl": "2s", "request_id": "once"}
        )
        lease = reply["lease"]["id"]
        again = self.call(
            GRAPH + "RegisterService", {"service": {"name": "calls"}, "lease_ttl": "2s", "request_id": "once"}
        )
        self.assertEqual(again["lease"]["id"], lease, "the same request has the same lease")
        self.assertEqual(service(self.call, "calls")["health"], "UP")
        calls = queue.Queue()
        answers = iter(self.call(LIVENESS + "KeepAlive", iter(calls.get, None), timeout=30))
        before = self.call(GRAPH + "GetService", {"name": "calls"})["header"]["revision"]
        for _ in range(12):
            called = time.monotonic()
            calls.put({"lease_id": lease})
            answer = next(answers)
            self.assertEqual((answer["lease_id"], answer["ttl"], answer["kept"]), (lease, "2s", 1))
            time.sleep(0.25)
        after = self.call(GRAPH + "GetService", {"name": "calls"})["header"]["revision"]
        self.assertEqual(after, before, "calls make no revision")
        self.eventually(lambda: service(self.call, "calls")["health"] == "DOWN")
        silent = time.monotonic() - called
        self.assertTrue(2.0 <= silent < 2.5, silent)
        calls.put({"lease_id": lease, "health": "DEGRADED"})
        self.assertEqual(next(answers)["kept"], 1)
        self.eventually(lambda: service(self.call, "calls")["health"] == "DEGRADED")
        calls.put({"lease_ids": [lease, "00000000000000aa"]})
        answer = next(answers)
        self.assertEqual((answer["kept"], [one["lease_id"] for one in answer["lost"]]), (1, ["00000000000000aa"]))
        calls.put(None)

    def test_a_watch_is_told_of_transitions_and_leases_are_listed_in_pages(self):
        for name in ("one", "two", "three"):
            register(self.call, name)
            self.call(LIVENESS + "GrantLease", {"service": name, "ttl": "30s"})
        found, token = [], ""
        while True:
            page = self.call(LIVENESS + "ListLeases", {"health": "UP", "page_size": 2, "page_token": token})
            found += page["leases"]
            token = page["next_page_token"]
            if not token:
                break
        self.assertTrue({"one", "two", "three"} <= {one["service"] for one in found})
        self.assertEqual([one["id"] for one in found], sorted(one["id"] for one in found))
        watch = self.call(GRAPH + "Watch", {"kinds": ["service"]}, timeout=30).started()
        self.addCleanup(watch.cancel)
        gone = next(one for one in found if one["service"] == "two")
        self.call(LIVENESS + "RevokeLease", {"lease_id": gone["id"]})
        for message in watch:
            if message["changes"]:
                break
        entity = message["changes"][0]["entity"]
        self.assertEqual((entity["ref"]["name"], entity["service"]["health"]), ("two", "DOWN"))
        self.call(LIVENESS + "RevokeLease", {"lease_id": gone["id"]})
        with self.refused(grpc.StatusCode.NOT_FOUND, "00000000000000aa"):
            self.call(LIVENESS + "RevokeLease", {"lease_id": "00000000000000aa"})

    def test_what_cannot_be_a_lease_is_refused_by_its_field(self):
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "lease_ttl", "200 ms"):
            self.call(GRAPH + "RegisterService", {"service": {"name": "short"}, "lease_ttl": "0.1s"})
        with self.refused(grpc.StatusCode.NOT_FOUND, "service/nobody"):
            self.call(LIVENESS + "GrantLease", {"service": "nobody", "ttl": "1s"})
        with self.refused(grpc.StatusCode.UNIMPLEMENTED, "lease_ttl"):
            one = {"register_service": {"service": {"name": "short"}, "lease_ttl": "1s"}}
            self.call(GRAPH + "Commit", {"mutations": [one]})
        listed = self.call(GRAPH + "ListServices", {})["services"]
        self.assertNotIn("short", [one["name"] for one in listed])

"""Many clients at once: exactly what was written, exactly once, and nobody sees time run backwards."""

import threading

import grpc

from harness import GRAPH, ServerTest, at_once, put, ref, register, relate, revision, size, status
from test_watch import told


class ManyClients(ServerTest):
    def test_64_clients_register_distinct_services(self):
        clients, total = 64, size(1_920, 10_000)
        self.serve()
        stop = threading.Event()
        went_back, seen = [], []

        def follow():
            for message in self.call(GRAPH + "Watch", {"from_revision": 1}, timeout=600):
                seen.extend(told(message))
                if message["bookmark"] >= total:
                    return

        def read():
            client, last = self.server.client(), 0
            while not stop.is_set():
                reply = client.call(GRAPH + "ListServices", {"page_size": 1})
                if revision(reply) < last:
                    went_back.append((last, revision(reply)))
                last = revision(reply)

        follower = threading.Thread(target=follow, daemon=True)
        readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
        for thread in (follower, *readers):
            thread.start()

        def write(index):
            client = self.server.client()
            return [
                revision(register(client.call, f"s{number:05}", "shared")) for number in range(index, total, clients)
            ]

        acknowledged = at_once(clients, write)
        stop.set()
        for outcome in acknowledged:
            self.assertIsInstance(outcome, list, outcome)
        follower.join(60)
        self.assertEqual(went_back, [])
        revisions = sorted(one for some in acknowledged for one in some)
        self.assertEqual(revisions, list(range(1, total + 1)))
        now = status(self.call)
        self.assertEqual(
            (now["revision"], now["entities"], now["placeholders"], now["relations"]), (total, total, 1, total)
        )
        self.assertEqual([at for at, *_ in seen], sorted(at for at, *_ in seen))
        created = [(at, name) for at, kind, name in seen if kind == "CREATED" and name != "service/shared"]
        services = [one for one in created if " " not in one[1]]
        self.assertEqual(sorted(name for _, name in services), [f"service/s{number:05}" for number in range(total)])
        self.assertEqual([at for at, _ in services], revisions)
        # Each brought its relation, in the same revision.
        needs = {(at, f"{name} depends_on service/shared") for at, name in services}
        self.assertEqual(set(created) - set(services), needs)
        self.assertEqual(len(created), 2 * total)


class SameThing(ServerTest):
    def test_one_request_id_100_times_at_once_and_after_a_kill(self):
        self.serve()
        put(self.call, "probe/before")
        request = {"entity": {"ref": ref("probe/once"), "properties": {"n": 1}}, "request_id": "only-once"}
        send = lambda _: self.call(GRAPH + "PutEntity", request)
        outcomes = at_once(100, send)
        self.assertEqual({revision(one) for one in outcomes if isinstance(one, dict)}, {2}, outcomes)
        self.assertEqual(len([one for one in outcomes if isinstance(one, dict)]), 100)
        put(self.call, "probe/once", n=2)
        for _ in range(2):
            self.server.kill()
            self.server.start()
            self.call = self.server.client().call
            self.assertEqual({revision(one) for one in at_once(20, send)}, {2})
            found = self.call(GRAPH + "GetEntity", {"ref": ref("probe/once")})["entity"]
            self.assertEqual(found["properties"], {"n": 2})
            self.assertEqual(status(self.call)["revision"], 3)

    def test_of_many_writes_with_one_expected_revision_one_commits(self):
        self.serve()
        at = revision(put(self.call, "probe/x"))
        for round in range(10):
            write = lambda index: self.call(
                GRAPH + "PutEntity",
                {
                    "entity": {"ref": ref("probe/x"), "properties": {"by": index, "round": round}},
                    "expected_revision": at,
                },
            )
            outcomes = at_once(32, write)
            won = [one for one in outcomes if isinstance(one, dict)]
            lost = [one for one in outcomes if isinstance(one, grpc.RpcError)]
            self.assertEqual((len(won), len(lost)), (1, 31))
            self.assertEqual({one.code() for one in lost}, {grpc.StatusCode.ABORTED})
            at = revision(won[0])
        self.assertEqual(status(self.call)["revision"], 11)

    def test_a_delete_races_with_a_relation_and_nothing_dangles(self):
        self.serve()
        put(self.call, "race/from")
        for round in range(60):
            put(self.call, f"race/{round}")
            moves = [
                lambda: self.call(GRAPH + "DeleteEntity", {"ref": ref(f"race/{round}")}),
                lambda: relate(self.call, "race/from", "to", f"race/{round}"),
            ]
            deleted, related = at_once(2, lambda index: moves[index]())
            listed = self.call(GRAPH + "ListRelations", {"ref": ref("race/from"), "direction": "OUT"})["relations"]
            stands = any(one["to"]["name"] == str(round) for one in listed)
            if isinstance(related, dict):
                self.assertEqual(deleted.code(), grpc.StatusCode.FAILED_PRECONDITION)
            else:
                self.assertEqual(related.code(), grpc.StatusCode.NOT_FOUND)
                self.assertIsInstance(deleted, dict)
            self.assertEqual(stands, isinstance(related, dict))

    def test_a_client_that_goes_away_loses_only_its_answer(self):
        self.serve()
        for round in range(100):
            method = self.client._method(GRAPH + "PutEntity")
            sent = method.encode({"entity": {"ref": ref(f"gone/{round:03}")}})
            call = method.callable.future(sent)
            call.cancel()
        put(self.call, "gone/last")
        now = status(self.call)
        self.assertEqual(now["revision"], now["entities"])
        self.assertTrue(self.call("amadeus.v1.AdminService/CheckIntegrity")["ok"])

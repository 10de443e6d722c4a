"""Old revisions read as they were, pages stay on one revision, and a read is as fresh as it asks to be."""

import threading
import time

import grpc

from harness import GRAPH, QUERY, ServerTest, at_once, every_page, names, put, ref, register, revision, status, written

LEVELS = ({}, {"minimize_latency": True}, {"at_least": 1}, {"linearizable": True})


class OldRevisions(ServerTest):
    def test_each_of_the_last_100_revisions_reads_as_it_was(self):
        self.serve()
        truth = {}
        services, documents = {}, {}
        for step in range(110):
            pick = self.rng.randrange(4)
            name = f"s{self.rng.randrange(12)}"
            if pick == 0 and name in services and not any(name in needed for needed in services.values()):
                self.call(GRAPH + "DeregisterService", {"name": name})
                del services[name]
            elif pick == 1:
                self.call(GRAPH + "UpdateNode", {"path": f"doc.{name}", "value": step})
                documents[name] = step
            else:
                others = sorted(set(services) - {name})
                needed = self.rng.sample(others, min(len(others), self.rng.randrange(3)))
                register(self.call, name, *needed, metadata={"step": step})
                services[name] = sorted(needed)
            truth[status(self.call)["revision"]] = ({k: list(v) for k, v in services.items()}, dict(documents))
        head = max(truth)
        self.assertEqual(head, 110)
        for at in range(head - 99, head + 1):
            with self.subTest(revision=at):
                services, documents = truth[at]
                consistency = {"consistency": {"at_exact": at}}
                reply = self.call(GRAPH + "ListServices", consistency)
                self.assertEqual(revision(reply), at)
                found = {
                    one["name"]: sorted(needed["service"] for needed in one["dependencies"])
                    for one in reply["services"]
                }
                self.assertEqual(found, services)
                counts = self.call(GRAPH + "Describe", consistency)
                self.assertEqual(counts["entity_counts"].get("service", 0), len(services))
                self.assertEqual(counts["relation_counts"].get("depends_on", 0), sum(map(len, services.values())))
                if documents:
                    self.assertEqual(self.call(GRAPH + "GetNode", {"path": "doc", **consistency})["value"], documents)
                for name in services:
                    direct = sorted(other for other, needed in services.items() if name in needed)
                    reply = self.call(
                        QUERY + "Impact", {"refs": [ref(f"service/{name}")], "budget": {"max_depth": 1}, **consistency}
                    )
                    self.assertEqual(sorted(one["ref"]["name"] for one in reply["hits"]), direct)
        with self.refused(grpc.StatusCode.OUT_OF_RANGE):
            self.call(GRAPH + "ListServices", {"consistency": {"at_exact": head + 1}})


class Freshness(ServerTest):
    def test_every_level_reads_the_last_acknowledged_write(self):
        self.serve()
        other = self.server.client()
        for step in range(30):
            wrote = revision(put(self.call, "probe/x", step=step))
            for level in (*LEVELS, {"at_least": wrote}, {"at_exact": wrote}):
                reply = other.call(GRAPH + "GetEntity", {"ref": ref("probe/x"), "consistency": level})
                self.assertEqual(reply["entity"]["properties"], {"step": step}, level)
                self.assertGreaterEqual(revision(reply), wrote)
                self.assertLessEqual(reply["header"]["oldest_revision"], wrote)
                self.assertTrue(reply["header"]["store_id"])

    def test_at_least_waits_for_the_revision(self):
        self.serve()
        put(self.call, "probe/x", n=0)
        head = status(self.call)["revision"]
        late = threading.Timer(0.4, lambda: [put(self.call, "probe/x", n=n) for n in range(1, 4)])
        started = time.monotonic()
        late.start()
        reply = self.call(GRAPH + "GetEntity", {"ref": ref("probe/x"), "consistency": {"at_least": head + 3}})
        self.assertGreater(time.monotonic() - started, 0.3)
        self.assertEqual(reply["entity"]["properties"], {"n": 3})

    def test_64_linearizable_reads_at_once(self):
        self.serve()
        wrote = revision(put(self.call, "probe/x", n=1))
        for reply in at_once(
            64, lambda _: self.call(GRAPH + "GetEntity", {"ref": ref("probe/x"), "consistency": {"linearizable": True}})
        ):
            self.assertGreaterEqual(revision(reply), wrote)


class Pages(ServerTest):
    def test_pages_stay_on_their_revision_while_writers_go_on(self):
        self.serve()
        expected = sorted(f"n{self.rng.randrange(10**9)}" for _ in range(60))
        for name in expected:
            register(self.call, name, "hub")
        register(self.call, "hub")
        lists = [
            (GRAPH + "ListServices", {}, "services", sorted([*expected, "hub"]), lambda one: one["name"]),
            (
                GRAPH + "ListEntities",
                {"kind": "service", "name_prefix": "n"},
                "entities",
                expected,
                lambda one: one["ref"]["name"],
            ),
            (
                GRAPH + "ListRelations",
                {"ref": ref("service/hub"), "direction": "IN"},
                "relations",
                expected,
                lambda one: one["from"]["name"],
            ),
            (QUERY + "Impact", {"refs": [ref("service/hub")]}, "hits", expected, lambda one: one["ref"]["name"]),
            (QUERY + "Search", {"text": "n"}, "entities", None, lambda one: one["ref"]["name"]),
        ]
        for method, request, field, wanted, name in lists:
            with self.subTest(method=method):
                pinned = status(self.call)["revision"]
                items, token, pages = [], "", 0
                while True:
                    reply = self.call(method, {**request, "page_size": 7, "page_token": token})
                    self.assertEqual(revision(reply), pinned)
                    self.assertLessEqual(len(reply[field]), 7)
                    items += [name(one) for one in reply[field]]
                    token, pages = reply["next_page_token"], pages + 1
                    if not token:
                        break
                    register(self.call, f"n-later-{method[-6:]}-{pages}", "hub")
                self.assertGreater(pages, 3)
                self.assertEqual(len(items), len(set(items)))
                if wanted is not None:
                    self.assertEqual([one for one in items if "later" not in one], wanted)
                for extra in self.call(GRAPH + "ListServices", {})["services"]:
                    if "later" in extra["name"]:
                        self.call(GRAPH + "DeregisterService", {"name": extra["name"]})

    def test_lists_are_filtered_and_ordered(self):
        self.serve()
        register(self.call, "b", category="x", owner="o1", capabilities=["p"], health="UP")
        register(self.call, "a", category="x", owner="o2", capabilities=["p", "q"])
        register(self.call, "c", category="y", owner="o1", health="DOWN")
        for wanted, request in [
            (["a", "b", "c"], {}),
            (["a", "b"], {"category": "x"}),
            (["b", "c"], {"owner": "o1"}),
            (["a", "b"], {"capability": "p"}),
            (["b"], {"health": "UP"}),
            (["a"], {"health": "UNKNOWN"}),
            (["b"], {"category": "x", "owner": "o1"}),
            ([], {"category": "nothing"}),
        ]:
            with self.subTest(request=request):
                self.assertEqual(names(self.call(GRAPH + "ListServices", request)["services"]), wanted)
        put(self.call, "aa/z")
        entities, _ = every_page(self.call, GRAPH + "ListEntities", {}, "entities", page_size=1)
        self.assertEqual([written(one["ref"]) for one in entities], ["aa/z", "service/a", "service/b", "service/c"])

    def test_hits_are_ordered_by_depth_kind_and_name_with_their_first_path(self):
        self.serve()
        for name, needed in [("d", []), ("c", ["d"]), ("b", ["d"]), ("a", ["b", "c"])]:
            register(self.call, name, *needed)
        reply = self.call(QUERY + "Impact", {"refs": [ref("service/d")]})
        found = [(one["ref"]["name"], one["depth"], names(one["path"])) for one in reply["hits"]]
        self.assertEqual(found, [("b", 1, ["d", "b"]), ("c", 1, ["d", "c"]), ("a", 2, ["d", "b", "a"])])
        cut = self.call(QUERY + "Impact", {"refs": [ref("service/d")], "budget": {"max_entities": 2}})
        self.assertTrue(cut["truncated"])

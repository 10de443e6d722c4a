"""What writes mean: placeholders, deletes, no-ops, preconditions, request ids, transactions."""

import grpc

from harness import GRAPH, QUERY, SharedServerTest, hits, names, put, ref, register, relate, revision, status, written

STATE = grpc.StatusCode.FAILED_PRECONDITION
MISSING = grpc.StatusCode.NOT_FOUND
STALE = grpc.StatusCode.ABORTED


class Writes(SharedServerTest):
    def service(self, name):
        return self.call(GRAPH + "GetService", {"name": name})["service"]

    def relations(self, text, direction="BOTH"):
        found = self.call(GRAPH + "ListRelations", {"ref": ref(text), "direction": direction})["relations"]
        return [(written(one["from"]), one["relation"], written(one["to"])) for one in found]

    def commit(self, *mutations, pre=(), **fields):
        return self.call(GRAPH + "Commit", {"preconditions": list(pre), "mutations": list(mutations), **fields})

    def test_every_field_of_a_service_comes_back(self):
        service = {
            "name": "full",
            "category": "c",
            "version": "v1",
            "owner": "team-a",
            "capabilities": ["x", "y"],
            "dependencies": [{"service": "dep", "version": "v2", "optional": True, "properties": {"why": "because"}}],
            "schema": {"proto_path": "p.proto", "methods": ["A", "B"]},
            "endpoints": [
                {
                    "name": "n",
                    "path": "/p",
                    "method": "GET",
                    "input_type": "I",
                    "output_type": "O",
                    "description": "d",
                    "tags": ["t"],
                }
            ],
            "models": ["M"],
            "health_check": "/h",
            "metrics": "/m",
            "metadata": {"k": [1, {"deep": None}]},
            "health": "UP",
            "description": "text",
        }
        reply = self.call(GRAPH + "RegisterService", {"service": service})
        found = self.service("full")
        for key, value in service.items():
            self.assertEqual(found[key], value, key)
        self.assertEqual(found, reply["service"])
        self.assertEqual((found["created_revision"], found["modified_revision"]), (revision(reply),) * 2)
        entity = self.call(GRAPH + "GetEntity", {"ref": ref("service/full")})["entity"]
        self.assertEqual(entity["service"]["capabilities"], ["x", "y"])

    def test_registering_again_replaces_it_whole_and_keeps_its_birth(self):
        first = revision(register(self.call, "twice", "old", capabilities=["a"]))
        register(self.call, "twice", "new")
        found = self.service("twice")
        self.assertEqual([one["service"] for one in found["dependencies"]], ["new"])
        self.assertEqual(found["capabilities"], [])
        self.assertEqual(found["created_revision"], first)
        self.assertGreater(found["modified_revision"], first)
        with self.refused(MISSING):
            self.service("old")

    def test_a_dependency_on_the_unregistered_is_a_placeholder(self):
        register(self.call, "early", "later")
        later = self.service("later")
        self.assertFalse(later["registered"])
        self.assertNotIn("later", names(self.call(GRAPH + "ListServices")["services"]))
        self.assertIn("later", names(self.call(GRAPH + "ListServices", {"include_placeholders": True})["services"]))
        findings = self.call(GRAPH + "Validate")["findings"]
        self.assertTrue(any(one.get("ref") == ref("service/later") for one in findings), findings)
        register(self.call, "later")
        self.assertTrue(self.service("later")["registered"])
        self.assertEqual(hits(self.call, "Impact", "service/later"), ["service/early"])

    def test_a_placeholder_goes_with_its_last_incoming_relation(self):
        register(self.call, "one", "ghost")
        register(self.call, "two", "ghost")
        self.call(GRAPH + "RemoveDependency", {"name": "one", "service": "ghost"})
        self.assertFalse(self.service("ghost")["registered"])
        self.call(GRAPH + "DeregisterService", {"name": "two"})
        with self.refused(MISSING):
            self.service("ghost")

    def test_what_points_in_refuses_a_delete_and_force_leaves_a_placeholder(self):
        register(self.call, "base")
        register(self.call, "user-of-base", "base")
        put(self.call, "team/base-team")
        relate(self.call, "team/base-team", "watches", "service/base")
        relate(self.call, "service/base", "owned_by", "team/base-team")
        with self.refused(STATE, "service/user-of-base"):
            self.call(GRAPH + "DeregisterService", {"name": "base"})
        before = status(self.call)["revision"]
        self.call(GRAPH + "DeregisterService", {"name": "base", "force": True})
        self.assertEqual(status(self.call)["revision"], before + 1)
        self.assertFalse(self.service("base")["registered"])
        self.assertEqual(self.relations("service/base"), [("service/user-of-base", "depends_on", "service/base")])
        self.assertEqual(self.relations("team/base-team"), [])

    def test_a_forced_delete_of_an_entity_takes_its_relations_along(self):
        put(self.call, "host/a")
        put(self.call, "host/b")
        relate(self.call, "host/a", "next_to", "host/b")
        with self.refused(STATE, "host/a"):
            self.call(GRAPH + "DeleteEntity", {"ref": ref("host/b")})
        self.call(GRAPH + "DeleteEntity", {"ref": ref("host/b"), "force": True})
        self.assertEqual(self.relations("host/a"), [])
        with self.refused(MISSING):
            self.call(GRAPH + "GetEntity", {"ref": ref("host/b")})

    def test_dependencies_and_depends_on_are_one_thing(self):
        register(self.call, "left")
        register(self.call, "right")
        relate(self.call, "service/left", "depends_on", "service/right", why="relation")
        self.assertEqual([one["service"] for one in self.service("left")["dependencies"]], ["right"])
        self.call(GRAPH + "RemoveDependency", {"name": "left", "service": "right"})
        self.assertEqual(self.relations("service/left"), [])
        self.call(GRAPH + "AddDependency", {"name": "left", "dependency": {"service": "right", "version": "v2"}})
        self.assertEqual(self.relations("service/right"), [("service/left", "depends_on", "service/right")])
        self.call(
            GRAPH + "DeleteRelation",
            {"from": ref("service/left"), "relation": "depends_on", "to": ref("service/right")},
        )
        self.assertEqual(self.service("left")["dependencies"], [])

    def test_a_cycle_between_services_is_allowed_and_ends_every_traversal(self):
        for name, needed in [("ring-a", "ring-b"), ("ring-b", "ring-c"), ("ring-c", "ring-a")]:
            register(self.call, name, needed)
        ring = ["service/ring-a", "service/ring-b", "service/ring-c"]
        self.assertEqual(hits(self.call, "Impact", ring[0]), ring[1:])
        self.assertEqual(hits(self.call, "Dependencies", ring[0]), ring[1:])
        cycles = [[written(one) for one in found["entities"]] for found in self.call(QUERY + "Cycles")["cycles"]]
        self.assertIn(ring, cycles)

    def test_a_change_that_changes_nothing_makes_no_revision(self):
        calls = [
            (
                GRAPH + "RegisterService",
                {"service": {"name": "still", "capabilities": ["a"], "dependencies": [{"service": "calm"}]}},
            ),
            (GRAPH + "PutEntity", {"entity": {"ref": ref("probe/still"), "properties": {"a": 1, "b": [2]}}}),
            (
                GRAPH + "PutRelation",
                {
                    "relation": {
                        "from": ref("service/still"),
                        "relation": "uses",
                        "to": ref("probe/still"),
                        "properties": {"p": 1},
                    }
                },
            ),
            (GRAPH + "SetCapability", {"name": "still", "capability": "b", "enabled": True}),
            (GRAPH + "UpdateSchema", {"name": "still", "schema": {"methods": ["M"]}}),
        ]
        for method, request in calls:
            self.assertTrue(self.call(method, request)["changed"], method)
            before = status(self.call)["revision"]
            self.assertFalse(self.call(method, request)["changed"], method)
            self.assertEqual(status(self.call)["revision"], before, method)

    def test_capabilities_are_switched_at_run_time(self):
        register(self.call, "switched", capabilities=["steady"])
        self.call(GRAPH + "SetCapability", {"name": "switched", "capability": "flight", "enabled": True})
        found = self.call(QUERY + "FindByCapability", {"all_of": ["flight", "steady"]})["services"]
        self.assertEqual(names(found), ["switched"])
        self.call(GRAPH + "SetCapability", {"name": "switched", "capability": "flight", "enabled": False})
        self.assertEqual(self.call(QUERY + "FindByCapability", {"all_of": ["flight"]})["services"], [])
        self.assertEqual(self.service("switched")["capabilities"], ["steady"])

    def test_a_transaction_is_one_revision_or_nothing(self):
        before = status(self.call)
        reply = self.commit(
            {"put_entity": {"entity": {"ref": ref("tx/a")}}},
            {"register_service": {"service": {"name": "tx-service", "dependencies": [{"service": "tx-needed"}]}}},
            {"put_relation": {"relation": {"from": ref("service/tx-service"), "relation": "uses", "to": ref("tx/a")}}},
            {"update_node": {"path": "tx.note", "value": "written"}},
        )
        self.assertEqual(revision(reply), before["revision"] + 1)
        self.assertEqual({one["revision"] for one in reply["changes"]}, {revision(reply)})
        middle = status(self.call)
        with self.refused(MISSING):
            self.commit(
                {"put_entity": {"entity": {"ref": ref("tx/b")}}},
                {"delete_entity": {"ref": ref("tx/nowhere")}},
            )
        after = status(self.call)
        self.assertEqual((after["revision"], after["hash"]), (middle["revision"], middle["hash"]))
        with self.refused(MISSING):
            self.call(GRAPH + "GetEntity", {"ref": ref("tx/b")})

    def test_a_transaction_sees_its_own_earlier_mutations(self):
        self.commit(
            {"put_entity": {"entity": {"ref": ref("own/a")}}},
            {"put_entity": {"entity": {"ref": ref("own/b")}}},
            {"put_relation": {"relation": {"from": ref("own/a"), "relation": "to", "to": ref("own/b")}}},
            {"delete_relation": {"from": ref("own/a"), "relation": "to", "to": ref("own/b")}},
            {"delete_entity": {"ref": ref("own/b")}},
        )
        self.assertEqual(self.relations("own/a"), [])
        with self.refused(MISSING):
            self.call(GRAPH + "GetEntity", {"ref": ref("own/b")})

    def test_preconditions_that_hold_let_it_through(self):
        put(self.call, "pre/a")
        at = self.call(GRAPH + "GetEntity", {"ref": ref("pre/a")})["entity"]["modified_revision"]
        self.call(GRAPH + "UpdateNode", {"path": "pre.value", "value": [1]})
        self.commit(
            {"put_entity": {"entity": {"ref": ref("pre/b")}}},
            pre=[
                {"entity_exists": ref("pre/a")},
                {"entity_absent": ref("pre/b")},
                {"entity_at": {"ref": ref("pre/a"), "revision": at}},
                {"entity_at": {"ref": ref("pre/b"), "revision": 0}},
                {"relation_absent": {"from": ref("pre/a"), "relation": "uses", "to": ref("pre/b")}},
                {"document_equals": {"path": "pre.value", "value": [1]}},
                {"no_path": {"from": ref("pre/a"), "to": ref("pre/b"), "relation": "uses"}},
                {"no_dependents": ref("pre/a")},
                {"acyclic": {"relation": "uses"}},
            ],
        )

    def test_graph_guards_look_at_the_state_after_the_mutations(self):
        for name in "abc":
            put(self.call, f"dag/{name}")
        link = lambda start, end: {
            "put_relation": {"relation": {"from": ref(f"dag/{start}"), "relation": "before", "to": ref(f"dag/{end}")}}
        }
        guard = {"acyclic": {"relation": "before"}}
        self.commit(link("a", "b"), link("b", "c"), pre=[guard])
        with self.refused(STATE, "dag/"):
            self.commit(link("c", "a"), pre=[guard])
        with self.refused(STATE):
            self.commit(
                {"put_entity": {"entity": {"ref": ref("dag/d")}}},
                link("c", "d"),
                pre=[{"no_path": {"from": ref("dag/a"), "to": ref("dag/d"), "relation": "before"}}],
            )

    def test_expected_revisions(self):
        first = put(self.call, "guarded/x", n=1)
        with self.refused(grpc.StatusCode.ALREADY_EXISTS):
            self.call(GRAPH + "PutEntity", {"entity": {"ref": ref("guarded/x")}, "expected_revision": 0})
        second = self.call(
            GRAPH + "PutEntity",
            {"entity": {"ref": ref("guarded/x"), "properties": {"n": 2}}, "expected_revision": revision(first)},
        )
        with self.refused(STALE):
            self.call(GRAPH + "DeleteEntity", {"ref": ref("guarded/x"), "expected_revision": revision(first)})
        self.call(GRAPH + "DeleteEntity", {"ref": ref("guarded/x"), "expected_revision": revision(second)})
        self.call(GRAPH + "PutEntity", {"entity": {"ref": ref("guarded/x")}, "expected_revision": 0})

    def test_a_request_id_applies_once_and_a_refused_one_may_be_tried_again(self):
        request = {"service": {"name": "idem"}, "request_id": "idem-1", "reason": "test"}
        first = self.call(GRAPH + "RegisterService", request)
        register(self.call, "idem", capabilities=["later"])
        again = self.call(GRAPH + "RegisterService", request)
        self.assertEqual(revision(again), revision(first))
        self.assertEqual(self.service("idem")["capabilities"], ["later"], "the repetition was applied")
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "request_id"):
            self.call(GRAPH + "RegisterService", {**request, "service": {"name": "idem", "category": "other"}})
        relation = {
            "relation": {"from": ref("service/idem"), "relation": "uses", "to": ref("idem/absent")},
            "request_id": "idem-2",
        }
        with self.refused(MISSING):
            self.call(GRAPH + "PutRelation", relation)
        put(self.call, "idem/absent")
        self.assertTrue(self.call(GRAPH + "PutRelation", relation)["changed"])

    def test_prune_removes_nothing_that_is_needed(self):
        register(self.call, "pruner", "pruned-not")
        dry = self.call(GRAPH + "Prune", {"dry_run": True})
        self.assertFalse(dry["changed"])
        self.call(GRAPH + "Prune")
        self.assertFalse(self.service("pruned-not")["registered"])
        self.assertTrue(self.service("pruner")["registered"])

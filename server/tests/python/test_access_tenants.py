"""Two tenants share a server, and neither is told of the other."""

import time

from access import SOON_SECONDS, USER, SignedInTest, calls_of, create, grant, login
from grpc import StatusCode
from harness import ADMIN, GRAPH, QUERY, export_bytes, hits, names, put, ref, register, relate, revision, written
from test_watch import subject, until


class Tenants(SignedInTest):
    """Whoever may see `theirs-` only is told nothing of `ours-`, though the two depend on each other."""

    @classmethod
    def prepare(cls):
        super().prepare()
        register(cls.root, "ours-db", owner="us")
        register(cls.root, "theirs-db", owner="them", capabilities=["rows"])
        register(cls.root, "theirs-api", "theirs-db", "ours-db", owner="them")
        register(cls.root, "ours-api", "ours-db", owner="us")
        register(cls.root, "ours-web", "theirs-db", owner="us", capabilities=["rows"])
        put(cls.root, "team/ours-team", motto="secret")
        put(cls.root, "team/theirs-team", motto="words")
        relate(cls.root, "service/theirs-api", "owned_by", "team/ours-team")
        cls.root(GRAPH + "UpdateNode", {"path": "ours_doc", "value": {"plan": 1}})
        for name, role in (("reads", "READER"), ("writes", "WRITER"), ("operates", "OPERATOR")):
            create(cls.root, name, grant(role, name_prefix="theirs-"))
            setattr(cls, name, calls_of(cls.server, login(cls.call, name)["access_token"]))

    def test_no_list_and_no_question_tells_of_anothers_part(self):
        self.assertEqual(names(self.reads(GRAPH + "ListServices")["services"]), ["theirs-api", "theirs-db"])
        listed = self.reads(GRAPH + "ListEntities", {"kind": "team"})["entities"]
        self.assertEqual([written(one["ref"]) for one in listed], ["team/theirs-team"])
        # What it needs of ours is not named either.
        api = self.reads(GRAPH + "GetService", {"name": "theirs-api"})["service"]
        self.assertEqual([one["service"] for one in api["dependencies"]], ["theirs-db"])
        relations = self.reads(GRAPH + "ListRelations", {"ref": ref("service/theirs-api")})["relations"]
        self.assertEqual([written(one["to"]) for one in relations], ["service/theirs-db"])

        found = self.reads(QUERY + "Search", {"text": "db"})
        self.assertEqual([written(one["ref"]) for one in found["entities"]], ["service/theirs-db"])
        self.assertEqual(found["total"], 1)
        self.assertEqual(self.reads(QUERY + "Search", {"text": "secret"})["total"], 0)
        offers = self.reads(QUERY + "FindByCapability", {"all_of": ["rows"]})["services"]
        self.assertEqual(names(offers), ["theirs-db"])
        self.assertEqual(hits(self.reads, "Impact", "service/theirs-db"), ["service/theirs-api"])
        self.assertEqual(hits(self.reads, "Dependencies", "service/theirs-api"), ["service/theirs-db"])

        told = self.reads(GRAPH + "Describe")
        self.assertEqual((told["entity_counts"], told["sections"]), ({"service": 2, "team": 1}, []))
        self.assertEqual((told["owners"], told["relations"], told["placeholders"]), ({"them": 2}, 1, 0))
        status = self.reads(ADMIN + "Status")
        self.assertEqual((status["entities"], status["relations"], status["hash"]), (3, 1, ""))
        for format in ("JSON", "CSV", "DOT", "MERMAID", "SVG"):
            with self.subTest(format=format):
                exported = export_bytes(self.reads, format).decode()
                self.assertIn("theirs-api", exported)
                for word in ("ours-", "ours_doc", "secret"):
                    self.assertNotIn(word, exported.replace("theirs-", ""))

    def test_what_is_anothers_is_refused_whether_it_exists_or_not(self):
        told = set()
        for name in ("ours-api", "ours-none"):
            for consistency in ({}, {"at_exact": 2}, {"linearizable": True}):
                with self.refused(StatusCode.PERMISSION_DENIED, name) as caught:
                    self.reads(GRAPH + "GetService", {"name": name, "consistency": consistency})
                told.add(caught.exception.details().replace(name, "NAME"))
            for method, request in (
                (GRAPH + "GetEntity", {"ref": ref(f"service/{name}")}),
                (GRAPH + "GetNode", {"path": f"services.{name}"}),
                (QUERY + "Impact", {"refs": [ref(f"service/{name}")]}),
                (GRAPH + "ListRelations", {"ref": ref(f"service/{name}")}),
            ):
                with self.subTest(method=method, name=name), self.refused(StatusCode.PERMISSION_DENIED):
                    self.reads(method, request)
        self.assertEqual(len(told), 1, told)
        with self.refused(StatusCode.NOT_FOUND):
            self.reads(GRAPH + "GetService", {"name": "theirs-none"})
        with self.refused(StatusCode.PERMISSION_DENIED):
            self.reads(GRAPH + "GetNode", {"path": "ours_doc"})

    def test_a_watch_tells_of_ones_own_part_only(self):
        watch = self.reads(GRAPH + "Watch", {"snapshot_first": True}, timeout=30)
        self.addCleanup(watch.cancel)
        seen = [subject(one) for message in until(watch, 1) for one in message["changes"]]
        self.assertTrue({"service/theirs-api", "team/theirs-team"} <= set(seen))
        put(self.root, "team/ours-new")
        relate(self.root, "service/theirs-db", "known_to", "team/ours-new")
        last = revision(put(self.root, "team/theirs-new"))
        later = [subject(one) for message in until(watch, last) for one in message["changes"]]
        self.assertEqual(later, ["team/theirs-new"])
        self.assertFalse([one for one in seen if "ours-" in one.replace("theirs-", "")], seen)
        for entity in ("team/ours-new", "team/theirs-new"):
            self.root(GRAPH + "DeleteEntity", {"ref": ref(entity), "force": True})

    def test_a_refused_delete_counts_what_is_hidden_and_does_not_name_it(self):
        with self.refused(StatusCode.FAILED_PRECONDITION, "theirs-api", "1 of which you may not see") as caught:
            self.writes(GRAPH + "DeregisterService", {"name": "theirs-db"})
        told = caught.exception.details() + repr(caught.exception.trailing_metadata())
        self.assertNotIn("ours-", told.replace("theirs-", ""))
        with self.refused(StatusCode.PERMISSION_DENIED, "role writer"):
            self.reads(GRAPH + "DeregisterService", {"name": "theirs-db"})

    def test_one_writes_within_ones_own_part_only(self):
        put(self.writes, "team/theirs-made")
        register(self.writes, "theirs-made", "theirs-db")
        for entity in ("team/ours-made", "team/elsewhere"):
            with self.refused(StatusCode.PERMISSION_DENIED):
                put(self.writes, entity)
        with self.refused(StatusCode.PERMISSION_DENIED):
            register(self.writes, "theirs-more", "ours-db")
        with self.refused(StatusCode.PERMISSION_DENIED):
            relate(self.writes, "team/theirs-made", "likes", "team/ours-team")
        with self.refused(StatusCode.PERMISSION_DENIED):
            self.writes(GRAPH + "UpdateNode", {"path": "ours_doc.plan", "value": 2})
        with self.refused(StatusCode.PERMISSION_DENIED, "role operator"):
            self.operates(ADMIN + "Backup")
        self.writes(GRAPH + "DeregisterService", {"name": "theirs-made"})
        self.writes(GRAPH + "DeleteEntity", {"ref": ref("team/theirs-made")})

    def test_an_operator_within_a_scope_is_told_that_something_is_hidden_and_a_reader_is_not(self):
        for method, start, visible in (
            ("Impact", "theirs-db", "theirs-api"),
            ("Dependencies", "theirs-api", "theirs-db"),
        ):
            request = {"refs": [ref(f"service/{start}")]}
            told = self.operates(QUERY + method, request)
            self.assertEqual([one["ref"]["name"] for one in told["hits"]], [visible])
            self.assertEqual((told["total"], told["hidden"]), (1, 1), method)
            told = self.reads(QUERY + method, request)
            self.assertEqual((told["total"], told["hidden"]), (1, 0), method)
            told = self.root(QUERY + method, request)
            self.assertEqual((told["total"], told["hidden"]), (2, 0), method)

    def test_a_scope_is_by_kind_and_owner_too(self):
        by_kind = self.person("by-kind", grant("READER", kind="team"))[1]
        by_owner = self.person("by-owner", grant("READER", owner="us"))[1]
        reads, writes = grant("READER", kind="service", owner="them"), grant("WRITER", name_prefix="x-")
        both = self.person("by-both", reads, writes)[1]
        self.assertEqual(by_kind(GRAPH + "ListServices")["services"], [])
        self.assertLessEqual({"team": 2}.items(), by_kind(GRAPH + "Describe")["entity_counts"].items())
        self.assertEqual(names(by_owner(GRAPH + "ListServices")["services"]), ["ours-api", "ours-db", "ours-web"])
        self.assertEqual(names(both(GRAPH + "ListServices")["services"]), ["theirs-api", "theirs-db"])
        put(both, "team/x-mine")
        with self.refused(StatusCode.PERMISSION_DENIED):
            put(both, "team/theirs-team")
        self.root(GRAPH + "DeleteEntity", {"ref": ref("team/x-mine")})

    def test_a_scope_is_taken_away_as_it_was_given(self):
        user, _ = self.person("scopes", grant("READER", kind="team"), grant("READER", kind="team", name_prefix="a-"))
        with self.refused(StatusCode.NOT_FOUND, "scopes"):
            self.root(USER + "RemoveRole", {"user_id": user["id"], "role": "READER", "scope": {"kind": "service"}})
        left = self.root(USER + "RemoveRole", {"user_id": user["id"], "role": "READER", "scope": {"kind": "team"}})
        scopes = [(one["scope"]["kind"], one["scope"]["name_prefix"]) for one in left["user"]["grants"]]
        self.assertEqual(scopes, [("team", "a-")])

    def test_an_open_watch_ends_when_its_right_is_taken_away(self):
        user, tenant = self.person("watches", grant("READER", name_prefix="theirs-"))
        watch = tenant(GRAPH + "Watch", {}, timeout=30).started()
        since = time.monotonic()
        self.root(USER + "RemoveRole", {"user_id": user["id"], "role": "READER", "scope": {"name_prefix": "theirs-"}})
        with self.refused(StatusCode.PERMISSION_DENIED):
            for _ in watch:
                pass
        self.assertLess(time.monotonic() - since, SOON_SECONDS)
        with self.refused(StatusCode.PERMISSION_DENIED, "role reader"):
            next(tenant(GRAPH + "Watch", {}, timeout=5))

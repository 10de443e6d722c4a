"""Each file of the replaced system imports, and gives exactly the values that its users knew."""

import collections
import json

import grpc

from harness import (
    GRAPH,
    ORIGINAL,
    QUERY,
    SharedServerTest,
    ServerTest,
    hits,
    import_bytes,
    load_json,
    names,
    needs_original,
    ref,
    written,
)


def services(*found):
    return sorted(f"service/{name}" for name in found)


def reach(edges, start):
    """Everything that can be reached from `start` without `start` itself: the slow and obvious way."""
    seen, waiting = set(), [start]
    while waiting:
        for after in edges[waiting.pop()]:
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return sorted(seen - {start})


class Parity:
    """What holds for each file; a class per file says which values."""

    file = ""

    @classmethod
    def prepare(cls):
        cls.imported = import_bytes(cls.call, (ORIGINAL / cls.file).read_bytes())

    def needed(self):
        """The dependencies in the file itself, by service."""
        raise NotImplementedError

    def test_it_is_one_transaction(self):
        self.assertEqual(self.call("amadeus.v1.AdminService/Status")["revision"], 1)
        self.assertTrue(self.imported["done"])

    def test_impact_and_dependencies_of_every_service_are_the_files_own(self):
        forward, backward = collections.defaultdict(set), collections.defaultdict(set)
        for name, needed in self.needed().items():
            for other in needed:
                forward[name].add(other)
                backward[other].add(name)
        for name in self.needed():
            with self.subTest(service=name):
                self.assertEqual(hits(self.call, "Impact", f"service/{name}"), services(*reach(backward, name)))
                self.assertEqual(hits(self.call, "Dependencies", f"service/{name}"), services(*reach(forward, name)))

    def test_dependencies_stand_in_the_order_of_the_file(self):
        for name, needed in self.needed().items():
            with self.subTest(service=name):
                found = self.call(GRAPH + "GetService", {"name": name})["service"]
                self.assertEqual([one["service"] for one in found["dependencies"]], needed)
                self.assertTrue(found["registered"])
                if needed:
                    node = self.call(GRAPH + "GetNode", {"path": f"services.{name}.dependencies"})
                    self.assertEqual([text.split(":")[0] for text in node["value"]], needed)

    def assert_impact(self, expected):
        for name, count in expected.items():
            reply = self.call(QUERY + "Impact", {"refs": [ref(f"service/{name}")]})
            self.assertEqual((name, reply["total"], len(reply["hits"])), (name, count, count))
            self.assertFalse(reply["truncated"])

    def cycles(self):
        return [names(one["entities"]) for one in self.call(QUERY + "Cycles")["cycles"]]

    def describe(self):
        return self.call(GRAPH + "Describe")


@needs_original
class KnowledgeGraph(Parity, SharedServerTest):
    file = "knowledge_graph.json"

    @classmethod
    def setUpClass(cls):
        cls.content = load_json(ORIGINAL / cls.file)
        super().setUpClass()

    def needed(self):
        return {name: one.get("dependencies") or [] for name, one in self.content["services"].items()}

    def test_counts(self):
        counts = self.describe()
        self.assertEqual(counts["entity_counts"]["service"], 23)
        self.assertEqual(counts["entity_counts"]["pattern"], 1)
        self.assertEqual(counts["relation_counts"]["depends_on"], 19)
        self.assertEqual(len(counts["capabilities"]), 16)
        self.assertEqual(counts["placeholders"], 0)
        listed = self.call(GRAPH + "ListServices")["services"]
        self.assertEqual(names(listed), sorted(self.content["services"]))

    def test_known_impact(self):
        self.assert_impact(
            {"search": 12, "user": 10, "analytics": 10, "security": 10, "notification": 10, "content": 1}
        )
        expected = "admin ai analytics commerce content media messaging nexus notification product security user"
        self.assertEqual(hits(self.call, "Impact", "service/search"), services(*expected.split()))
        self.assertEqual(hits(self.call, "Impact", "service/content"), services("ai"))
        self.assertEqual(hits(self.call, "Dependencies", "service/product"), services("search"))

    def test_known_cycle(self):
        self.assertEqual(self.cycles(), [["analytics", "notification", "security", "user"]])

    def test_every_leaf_outside_the_services_is_read_back_by_its_path(self):
        def leaves(path, value):
            if isinstance(value, dict) and value:
                for key, below in value.items():
                    plain = key.replace("_", "").replace("-", "").isalnum()
                    part = key if plain else json.dumps(key)
                    yield from leaves(f"{path}.{part}" if path else part, below)
            elif isinstance(value, list) and value:
                for index, below in enumerate(value):
                    yield from leaves(f"{path}[{index}]", below)
            else:
                yield path, value

        sections = {key: value for key, value in self.content.items() if isinstance(value, dict)}
        sections = {key: value for key, value in sections.items() if key not in ("services", "patterns")}
        wrong = []
        for path, value in leaves("", sections):
            found = self.call(GRAPH + "GetNode", {"path": path})["value"]
            if found != value:
                wrong.append((path, value, found))
        self.assertEqual(wrong, [])
        for path, value in sections.items():
            self.assertEqual(self.call(GRAPH + "GetNode", {"path": path})["value"], value)

    def test_every_service_is_read_back_in_the_files_own_shape(self):
        for name, one in self.content["services"].items():
            for key, value in one.get("metadata", {}).items():
                with self.subTest(service=name, key=key):
                    path = f"services.{name}.metadata.{key}"
                    if value in ({}, [], ""):
                        continue
                    found = self.call(GRAPH + "GetNode", {"path": path})["value"]
                    if key == "endpoints":
                        for theirs, ours in zip(value, found):
                            self.assertEqual(theirs, {key: ours.get(key) for key in theirs})
                    else:
                        self.assertEqual(found, value)

    def test_the_version_of_the_file_is_kept(self):
        self.assertEqual(self.call(GRAPH + "GetNode", {"path": "version"})["value"], "1.0.21")


@needs_original
class ServiceGraph(Parity, SharedServerTest):
    file = "service_graph.json"

    @classmethod
    def setUpClass(cls):
        cls.content = load_json(ORIGINAL / cls.file)
        super().setUpClass()

    def needed(self):
        needed = {name: [] for name in self.content["services"]}
        for edge in self.content["dependencies"]:
            needed[edge["from"]].append(edge["to"])
        return needed

    def test_counts(self):
        counts = self.describe()
        self.assertEqual(counts["entity_counts"]["service"], 21)
        self.assertEqual(counts["relation_counts"], {"depends_on": 19})

    def test_known_cycle(self):
        self.assertEqual(self.cycles(), [["analytics", "notification", "security", "user"]])


@needs_original
class ServiceRegistration(Parity, SharedServerTest):
    file = "service_registration.json"

    @classmethod
    def setUpClass(cls):
        cls.content = load_json(ORIGINAL / cls.file)
        super().setUpClass()

    def needed(self):
        return {one["name"]: one["dependencies"] for one in self.content}

    def providers(self, capability):
        return names(self.call(QUERY + "FindByCapability", {"all_of": [capability]})["services"])

    def test_counts(self):
        counts = self.describe()
        self.assertEqual(counts["entity_counts"]["service"], 21)
        self.assertEqual(counts["relation_counts"]["depends_on"], 25)
        listed = self.call(GRAPH + "ListServices")["services"]
        self.assertEqual(sum(len(one["schema"]["methods"]) for one in listed if "schema" in one), 257)

    def test_known_impact(self):
        self.assert_impact(
            {"search": 14, "user": 12, "analytics": 12, "content": 12, "notification": 12, "security": 12}
        )

    def test_known_cycle(self):
        self.assertEqual(self.cycles(), [["analytics", "content", "notification", "security", "user"]])

    def test_direct_dependents_of_user(self):
        reply = self.call(QUERY + "Impact", {"refs": [ref("service/user")], "budget": {"max_depth": 1}})
        direct = sorted(one["ref"]["name"] for one in reply["hits"])
        self.assertEqual(direct, ["admin", "analytics", "media", "security", "talent", "waitlist"])
        self.assertTrue(all(one["depth"] == 1 for one in reply["hits"]))
        listed = self.call(
            GRAPH + "ListRelations", {"ref": ref("service/user"), "direction": "IN", "relation": "depends_on"}
        )
        self.assertEqual(sorted(one["from"]["name"] for one in listed["relations"]), direct)

    def test_providers(self):
        self.assertEqual(self.providers("authorization"), ["admin", "security", "user"])
        self.assertEqual(self.providers("authentication"), ["security", "user"])
        self.assertEqual(self.providers("user_mgmt"), ["admin", "user"])
        self.assertEqual(self.providers("referral"), ["referral", "user"])

    def test_fields_without_a_place_come_out_again(self):
        for one in self.content:
            found = self.call(GRAPH + "GetService", {"name": one["name"]})["service"]["metadata"]
            for key in ("action_map", "metadata_enrichment"):
                self.assertEqual(found[key], one[key], one["name"])
            self.assertEqual(
                self.call(GRAPH + "GetNode", {"path": f"services.{one['name']}.metadata.action_map"})["value"],
                one["action_map"],
            )


class OlderForm(ServerTest):
    def test_services_nested_in_categories_are_refused_and_named(self):
        nested = {
            "version": "1.0.0",
            "last_updated": "2025-05-01T00:00:00Z",
            "services": {
                "core_services": {"auth_service": {"purpose": "signs users in", "location": "internal/auth"}},
                "token_services": {"wallet": {"purpose": "keeps tokens", "integration_points": ["exchange"]}},
            },
            "patterns": {},
        }
        self.serve()
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "services"):
            import_bytes(self.call, json.dumps(nested).encode())
        self.assertEqual(self.call("amadeus.v1.AdminService/Status")["revision"], 0)


@needs_original
class CommandLine(ServerTest):
    def test_the_command_line_agrees(self):
        self.serve()
        self.server.cli("import", str(ORIGINAL / "service_registration.json"))
        impact = json.loads(self.server.cli("impact", "service/search", "-o", "json").stdout)
        self.assertEqual(impact["total"], 14)
        cycles = json.loads(self.server.cli("cycles", "-o", "json").stdout)
        found = [[written(one) for one in cycle["entities"]] for cycle in cycles["cycles"]]
        self.assertEqual(found, [services("analytics", "content", "notification", "security", "user")])

"""Every question about the graph, against slow and obvious answers on random graphs."""

import collections
import json

import grpc

from harness import (
    BOUTIQUE,
    GRAPH,
    QUERY,
    SharedServerTest,
    export_bytes,
    import_bytes,
    names,
    ref,
    seeded,
    size,
    written,
)


class Oracle:
    """A directed graph as two dictionaries of sets."""

    def __init__(self, edges, nodes):
        self.nodes = sorted(nodes)
        self.out, self.into = collections.defaultdict(set), collections.defaultdict(set)
        for start, end in edges:
            self.out[start].add(end)
            self.into[end].add(start)

    def depths(self, start, edges, limit=10**9):
        found, level = {start: 0}, [start]
        for depth in range(1, len(self.nodes) + 1):
            if depth > limit:
                break
            level = sorted({after for one in level for after in edges[one]} - found.keys())
            found.update({one: depth for one in level})
        del found[start]
        return found

    def cycles(self):
        reach = {
            one: self.depths(one, self.out).keys() | ({one} if one in self.depths_from_next(one) else set())
            for one in self.nodes
        }
        groups = set()
        for one in self.nodes:
            group = frozenset({one} | {other for other in reach[one] if one in reach[other]})
            if len(group) > 1:
                groups.add(group)
        return sorted(sorted(group) for group in groups)

    def depths_from_next(self, one):
        return {found for after in self.out[one] for found in self.depths(after, self.out).keys() | {after}}


class RandomGraphs(SharedServerTest):
    @classmethod
    def prepare(cls):
        rng = seeded("RandomGraphs")
        count = size(40, 150)
        cls.nodes = [f"n{index:03}" for index in range(count)]
        cls.edges = set()
        while len(cls.edges) < count * 2:
            start, end = rng.sample(cls.nodes, 2)
            # Mostly downhill, so that there are levels as well as a few cycles.
            if start > end or rng.random() < 0.06:
                cls.edges.add((start, end))
        # Chance leaves a graph without a cycle now and then.
        cls.edges |= {("n000", "n001"), ("n001", "n000")}
        needed = collections.defaultdict(list)
        for start, end in sorted(cls.edges):
            needed[start].append({"service": end})
        mutations = [
            {
                "register_service": {
                    "service": {"name": one, "dependencies": needed[one], "capabilities": rng.sample("abcde", 2)}
                }
            }
            for one in cls.nodes
        ]
        cls.capabilities = {
            one["register_service"]["service"]["name"]: set(one["register_service"]["service"]["capabilities"])
            for one in mutations
        }
        cls.call(GRAPH + "Commit", {"mutations": mutations})
        cls.oracle = Oracle(cls.edges, cls.nodes)

    def found(self, method, name, **request):
        reply = self.call(QUERY + method, {"refs": [ref(f"service/{name}")], **request})
        return {one["ref"]["name"]: one["depth"] for one in reply["hits"]}, reply

    def test_impact_and_dependencies(self):
        for name in self.nodes:
            for method, edges in (("Impact", self.oracle.into), ("Dependencies", self.oracle.out)):
                found, reply = self.found(method, name)
                expected = self.oracle.depths(name, edges)
                self.assertEqual(found, expected)
                self.assertEqual(reply["total"], len(expected))
                for one in reply["hits"]:
                    path = names(one["path"])
                    self.assertEqual((path[0], path[-1], len(path)), (name, one["ref"]["name"], one["depth"] + 1))
                    self.assertTrue(all(after in edges[before] for before, after in zip(path, path[1:])))
                order = [(one["depth"], one["ref"]["name"]) for one in reply["hits"]]
                self.assertEqual(order, sorted(order))

    def test_a_depth_cuts_the_question(self):
        for name in self.nodes[:20]:
            for depth in (1, 2, 3):
                found, _ = self.found("Impact", name, budget={"max_depth": depth})
                self.assertEqual(found, self.oracle.depths(name, self.oracle.into, depth))

    def test_shortest_paths(self):
        for start in self.nodes[:: max(1, len(self.nodes) // 20)]:
            depths = self.oracle.depths(start, self.oracle.out)
            for end in self.nodes[:: max(1, len(self.nodes) // 20)]:
                if start == end:
                    continue
                request = {"from": ref(f"service/{start}"), "to": ref(f"service/{end}")}
                if end in depths:
                    path = names(self.call(QUERY + "FindPath", request)["path"])
                    self.assertEqual((path[0], path[-1], len(path) - 1), (start, end, depths[end]))
                    self.assertTrue(all(pair in self.edges for pair in zip(path, path[1:])))
                else:
                    with self.refused(grpc.StatusCode.NOT_FOUND):
                        self.call(QUERY + "FindPath", request)

    def test_cycles(self):
        found = [names(one["entities"]) for one in self.call(QUERY + "Cycles")["cycles"]]
        self.assertEqual(sorted(found), self.oracle.cycles())
        self.assertTrue(found, "the random graph should have a cycle")

    def test_the_start_order_needs_only_what_came_before(self):
        reply = self.call(QUERY + "StartOrder")
        level = {one["name"]: number for number, group in enumerate(reply["levels"]) for one in group["entities"]}
        self.assertEqual(sorted(level), self.nodes)
        cycles = [set(names(one["entities"])) for one in reply["cycles"]]
        self.assertEqual(sorted(map(sorted, cycles)), self.oracle.cycles())
        for start, end in self.edges:
            together = any({start, end} <= cycle for cycle in cycles)
            if together:
                self.assertEqual(level[start], level[end])
            else:
                self.assertLess(level[end], level[start], (start, end))

    def test_capabilities(self):
        for all_of, any_of in [("a", ""), ("ab", ""), ("", "cd"), ("a", "bc"), ("abc", "")]:
            reply = self.call(QUERY + "FindByCapability", {"all_of": list(all_of), "any_of": list(any_of)})
            expected = [
                one
                for one in self.nodes
                if set(all_of) <= self.capabilities[one] and (not any_of or set(any_of) & self.capabilities[one])
            ]
            self.assertEqual(names(reply["services"]), expected)

    def test_neighbours_and_subgraphs(self):
        for name in self.nodes[:15]:
            for direction, wanted in [
                ("OUT", self.oracle.out[name]),
                ("IN", self.oracle.into[name]),
                ("BOTH", self.oracle.out[name] | self.oracle.into[name]),
            ]:
                reply = self.call(QUERY + "Neighbors", {"ref": ref(f"service/{name}"), "direction": direction})
                self.assertEqual({one["ref"]["name"] for one in reply["hits"]}, set(wanted))
            reply = self.call(QUERY + "Subgraph", {"refs": [ref(f"service/{name}")], "direction": "OUT", "depth": 2})
            inside = set(self.oracle.depths(name, self.oracle.out, 2)) | {name}
            self.assertEqual({one["ref"]["name"] for one in reply["entities"]}, inside)
            pairs = {(one["from"]["name"], one["to"]["name"]) for one in reply["relations"]}
            self.assertEqual(pairs, {pair for pair in self.edges if set(pair) <= inside})

    def test_relations_agree_in_both_directions(self):
        pairs = set()
        for name in self.nodes:
            for one in self.call(GRAPH + "ListRelations", {"ref": ref(f"service/{name}"), "direction": "OUT"})[
                "relations"
            ]:
                pairs.add((one["from"]["name"], one["to"]["name"]))
        self.assertEqual(pairs, self.edges)


class Boutique(SharedServerTest):
    @classmethod
    def prepare(cls):
        import_bytes(cls.call, BOUTIQUE.read_bytes())

    def test_who_breaks_if_currency_goes_down(self):
        found = self.call(QUERY + "Impact", {"refs": [ref("service/currency")]})
        self.assertEqual(
            [written(one["ref"]) for one in found["hits"]],
            ["service/checkout", "service/frontend", "service/load-generator"],
        )

    def test_the_start_order(self):
        levels = [names(one["entities"]) for one in self.call(QUERY + "StartOrder")["levels"]]
        self.assertEqual(levels[-1], ["load-generator"])
        self.assertEqual(levels[-2], ["frontend"])

    def test_impact_follows_other_relations_when_asked(self):
        found = self.call(
            QUERY + "Impact", {"refs": [ref("datastore/redis-cart")], "relations": ["uses", "depends_on"]}
        )
        self.assertEqual([one["ref"]["name"] for one in found["hits"]][:1], ["cart"])
        self.assertIn("load-generator", [one["ref"]["name"] for one in found["hits"]])

    def test_search_finds_words_anywhere(self):
        for text, wanted in [
            ("REDIS", "datastore/redis-cart"),
            ("credit card", "service/payment"),
            ("GetQuote", "service/shipping"),
        ]:
            with self.subTest(text=text):
                found = [written(one["ref"]) for one in self.call(QUERY + "Search", {"text": text})["entities"]]
                self.assertIn(wanted, found)
        kinds = {
            one["ref"]["kind"]
            for one in self.call(QUERY + "Search", {"text": "payments", "kinds": ["team"]})["entities"]
        }
        self.assertEqual(kinds, {"team"})

    def test_pictures_are_the_same_every_time(self):
        for form, sign in [("MERMAID", "graph"), ("DOT", "digraph"), ("JSON", "nodes"), ("SVG", "<svg")]:
            with self.subTest(form=form):
                first = self.call(QUERY + "Visualize", {"format": form})
                again = self.call(QUERY + "Visualize", {"format": form})
                self.assertEqual(first["body"], again["body"])
                if form == "MERMAID":
                    self.assertTrue(first["body"].lstrip().startswith(("graph", "flowchart")))
                else:
                    self.assertIn(sign, first["body"])
                self.assertIn("checkout", first["body"])
        around = self.call(QUERY + "Visualize", {"format": "JSON", "root": ref("service/cart"), "depth": 1})
        self.assertNotIn("shipping", json.dumps(json.loads(around["body"])["nodes"]))

    def test_documentation_names_what_there_is(self):
        body = self.call(QUERY + "GenerateDocs", {"ref": ref("service/checkout")})["body"]
        for word in ("checkout", "payment", "PlaceOrder", "frontend"):
            self.assertIn(word, body)

    def test_every_form_of_export_is_the_same_every_time(self):
        for form in ("JSON", "MERMAID", "DOT", "SVG", "CSV"):
            first = export_bytes(self.call, form)
            self.assertTrue(first)
            self.assertEqual(first, export_bytes(self.call, form), form)

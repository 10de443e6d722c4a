"""Import and export: our own form byte for byte, files whole or refused with every fault, and long CSV streams."""

import base64
import collections
import io
import json
import re
import time

import grpc

import harness
from harness import (
    BOUTIQUE,
    GRAPH,
    ORIGINAL,
    QUERY,
    ServerTest,
    every_page,
    export_bytes,
    hits,
    import_bytes,
    needs_original,
    put,
    ref,
    register,
    relate,
    seeded,
    size,
    status,
    written,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def csv_of(edges):
    lines = io.StringIO()
    lines.write("from,relation,to\n")
    for start, end in edges:
        lines.write(f"package/p{start},depends_on,package/p{end}\n")
    return lines.getvalue().encode()


def scale_free(entities, relations):
    """Preferential attachment: a few packages are needed by almost everybody. The same for the same seed."""
    rng = seeded("scale_free")
    edges, ends = {(1, 0): None}, [0, 0, 1]
    for start in range(2, entities):
        for _ in range(max(1, round((relations - len(edges)) / (entities - start)))):
            end = rng.choice(ends) if rng.random() < 0.9 else rng.randrange(start)
            if end != start and (start, end) not in edges:
                edges[start, end] = None
                ends.append(end)
        ends.append(start)
    edges = list(edges)
    rng.shuffle(edges)
    return edges


class OwnForm(ServerTest):
    def test_the_example_round_trips_byte_for_byte(self):
        content = BOUTIQUE.read_bytes()
        self.serve()
        reply = import_bytes(self.call, content, reason="test")
        self.assertTrue(reply["done"])
        self.assertEqual(status(self.call)["revision"], 1)
        self.assertEqual(export_bytes(self.call), content)
        again = import_bytes(self.call, content)
        self.assertEqual(status(self.call)["revision"], 1, "importing the same file again changed something")
        self.assertEqual((again["entities_created"], again["relations_created"]), (0, 0))

    def test_whatever_the_graph_holds_comes_back_from_its_export(self):
        self.serve()
        register(
            self.call,
            "a",
            "b",
            "ghost",
            category="x",
            owner="o",
            capabilities=["z", "y"],
            models=["M"],
            metadata={"k": {"b": 1, "a": [None, 1.5, "é\n"]}},
            health="UP",
        )
        register(self.call, "b", "a")
        put(self.call, "zone/eu west", note='a "quoted" word', big=2**53, small=1e-9)
        put(self.call, "zone/empty")
        relate(self.call, "service/a", "runs_in", "zone/eu west", since=2020)
        self.call(GRAPH + "UpdateNode", {"path": 'documents."a.b"', "value": [1, {"c": []}]})
        self.call(GRAPH + "UpdateNode", {"path": "plain", "value": "text"})
        first = export_bytes(self.call)
        other = self.serve(folder=self.folder / "other")
        call = other.client().call
        import_bytes(call, first)
        self.assertEqual(export_bytes(call), first)
        self.assertEqual(status(call)["hash"], status(self.call)["hash"])
        self.assertEqual(call(GRAPH + "GetService", {"name": "ghost"})["service"]["registered"], False)

    def test_an_old_revision_exports_as_it_was(self):
        self.serve()
        register(self.call, "a")
        first = export_bytes(self.call)
        register(self.call, "b")
        self.assertNotEqual(export_bytes(self.call), first)
        self.assertEqual(export_bytes(self.call, consistency={"at_exact": 1}), first)

    def test_every_fault_is_listed_by_its_path_and_nothing_is_imported(self):
        self.serve()
        faulty = {
            "amadeus": 1,
            "entities": [{"kind": "", "name": "x"}, {"kind": "ok", "name": "fine"}],
            "services": [{"name": "a", "dependencies": [{"service": "a"}]}, {"name": "b", "capabilities": [""]}],
            "relations": [{"from": "ok/fine", "relation": "uses", "to": "ok/absent"}],
        }
        with self.refused(INVALID, "entities[0]", "services[0].dependencies", "services[1].capabilities"):
            import_bytes(self.call, json.dumps(faulty).encode())
        self.assertEqual(status(self.call)["revision"], 0)

    def test_a_dry_run_changes_nothing(self):
        self.serve()
        import_bytes(self.call, BOUTIQUE.read_bytes(), dry_run=True)
        self.assertEqual(status(self.call)["revision"], 0)
        with self.refused(INVALID):
            import_bytes(self.call, b'{"amadeus": 1, "entities": [{"kind": "", "name": "x"}]}', dry_run=True)

    def test_the_chunks_may_be_cut_anywhere(self):
        self.serve()
        import_bytes(self.call, BOUTIQUE.read_bytes(), chunk=97)
        self.assertEqual(export_bytes(self.call), BOUTIQUE.read_bytes())

    def test_a_file_of_too_many_mutations_is_refused_with_the_count(self):
        self.serve()
        entities = [{"kind": "k", "name": f"{index:06}"} for index in range(100_001)]
        content = json.dumps({"amadeus": 1, "entities": entities}).encode()
        with self.assertRaises(grpc.RpcError) as caught:
            import_bytes(self.call, content)
        self.assertIn(caught.exception.code(), (INVALID, grpc.StatusCode.RESOURCE_EXHAUSTED))
        self.assertIn("100001", caught.exception.details().replace(",", "").replace("_", ""))
        self.assertEqual(status(self.call)["revision"], 0)

    def test_an_import_of_100_000_mutations_is_one_transaction(self):
        count = size(20_000, 100_000)
        self.serve()
        entities = [{"kind": "k", "name": f"{index:06}"} for index in range(count)]
        import_bytes(self.call, json.dumps({"amadeus": 1, "entities": entities}).encode())
        self.assertEqual((status(self.call)["revision"], status(self.call)["entities"]), (1, count))

    @needs_original
    def test_the_originals_files_export_and_import_again(self):
        for file in sorted(ORIGINAL.glob("*.json")):
            with self.subTest(file=file.name):
                first = self.serve(folder=self.folder / f"{file.stem}-1").client().call
                import_bytes(first, file.read_bytes())
                exported = export_bytes(first)
                second = self.serve(folder=self.folder / f"{file.stem}-2").client().call
                import_bytes(second, exported)
                self.assertEqual(export_bytes(second), exported)
                self.assertEqual(status(second)["hash"], status(first)["hash"])


class Streams(ServerTest):
    def test_csv_creates_what_is_missing_and_reads_requires_as_depends_on(self):
        self.serve()
        register(self.call, "known")
        import_bytes(
            self.call, b"from,relation,to\nservice/known,requires,service/unknown\nhost/a,runs,service/known\n"
        )
        self.assertEqual(hits(self.call, "Impact", "service/unknown"), ["service/known"])
        self.assertFalse(self.call(GRAPH + "GetService", {"name": "unknown"})["service"]["registered"])
        self.assertTrue(self.call(GRAPH + "GetService", {"name": "known"})["service"]["registered"])
        self.assertTrue(self.call(GRAPH + "GetEntity", {"ref": ref("host/a")}))

    def test_quoted_fields_and_other_line_ends(self):
        self.serve()
        import_bytes(self.call, b'from,relation,to\r\n"k/a, b",likes,"k/say ""hi"""\r\n', format="CSV")
        found = self.call(GRAPH + "ListEntities", {"kind": "k"})["entities"]
        self.assertEqual([written(one["ref"]) for one in found], ["k/a, b", 'k/say "hi"'])

    def test_a_stream_says_what_is_durable_and_a_repetition_goes_on(self):
        edges = scale_free(3_000, 25_000)
        content = csv_of(edges)
        self.serve()
        replies = import_bytes(self.call, content, method="ImportStream", request_id="long-import")
        self.assertGreaterEqual(len(replies), 3)
        self.assertTrue(replies[-1]["done"])
        self.assertFalse(any(one["done"] for one in replies[:-1]))
        self.assertEqual([one["rows"] for one in replies], sorted(one["rows"] for one in replies))
        self.assertEqual(replies[-1]["rows"], len(edges))
        before = status(self.call)
        self.assertEqual(before["relations"], len(edges))
        again = import_bytes(self.call, content, method="ImportStream", request_id="long-import")
        self.assertTrue(again[-1]["done"])
        self.assertEqual(status(self.call)["revision"], before["revision"])

    def test_an_import_cut_by_a_kill_goes_on_with_the_same_request_id(self):
        edges = scale_free(4_000, 45_000)
        content = csv_of(edges)
        self.serve()

        def kill_after_the_first_chunk():
            for _ in self.call(GRAPH + "ImportStream", self.messages(content), timeout=120):
                self.server.kill()

        with self.assertRaises(grpc.RpcError):
            kill_after_the_first_chunk()
        self.server.start()
        self.call = self.server.client().call
        part = status(self.call)["relations"]
        self.assertGreaterEqual(part, 9_000)
        replies = list(self.call(GRAPH + "ImportStream", self.messages(content), timeout=120))
        self.assertTrue(replies[-1]["done"])
        self.assertEqual(status(self.call)["relations"], len(edges))

    def messages(self, content):
        yield {"options": {"format": "CSV", "request_id": "cut"}}
        for start in range(0, len(content), 65_536):
            yield {"chunk": base64.b64encode(content[start : start + 65_536]).decode()}

    def test_a_bad_row_is_named_by_its_line(self):
        self.serve()
        rows = b"from,relation,to\n" + b"k/a,likes,k/b\n" * 3
        for bad in (
            b"k/a,likes\n",
            b"k/,likes,k/b\n",
            b"k/a,,k/b\n",
            b"k/\x01,likes,k/b\n",
            b"k/\xff,likes,k/b\n",
        ):
            with self.subTest(row=bad), self.refused(INVALID, "5"):
                import_bytes(self.call, rows + bad, format="CSV")


class Scale(ServerTest):
    """A real system's size; `--long` for 68,000 entities and 304,000 relations, time limits with a release binary."""

    def test_a_large_graph_imports_answers_and_restarts(self):
        entities, relations = size(4_000, 68_000), size(18_000, 304_000)
        edges = scale_free(entities, relations)
        content = csv_of(edges)
        path = self.folder / "relations.csv"
        path.write_bytes(content)
        self.serve()
        imported = self.clock(lambda: self.server.cli("import", str(path)))
        now = status(self.call)
        self.assertEqual((now["entities"], now["relations"]), (entities, len(edges)))
        self.within("import", imported, 60)
        dependents = collections.defaultdict(list)
        for start, end in edges:
            dependents[end].append(start)
        seen, level, depth, expected = {0}, [0], 0, []
        while level:
            depth += 1
            level = sorted({one for before in level for one in dependents[before]} - seen, key=lambda one: f"p{one}")
            seen.update(level)
            expected += [(depth, f"p{one}") for one in level]
        hub = {"refs": [ref("package/p0")]}
        first = self.call(QUERY + "Impact", hub)
        self.assertEqual(first["total"], len(expected))
        inside = min(self.inside("Impact", lambda: self.call(QUERY + "Impact", hub)) for _ in range(10))
        self.within(f"first page of an impact of {len(expected)}, inside the server", inside, 0.02)
        first_page = min(self.clock(lambda: self.call(QUERY + "Impact", hub)) for _ in range(5))
        self.within("first page of impact, with Python's decoding", first_page, 0.25)
        found, replies = every_page(self.call, QUERY + "Impact", hub, "hits")
        self.assertEqual([(one["depth"], one["ref"]["name"]) for one in found], expected)
        self.assertEqual(len({one["header"]["revision"] for one in replies}), 1)
        put(self.call, "package/new")
        leaf = f"package/p{entities - 1}"
        to_hub, to_leaf = [], []
        for index in range(100):
            put(self.call, f"package/new{index}")
            to_hub.append(self.clock(lambda: relate(self.call, f"package/new{index}", "depends_on", "package/p0")))
            to_leaf.append(self.clock(lambda: relate(self.call, f"package/new{index}", "depends_on", leaf)))
        ratio = sorted(to_hub)[50] / sorted(to_leaf)[50]
        print(f"    a relation to the hub costs {ratio:.2f} x one to a leaf")
        if harness.TIMED:
            self.assertLess(ratio, 1.5)
        now = status(self.call)
        self.server.kill()
        self.within("restart after a kill", self.clock(self.server.start), 5)
        after = status(self.server.client().call)
        self.assertEqual((after["revision"], after["hash"]), (now["revision"], now["hash"]))

    def inside(self, method, work):
        """Seconds that the server took by its own account."""

        def spent():
            found = re.search(
                f'^grpc_server_handling_seconds_sum{{.*"{method}".*}} (.*)$', self.server.get("/metrics")[1], re.M
            )
            return float(found[1]) if found else 0.0

        before = spent()
        work()
        return spent() - before

    def clock(self, work):
        started = time.monotonic()
        work()
        return time.monotonic() - started

    def within(self, what, took, limit):
        print(f"    {what}: {took:.3f} s")
        if harness.TIMED:
            self.assertLess(took, limit, what)

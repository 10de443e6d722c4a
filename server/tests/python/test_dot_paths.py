"""Dot paths read and write any node: free documents, and services in the shape that the original gave them."""

import grpc

from harness import GRAPH, SharedServerTest, export_bytes, hits, names, register, revision, status

MISSING = grpc.StatusCode.NOT_FOUND


class DotPaths(SharedServerTest):
    def read(self, path, **request):
        return self.call(GRAPH + "GetNode", {"path": path, **request})["value"]

    def write(self, path, value, **request):
        return self.call(GRAPH + "UpdateNode", {"path": path, "value": value, **request})

    def delete(self, path, **request):
        return self.call(GRAPH + "DeleteNode", {"path": path, **request})

    def assert_missing(self, path):
        with self.refused(MISSING):
            self.read(path)

    def test_values_of_every_type_come_back_as_they_were(self):
        for index, value in enumerate(
            [None, True, False, 0, -1.5, 2**53, -(2**53), "", "text", [], {}, [[], {}], {"a": {"b": [1, None]}}]
        ):
            with self.subTest(value=value):
                self.write(f"types.t{index}", value)
                self.assertEqual(self.read(f"types.t{index}"), value)

    def test_missing_parents_are_created(self):
        self.write("made.by.one.write", 1)
        self.assertEqual(self.read("made"), {"by": {"one": {"write": 1}}})

    def test_an_index_may_equal_the_length(self):
        self.write("grown", [])
        self.write("grown[0]", "a")
        self.write("grown[1]", "b")
        self.write("grown[0]", "A")
        self.assertEqual(self.read("grown"), ["A", "b"])
        self.assertEqual(self.read("grown[1]"), "b")
        self.assert_missing("grown[2]")

    def test_lists_in_lists(self):
        self.write("matrix", [[1, 2], [3, 4]])
        self.write("matrix[1][0]", 30)
        self.assertEqual(self.read("matrix"), [[1, 2], [30, 4]])

    def test_a_key_that_contains_a_dot_a_quote_or_a_bracket_is_quoted(self):
        for part, key in [
            ('"a.b"', "a.b"),
            ('"say \\"x\\""', 'say "x"'),
            ('"list[0]"', "list[0]"),
            ('"snow \\u2603"', "snow ☃"),
            ('" "', " "),
            ('""', ""),
        ]:
            if key == "":
                continue
            with self.subTest(key=key):
                self.write(f"quoted.{part}.inside", key)
                self.assertEqual(self.read(f"quoted.{part}"), {"inside": key})
                self.assertIn(key, self.read("quoted"))

    def test_deleting_removes_one_value(self):
        self.write("gone", {"a": 1, "b": [1, 2, 3]})
        self.delete("gone.b[1]")
        self.assertEqual(self.read("gone"), {"a": 1, "b": [1, 3]})
        self.delete("gone.a")
        self.assert_missing("gone.a")
        self.delete("gone")
        self.assert_missing("gone")
        with self.refused(MISSING):
            self.delete("gone")

    def test_writing_what_stands_there_makes_no_revision(self):
        self.write("same", {"a": [1, 2]})
        before = status(self.call)["revision"]
        reply = self.write("same", {"a": [1, 2]})
        self.assertFalse(reply["changed"])
        self.assertEqual(status(self.call)["revision"], before)

    def test_a_returned_value_is_no_window_into_the_graph(self):
        self.write("alias", {"list": [1]})
        found = self.read("alias")
        found["list"].append(2)
        self.assertEqual(self.read("alias"), {"list": [1]})

    def test_services_are_read_in_the_shape_of_the_original(self):
        register(
            self.call,
            "shaped",
            category="core",
            version="v2",
            capabilities=["b", "a"],
            health_check="/health",
            models=["M"],
            schema={"proto_path": "a.proto", "methods": ["Do"]},
            endpoints=[{"path": "/do", "method": "POST"}],
            metadata={"tier": 1},
        )
        self.call(GRAPH + "AddDependency", {"name": "shaped", "dependency": {"service": "first", "version": "v1"}})
        self.call(GRAPH + "AddDependency", {"name": "shaped", "dependency": {"service": "another"}})
        self.assertEqual(self.read("services.shaped.dependencies"), ["first:v1", "another"])
        self.assertEqual(self.read("services.shaped.dependencies[0]"), "first:v1")
        self.assertEqual(self.read("services.shaped.capabilities"), ["b", "a"])
        self.assertEqual(self.read("services.shaped.metadata.capabilities"), ["b", "a"])
        self.assertEqual(self.read("services.shaped.metadata.schema.methods[0]"), "Do")
        self.assertEqual(self.read("services.shaped.schema.proto_path"), "a.proto")
        self.assertEqual(self.read("services.shaped.endpoints[0].path"), "/do")
        self.assertEqual(self.read("services.shaped.models"), ["M"])
        self.assertEqual(self.read("services.shaped.metadata.tier"), 1)
        self.assertEqual(self.read("services.shaped.category"), "core")
        self.assertEqual(self.read("services.shaped")["name"], "shaped")
        self.assert_missing("services.shaped.nothing")
        self.assertIn("shaped", self.read("services"))

    def test_services_are_written_through_the_same_rules(self):
        register(self.call, "typed", "one")
        self.write("services.typed.dependencies", ["two:v3", "one"])
        found = self.call(GRAPH + "GetService", {"name": "typed"})["service"]
        self.assertEqual(
            [(one["service"], one["version"]) for one in found["dependencies"]], [("two", "v3"), ("one", "")]
        )
        self.assertEqual(hits(self.call, "Impact", "service/two"), ["service/typed"])
        self.write("services.typed.dependencies[2]", "three")
        self.assertEqual(hits(self.call, "Impact", "service/three"), ["service/typed"])
        self.write("services.typed.metadata.capabilities", ["pay"])
        self.assertEqual(self.read("services.typed.capabilities"), ["pay"])
        listed = self.call(GRAPH + "ListServices", {"capability": "pay"})["services"]
        self.assertEqual(names(listed), ["typed"])
        self.write("services.typed.metadata.anything", {"goes": True})
        self.assertEqual(
            self.call(GRAPH + "GetService", {"name": "typed"})["service"]["metadata"], {"anything": {"goes": True}}
        )
        self.delete("services.typed.dependencies[0]")
        self.assertEqual(self.read("services.typed.dependencies"), ["one", "three"])
        self.assertEqual(hits(self.call, "Impact", "service/two") if self.stands("two") else [], [])

    def stands(self, name):
        try:
            return self.call(GRAPH + "GetService", {"name": name})
        except grpc.RpcError as error:
            self.assertEqual(error.code(), MISSING)
            return None

    def test_a_whole_service_is_written_and_removed_by_path(self):
        self.write(
            "services.whole",
            {"name": "whole", "category": "x", "dependencies": ["part"], "metadata": {"version": "v9"}},
        )
        found = self.call(GRAPH + "GetService", {"name": "whole"})["service"]
        self.assertEqual((found["category"], found["version"], found["registered"]), ("x", "v9", True))
        self.delete("services.whole")
        self.assertIsNone(self.stands("whole"))
        self.assertIsNone(self.stands("part"), "a placeholder outlived its last incoming relation")

    def test_a_name_with_a_dot_is_one_part(self):
        register(self.call, "api.v1", category="dotted")
        self.assertEqual(self.read('services."api.v1".category'), "dotted")
        self.write('services."api.v1".category', "renamed")
        self.assertEqual(self.call(GRAPH + "GetService", {"name": "api.v1"})["service"]["category"], "renamed")

    def test_expected_revisions_hold_for_sections(self):
        # Zero is about this very path, any other number about the section that it lies in.
        first = revision(self.write("guarded.a", 1, expected_revision=0))
        with self.refused(grpc.StatusCode.ALREADY_EXISTS, "guarded.a"):
            self.write("guarded.a", 2, expected_revision=0)
        second = revision(self.write("guarded.b", 1, expected_revision=0))
        with self.refused(grpc.StatusCode.ABORTED):
            self.write("guarded.a", 2, expected_revision=first)
        third = revision(self.write("guarded.a", 2, expected_revision=second))
        self.assertEqual(self.read("guarded", consistency={"at_exact": first}), {"a": 1})
        self.assertEqual(self.read("guarded", consistency={"at_exact": second}), {"a": 1, "b": 1})
        self.assertEqual(self.read("guarded", consistency={"at_exact": third}), {"a": 2, "b": 1})

    def test_expected_revisions_hold_for_the_entity_of_a_typed_body(self):
        at = revision(register(self.call, "guarded", "needed"))
        with self.refused(grpc.StatusCode.ALREADY_EXISTS):
            self.write("services.guarded.category", "x", expected_revision=0)
        with self.refused(grpc.StatusCode.ABORTED):
            self.write("services.guarded.category", "x", expected_revision=at + 1)
        self.write("services.guarded.category", "x", expected_revision=at)
        with self.refused(grpc.StatusCode.ABORTED):
            self.delete("services.guarded.category", expected_revision=at)

    def test_documents_are_exported(self):
        self.write("exported.part", [1, {"a": "ü"}])
        self.assertIn("ü", export_bytes(self.call).decode())

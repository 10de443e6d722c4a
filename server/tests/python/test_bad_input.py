"""Bad input of every kind gets the promised code and a message that names the field; the server lives and nothing changes.

One table: a name, the call, the code (or codes, where two rules of the contract apply at once), and words of which the
message or its `google.rpc.BadRequest` details must contain one.
"""

import struct

import grpc
from grpc import StatusCode

from harness import ADMIN, GRAPH, QUERY, SharedServerTest, import_bytes, put, ref, register, relate, status, violations

INVALID = StatusCode.INVALID_ARGUMENT
MISSING = StatusCode.NOT_FOUND
EXHAUSTED = StatusCode.RESOURCE_EXHAUSTED
STATE = StatusCode.FAILED_PRECONDITION
STALE = StatusCode.ABORTED
UNBUILT = StatusCode.UNIMPLEMENTED


def varint(value):
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def field(number, value):
    """One field of a message, as bytes: what the client's own library would refuse to send."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def number(value):
    """`google.protobuf.Value` of any double."""
    return varint(2 << 3 | 1) + struct.pack("<d", value)


def nested(depth):
    """`google.protobuf.Value` of lists in lists."""
    value = field(3, b"x")
    for _ in range(depth):
        value = field(6, field(1, value))
    return value


def nested_objects(depth):
    value = field(3, b"x")
    for _ in range(depth):
        value = field(5, field(1, field(1, b"k") + field(2, value)))
    return value


def update_node(value):
    """`UpdateNodeRequest` at `probe` with an encoded value."""
    return field(1, b"probe") + field(2, value)


def entity_with(properties):
    """`PutEntityRequest` for `probe/x` whose properties are one key with an encoded value."""
    reference = field(1, b"probe") + field(2, b"x")
    return field(1, field(1, reference) + field(2, field(1, field(1, b"k") + field(2, properties))))


def service(**fields):
    return GRAPH + "RegisterService", {"service": {"name": "probe", **fields}}


def entity(text, properties=None):
    return GRAPH + "PutEntity", {"entity": {"ref": ref(text), "properties": properties or {}}}


def read(path):
    return GRAPH + "GetNode", {"path": path}


def write(path, value=1, **fields):
    return GRAPH + "UpdateNode", {"path": path, "value": value, **fields}


def relation(start, label, end):
    return GRAPH + "PutRelation", {"relation": {"from": ref(start), "relation": label, "to": ref(end)}}


def commit(*mutations, pre=(), **fields):
    return GRAPH + "Commit", {"preconditions": list(pre), "mutations": list(mutations), **fields}


NEXUS = "amadeus.v1.NexusService/"


def query(name, **fields):
    return QUERY + name, fields


PUT = {"put_entity": {"entity": {"ref": ref("probe/x")}}}
ANCHOR = ref("service/anchor")

CASES = [
    # Names.
    ("a service without a name", service(name=""), INVALID, "name"),
    ("no service at all", (GRAPH + "RegisterService", {}), INVALID, "service"),
    ("a name of 257 bytes", service(name="n" * 257), INVALID, "name"),
    ("a name of 129 two-byte letters", service(name="é" * 129), INVALID, "name"),
    ("a name with a line break", service(name="a\nb"), INVALID, "name"),
    ("a name with a NUL", service(name="a\0b"), INVALID, "name"),
    ("a name with DEL", service(name="a\x7fb"), INVALID, "name"),
    ("a name with a C1 control", service(name="a\u0085b"), INVALID, "name"),
    ("invalid UTF-8 in a name", (GRAPH + "GetService", field(1, b"\xff\xfe")), INVALID, "name", "UTF-8"),
    ("an overlong UTF-8 sequence", (GRAPH + "GetService", field(1, b"\xc0\xaf")), INVALID, "name", "UTF-8"),
    ("an UTF-8 surrogate", (GRAPH + "GetService", field(1, b"\xed\xa0\x80")), INVALID, "name", "UTF-8"),
    ("invalid UTF-8 in a key", (GRAPH + "PutEntity", field(1, field(2, field(1, field(1, b"\xff"))))), INVALID, "UTF-8", "key", "entity"),
    ("an entity without a reference", (GRAPH + "PutEntity", {"entity": {}}), INVALID, "ref"),
    ("no entity at all", (GRAPH + "PutEntity", {}), INVALID, "entity"),
    ("an entity without a kind", entity("/x"), INVALID, "kind"),
    ("an entity without a name", entity("probe/"), INVALID, "name"),
    ("a kind with a control character", entity("pro\tbe/x"), INVALID, "kind"),
    ("a kind of 300 bytes", entity("k" * 300 + "/x"), INVALID, "kind"),
    ("a kind with a slash", (GRAPH + "PutEntity", {"entity": {"ref": {"kind": "a/b", "name": "x"}}}), INVALID, "kind"),
    ("a body of another kind", (GRAPH + "PutEntity", {"entity": {"ref": ref("probe/x"), "service": {"name": "x"}}}), INVALID, "service", "kind", "body"),
    ("a body of another name", (GRAPH + "PutEntity", {"entity": {"ref": ref("service/x"), "service": {"name": "y"}}}), INVALID, "name"),
    # Services.
    ("a service that needs itself", service(dependencies=[{"service": "probe"}]), INVALID, "dependencies", "itself"),
    ("a dependency without a name", service(dependencies=[{"service": ""}]), INVALID, "dependencies"),
    ("a dependency with a control character", service(dependencies=[{"service": "a\rb"}]), INVALID, "dependencies"),
    ("an empty capability", service(capabilities=[""]), INVALID, "capabilities"),
    ("a capability of 300 bytes", service(capabilities=["c" * 300]), INVALID, "capabilities"),
    ("an unknown health", (GRAPH + "RegisterService", field(1, field(1, b"probe") + field(13, 99))), INVALID, "health"),
    ("a negative health", (GRAPH + "RegisterService", field(1, field(1, b"probe") + varint(13 << 3) + b"\xff" * 9 + b"\x01")), INVALID, "health"),
    ("a filter by unknown health", (GRAPH + "ListServices", field(4, 99)), INVALID, "health"),
    ("a lease of no time", (GRAPH + "RegisterService", {"service": {"name": "probe"}, "lease_ttl": "0.1s"}), INVALID, "lease_ttl"),
    ("a lease in a commit", (GRAPH + "Commit", {"mutations": [
        {"register_service": {"service": {"name": "probe"}, "lease_ttl": "5s"}}]}), UNBUILT, "lease_ttl"),
    ("a strict registration with an unknown dependency", (GRAPH + "RegisterService", {"service": {"name": "probe", "dependencies": [{"service": "nowhere"}]}, "strict": True}), (STATE, MISSING), "nowhere"),
    ("a capability of an absent service", (GRAPH + "SetCapability", {"name": "nowhere", "capability": "c", "enabled": True}), MISSING, "nowhere"),
    ("no capability to set", (GRAPH + "SetCapability", {"name": "anchor", "enabled": True}), INVALID, "capability"),
    ("a dependency on itself, added later", (GRAPH + "AddDependency", {"name": "anchor", "dependency": {"service": "anchor"}}), INVALID, "dependency", "itself"),
    ("no dependency to add", (GRAPH + "AddDependency", {"name": "anchor"}), INVALID, "dependency"),
    ("a dependency of an absent service", (GRAPH + "AddDependency", {"name": "nowhere", "dependency": {"service": "anchor"}}), MISSING, "nowhere"),
    ("a dependency that is not there", (GRAPH + "RemoveDependency", {"name": "anchor", "service": "nowhere"}), MISSING, "nowhere"),
    ("a schema of an absent service", (GRAPH + "UpdateSchema", {"name": "nowhere", "schema": {}}), MISSING, "nowhere"),
    ("deregistering what is absent", (GRAPH + "DeregisterService", {"name": "nowhere"}), MISSING, "nowhere"),
    ("deregistering what others need", (GRAPH + "DeregisterService", {"name": "needed"}), STATE, "anchor"),
    ("reading without a name", (GRAPH + "GetService", {}), INVALID, "name"),
    ("reading what is absent", (GRAPH + "GetService", {"name": "nowhere"}), MISSING, "nowhere"),
    # Values.
    ("NaN in a property", (GRAPH + "PutEntity", entity_with(number(float("nan")))), INVALID, "properties"),
    ("infinity in a property", (GRAPH + "PutEntity", entity_with(number(float("inf")))), INVALID, "properties"),
    ("minus infinity in a document", (GRAPH + "UpdateNode", update_node(number(float("-inf")))), INVALID, "value"),
    ("an integer beyond 2^53", (GRAPH + "UpdateNode", update_node(number(2.0**53 + 2))), INVALID, "value"),
    ("a negative integer beyond 2^53", (GRAPH + "PutEntity", entity_with(number(-(2.0**60)))), INVALID, "properties"),
    ("NaN in a service's metadata", (GRAPH + "RegisterService", field(1, field(1, b"probe") + field(12, field(1, field(1, b"k") + field(2, number(float("nan"))))))), INVALID, "metadata"),
    ("lists nested 33 deep", (GRAPH + "UpdateNode", update_node(nested(33))), INVALID, "value"),
    ("objects nested 33 deep", (GRAPH + "UpdateNode", update_node(nested_objects(33))), INVALID, "value", "recursion", "deep", "nest"),
    ("lists nested 33 deep in a property", (GRAPH + "PutEntity", entity_with(nested(33))), INVALID, "properties"),
    ("lists nested 1,000 deep", (GRAPH + "UpdateNode", update_node(nested(1000))), INVALID, "value", "recursion", "deep", "nest"),
    ("objects nested 1,000 deep", (GRAPH + "PutEntity", entity_with(nested_objects(1000))), INVALID, "properties", "recursion", "deep", "nest"),
    ("properties beyond 64 KiB", entity("probe/x", {"k": "v" * 70_000}), INVALID, "properties"),
    ("a message of 5 MiB", entity("probe/x", {"k": "v" * 5 * 1024 * 1024}), EXHAUSTED, "4"),
    # Entities and relations.
    ("reading no entity", (GRAPH + "GetEntity", {}), INVALID, "ref"),
    ("reading an absent entity", (GRAPH + "GetEntity", {"ref": ref("probe/nowhere")}), MISSING, "probe/nowhere"),
    ("deleting an absent entity", (GRAPH + "DeleteEntity", {"ref": ref("probe/nowhere")}), MISSING, "probe/nowhere"),
    ("deleting what others need", (GRAPH + "DeleteEntity", {"ref": ref("service/needed")}), STATE, "anchor"),
    ("no relation at all", (GRAPH + "PutRelation", {}), INVALID, "relation"),
    ("a relation from nowhere", (GRAPH + "PutRelation", {"relation": {"relation": "uses", "to": ANCHOR}}), INVALID, "from"),
    ("a relation to nothing", (GRAPH + "PutRelation", {"relation": {"relation": "uses", "from": ANCHOR}}), INVALID, "to"),
    ("a relation without a label", relation("service/anchor", "", "service/needed"), INVALID, "relation"),
    ("a label with a space and a control", relation("service/anchor", "a \n b", "service/needed"), INVALID, "relation"),
    ("a relation to an absent entity", relation("service/anchor", "uses", "probe/nowhere"), MISSING, "probe/nowhere"),
    ("a service that depends on itself by relation", relation("service/anchor", "depends_on", "service/anchor"), INVALID, "itself", "relation", "to"),
    ("deleting an absent relation", (GRAPH + "DeleteRelation", {"from": ANCHOR, "relation": "uses", "to": ref("service/needed")}), MISSING, "uses"),
    ("an unknown direction", (GRAPH + "ListRelations", field(1, field(1, b"service") + field(2, b"anchor")) + field(2, 7)), INVALID, "direction"),
    ("relations of nothing", (GRAPH + "ListRelations", {}), INVALID, "ref"),
    # Dot paths.
    ("an empty path", read(""), INVALID, "path"),
    ("an unclosed quote", read('documents."a.b'), INVALID, "path"),
    ("an unclosed bracket", read("list[0"), INVALID, "path"),
    ("an index that is a word", read("list[x]"), INVALID, "path"),
    ("a negative index", read("list[-1]"), INVALID, "path"),
    ("an index beyond every list", read("list[99999999999999999999]"), INVALID, "path"),
    ("two dots", read("a..b"), INVALID, "path"),
    ("a dot at the end", read("a."), INVALID, "path"),
    ("a dot at the beginning", read(".a"), INVALID, "path"),
    ("a bad escape", read('a."\\x"'), INVALID, "path"),
    ("a bracket at the beginning", read("[0]"), INVALID, "path"),
    ("a missing path", read("list[7]"), MISSING, "list"),
    ("a key below a list", read("list.key"), (INVALID, MISSING, STATE), "list"),
    ("an index below a number", read("list[0][0]"), (INVALID, MISSING, STATE), "list"),
    ("a missing service", read("services.nowhere"), MISSING, "nowhere"),
    ("writing without a value", (GRAPH + "UpdateNode", {"path": "probe"}), INVALID, "value"),
    ("writing a whole section of services", write("services", {}), INVALID, "services"),
    ("writing a word as dependencies", write("services.anchor.dependencies", "user"), INVALID, "dependencies"),
    ("writing a number as a capability", write("services.anchor.capabilities", [1]), INVALID, "capabilities"),
    ("writing a dependency on itself", write("services.anchor.dependencies", ["anchor"]), INVALID, "dependencies", "itself"),
    ("writing far behind the end of a list", write("list[9]"), (INVALID, MISSING, STATE), "list"),
    ("writing below a number", write("list[0].a"), (INVALID, STATE), "list"),
    ("deleting a missing path", (GRAPH + "DeleteNode", {"path": "nowhere.at.all"}), MISSING, "nowhere"),
    # Freshness, pages, budgets.
    ("a revision that does not exist yet", (GRAPH + "GetService", {"name": "anchor", "consistency": {"at_exact": 10**9}}), StatusCode.OUT_OF_RANGE, "1000000000"),
    ("a page token that is no token", (GRAPH + "ListServices", {"page_token": "nonsense"}), INVALID, "page_token"),
    ("no entities to ask about", query("Impact"), INVALID, "refs"),
    ("impact of the absent", query("Impact", refs=[ref("service/nowhere")]), MISSING, "nowhere"),
    ("dependencies of a nameless entity", query("Dependencies", refs=[{}]), INVALID, "refs"),
    ("a budget of no entities", query("Impact", refs=[ANCHOR], budget={"max_entities": 0}), INVALID, "max_entities"),
    ("a budget of no time", query("Dependencies", refs=[ANCHOR], budget={"max_time_ms": 0}), INVALID, "max_time_ms"),
    ("a bad label to follow", query("Impact", refs=[ANCHOR], relations=["a\nb"]), INVALID, "relations"),
    ("a path from nowhere", query("FindPath", to=ANCHOR), INVALID, "from"),
    ("no path", query("FindPath", **{"from": ref("service/needed"), "to": ANCHOR}), MISSING, "path"),
    ("no capability to look for", query("FindByCapability"), INVALID, "all_of", "any_of"),
    ("an empty search", query("Search"), INVALID, "text"),
    ("an unknown direction of neighbours", (QUERY + "Neighbors", field(1, field(1, b"service") + field(2, b"anchor")) + field(2, 9)), INVALID, "direction"),
    ("an unknown picture", (QUERY + "Visualize", field(1, 42)), INVALID, "format"),
    ("a picture of the absent", query("Visualize", root=ref("service/nowhere")), MISSING, "nowhere"),
    ("documentation of the absent", query("GenerateDocs", ref=ref("service/nowhere")), MISSING, "nowhere"),
    # Transactions.
    ("nothing to commit", commit(), INVALID, "mutations"),
    ("a mutation that is none", commit({}), INVALID, "mutations"),
    ("a precondition that is none", commit(PUT, pre=[{}]), INVALID, "preconditions"),
    ("contradictory preconditions", commit(PUT, pre=[{"entity_exists": ANCHOR}, {"entity_absent": ANCHOR}]), (STATE, INVALID), "anchor"),
    ("an entity that had to be absent", commit(PUT, pre=[{"entity_absent": ANCHOR}]), STATE, "anchor"),
    ("an entity that had to exist", commit(PUT, pre=[{"entity_exists": ref("probe/nowhere")}]), STATE, "nowhere"),
    ("an entity at another revision", commit(PUT, pre=[{"entity_at": {"ref": ANCHOR, "revision": 10**6}}]), STALE, "anchor"),
    ("a document of another value", commit(PUT, pre=[{"document_equals": {"path": "list[0]", "value": 9}}]), STATE, "list"),
    ("a relation that had to be absent", commit(PUT, pre=[{"relation_absent": {"from": ANCHOR, "relation": "depends_on", "to": ref("service/needed")}}]), STATE, "anchor"),
    ("a relation that had to exist", commit(PUT, pre=[{"relation_exists": {"from": ANCHOR, "relation": "uses", "to": ref("service/needed")}}]), STATE, "uses"),
    ("a path that must not be", commit(PUT, pre=[{"no_path": {"from": ANCHOR, "to": ref("service/needed")}}]), STATE, "needed"),
    ("dependents that must not be", commit(PUT, pre=[{"no_dependents": ref("service/needed")}]), STATE, "anchor"),
    ("a cycle that must not be", commit({"register_service": {"service": {"name": "needed", "dependencies": [{"service": "anchor"}]}}}, pre=[{"acyclic": {}}]), STATE, "anchor"),
    ("a precondition on a bad path", commit(PUT, pre=[{"document_equals": {"path": 'a."', "value": 1}}]), INVALID, "path"),
    ("10,001 mutations", commit(*[PUT] * 10_001), (INVALID, EXHAUSTED), "mutations"),
    ("a request id inside a mutation", commit({"put_entity": {**PUT["put_entity"], "request_id": "inner"}}), INVALID, "request_id"),
    ("one bad mutation among good ones", commit(PUT, {"put_entity": {"entity": {"ref": ref("probe/")}}}), INVALID, "mutations"),
    ("a stale expected revision", (GRAPH + "PutEntity", {"entity": {"ref": ANCHOR, "service": {"name": "anchor"}}, "expected_revision": 10**6}), STALE, "anchor"),
    ("an expected absence", (GRAPH + "RegisterService", {"service": {"name": "anchor"}, "expected_revision": 0}), StatusCode.ALREADY_EXISTS, "anchor"),
    ("an expected revision of the absent", (GRAPH + "PutEntity", {"entity": {"ref": ref("probe/x")}, "expected_revision": 3}), STALE, "probe/x"),
    ("a request id of 200 bytes", write("probe", request_id="r" * 200), INVALID, "request_id"),
    ("a request id with a control character", write("probe", request_id="a\nb"), INVALID, "request_id"),
    ("a reason of 5,000 bytes", write("probe", reason="r" * 5000), INVALID, "reason"),
    ("a used request id with another body", write("probe", 2, request_id="used"), INVALID, "request_id"),
    # Streams.
    ("a watch from a revision and from the state", (GRAPH + "Watch", {"from_revision": 1, "snapshot_first": True}), INVALID, "from_revision", "snapshot_first"),
    ("a watch of a bad kind", (GRAPH + "Watch", {"kinds": ["a\nb"]}), INVALID, "kinds"),
    ("an unknown export", (GRAPH + "Export", field(1, 42)), INVALID, "format"),
    ("an import of nothing", (GRAPH + "Import", b""), INVALID, "import", "empty", "chunk"),
    ("an import of half a file", (GRAPH + "Import", b'{"amadeus": 1, "entities": ['), INVALID, "line", "column", "EOF"),
    ("an import of no known form", (GRAPH + "Import", b'{"what": "is this"}'), INVALID, "form"),
    ("an import of a later version", (GRAPH + "Import", b'{"amadeus": 2}'), INVALID, "amadeus"),
    ("an import of another table", (GRAPH + "Import", b"a,b,c\n1,2,3\n"), INVALID, "from"),
    ("an import with an unknown field", (GRAPH + "Import", b'{"amadeus": 1, "servises": []}'), INVALID, "servises"),
    ("an import of invalid UTF-8", (GRAPH + "Import", b'{"amadeus": 1, "documents": {"a": "\xff"}}'), INVALID, "UTF-8", "invalid", "unicode"),
    ("an import with a fault in it", (GRAPH + "Import", b'{"amadeus": 1, "services": [{"name": "a", "dependencies": [{"service": "a"}]}]}'), INVALID, "services"),
    ("an import that relates the absent", (GRAPH + "Import", b'{"amadeus": 1, "relations": [{"from": "probe/a", "relation": "uses", "to": "probe/b"}]}'), (INVALID, MISSING), "probe/"),
    # Bytes.
    ("bytes that are no message", (GRAPH + "GetService", b"\xff\xff\xff\xff"), INVALID),
    ("a message cut in the middle", (GRAPH + "GetService", b"\x0a\x20abc"), INVALID),
    ("a field of another wire type", (GRAPH + "GetService", field(1, 7)), INVALID, "name"),
    # Backups.
    ("a description of 5,000 bytes", (ADMIN + "Backup", {"description": "d" * 5000}), INVALID, "description"),
    ("restoring nothing", (ADMIN + "Restore", {}), INVALID, "id"),
    ("restoring an unknown backup", (ADMIN + "Restore", {"id": "00000000000000000000"}), (MISSING, INVALID), "id", "backup"),
    ("restoring a path", (ADMIN + "Restore", {"id": "../../etc/passwd"}), (MISSING, INVALID), "id", "backup"),
    # Patterns, runs, events.
    ("no pattern at all", (NEXUS + "RegisterPattern", {}), INVALID, "pattern"),
    ("a pattern without a name", (NEXUS + "RegisterPattern", {"pattern": {}}), INVALID, "pattern.name"),
    ("a step without an id", (NEXUS + "RegisterPattern", {"pattern": {"name": "p", "steps": [{"type": "pass"}]}}), INVALID, "pattern.steps[0].id"),
    ("a step of no known type", (NEXUS + "RegisterPattern", {"pattern": {"name": "p", "steps": [{"id": "a", "type": "dance"}]}}), INVALID, "pattern.steps[0].type"),
    ("an unknown join", (NEXUS + "RegisterPattern", field(1, field(1, b"p") + field(8, field(1, b"a") + field(15, 9)))), INVALID, "join"),
    ("a retry that grows backwards", (NEXUS + "RegisterPattern", {"pattern": {"name": "p", "steps": [{"id": "a", "type": "pass", "retry": {"multiplier": 0.5}}]}}), INVALID, "pattern.steps[0].retry.multiplier"),
    ("an input of no type", (NEXUS + "RegisterPattern", {"pattern": {"name": "p", "inputs": [{"name": "a", "type": "word"}]}}), INVALID, "pattern.inputs[0].type"),
    ("a pattern that a faulty write puts", (GRAPH + "PutEntity", {"entity": {"ref": ref("pattern/p"), "pattern": {"name": "p", "classes": {"slow": 0}}}}), INVALID, "classes.slow"),
    ("validating nothing", (NEXUS + "ValidatePattern", {}), INVALID, "pattern"),
    ("an unknown pattern", (NEXUS + "GetPattern", {"name": "nothing"}), MISSING, "pattern/nothing"),
    ("deleting an unknown pattern", (NEXUS + "DeletePattern", {"name": "nothing"}), MISSING, "pattern/nothing"),
    ("a page of patterns with a bad token", (NEXUS + "ListPatterns", {"page_token": "x"}), INVALID, "page_token"),
    ("knowledge of a bad path", (NEXUS + "GetKnowledge", {"path": "a..b"}), INVALID, "path"),
    ("running an unknown pattern", (NEXUS + "ExecutePattern", {"pattern": "nothing"}), MISSING, "pattern/nothing"),
    ("an unknown run", (NEXUS + "GetRun", {"run_id": "nothing"}), MISSING, "nothing"),
    ("drawing an unknown run", query("Visualize", run_id="nothing"), MISSING, "nothing"),
    ("drawing a pattern and a run", query("Visualize", run_id="nothing", pattern="nothing"), INVALID, "run_id"),
    ("drawing a pattern around a root", query("Visualize", root=ANCHOR, pattern="nothing"), INVALID, "root"),
    ("an event without a type", (NEXUS + "EmitEvent", {"event": {}}), INVALID, "type"),
    ("an event of the server's own", (NEXUS + "EmitEvent", {"event": {"type": "run.started"}}), INVALID, "type"),
    ("events from two places", (NEXUS + "SubscribeEvents", {"from_offset": "1", "from_time": "2026-01-01T00:00:00Z"}), INVALID, "from_time"),
    ("acknowledging for no known group", (NEXUS + "AckEvents", {"group": "nothing", "offset": "1"}), MISSING, "nothing"),
    # Numbers that are words: booleans and counts beyond their type are decoder errors, never panics.
    ("a page of an absurd size with a bad token", (GRAPH + "ListEntities", {"page_size": 2**32 - 1, "page_token": "x"}), INVALID, "page_token"),
]


class BadInput(SharedServerTest):
    @classmethod
    def prepare(cls):
        register(cls.call, "needed")
        register(cls.call, "anchor", "needed")
        put(cls.call, "probe/kept", colour="red")
        relate(cls.call, "service/anchor", "touches", "probe/kept")
        cls.call(GRAPH + "UpdateNode", {"path": "list", "value": [1, 2, 3]})
        cls.call(GRAPH + "UpdateNode", {"path": "used", "value": 1, "request_id": "used"})

    def send(self, method, request):
        if method.endswith("/Import"):
            return import_bytes(self.call, request)
        if isinstance(request, bytes):
            reply = self.client.raw(method, request, timeout=20)
        else:
            reply = self.call(method, request, timeout=20)
        return reply if isinstance(reply, (dict, bytes)) else list(reply)

    def test_every_case_gets_its_code_and_names_its_field(self):
        self.assertGreaterEqual(len(CASES), 60)
        before = status(self.call)
        for case, (method, request), codes, *words in CASES:
            with self.subTest(case=case):
                codes = codes if isinstance(codes, tuple) else (codes,)
                with self.assertRaises(grpc.RpcError) as caught:
                    self.send(method, request)
                error = caught.exception
                told = " ".join([error.details() or "", *(part for one in violations(error) for part in one)])
                self.assertIn(error.code(), codes, told)
                if words:
                    self.assertTrue(any(word in told for word in words), f"none of {words} in {told!r}")
                self.assertTrue(error.details(), "an error without a message")
                if error.code() is INVALID and method.startswith(GRAPH) and not isinstance(request, bytes):
                    self.assertTrue(violations(error), f"no BadRequest details: {told}")
                after = status(self.call)
                self.assertEqual(after["revision"], before["revision"], "a refused call left a revision")
                self.assertEqual(after["hash"], before["hash"], "a refused call left a trace")
                found = self.call(GRAPH + "GetService", {"name": "anchor"})["service"]
                self.assertEqual(found["dependencies"][0]["service"], "needed")

    def test_a_token_of_another_question_is_refused(self):
        for name in ("a", "b", "c"):
            put(self.call, f"paged/{name}")
        token = self.call(GRAPH + "ListEntities", {"kind": "paged", "page_size": 1})["next_page_token"]
        self.assertTrue(token)
        for method, request in [
            (GRAPH + "ListEntities", {"kind": "probe"}),
            (GRAPH + "ListEntities", {"kind": "paged", "name_prefix": "b"}),
            (GRAPH + "ListServices", {}),
            (QUERY + "Impact", {"refs": [ANCHOR]}),
            (QUERY + "Search", {"text": "a", "kinds": ["paged"]}),
        ]:
            with self.subTest(method=method), self.refused(INVALID, "page_token"):
                self.call(method, {**request, "page_token": token})
        damaged = ("A" if token[3] != "A" else "B").join([token[:3], token[4:]])
        with self.refused(INVALID, "page_token"):
            self.call(GRAPH + "ListEntities", {"kind": "paged", "page_token": damaged})

    def test_what_is_not_built_says_so(self):
        for method in ("GraphService/Frobnicate", "TimeService/Bisect", "NoService/Nothing"):
            call = self.client.channel.unary_unary(f"/amadeus.v1.{method}")
            with self.subTest(method=method), self.refused(UNBUILT):
                call(b"", timeout=10)

    def test_waiting_for_a_revision_ends_at_the_deadline(self):
        with self.refused(StatusCode.DEADLINE_EXCEEDED):
            self.call(GRAPH + "GetService", {"name": "anchor", "consistency": {"at_least": 10**9}}, timeout=0.3)

    def test_random_bytes_never_kill_it(self):
        methods = [method for name in self.client.services() if name.startswith("amadeus.v1.") for method in self.client.methods(name)]
        methods = [method for method in methods if not self.client._method(method).client_streaming]
        methods = [method for method in methods if not method.endswith(("/Watch", "/Backup", "/Prune", "/Compact"))]
        for round in range(300):
            method = self.rng.choice(methods)
            sent = bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(40)))
            try:
                reply = self.client.raw(method, sent, timeout=20)
                if not isinstance(reply, bytes):
                    list(reply)
            except grpc.RpcError as error:
                self.assertNotIn(error.code(), (StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.UNAVAILABLE), (method, sent))
        self.assertEqual(self.call(GRAPH + "GetService", {"name": "anchor"})["service"]["name"], "anchor")

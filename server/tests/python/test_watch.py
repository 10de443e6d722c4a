"""A watch delivers each revision whole, in order, once; from any place, filtered, and without a gap after a state."""

import threading

import grpc

from harness import GRAPH, ServerTest, SharedServerTest, put, ref, relate, revision, status, written

OVER = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def subject(change):
    if "entity" in change:
        return written(change["entity"]["ref"])
    if "relation" in change:
        relation = change["relation"]
        return f"{written(relation['from'])} {relation['relation']} {written(relation['to'])}"
    return change["node"]["path"]


def told(message):
    return [(one["revision"], one["kind"], subject(one)) for one in message["changes"]]


def until(stream, bookmark):
    """All messages up to and with the one that reaches this bookmark."""
    messages = []
    for message in stream:
        messages.append(message)
        if message["bookmark"] >= bookmark:
            return messages
    raise AssertionError("the stream ended early")


class Watching(SharedServerTest):
    def watch(self, **request):
        stream = self.call(GRAPH + "Watch", request, timeout=30)
        self.addCleanup(stream.cancel)
        return stream

    def test_from_a_revision_is_inclusive_and_resumes_after_a_bookmark(self):
        first = revision(put(self.call, "w/a"))
        second = revision(put(self.call, "w/b"))
        third = revision(relate(self.call, "w/a", "to", "w/b"))
        changes = [one for message in until(self.watch(from_revision=first), third) for one in told(message)]
        self.assertEqual(
            changes, [(first, "CREATED", "w/a"), (second, "CREATED", "w/b"), (third, "CREATED", "w/a to w/b")]
        )
        resumed = [one for message in until(self.watch(from_revision=second + 1), third) for one in told(message)]
        self.assertEqual(resumed, [(third, "CREATED", "w/a to w/b")])

    def test_zero_means_after_the_head(self):
        put(self.call, "zero/before")
        stream = self.watch().started()
        # The subscription is live once the headers are here; what is written now must arrive.
        wrote = revision(put(self.call, "zero/after"))
        changes = [one for message in until(stream, wrote) for one in told(message)]
        self.assertEqual(changes, [(wrote, "CREATED", "zero/after")])

    def test_a_transaction_arrives_whole(self):
        stream = self.watch().started()
        mutations = [{"put_entity": {"entity": {"ref": ref(f"whole/{index:04}")}}} for index in range(2000)]
        wrote = revision(self.call(GRAPH + "Commit", {"mutations": mutations}))
        messages = until(stream, wrote)
        changes = [one for message in messages for one in told(message)]
        self.assertEqual(changes, [(wrote, "CREATED", f"whole/{index:04}") for index in range(2000)])
        self.assertTrue(all(message["bookmark"] < wrote for message in messages[:-1]))

    def test_updates_and_deletes_carry_what_was_before(self):
        start = revision(put(self.call, "prev/x", n=1)) + 1
        put(self.call, "prev/x", n=2)
        self.call(GRAPH + "UpdateNode", {"path": "prev.doc", "value": 1})
        self.call(GRAPH + "UpdateNode", {"path": "prev.doc", "value": 2})
        end = revision(self.call(GRAPH + "DeleteEntity", {"ref": ref("prev/x")}))
        changes = [
            one
            for message in until(self.watch(from_revision=start, previous_values=True), end)
            for one in message["changes"]
        ]
        self.assertEqual([one["kind"] for one in changes], ["UPDATED", "CREATED", "UPDATED", "DELETED"])
        self.assertEqual(changes[0]["entity"]["properties"], {"n": 2})
        self.assertEqual(changes[0]["previous"]["entity"]["properties"], {"n": 1})
        self.assertEqual(changes[3]["previous"]["entity"]["properties"], {"n": 2})
        self.assertNotIn("previous", changes[1])
        plain = [one for message in until(self.watch(from_revision=start), end) for one in message["changes"]]
        self.assertTrue(all("previous" not in one for one in plain))

    def test_filters_run_on_the_server_and_the_bookmark_still_moves(self):
        start = status(self.call)["revision"] + 1
        put(self.call, "f1/apple")
        put(self.call, "f1/banana")
        put(self.call, "f2/apple")
        relate(self.call, "f1/apple", "likes", "f2/apple")
        end = revision(relate(self.call, "f2/apple", "knows", "f1/banana"))
        for request, wanted in [
            ({"kinds": ["f1"]}, ["f1/apple", "f1/banana", "f1/apple likes f2/apple"]),
            ({"name_prefix": "ban"}, ["f1/banana"]),
            ({"kinds": ["f2"], "name_prefix": "app"}, ["f2/apple", "f2/apple knows f1/banana"]),
            ({"kinds": ["none"]}, []),
            ({"relations": ["likes"], "kinds": ["f1"]}, ["f1/apple", "f1/banana", "f1/apple likes f2/apple"]),
        ]:
            with self.subTest(request=request):
                messages = until(self.watch(from_revision=start, **request), end)
                self.assertEqual([one[2] for message in messages for one in told(message)], wanted)

    def test_a_state_and_what_follows_have_no_gap(self):
        stop = threading.Event()
        wrote = []

        def writer():
            client = self.server.client()
            while not stop.is_set():
                wrote.append(revision(put(client.call, f"gap/{len(wrote):05}")))

        thread = threading.Thread(target=writer, daemon=True)
        thread.start()
        try:
            self.eventually(lambda: len(wrote) > 20)
            streams = [self.watch(snapshot_first=True, kinds=["gap"]) for _ in range(5)]
            self.eventually(lambda: len(wrote) > 60)
        finally:
            stop.set()
            thread.join()
        for stream in streams:
            found, state = [], []
            for message in until(stream, wrote[-1]):
                (state if message["snapshot"] else found).extend(told(message))
            self.assertTrue(all(kind == "CREATED" for _, kind, _ in state + found))
            everything = [name for *_, name in state + found]
            self.assertEqual(sorted(everything), [f"gap/{index:05}" for index in range(len(wrote))])
            self.assertEqual([at for at, *_ in found], sorted(at for at, *_ in found))


class AfterARestart(ServerTest):
    def test_a_bookmark_is_good_after_a_restart(self):
        self.serve()
        for index in range(20):
            put(self.call, f"r/{index}")
        self.server.kill()
        self.server.start()
        self.client = self.server.client()
        self.call = self.client.call
        put(self.call, "r/last")
        messages = until(self.call(GRAPH + "Watch", {"from_revision": 6}, timeout=20), 21)
        self.assertEqual([one[0] for message in messages for one in told(message)], list(range(6, 22)))

    def test_a_watcher_that_never_reads_slows_nobody(self):
        self.serve()
        for _ in range(20):
            self.call(GRAPH + "Watch", {"from_revision": 1}).started()
        for index in range(200):
            put(self.call, f"slow/{index}", filling="x" * 20_000)
        messages = until(self.call(GRAPH + "Watch", {"from_revision": 1}, timeout=60), 200)
        self.assertEqual([one[0] for message in messages for one in told(message)], list(range(1, 201)))

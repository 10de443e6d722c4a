"""Kills, damage and full disks: what was acknowledged is there, and what cannot be read is refused, named, left alone."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
import unittest

import grpc

from harness import ADMIN, GRAPH, Server, ServerTest, every_page, put, ref, register, revision, size, status

GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


def three_in_one(call, name):
    """One transaction of a service, an entity and the relation between them."""
    return call(
        GRAPH + "Commit",
        {
            "mutations": [
                {"register_service": {"service": {"name": name, "capabilities": ["c"]}}},
                {"put_entity": {"entity": {"ref": ref(f"part/{name}"), "properties": {"of": name}}}},
                {
                    "put_relation": {
                        "relation": {"from": ref(f"service/{name}"), "relation": "has", "to": ref(f"part/{name}")}
                    }
                },
            ],
            "request_id": name,
        },
    )


class Kills(ServerTest):
    def test_kill_in_the_middle_of_writes_again_and_again(self):
        self.serve()
        acknowledged = {}
        for round in range(size(4, 20)):
            stop = threading.Event()

            def write(index):
                client = self.server.client()
                number = 0
                while not stop.is_set():
                    name = f"r{round:02}-c{index:02}-{number:05}"
                    try:
                        acknowledged[name] = revision(three_in_one(client.call, name))
                    except grpc.RpcError as error:
                        if error.code() not in GONE:
                            raise
                        return
                    number += 1

            threads = [threading.Thread(target=write, args=(index,), daemon=True) for index in range(16)]
            before = len(acknowledged)
            for thread in threads:
                thread.start()
            self.eventually(lambda: len(acknowledged) > before + 100)
            time.sleep(self.rng.random() * 0.3)
            self.server.kill()
            stop.set()
            for thread in threads:
                thread.join(30)
            self.server.start()
            self.check(acknowledged)

    def check(self, acknowledged):
        call = self.server.client().call
        now = status(call)
        self.assertGreaterEqual(now["revision"], max(acknowledged.values()))
        self.assertEqual(len(set(acknowledged.values())), len(acknowledged), "two transactions share a revision")
        services, _ = every_page(call, GRAPH + "ListServices", {}, "services")
        found = {one["name"]: one["created_revision"] for one in services}
        lost = {name: at for name, at in acknowledged.items() if found.get(name) != at}
        self.assertEqual(lost, {})
        parts, _ = every_page(call, GRAPH + "ListEntities", {"kind": "part"}, "entities")
        # Whole or not at all: each transaction brought one service, one part and one relation.
        self.assertEqual({one["ref"]["name"]: one["created_revision"] for one in parts}, found)
        self.assertEqual(now["relations"], len(found))
        # The revision goes on from where it was.
        self.assertEqual(revision(put(call, "tick/tock", at=now["revision"])), now["revision"] + 1)


def is_beside_the_graph(file):
    """Whether a file of the store holds something else than the graph: users, what signs their tokens, leases, events, runs."""
    return any(part in file.name for part in (".users", ".keys", ".leases", ".events", ".runs"))


class Damage(ServerTest):
    def build(self):
        """A store that was killed: a checkpoint's worth of history in the database, more of it in the write-ahead file."""
        origin = self.folder / "origin"
        self.serve(folder=origin)
        for index in range(300):
            register(
                self.call,
                f"s{index % 90:03}",
                f"s{(index * 7 + 1) % 90:03}" if index % 90 != (index * 7 + 1) % 90 else "other",
                metadata={"n": index},
            )
        self.call(ADMIN + "Compact")
        for index in range(60):
            put(self.call, f"late/{index}", text="x" * self.rng.randrange(300))
        self.truth = status(self.call)
        self.server.end()
        return origin

    def files(self, folder):
        return sorted(
            one for one in folder.rglob("*") if one.is_file() and one.suffix not in (".log", ".out") and one.stat().st_size
        )

    def test_a_flipped_byte_or_a_cut_is_refused_or_recovered_and_never_hidden(self):
        origin = self.build()
        targets = [one.relative_to(origin) for one in self.files(origin) if not one.name.endswith((".lock", "-shm"))]
        for ending in (".db", "-wal", ".watermark", ".checkpoint"):
            self.assertTrue(any(one.name.endswith(ending) for one in targets), f"no {ending} in {targets}")
        outcomes = {one.name: {"refused": 0, "whole": 0} for one in targets}
        for trial in range(size(6, 100) * len(targets)):
            folder = self.folder / f"trial{trial}"
            shutil.copytree(origin, folder)
            target = folder / targets[trial % len(targets)]
            content = bytearray(target.read_bytes())
            at = self.rng.randrange(len(content))
            if self.rng.random() < 0.25:
                what = f"{target.name} cut to {at} of {len(content)} bytes"
                del content[at:]
            else:
                bit = 1 << self.rng.randrange(8)
                what = f"{target.name} byte {at} of {len(content)} xor {bit:#x}"
                content[at] ^= bit
            target.write_bytes(content)
            before = {one: hashlib.sha256(one.read_bytes()).hexdigest() for one in self.files(folder)}
            with self.subTest(damage=what):
                outcome = self.outcome(folder, before, target)
                outcomes[target.name][outcome] += 1
                if outcome == "refused" and is_beside_the_graph(target):
                    shutil.copy2(origin / targets[trial % len(targets)], target)
                    self.assertEqual(self.outcome(folder, before, target), "whole", "with the file as it was")
            shutil.rmtree(folder)
        print(f"    damage: {outcomes}")

    def outcome(self, folder, before, damaged):
        server = Server(folder)
        try:
            server.start(wait=False)
            end = time.monotonic() + 30
            while server.process.poll() is None and server.get("/readyz")[0] != 200:
                self.assertLess(
                    time.monotonic(), end, f"neither ready nor gone: {server.get('/readyz')}\n{server.tail()}"
                )
                time.sleep(0.02)
            if server.process.poll() is not None:
                self.assertNotEqual(server.process.returncode, 0, server.tail())
                self.assertGreater(server.process.returncode, 0, "it died of a signal")
                said = server.log.read_text()
                self.assertNotIn("panicked", said)
                self.assertTrue(
                    any(
                        word in said
                        for word in (
                            "corrupt",
                            "damaged",
                            "checksum",
                            "malformed",
                            "truncated",
                            "acknowledged",
                            "not a database",
                            "cannot be read",
                        )
                    ),
                    said[-800:],
                )
                # What cannot be read is evidence: nothing that holds the graph may have been written over.
                for one, digest in before.items():
                    if one.name.endswith((".lock", "-shm")):
                        continue
                    # Where the damage is beside the graph, the graph is sound: it was opened and closed, as ever.
                    if is_beside_the_graph(damaged) and one != damaged:
                        continue
                    self.assertTrue(one.exists(), f"{one.name} is gone")
                    self.assertEqual(hashlib.sha256(one.read_bytes()).hexdigest(), digest, f"{one.name} was changed")
                return "refused"
            now = status(server.client().call)
            self.assertEqual(
                (now["revision"], now["hash"]),
                (self.truth["revision"], self.truth["hash"]),
                "it serves something else in silence",
            )
            return "whole"
        finally:
            server.end()

    def test_a_store_that_is_no_store_is_left_untouched(self):
        for content in (b"", b"this is no database at all" * 100, b"{}"):
            with self.subTest(content=content[:10]):
                folder = self.folder / hashlib.sha256(content).hexdigest()[:8]
                folder.mkdir()
                store = folder / "amadeus.db"
                store.write_bytes(content)
                server = Server(folder)
                self.addCleanup(server.end)
                if not content:
                    continue
                server.start(wait=False)
                self.assertGreater(server.process.wait(30), 0)
                self.assertEqual(store.read_bytes(), content)
                self.assertIn("amadeus.db", server.log.read_text())

    def test_a_lost_log_is_noticed_by_the_watermark(self):
        origin = self.build()
        next(one for one in self.files(origin) if one.name.endswith("-wal")).unlink()
        server = Server(origin)
        self.addCleanup(server.end)
        server.start(wait=False)
        end = time.monotonic() + 30
        while server.process.poll() is None and server.get("/readyz")[0] != 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        if server.process.poll() is None:
            self.assertEqual(status(server.client().call)["hash"], self.truth["hash"], "it lost writes in silence")
        else:
            self.assertIn(str(self.truth["revision"]), server.log.read_text())

    def test_a_second_server_is_kept_out_of_the_store(self):
        self.serve()
        put(self.call, "probe/x")
        second = Server(self.folder, store=self.server.store)
        second.log = self.folder / "second.log"
        self.addCleanup(second.end)
        second.start(wait=False)
        self.assertGreater(second.process.wait(30), 0)
        self.assertIn("lock", second.log.read_text().lower())
        put(self.call, "probe/y")


@unittest.skipUnless(
    sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount"), "a small disk needs root and mount"
)
class FullDisk(ServerTest):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=6m", "amadeus-test", str(self.disk)], capture_output=True
        )
        if mounted.returncode != 0:
            self.skipTest(f"mount: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], capture_output=True)

    def test_writes_get_a_clear_error_and_resume_when_there_is_room(self):
        self.serve(store=f"sqlite://{self.disk}/amadeus.db")
        acknowledged, refused = {}, None
        for index in range(2000):
            try:
                acknowledged[f"x{index}"] = revision(put(self.call, f"full/x{index}", text="y" * 30_000))
            except grpc.RpcError as error:
                refused = error
                break
        self.assertIsNotNone(refused, "the disk never filled")
        self.assertIn(
            refused.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED), refused.details()
        )
        self.assertTrue(any(word in refused.details().lower() for word in ("full", "space", "disk")), refused.details())
        self.assertEqual(self.server.get("/livez")[0], 200)
        self.assert_all_there(acknowledged)
        for _ in range(3):
            with self.assertRaises(grpc.RpcError):
                put(self.call, "full/more", text="y" * 60_000)
        self.assertEqual(status(self.call)["revision"], max(acknowledged.values()))
        subprocess.run(["mount", "-o", "remount,size=64m", str(self.disk)], check=True)

        def writes_again():
            try:
                acknowledged["again"] = revision(put(self.call, "full/again", text="z" * 30_000))
                return True
            except grpc.RpcError:
                return False

        self.eventually(writes_again, 20, "writing did not resume when there was room")
        self.assert_all_there(acknowledged)
        self.server.kill()
        self.server.start()
        self.call = self.server.client().call
        self.assert_all_there(acknowledged)

    def assert_all_there(self, acknowledged):
        for name, at in acknowledged.items():
            found = self.call(GRAPH + "GetEntity", {"ref": ref(f"full/{name}")})["entity"]
            self.assertEqual(found["modified_revision"], at)

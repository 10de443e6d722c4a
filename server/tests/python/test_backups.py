"""Backups: each a file of its own, verified, described, restorable to its own hash; restore keeps what it replaces."""

import grpc

from harness import ADMIN, GRAPH, ServerTest, at_once, every_page, put, ref, register, size, status


class Backups(ServerTest):
    def listed(self):
        return every_page(self.call, ADMIN + "ListBackups", {}, "backups")[0]

    def test_many_at_once_are_as_many_files_that_restore_to_their_own_hash(self):
        count = size(120, 1000)
        self.serve()
        threads = 20
        for index in range(20):
            register(self.call, f"s{index}", "base")

        def take(index):
            client = self.server.client()
            taken = []
            for number in range(count // threads):
                if number % 5 == 0:
                    put(client.call, f"mark/{index}", n=number)
                taken.append(client.call(ADMIN + "Backup", {"description": f"{index}/{number}"}, timeout=120)["backup"])
            return taken

        outcomes = at_once(threads, take)
        for outcome in outcomes:
            self.assertIsInstance(outcome, list, outcome)
        taken = {one["id"]: one for some in outcomes for one in some}
        self.assertEqual(len(taken), count)
        listed = self.listed()
        self.assertEqual({one["id"]: one for one in listed}, taken)
        self.assertEqual(len({one["description"] for one in listed}), count)
        by_revision = {}
        for one in taken.values():
            self.assertEqual(by_revision.setdefault(one["revision"], one["hash"]), one["hash"])
            self.assertGreater(one["size_bytes"], 0)
        files = list(self.folder.glob("*.backups/*.backup"))
        self.assertEqual(len(files), count)
        for one in self.rng.sample(sorted(taken.values(), key=lambda one: one["id"]), size(6, 40)):
            before = status(self.call)
            reply = self.call(ADMIN + "Restore", {"id": one["id"]}, timeout=120)
            after = status(self.call)
            self.assertEqual((reply["hash"], after["hash"]), (one["hash"], one["hash"]))
            self.assertEqual(after["revision"], before["revision"] + (1 if reply["changed"] else 0))
            if reply["changed"]:
                self.assertEqual(reply["safety_backup"]["hash"], before["hash"])
            self.assertTrue(self.call(ADMIN + "CheckIntegrity")["ok"])

    def test_a_restore_is_one_revision_survives_and_tells_watchers(self):
        self.serve()
        register(self.call, "kept", "needed")
        first = self.call(ADMIN + "Backup", {"description": "before the accident"})["backup"]
        put(self.call, "later/x")
        self.call(GRAPH + "DeregisterService", {"name": "kept"})
        gone = status(self.call)
        stream = self.call(GRAPH + "Watch", {}, timeout=20).started()
        reply = self.call(ADMIN + "Restore", {"id": first["id"]})
        self.assertEqual(reply["revision"], gone["revision"] + 1)
        told = next(stream)
        self.assertTrue(told["resync"] or told["changes"], told)
        stream.cancel()
        self.assertEqual(
            self.call(GRAPH + "GetService", {"name": "kept"})["service"]["dependencies"][0]["service"], "needed"
        )
        with self.refused(grpc.StatusCode.NOT_FOUND):
            self.call(GRAPH + "GetEntity", {"ref": ref("later/x")})
        old = {"ref": ref("later/x"), "consistency": {"at_exact": gone["revision"] - 1}}
        self.assertEqual(self.call(GRAPH + "GetEntity", old)["entity"]["ref"], ref("later/x"))
        safety = reply["safety_backup"]
        self.assertEqual(safety["hash"], gone["hash"])
        self.server.kill()
        self.server.start()
        self.call = self.server.client().call
        self.assertEqual(status(self.call)["hash"], first["hash"])
        self.call(ADMIN + "Restore", {"id": safety["id"]})
        self.assertEqual(status(self.call)["hash"], gone["hash"])

    def test_a_damaged_backup_is_refused_and_changes_nothing(self):
        self.serve()
        register(self.call, "kept", metadata={"text": "x" * 500})
        backup = self.call(ADMIN + "Backup", {})["backup"]
        put(self.call, "later/x")
        before = status(self.call)
        file = next(one for one in self.folder.rglob("*") if one.is_file() and backup["id"] in one.name)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
        with self.refused(grpc.StatusCode.DATA_LOSS):
            self.call(ADMIN + "Restore", {"id": backup["id"]})
        self.assertEqual(status(self.call)["hash"], before["hash"])

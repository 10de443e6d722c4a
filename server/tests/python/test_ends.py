"""Ends and retries that leave a store usable: starts that fail, a signal while a file is loaded, restores asked again."""

import json
import signal
import time

import grpc

from harness import ADMIN, Server, ServerTest, at_once, put, status


class Ends(ServerTest):
    def failed_start(self, *arguments):
        server = Server(self.folder, *arguments)
        self.addCleanup(server.end)
        server.start(wait=False)
        return server, server.process.wait(30)

    def test_a_load_that_fails_is_told_and_leaves_the_store_usable(self):
        bad = self.folder / "bad.json"
        bad.write_text('{"services": [')
        server, code = self.failed_start("--load", str(bad))
        self.assertEqual(code, 1, server.tail())
        self.assertIn("bad.json", server.tail())
        self.serve()
        put(self.call, "probe/a")
        self.assertEqual(status(self.call)["revision"], 1)

    def test_a_port_in_use_is_told_and_gives_the_store_back(self):
        taken = self.serve(folder=self.folder / "first")
        server = Server(self.folder)
        server.address = taken.address
        self.addCleanup(server.end)
        server.start(wait=False)
        self.assertEqual(server.process.wait(30), 1)
        self.assertIn(taken.address, server.tail())
        again = self.serve()
        put(again.client().call, "probe/a")

    def test_a_signal_at_any_moment_of_the_start_ends_it_in_order(self):
        services = [{"name": f"s{index}", "dependencies": [f"s{index + 1}"]} for index in range(5_000)]
        large = self.folder / "large.json"
        large.write_text(json.dumps({"services": {one["name"]: one for one in services}}))
        for wait in (0.05, 0.2, 0.6):
            server = Server(self.folder, "--load", str(large))
            self.addCleanup(server.end)
            server.start(wait=False)
            time.sleep(wait)
            server.signal(signal.SIGTERM)
            code = server.process.wait(60)
            # Before anything runs there is nobody to hear it.
            self.assertIn(code, (0, 1, -signal.SIGTERM), server.tail())
        self.serve()
        put(self.call, "probe/a")


class RestoresAskedAgain(ServerTest):
    def test_one_request_many_times_restores_once_and_survives(self):
        self.serve()
        put(self.call, "probe/kept")
        backup = self.call(ADMIN + "Backup", {"description": "kept"})["backup"]
        put(self.call, "probe/gone")
        before = status(self.call)
        request = {"id": backup["id"], "request_id": "again"}
        clients = [self.server.client() for _ in range(4)]
        replies = at_once(12, lambda index: clients[index % 4].call(ADMIN + "Restore", request, timeout=60))
        for reply in replies:
            self.assertIsInstance(reply, dict, reply)
        self.assertEqual({reply["revision"] for reply in replies}, {before["revision"] + 1})
        safety = [reply["safety_backup"] for reply in replies if reply.get("safety_backup")]
        self.assertEqual([one["hash"] for one in safety], [before["hash"]])
        self.server.kill()
        self.server.start()
        self.call = self.server.client().call
        self.assertEqual(status(self.call)["hash"], backup["hash"])
        again = self.call(ADMIN + "Restore", request)
        self.assertEqual(again["revision"], before["revision"] + 1)

    def test_different_restores_of_one_backup_at_once_all_hold(self):
        self.serve()
        put(self.call, "probe/kept")
        backup = self.call(ADMIN + "Backup", {"description": "kept"})["backup"]
        put(self.call, "probe/gone")
        at_once(6, lambda _: self.server.client().call(ADMIN + "Restore", {"id": backup["id"]}, timeout=60))
        self.server.kill()
        self.server.start()
        self.call = self.server.client().call
        self.assertEqual(status(self.call)["hash"], backup["hash"])
        self.assertTrue(self.call(ADMIN + "CheckIntegrity")["ok"])

    def test_what_is_written_during_a_restore_is_in_its_safety_backup(self):
        self.serve()
        for index in range(300):
            put(self.call, f"probe/{index}")
        backup = self.call(ADMIN + "Backup", {"description": "kept"})["backup"]
        stop = []

        def write(index):
            client, number = self.server.client(), 0
            while not stop:
                put(client.call, f"load/{index}-{number}")
                number += 1

        def restore(_):
            try:
                return self.server.client().call(ADMIN + "Restore", {"id": backup["id"]}, timeout=60)
            finally:
                stop.append(True)

        outcomes = at_once(5, lambda index: restore(index) if index == 0 else write(index))
        reply = outcomes[0]
        self.assertIsInstance(reply, dict, reply)
        self.assertEqual(reply["safety_backup"]["revision"], reply["revision"] - 1)


class Labels(ServerTest):
    def test_calls_that_nobody_serves_share_one_label(self):
        self.serve()
        for index in range(20):
            call = self.client.channel.unary_unary(f"/grpc.health.v1.Health/Invented{index}")
            with self.refused(grpc.StatusCode.UNIMPLEMENTED):
                call(b"", timeout=5)
        self.assertNotIn("Invented", self.server.get("/metrics")[1])

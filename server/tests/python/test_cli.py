"""The command line: every client command, its forms, its exit codes, and how the server is configured and started."""

import json
import os
import subprocess

import harness
from harness import (
    BOUTIQUE,
    GRAPH,
    ORIGINAL,
    Server,
    ServerTest,
    SharedServerTest,
    free_port,
    needs_original,
    put,
    status,
    written,
)


def amadeus(*arguments, folder=None, env=None, **options):
    return subprocess.run(
        [str(harness.BINARY), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, **(env or {})},
        **options,
    )


class Commands(SharedServerTest):
    arguments = ("--load", str(BOUTIQUE))

    def cli(self, *arguments, **options):
        return self.server.cli(*arguments, **options)

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "-o", "json").stdout)

    def test_queries_answer_as_the_wire_does(self):
        self.assertEqual(self.json("impact", "currency")["total"], 3)
        self.assertEqual(self.json("deps", "checkout")["total"], 6)
        path = self.json("path", "frontend", "datastore/redis-cart")["path"]
        self.assertEqual([written(one) for one in path], ["service/frontend", "service/cart", "datastore/redis-cart"])
        self.assertEqual([one["name"] for one in self.json("find", "payments")["services"]], ["payment"])
        self.assertEqual(self.json("cycles").get("cycles", []), [])
        self.assertEqual(written(self.json("order")["levels"][-1]["entities"][0]), "service/load-generator")
        self.assertIn(
            "service/payment", [written(one["ref"]) for one in self.json("search", "credit card")["entities"]]
        )
        self.assertEqual(len(self.json("service", "list")["services"]), 11)
        self.assertEqual(self.json("entity", "get", "team/payments")["entity"]["properties"]["chat"], "#payments")
        self.assertEqual(self.json("describe")["entity_counts"]["service"], 11)
        self.assertEqual(len(self.json("relation", "list", "cart", "--direction", "in")["relations"]), 2)

    def test_every_form_shows_the_same(self):
        for command in (
            ["impact", "currency"],
            ["service", "get", "cart"],
            ["describe"],
            ["status"],
            ["validate"],
            ["backup", "list"],
        ):
            with self.subTest(command=command):
                self.assertTrue(self.cli(*command).stdout.strip())
                json.loads(self.cli(*command, "-o", "json").stdout)
                yaml = self.cli(*command, "-o", "yaml").stdout
                self.assertIn(":", yaml)
                self.assertFalse(yaml.lstrip().startswith("{"))
        self.assertIn("checkout", self.cli("impact", "currency").stdout)

    def test_pictures_and_documentation(self):
        self.assertIn("checkout", self.cli("viz", "--format", "mermaid").stdout)
        self.assertIn("digraph", self.cli("viz", "cart", "--format", "dot", "--depth", "1").stdout)
        self.assertIn("<svg", self.cli("viz", "--format", "svg").stdout)
        self.assertIn("PlaceOrder", self.cli("docs", "checkout").stdout)

    def test_documents_are_got_set_and_removed(self):
        self.assertEqual(
            json.loads(self.cli("get", "slo.checkout.availability", "-o", "json").stdout).get("value"), 0.999
        )
        self.cli("set", "cli.list", "[1, 2]")
        self.cli("set", "cli.text", "plain words", "--string")
        self.assertEqual(
            self.call(GRAPH + "GetNode", {"path": "cli"})["value"], {"list": [1, 2], "text": "plain words"}
        )
        self.cli("rm", "cli.list[0]")
        self.assertEqual(self.call(GRAPH + "GetNode", {"path": "cli.list"})["value"], [2])

    def test_things_are_written_and_removed(self):
        self.cli(
            "service",
            "register",
            "cli-service",
            "--version",
            "v3",
            "--capability",
            "x",
            "--dependency",
            "cart",
            "--dependency",
            "currency:v2",
        )
        found = self.call(GRAPH + "GetService", {"name": "cli-service"})["service"]
        self.assertEqual(
            [(one["service"], one["version"]) for one in found["dependencies"]], [("cart", ""), ("currency", "v2")]
        )
        self.cli("entity", "put", "team/cli", "--property", "size=6", "--property", "lead=ana")
        entity = self.json("entity", "get", "team/cli")["entity"]
        self.assertEqual(entity["properties"], {"size": 6, "lead": "ana"})
        self.cli("relation", "put", "cli-service", "owned_by", "team/cli", "--property", "since=2024")
        self.assertEqual(self.cli("entity", "rm", "team/cli", check=False).returncode, 4)
        self.cli("relation", "rm", "cli-service", "owned_by", "team/cli")
        self.cli("entity", "rm", "team/cli")
        self.cli("service", "dep", "rm", "cli-service", "cart")
        self.cli("service", "capability", "cli-service", "y", "on")
        self.assertEqual(self.json("service", "get", "cli-service")["service"]["capabilities"], ["x", "y"])
        self.cli("service", "deregister", "cli-service")
        self.assertEqual(self.cli("service", "get", "cli-service", check=False).returncode, 3)

    def test_failures_are_told_on_the_error_output_with_their_exit_codes(self):
        for code, arguments, word in [
            (3, ("service", "get", "nobody"), "nobody"),
            (1, ("get", 'a."b'), "path"),
            (4, ("service", "deregister", "cart"), "checkout"),
            (4, ("set", "slo.checkout.availability", "1", "--expect", "0"), "slo"),
            (2, ("impact",), "ENTITY"),
            (2, ("frobnicate",), "frobnicate"),
        ]:
            with self.subTest(arguments=arguments):
                done = self.cli(*arguments, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn(word, done.stderr)
                self.assertNotIn("panicked", done.stderr)

    def test_nobody_there_says_what_to_do(self):
        done = amadeus("status", "--addr", f"http://127.0.0.1:{free_port()}")
        self.assertEqual(done.returncode, 5)
        self.assertIn("amadeus serve", done.stderr)

    def test_an_address_needs_no_scheme(self):
        self.assertEqual(amadeus("status", "--addr", self.server.address).returncode, 0)
        self.assertEqual(amadeus("status", env={"AMADEUS_ADDR": self.server.address}).returncode, 0)

    def test_export_and_import_through_pipes(self):
        exported = self.cli("export", "--at", "1").stdout
        self.assertEqual(exported, BOUTIQUE.read_text())
        done = self.cli("import", "-", "--dry-run", input=exported)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        done = self.cli("import", str(BOUTIQUE))
        self.assertNotIn("\r", done.stdout + done.stderr, "a progress bar in a pipe")
        folder = self.server.folder
        self.cli("export", "--format", "svg", "-f", str(folder / "graph.svg"))
        self.assertIn("<svg", (folder / "graph.svg").read_text())

    def test_a_closed_pipe_is_no_error(self):
        command = f"{harness.BINARY} export --addr http://{self.server.address} | head -c 10"
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_watch_prints_a_line_for_each_change(self):
        start = status(self.call)["revision"] + 1
        put(self.call, "cli/watched")
        with subprocess.Popen(
            [
                str(harness.BINARY),
                "watch",
                "--from",
                str(start),
                "-o",
                "json",
                "--addr",
                f"http://{self.server.address}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            line = json.loads(process.stdout.readline())
            process.terminate()
        self.assertIn("cli", json.dumps(line))

    def test_backup_and_restore(self):
        made = self.json("backup", "create", "from the command line")["backup"]
        put(self.call, "cli/after-backup")
        self.assertIn("from the command line", self.cli("backup", "list").stdout)
        self.cli("restore", made["id"])
        self.assertEqual(status(self.call)["hash"], made["hash"])

    def test_completions_for_every_shell(self):
        for shell in ("bash", "zsh", "fish", "powershell", "elvish"):
            done = amadeus("completions", shell)
            self.assertEqual(done.returncode, 0)
            self.assertIn("amadeus", done.stdout)

    def test_every_command_has_help(self):
        for command in "import export get set rm service entity relation deps impact path find cycles order viz docs watch status login logout whoami register user key audit lease backup restore bench serve".split():
            with self.subTest(command=command):
                done = amadeus(command, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertIn("Usage", done.stdout)
        self.assertEqual(amadeus("--version").returncode, 0)

    def test_a_short_bench_measures(self):
        told = self.json("bench", "--seconds", "1", "--connections", "2", "--in-flight", "4", "--mix", "mixed")
        self.assertTrue(told)


class Configuration(ServerTest):
    def printed(self, *arguments, **env):
        done = amadeus("serve", *arguments, "--print-config", folder=self.folder, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_flags_beat_the_environment_beats_the_file_beats_the_default(self):
        def line(text):
            return next(one for one in text.splitlines() if "listen" in one)

        self.assertIn("127.0.0.1:50051", line(self.printed()))
        (self.folder / "amadeus.toml").write_text('listen = "127.0.0.1:1001"\n')
        self.assertIn("127.0.0.1:1001", line(self.printed()))
        self.assertIn("127.0.0.1:1002", line(self.printed(AMADEUS_LISTEN="127.0.0.1:1002")))
        self.assertIn(
            "127.0.0.1:1003", line(self.printed("--listen", "127.0.0.1:1003", AMADEUS_LISTEN="127.0.0.1:1002"))
        )
        self.assertIn("sqlite://amadeus-data/amadeus.db", self.printed())

    def test_an_unknown_key_is_an_error_that_names_it(self):
        (self.folder / "amadeus.toml").write_text('lisen = "127.0.0.1:1001"\n')
        done = amadeus("serve", "--print-config", folder=self.folder)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("lisen", done.stderr)

    def test_a_bad_value_is_an_error_that_names_it(self):
        for arguments, word in [
            (("--listen", "nowhere"), "listen"),
            (("--store", "ftp://x"), "ftp"),
            (("--config", "absent.toml"), "absent.toml"),
        ]:
            with self.subTest(arguments=arguments):
                done = amadeus("serve", *arguments, folder=self.folder)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(word, done.stderr)

    def test_beyond_loopback_needs_insecure(self):
        done = amadeus(
            "serve", "--listen", f"0.0.0.0:{free_port()}", "--http", f"127.0.0.1:{free_port()}", folder=self.folder
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--insecure", done.stderr)

    def test_load_fills_an_empty_graph_only(self):
        server = Server(self.folder)
        self.addCleanup(server.end)
        server.start("--load", str(BOUTIQUE))
        put(server.client().call, "mine/own")
        before = status(server.client().call)
        server.terminate()
        server.start("--load", str(BOUTIQUE))
        after = status(server.client().call)
        self.assertEqual((after["revision"], after["hash"]), (before["revision"], before["hash"]))

    def test_a_file_that_cannot_be_loaded_stops_the_start(self):
        server = Server(self.folder)
        self.addCleanup(server.end)
        (self.folder / "bad.json").write_text('{"amadeus": 1, "services": [{"name": ""}]}')
        server.start("--load", str(self.folder / "bad.json"), wait=False)
        self.assertGreater(server.process.wait(30), 0)
        self.assertIn("bad.json", server.log.read_text())

    def test_serve_is_the_default_command(self):
        process = subprocess.Popen(
            [str(harness.BINARY)],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "AMADEUS_LISTEN": f"127.0.0.1:{free_port()}",
                "AMADEUS_HTTP": (http := f"127.0.0.1:{free_port()}"),
                "AMADEUS_STORE": f"sqlite://{self.folder}/x.db",
            },
        )
        probe = Server(self.folder)
        probe.http_address = http
        try:
            self.eventually(lambda: probe.get("/readyz")[0] == 200)
        finally:
            process.terminate()
            self.assertEqual(process.wait(20), 0)

    def test_a_memory_store_serves(self):
        self.serve(store="memory:")
        put(self.call, "probe/x")
        self.assertEqual(status(self.call)["revision"], 1)


@needs_original
class OriginalFiles(ServerTest):
    def test_each_file_imports_from_the_command_line(self):
        for file in sorted(ORIGINAL.glob("*.json")):
            with self.subTest(file=file.name):
                server = self.serve(folder=self.folder / file.stem)
                server.cli("import", str(file))
                self.assertIn("search", server.cli("service", "list").stdout)

"""Patterns, runs and events for clients that know nothing but what reflection tells them, and from the command line."""

import concurrent.futures
import json
import shutil

import grpc

from harness import GRAPH, ROOT, ServerTest, SharedServerTest, every_page, names, ref, register, violations

NEXUS = "amadeus.v1.NexusService/"
QUERY = "amadeus.v1.QueryService/"
CLIENTS = 64


def step(name, *after, **fields):
    return {"id": name, "type": "pass", "depends_on": list(after), **fields}


def pattern(name, *steps, **fields):
    return {"name": name, "active": True, "steps": list(steps) or [step("a")], **fields}


class OverReflection(SharedServerTest):
    def put(self, *given, **fields):
        return self.call(NEXUS + "RegisterPattern", {"pattern": pattern(*given, **fields)})

    def test_of_64_clients_one_registers_a_pattern(self):
        clients = [self.server.client() for _ in range(8)]

        def try_it(number):
            request = {"pattern": pattern("raced", version=str(number))}
            try:
                clients[number % len(clients)].call(NEXUS + "RegisterPattern", request)
                return number
            except grpc.RpcError as error:
                return error.code()

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            found = list(pool.map(try_it, range(CLIENTS)))
        winners = [one for one in found if isinstance(one, int)]
        self.assertEqual(len(winners), 1)
        self.assertEqual(found.count(grpc.StatusCode.ALREADY_EXISTS), CLIENTS - 1)
        stands = self.call(NEXUS + "GetPattern", {"name": "raced"})
        self.assertEqual(stands["pattern"]["version"], str(winners[0]))

    def test_every_fault_is_told_with_its_path(self):
        wrong = pattern(
            "wrong",
            step("one", "two"),
            step("two", "one"),
            step("late", "absent", parameters={"x": "${steps.other.result}"}),
            step("other", retry={"multiplier": -1}),
            inputs=[{"name": "n", "type": "word"}],
        )
        told = self.call(NEXUS + "ValidatePattern", {"pattern": wrong})
        self.assertFalse(told["valid"])
        paths = [fault["path"] for fault in told["faults"]]
        for path in (
            "pattern.inputs[0].type",
            "pattern.steps[3].retry.multiplier",
            "pattern.steps[2].depends_on[0]",
            "pattern.steps[2].parameters.x",
        ):
            self.assertIn(path, paths)
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "pattern.steps[3].retry.multiplier") as caught:
            self.call(NEXUS + "RegisterPattern", {"pattern": wrong})
        self.assertGreater(len(violations(caught.exception)), 3)
        self.assertTrue(any("cycle" in fault["reason"] for fault in told["faults"]), told["faults"])

    def test_patterns_are_listed_by_name_in_pages(self):
        for number in range(5):
            self.put(f"listed-{number}", category="lists")
        found, pages = every_page(self.call, NEXUS + "ListPatterns", {"category": "lists"}, "patterns", page_size=2)
        self.assertEqual(names(found), [f"listed-{number}" for number in range(5)])
        self.assertEqual(len(pages), 3)
        self.call(NEXUS + "DeletePattern", {"name": "listed-0"})
        with self.refused(grpc.StatusCode.NOT_FOUND, "pattern/listed-0"):
            self.call(NEXUS + "GetPattern", {"name": "listed-0"})

    def test_a_service_knows_the_patterns_that_call_it(self):
        register(self.call, "called")
        call = {"type": "grpc", "target": "service/called", "action": "a.B/C"}
        self.put("calls", step("a", **call))
        self.put("undoes", step("a", compensation=call))
        self.put("repeats", {"id": "a", "type": "map", "parameters": {"items": [1], "step": call}})
        self.put("outer", {"id": "a", "type": "pattern", "target": "calls"})
        found = self.call(QUERY + "Impact", {"refs": [ref("service/called")]})
        self.assertEqual(names(found["patterns"]), ["calls", "repeats", "undoes"])

    def test_a_run_takes_its_inputs_and_gives_its_outputs_and_is_counted(self):
        self.put(
            "adds",
            step("one", parameters={"n": "${inputs.n}"}),
            step("two", "one", parameters={"n": "${steps.one.result.n}", "text": "n is ${inputs.n}"}),
            step("never", "one", condition={"equals": ["${inputs.n}", 0]}),
            inputs=[{"name": "n", "type": "integer", "required": True}],
            outputs=[{"name": "n", "value": "${steps.two.result.n}"}, {"name": "text", "value": "${steps.two.result.text}"}],
        )
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "inputs.n"):
            self.call(NEXUS + "ExecutePattern", {"pattern": "adds"})
        request = {"pattern": "adds", "inputs": {"n": 7}, "wait": True, "request_id": "seven"}
        run = self.call(NEXUS + "ExecutePattern", request)["run"]
        self.assertEqual((run["state"], run["outputs"]), ("RUN_SUCCEEDED", {"n": 7, "text": "n is 7"}))
        states = {one["id"]: one["state"] for one in run["steps"]}
        self.assertEqual(states, {"one": "STEP_SUCCEEDED", "two": "STEP_SUCCEEDED", "never": "STEP_SKIPPED"})
        again = self.call(NEXUS + "ExecutePattern", request)["run"]
        self.assertEqual(again["id"], run["id"], "the same request is the same run")
        counted = self.call(NEXUS + "GetPattern", {"name": "adds"})["statistics"]
        self.assertEqual((counted["usage_count"], counted["succeeded"], counted["failed"]), (1, 1, 0))
        told = self.call(NEXUS + "GetRun", {"run_id": run["id"], "timeline": True})
        whats = [line["what"] for line in told["timeline"]]
        self.assertEqual((whats[0], whats[-1]), ("run_started", "run_succeeded"))
        drawn = self.call(QUERY + "Visualize", {"run_id": run["id"]})["body"]
        self.assertIn("succeeded", drawn)
        self.assertIn("skipped", drawn)
        for form in ("DOT", "JSON", "SVG"):
            drawn = self.call(QUERY + "Visualize", {"pattern": "adds", "format": form})
            self.assertEqual((drawn["entities"], drawn["relations"]), (3, 2))
            self.assertIn("never", drawn["body"])

    def test_an_event_is_emitted_once_and_followed_from_any_place(self):
        event = {"type": "test.once", "id": "1", "payload": {"n": 1}}
        first = self.call(NEXUS + "EmitEvent", {"event": event})
        again = self.call(NEXUS + "EmitEvent", {"event": event})
        self.assertEqual((again["offset"], again["duplicate"]), (first["offset"], True))
        other = self.call(NEXUS + "EmitEvent", {"event": {**event, "type": "test.other"}})
        self.assertGreater(other["offset"], first["offset"])
        stream = self.call(
            NEXUS + "SubscribeEvents", {"types": ["test.*"], "from_offset": str(first["offset"])}, timeout=30
        )
        found = []
        for message in stream:
            found += [one["type"] for one in message["events"]]
            if len(found) >= 2:
                break
        stream.cancel()
        self.assertEqual(found[:2], ["test.once", "test.other"])


class CommandLine(SharedServerTest):
    FLOW = """\
name: flow
description: Says hello.
active: true
inputs: [{name: who, type: string, required: true}, {name: fails, type: boolean, default: false}]
steps:
- id: first
  type: pass
  parameters: {to: "${inputs.who}"}
  compensation: {type: pass}
- id: broken
  type: graph
  action: get_service
  dependsOn: [first]
  condition: {equals: ["${inputs.fails}", true]}
  parameters: {name: nobody-is-called-this}
- id: last
  type: pass
  join: ANY
  depends_on: [first, broken]
outputs: [{name: to, value: "${steps.first.result.to}"}]
"""

    @classmethod
    def prepare(cls):
        (cls.shared_folder / "flow.yaml").write_text(cls.FLOW)
        cls.server.cli("pattern", "register", "flow.yaml")

    def test_a_file_is_judged_and_what_does_not_fit_is_told_with_its_place(self):
        told = self.server.cli("pattern", "validate", "flow.yaml").stdout
        self.assertIn("flow.yaml: valid", told)
        self.assertIn("1. first", told)
        misspelt = self.FLOW.replace("compensation:", "compensate:")
        done = self.server.cli("pattern", "validate", "-", check=False, input=misspelt)
        self.assertEqual(done.returncode, 2)
        self.assertIn("steps[0].compensate", done.stderr)
        wrong = self.FLOW.replace("[first, broken]", "[first, nothing]")
        done = self.server.cli("pattern", "validate", "-", check=False, input=wrong)
        self.assertEqual(done.returncode, 1)
        self.assertIn("pattern.steps[2].depends_on[1]", done.stdout)

    def test_of_a_file_nothing_is_lost_without_a_word(self):
        for text, place, what in (
            (self.FLOW + "active: false\n", "active", "duplicate"),
            (self.FLOW + "version: 2.0\n", "version", "put it in quotes"),
            (self.FLOW + "metadata: {n: [1, 9007199254740993]}\n", "metadata.n[1]", "beyond 2^53"),
        ):
            done = self.server.cli("pattern", "validate", "-", check=False, input=text)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(place, done.stderr)
            self.assertIn(what, done.stderr)

    def test_a_file_that_cannot_be_read_keeps_no_other_from_being_judged(self):
        (self.shared_folder / "odd.yaml").write_text("name: [odd\n")
        done = self.server.cli("pattern", "validate", "odd.yaml", "flow.yaml", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("flow.yaml: valid", done.stdout)
        self.assertIn("odd.yaml", done.stderr)

    def test_a_service_is_registered_with_where_it_is_called(self):
        self.server.cli("service", "register", "called-here", "--endpoint", "grpc://127.0.0.1:1", "--endpoint", "web=http://127.0.0.1:2/a=b")
        service = self.call(GRAPH + "GetService", {"name": "called-here"})["service"]
        self.assertEqual(
            [(one["name"], one["path"]) for one in service["endpoints"]],
            [("", "grpc://127.0.0.1:1"), ("web", "http://127.0.0.1:2/a=b")],
        )

    def test_the_examples_are_valid(self):
        folder = ROOT / "examples" / "patterns"
        for file in folder.glob("*.yaml"):
            shutil.copy(file, self.shared_folder)
            told = self.server.cli("pattern", "validate", file.name).stdout
            self.assertIn(f"{file.name}: valid", told)

    def test_a_second_registration_is_refused_and_a_replacement_is_not(self):
        done = self.server.cli("pattern", "register", "flow.yaml", check=False)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.server.cli("pattern", "register", "flow.yaml", "--replace")
        self.assertIn("flow", self.server.cli("pattern", "list", "--active").stdout)
        shown = self.server.cli("pattern", "show", "flow").stdout
        for word in ("Inputs", "Steps", "Outputs", "Runs", "any of first, broken"):
            self.assertIn(word, shown)

    def test_a_run_that_succeeds_ends_with_0_and_shows_what_it_gave(self):
        done = self.server.cli("pattern", "run", "flow", "--input", "who=42", "-o", "json")
        reply = json.loads(done.stdout)
        self.assertEqual(reply["run"]["outputs"], {"to": "42"}, "what is text stays text")
        run = reply["run"]["id"]
        lines = self.server.cli("pattern", "watch", run, "-o", "json").stdout.splitlines()
        self.assertEqual(json.loads(lines[-1])["what"], "run_succeeded")
        self.assertIn("Timeline", self.server.cli("pattern", "get-run", run, "--timeline").stdout)
        self.assertIn(run, self.server.cli("pattern", "runs", "flow", "--state", "succeeded").stdout)
        self.assertIn("flowchart", self.server.cli("pattern", "draw", "--run", run).stdout)
        self.assertIn("same way", self.server.cli("pattern", "replay", run).stdout)

    def test_a_run_that_fails_says_which_step_why_and_what_was_undone(self):
        done = self.server.cli(
            "pattern", "run", "flow", "--input", "who=you", "--input", "fails=true", "--follow", check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("step broken failed after 1 attempt: NOT_FOUND", done.stderr)
        self.assertIn("undone: first", done.stderr)
        self.assertIn("did not run: last", done.stderr)
        self.assertIn("compensation succeeded", done.stdout)

    def test_events_are_told_followed_and_acknowledged(self):
        self.server.cli("event", "emit", "cli.first", "--id", "1", "--payload", '{"n": 1}')
        again = self.server.cli("event", "emit", "cli.first", "--id", "1", "--payload", '{"n": 1}').stdout
        self.assertIn("was there already", again)
        self.server.cli("event", "emit", "cli.second")
        shown = self.server.cli("event", "follow", "--type", "cli.*", "--from", "1", "-n", "2").stdout
        self.assertIn("cli.first", shown)
        self.assertIn('{"n":1}', shown)
        first = self.server.cli(
            "event", "follow", "--type", "cli.*", "--from", "1", "--group", "mine", "-n", "1", "-o", "json"
        )
        self.assertEqual(json.loads(first.stdout)["type"], "cli.first")
        second = self.server.cli("event", "follow", "--type", "cli.*", "--group", "mine", "-n", "1", "-o", "json")
        self.assertEqual(json.loads(second.stdout)["type"], "cli.second")
        self.assertIn("mine", self.server.cli("event", "groups").stdout)
        self.server.cli("event", "seek", "mine", "--offset", "1")
        self.server.cli("event", "dead-letters", "mine")
        self.server.cli("event", "delete-group", "mine")


class Groups(ServerTest):
    def test_what_a_group_acknowledged_comes_never_again_and_what_it_did_not_comes_again_after_a_kill(self):
        server = self.serve()
        call = server.client().call
        done = 0
        for turn in range(5):
            for number in range(4):
                call(NEXUS + "EmitEvent", {"event": {"type": "test.kept", "payload": {"n": 4 * turn + number}}})
            request = {"group": "kept", "types": ["test.*"]}
            if not turn:
                request["from_offset"] = "1"
            stream = call(NEXUS + "SubscribeEvents", request, timeout=60)
            found = []
            for message in stream:
                found += [(one["offset"], int(one["payload"]["n"])) for one in message["events"]]
                if len(found) >= 4 * (turn + 1) - done:
                    break
            self.assertEqual([n for _, n in found], list(range(done, 4 * (turn + 1))))
            # All but the last two; the answer is all that is waited for.
            call(NEXUS + "AckEvents", {"group": "kept", "offset": found[-3][0]})
            done = found[-3][1] + 1
            server.kill()
            server.start()
            call = server.client().call

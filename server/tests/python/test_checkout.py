"""The example of a shop, from the command line: a query, two gRPC calls at once, a mutation, another call, an event, and what undoes them.

The server knows the services by their registration and their reflection alone; each is a process of its own, to be killed.
"""

import json
import subprocess
import unittest

import harness
from amadeus_client import Client
from harness import ROOT, ServerTest, free_port

GRAPH = "amadeus.v1.GraphService/"
SERVICES = {"inventory": "Inventory", "payments": "Payments", "shipping": "Shipping"}


class Checkout(ServerTest):
    def setUp(self):
        super().setUp()
        program = harness.BINARY.with_name("example-services")
        if not program.exists():
            raise unittest.SkipTest("example-services is not built beside the server")
        self.program = program
        self.server = self.serve()
        self.ports = {name: free_port() for name in SERVICES}
        self.running = {}
        self.addCleanup(lambda: [self.stop(name) for name in list(self.running)])
        for name in SERVICES:
            self.start(name)
        call = self.server.client().call
        for name in SERVICES:
            self.eventually(lambda: self.is_up(call, name), message=f"{name} is not up")
        self.call = call
        self.server.cli("pattern", "register", str(ROOT / "examples/patterns/checkout.yaml"))

    def is_up(self, call, name):
        found = call(GRAPH + "ListServices", {})["services"]
        return any(service["name"] == name and service["health"] == "UP" for service in found)

    def start(self, name):
        address = f"127.0.0.1:{self.ports[name]}"
        command = [str(self.program), "--service", name, "--listen", address]
        command += ["--amadeus", f"http://{self.server.address}"]
        self.running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.assertIn("listening", self.running[name].stdout.readline())

    def stop(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()
        process.stdout.close()

    def effects(self, name):
        """What a service has done, by the key that it was given."""
        client = Client(f"127.0.0.1:{self.ports[name]}")
        try:
            return client.call(f"shop.v1.{SERVICES[name]}/Effects", {})["effects"]
        finally:
            client.close()

    def begin(self, order, **inputs):
        command = [str(harness.BINARY), "pattern", "run", "checkout", "--input", f"order={order}"]
        for key, value in inputs.items():
            command += ["--input", f"{key}={value}"]
        command += ["--addr", f"http://{self.server.address}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def step(self, name):
        runs = json.loads(self.server.cli("pattern", "runs", "-o", "json").stdout)["runs"]
        if not runs:
            return {}
        run = json.loads(self.server.cli("pattern", "get-run", runs[0]["id"], "-o", "json").stdout)["run"]
        return next(step for step in run["steps"] if step["id"] == name)

    def test_an_order_goes_its_way_to_the_end(self):
        done = self.begin("4711")
        out, err = done.communicate(timeout=60)
        self.assertEqual(done.returncode, 0, out + err)
        order = self.call(GRAPH + "GetEntity", {"ref": {"kind": "order", "name": "4711"}})["entity"]
        self.assertEqual(order["properties"]["amount_cents"], 900)
        told = self.server.cli("event", "follow", "--type", "order.placed", "--from", "1", "-n", "1", "-o", "json")
        self.assertEqual(json.loads(told.stdout)["payload"]["order"], "4711")
        for name in SERVICES:
            effects = self.effects(name)
            self.assertEqual([effect["effects"] for effect in effects], [1], f"{name} did {effects}")

    def test_a_service_that_is_killed_is_called_again_and_then_everything_is_undone(self):
        begun = self.begin("4713", slow_ms=60000)
        self.eventually(lambda: self.step("charge").get("state") == "STEP_RUNNING")
        self.eventually(lambda: self.step("reserve").get("state") == "STEP_SUCCEEDED")
        self.stop("payments")
        out, err = begun.communicate(timeout=60)
        self.assertEqual(begun.returncode, 1, out + err)
        self.assertIn("step charge failed after 4 attempts: UNAVAILABLE", err)
        self.assertIn("undone: reserve", err)
        self.assertIn("did not run: record, book, tell", err)
        self.assertEqual(self.step("reserve")["state"], "STEP_COMPENSATED")
        keys = sorted(effect["key"].partition("/")[2] for effect in self.effects("inventory"))
        self.assertEqual(keys, ["reserve", "reserve/undo"])

    def test_a_service_that_comes_back_in_time_is_called_once_more_and_all_is_well(self):
        begun = self.begin("4714", slow_ms=3000)
        self.eventually(lambda: self.step("charge").get("state") == "STEP_RUNNING")
        self.stop("payments")
        self.start("payments")
        out, err = begun.communicate(timeout=60)
        self.assertEqual(begun.returncode, 0, out + err)
        self.assertGreater(self.step("charge")["attempts"], 1)

    def test_what_cannot_be_sent_is_undone_in_reverse_order(self):
        begun = self.begin("4712", address="")
        out, err = begun.communicate(timeout=60)
        self.assertEqual(begun.returncode, 1, out + err)
        runs = json.loads(self.server.cli("pattern", "runs", "-o", "json").stdout)["runs"]
        shown = json.loads(self.server.cli("pattern", "get-run", runs[0]["id"], "--timeline", "-o", "json").stdout)
        undone = [line["step"] for line in shown["timeline"] if line["what"] == "compensation_succeeded"]
        begun_in = [step for step in ("reserve", "charge", "record") if step in undone]
        self.assertEqual(undone[0], "record")
        self.assertCountEqual(undone, begun_in)
        self.assertIn("same way", self.server.cli("pattern", "replay", runs[0]["id"]).stdout)

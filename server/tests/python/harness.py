"""A real server for a test: started on free ports with a store of its own, watched, killed, started again.

Nothing here is mocked. A test gets a folder that is removed afterwards, and every process it starts ends with it.
"""

import base64
import contextlib
import http.client
import json
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import grpc

from amadeus_client import Client

ROOT = pathlib.Path(__file__).resolve().parents[3]
BOUTIQUE = ROOT / "examples" / "online-boutique.json"
ORIGINAL = ROOT.parent / "shared" / "data"
GRAPH = "amadeus.v1.GraphService/"
QUERY = "amadeus.v1.QueryService/"
ADMIN = "amadeus.v1.AdminService/"
READY_SECONDS = 60

BINARY = None
LONG = False
TIMED = False
SEED = 0
_servers = []


def configure(binary, long, timed, seed):
    """What `run.py` was asked for; the rest reads it from here."""
    global BINARY, LONG, TIMED, SEED
    BINARY, LONG, TIMED, SEED = binary, long, timed, seed


def size(short, long):
    """A number of repetitions: small in every run, whole with `--long`."""
    return long if LONG else short


def seeded(name):
    """A generator that depends on the run's seed and the test's name only."""
    return random.Random(f"{SEED}/{name}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One `amadeus serve`, restartable on the same store and ports.

    One that speaks TLS has the file of the authority that signed its certificate as `ca`.
    """

    def __init__(self, folder, *arguments, store=None, ca=None):
        self.folder = pathlib.Path(folder)
        self.store = store or f"sqlite://{self.folder}/amadeus.db"
        self.arguments = arguments
        self.ca = ca
        self.scheme = "https" if ca else "http"
        self.address = f"127.0.0.1:{free_port()}"
        self.http_address = f"127.0.0.1:{free_port()}"
        # Standard error and standard output.
        self.log = self.folder / "server.log"
        self.output = self.folder / "server.out"
        self.process = None
        self.clients = []
        _servers.append(self)

    def start(self, *arguments, wait=True):
        command = [str(BINARY), "serve", "--listen", self.address, "--http", self.http_address]
        command += ["--store", self.store, *self.arguments, *arguments]
        with self.log.open("ab") as log, self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True
            )
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, seconds=READY_SECONDS):
        end = time.monotonic() + seconds
        while self.get("/readyz")[0] != 200:
            if self.process.poll() is not None:
                raise AssertionError(f"the server exited with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"the server was not ready in {seconds} s:\n{self.tail()}")
            time.sleep(0.02)

    def client(self, **options):
        client = Client(self.address, **options)
        self.clients.append(client)
        return client

    def get(self, path):
        """Status and body of a page of the HTTP side; status 0 while nobody listens who speaks so."""
        trust = ssl.create_default_context(cafile=self.ca) if self.ca else None
        try:
            url = f"{self.scheme}://{self.http_address}{path}"
            with urllib.request.urlopen(url, timeout=10, context=trust) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def cli(self, *arguments, check=True, **options):
        """Runs a client command against this server; returns the finished process with its texts."""
        command = [str(BINARY), *arguments, "--addr", f"{self.scheme}://{self.address}"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=900, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """`kill -9`, as a power failure of this process."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def terminate(self, seconds=40):
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def tail(self, lines=15):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end(self):
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.kill()
        if self in _servers:
            _servers.remove(self)


class ServerTest(unittest.TestCase):
    """A test with a folder and servers of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amadeus-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.rng = seeded(self.id())

    def serve(self, *arguments, store=None, folder=None, ca=None, wait=True):
        """A started server; the first is `self.server`, with a client `self.client` and the call `self.call`."""
        folder = pathlib.Path(folder or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        server = Server(folder, *arguments, store=store, ca=ca)
        self.addCleanup(server.end)
        server.start(wait=wait)
        if not hasattr(self, "server"):
            self.server = server
            self.client = server.client()
            self.call = self.client.call
        return server

    @contextlib.contextmanager
    def refused(self, code, *words):
        """The block must fail with this status code, and its message must contain each of `words`."""
        with self.assertRaises(grpc.RpcError) as caught:
            yield caught
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        for word in words:
            self.assertIn(word, caught.exception.details())

    def eventually(self, holds, seconds=20, message=""):
        """Waits until `holds()` is true and returns what it returned."""
        end = time.monotonic() + seconds
        while True:
            found = holds()
            if found:
                return found
            if time.monotonic() > end:
                self.fail(message or f"{holds} did not come true in {seconds} s")
            time.sleep(0.02)


class SharedServerTest(ServerTest):
    """Tests that only read, or write under names of their own: one server per class, started with `arguments`."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.shared_folder = pathlib.Path(tempfile.mkdtemp(prefix="amadeus-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared_folder, ignore_errors=True)
        cls.server = Server(cls.shared_folder, *cls.arguments)
        cls.addClassCleanup(cls.server.end)
        cls.server.start()
        cls.client = cls.server.client()
        cls.call = cls.client.call
        cls.prepare()

    @classmethod
    def prepare(cls):
        """What the class needs in the graph."""


def needs_original(test):
    """Skips a test when the files of the replaced system, which are no part of this repository, are not beside it."""
    return unittest.skipUnless(ORIGINAL.is_dir(), "no ../shared/data beside this repository")(test)


def ref(text):
    """`service/user` as the message."""
    kind, _, name = text.partition("/")
    return {"kind": kind, "name": name}


def written(found):
    """The message as `service/user`."""
    return f"{found['kind']}/{found['name']}"


def names(found):
    return [one["name"] for one in found]


def revision(reply):
    return reply["header"]["revision"]


def every_page(call, method, request, field, page_size=None):
    """All items of a paged list, and the replies that carried them."""
    items, replies, token = [], [], ""
    while True:
        request = {**request, "page_token": token}
        if page_size:
            request["page_size"] = page_size
        reply = call(method, request)
        replies.append(reply)
        items += reply[field]
        token = reply["next_page_token"]
        if not token:
            return items, replies


def violations(error):
    """`(field, description)` of the `google.rpc.BadRequest` in an error's details."""
    found = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for number, detail in wire_fields(value):
                if number == 3:
                    packed = dict(wire_fields(detail))
                    if packed.get(1, b"").endswith(b"google.rpc.BadRequest"):
                        for one, violation in wire_fields(packed.get(2, b"")):
                            if one == 1:
                                told = dict(wire_fields(violation))
                                found.append((told.get(1, b"").decode(), told.get(2, b"").decode()))
    return found


def wire_fields(encoded):
    """The fields of any protobuf message: numbers with their varints or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = encoded[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(encoded):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, encoded[at : at + length]
            at += length
        else:
            width = {1: 8, 5: 4}[key & 7]
            yield key >> 3, encoded[at : at + width]
            at += width


def load_json(path):
    return json.loads(pathlib.Path(path).read_text())


def import_bytes(call, content, *, method="Import", format="AUTO", chunk=256 * 1024, **options):
    """Sends a file through `Import` (one reply) or `ImportStream` (the list of replies)."""

    def messages():
        yield {"options": {"format": format, **options}}
        for start in range(0, len(content), chunk):
            yield {"chunk": base64.b64encode(content[start : start + chunk]).decode()}

    reply = call(GRAPH + method, messages(), timeout=600)
    return list(reply) if method == "ImportStream" else reply


def export_bytes(call, format="JSON", **request):
    return b"".join(part["chunk"] for part in call(GRAPH + "Export", {"format": format, **request}))


def register(call, name, *dependencies, **fields):
    """Registers a service that needs `dependencies`, by name."""
    service = {"name": name, "dependencies": [{"service": needed} for needed in dependencies], **fields}
    return call(GRAPH + "RegisterService", {"service": service})


def put(call, entity, /, **properties):
    """Creates or replaces `kind/name` with these properties."""
    return call(GRAPH + "PutEntity", {"entity": {"ref": ref(entity), "properties": properties}})


def relate(call, start, relation, end, **properties):
    wanted = {"from": ref(start), "relation": relation, "to": ref(end), "properties": properties}
    return call(GRAPH + "PutRelation", {"relation": wanted})


def hits(call, method, text, **request):
    """Names of everything that `Impact` or `Dependencies` finds, over all pages, sorted."""
    found, _ = every_page(call, QUERY + method, {"refs": [ref(text)], **request}, "hits")
    return sorted(written(one["ref"]) for one in found)


def status(call):
    return call(ADMIN + "Status")


def at_once(count, work):
    """Runs `work(0) .. work(count - 1)` on threads that start together; results and exceptions in that order."""
    barrier = threading.Barrier(count)
    outcomes = [None] * count

    def run(index):
        barrier.wait()
        try:
            outcomes[index] = work(index)
        except Exception as error:  # the caller judges it
            outcomes[index] = error

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def last_words():
    """What the servers that still stand logged last, for a failure's story."""
    return "".join(f"    -- {server.log}\n    " + server.tail().replace("\n", "\n    ") + "\n" for server in _servers)


def end_everything():
    for server in list(_servers):
        with contextlib.suppress(Exception):
            server.end()

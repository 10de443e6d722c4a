"""Users, sessions and keys from the command line, with its exit codes, and no secret where it should not be."""

import json
import re
import subprocess

import harness
from access import AUTH, PASSWORD, SECRET, bearing, calls_of, command_environment, events, login, setup_tokens
from grpc import StatusCode
from harness import ServerTest


class CommandLine(ServerTest):
    """From an empty folder to a team with roles and keys, and out again. No secret stands where it should not."""

    def setUp(self):
        super().setUp()
        self.environment = command_environment(self.folder)
        self.store = f"sqlite://{self.folder}/amadeus.db"
        self.credentials = self.folder / "config" / "amadeus" / "credentials.toml"

    def offline(self, *arguments, input=PASSWORD + "\n"):
        command = [str(harness.BINARY), "user", "create", *arguments, "--password-stdin", "--store", self.store]
        return subprocess.run(
            command, input=input, cwd=self.folder, capture_output=True, text=True, timeout=60, env=self.environment
        )

    def run_command(self, *arguments, code=0, says="", input=None, env=None, shows_secrets=0):
        """Runs a command, holds its exit code and one word of what it says, and counts the secrets in all that it shows."""
        environment = {**self.environment, **(env or {})}
        done = self.server.cli(*arguments, check=False, input=input, env=environment)
        shown = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, f"{arguments}: {shown}")
        self.assertIn(says, shown)
        self.assertEqual(len(SECRET.findall(shown)), shows_secrets, shown)
        self.assertNotIn(PASSWORD, shown)
        if code:
            self.assertEqual(done.stdout, "")
        return done.stdout

    def served(self):
        """A server on a store whose administrator was written into it, who has signed in."""
        done = self.offline("root", "--admin")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.serve("--auth")
        self.run_command("login", "root", "--password-stdin", input=PASSWORD + "\n", says="as root (admin)")

    def test_an_administrator_is_made_without_a_server(self):
        done = self.offline("root", "--admin", "--email", "root@example.org", "--team", "platform")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^name: +root$")
        self.assertRegex(done.stdout, r"(?m)^may: +admin$")
        self.assertIn("amadeus.db", done.stderr)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        for arguments, input, code, word in (
            (("ROOT", "--admin"), PASSWORD, 4, "taken"),
            (("short", "--admin"), "short\n", 2, "12"),
            (("empty", "--admin"), "", 2, "standard input"),
            (("bad name", "--admin"), PASSWORD, 2, "letters"),
            (("plain",), PASSWORD, 2, "--admin"),
        ):
            with self.subTest(arguments=arguments):
                done = self.offline(*arguments, input=input)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(word, done.stderr)
                self.assertEqual(done.stdout, "")

        server = self.serve("--auth")
        self.assertEqual(setup_tokens(server), [])
        told = login(self.call, "ROOT@example.org")
        self.assertEqual((told["user"]["username"], told["user"]["profile"]["team"]), ("root", "platform"))
        done = self.offline("late", "--admin")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("one process at a time", done.stderr)
        written = events(calls_of(server, told["access_token"]), action="create_user")
        self.assertEqual([(one["resource"], one["outcome"]) for one in written], [("user/root", "DONE")])

    def test_signing_in_leaves_one_private_file_and_signing_out_empties_it(self):
        self.served()
        folder = self.credentials.parent
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        for file in folder.iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
        saved = self.credentials.read_text()
        refresh = re.search(r"amr_[\w-]+", saved)[0]
        self.assertIn(self.server.address, saved)
        self.assertRegex(self.run_command("whoami"), r"(?m)^name: +root$")
        self.assertEqual(json.loads(self.run_command("whoami", "-o", "json"))["principal"], "root")
        for form in ("table", "json", "yaml"):
            self.run_command("login", "root", "--password-stdin", "-o", form, input=PASSWORD + "\n")
        self.run_command("login", "--password-stdin", input=PASSWORD + "\n", says="as root")
        self.run_command("login", "root", "--password-stdin", input="not that one, no\n", code=4, says="wrong")
        self.run_command("login", "nobody", "--password-stdin", input="not that one, no\n", code=4, says="wrong")
        self.run_command("login", "root", input="", code=2, says="--password-stdin")
        self.run_command("login", "root", "--password-stdin", input="", code=2, says="standard input")
        self.run_command("login", "root", "--password", "x", code=2, says="--password-stdin")
        before = self.credentials.read_text()
        printed = self.run_command(
            "login", "root", "--password-stdin", "--print-token", input=PASSWORD + "\n", shows_secrets=1
        )
        self.assertEqual(self.credentials.read_text(), before)
        self.assertEqual(self.call(AUTH + "ValidateToken", {"token": printed.strip()})["principal"], "root")

        self.credentials.chmod(0o644)
        self.run_command("whoami", code=1, says="others may read it")
        self.credentials.chmod(0o600)
        access = re.search(r"eyJ[\w.-]+", self.credentials.read_text())[0]
        self.run_command("logout", says="1 session ended")
        self.assertEqual(SECRET.findall(self.credentials.read_text()), [])
        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(AUTH + "ValidateToken", {"token": access})
        self.run_command("logout", says="nobody is signed in")
        self.run_command("whoami", code=4, says="amadeus login")
        self.run_command("service", "list", code=4, says="amadeus login")
        # The first session, whose place in the file a later one took, is still good until all are ended.
        refresh = self.call(AUTH + "RefreshToken", {"refresh_token": refresh})["refresh_token"]
        self.run_command("login", "root", "--password-stdin", input=PASSWORD + "\n")
        self.run_command("logout", "--everywhere", says="sessions ended")
        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(AUTH + "RefreshToken", {"refresh_token": refresh})

    def test_users_roles_and_keys(self):
        self.served()
        new = ("--password-stdin", "--email", "alice@example.org", "--reason", "joins")
        self.run_command("user", "create", "alice", *new, input=PASSWORD + "\n", says="alice@example.org")
        self.run_command("user", "create", "ALICE", "--no-password", code=4, says="taken")
        self.run_command("user", "role", "add", "alice", "writer:prefix=pay-", says="writer:prefix=pay-")
        self.run_command("user", "role", "add", "Alice", "reader:kind=team,owner=us", says="kind=team,owner=us")
        for arguments, code, word in (
            (("user", "role", "add", "nobody", "reader"), 3, "nobody"),
            (("user", "role", "add", "alice", "owner"), 2, "reader, writer, operator or admin"),
            (("user", "role", "add", "alice", "reader:name=x"), 2, "prefix=PREFIX"),
            (("user", "role", "add", "alice", "admin:prefix=x"), 1, "everywhere"),
            (("user", "role", "add", "alice", "reader", "--expect", "1"), 4, "version"),
            (("user", "role", "remove", "alice", "operator"), 3, "operator"),
            (("user", "role", "remove", "root", "admin"), 4, "last active administrator"),
            (("user", "get", "nobody"), 3, "nobody"),
            (("user", "update", "alice"), 2, "--rename"),
            (("key", "create", "x", "--ttl", "soon"), 2, "soon"),
            (("key", "create", "no spaces"), 1, "name"),
        ):
            with self.subTest(arguments=arguments):
                self.run_command(*arguments, code=code, says=word)
        self.assertIn("alice@example.org", self.run_command("user", "list", "--role", "writer"))
        shown = json.loads(self.run_command("user", "get", "alice", "-o", "json"))["user"]
        self.assertEqual((shown["username"], shown["email"]), ("alice", "alice@example.org"))

        made = json.loads(
            self.run_command("key", "create", "ci", "--user", "alice", "--ttl", "1h", "-o", "json", shows_secrets=1)
        )
        key = made["key"]
        self.run_command("key", "create", "shown", "--grant", "reader", shows_secrets=1, says="not shown again")
        self.assertIn("ci", self.run_command("key", "list", "--user", "alice"))
        self.assertIn("shown", self.run_command("key", "list", "-o", "json"))

        self.run_command("whoami", "--token", key, says="alice/ci")
        self.run_command("whoami", env={"AMADEUS_TOKEN": key}, says="alice/ci")
        # A flag stands before the environment, and both before what is saved.
        self.run_command("whoami", "--token", key, env={"AMADEUS_TOKEN": "x"}, says="alice/ci")
        self.run_command("entity", "put", "team/pay-a", "--token", key)
        self.run_command("entity", "put", "team/a", "--token", key, code=4, says="team/a")
        self.run_command("service", "get", "none", "--token", key, code=4, says="whoami")
        self.run_command("user", "list", "--token", key, code=4, says="role admin")
        self.run_command("whoami", "--token", "amk_0_x", code=4, says="not good")
        self.run_command("key", "revoke", made["api_key"]["id"])
        self.run_command("whoami", "--token", key, code=4)
        self.assertNotIn("ci", self.run_command("key", "list", "--user", "alice"))

        told = self.run_command("audit", "--action", "create_user")
        self.assertIn("user/alice", told)
        self.assertIn("joins", told)
        self.run_command("audit", "--outcome", "refused", says="denied")
        self.run_command("user", "password", "alice", "--password-stdin", input="another long password\n")
        with self.refused(StatusCode.UNAUTHENTICATED):
            login(self.call, "alice")
        login(self.call, "alice", "another long password")
        self.run_command("user", "update", "alice", "--status", "disabled", says="disabled")
        with self.refused(StatusCode.UNAUTHENTICATED):
            login(self.call, "alice", "another long password")
        self.run_command("user", "delete", "alice", says="deleted")
        log = self.server.log.read_text()
        self.assertEqual(SECRET.findall(log), [])
        self.assertNotIn(PASSWORD, log)

    def test_the_first_administrator_registers_with_the_token_that_was_shown(self):
        self.serve("--auth")
        [token] = setup_tokens(self.server)
        command = ("register", "root", "--password-stdin")
        env = {"AMADEUS_SETUP_TOKEN": token}
        self.run_command(*command, "--setup-token", "ams_x", input=PASSWORD + "\n", code=4, says="setup token")
        self.run_command(*command, env=env, input=PASSWORD + "\n", says="amadeus login")
        self.run_command("register", "other", "--password-stdin", env=env, input=PASSWORD + "\n", code=4)
        self.run_command("login", "root", "--password-stdin", input=PASSWORD + "\n", says="admin")
        self.assertNotIn(token, self.run_command("whoami", "-o", "json"))

    def test_reflection_may_be_for_those_who_have_signed_in(self):
        self.offline("root", "--admin")
        self.serve("--auth", "--reflection", "signed-in")
        with self.refused(StatusCode.UNAUTHENTICATED, "sign in"):
            self.client.services()
        # Who has no descriptors signs in by other means.
        login = ("login", "root", "--password-stdin", "--print-token")
        token = self.run_command(*login, input=PASSWORD + "\n", shows_secrets=1).strip()
        self.assertIn("amadeus.v1.AuthService", self.server.client(metadata=bearing(token)).services())
        self.assertFalse(self.credentials.exists())

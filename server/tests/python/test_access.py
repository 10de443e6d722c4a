"""Signing in and out, users and keys, for a client that knows nothing but what reflection tells it.

The matrix of every RPC by every role stands in `server/tests/access`; here are the stories that people live through.
"""

import contextlib
import json
import subprocess

import grpc
import harness
from access import (
    AUTH,
    OPEN,
    PASSWORD,
    USER,
    SignedInTest,
    bearing,
    become_first_administrator,
    calls_of,
    create,
    grant,
    login,
    setup_tokens,
)
from grpc import StatusCode
from harness import GRAPH, QUERY, ServerTest, every_page, free_port, put, ref, violations
from test_shutdown import SERVING, check_health


class Doors(SignedInTest):
    def test_whoever_has_not_signed_in_is_told_what_there_is_and_nothing_of_what_is_in_it(self):
        offered = [name for name in self.client.services() if name.startswith("amadeus.v1.")]
        self.assertLessEqual({"amadeus.v1.UserService", "amadeus.v1.AuthService"}, set(offered))
        for name in ("", *offered):
            if name.removeprefix("amadeus.v1.") not in ("UserService", "AuthService"):
                self.assertEqual(check_health(self.client, name), SERVING, name)
        closed = {method for service in offered for method in self.client.methods(service)} - OPEN
        self.assertGreater(len(closed), 50)
        no_algorithm, no_bearer = bearing("eyJhbGciOiJub25lIn0.e30."), (("authorization", "Basic cm9vdA=="),)
        for metadata in ((), bearing("ams_x"), no_algorithm, no_bearer):
            for method in sorted(closed):
                with self.subTest(method=method, metadata=metadata):
                    with self.refused(StatusCode.UNAUTHENTICATED, "sign in"):
                        self.ask_for_nothing(method, metadata)

    def ask_for_nothing(self, method, metadata):
        """An empty request, and the first reply where there may be many."""
        takes_many = method.endswith(("/Import", "/ImportStream", "/KeepAlive"))
        reply = self.call(method, iter([{}]) if takes_many else {}, timeout=10, metadata=metadata)
        if not isinstance(reply, dict):
            next(reply)

    def test_the_setup_token_is_good_once(self):
        with self.refused(StatusCode.PERMISSION_DENIED, "setup token"):
            become_first_administrator(self.call, setup_tokens(self.server)[0], "second")
        with self.refused(StatusCode.NOT_FOUND):
            self.root(USER + "GetUserByUsername", {"username": "second"})

    def test_one_signs_in_by_name_or_address_in_any_case(self):
        user, _ = self.person("Ada.Lovelace", email="Ada@Example.org")
        for name in ("ada.lovelace", "ADA.LOVELACE", "ada@example.ORG"):
            told = login(self.call, name)
            self.assertEqual((told["user"]["id"], told["user"]["username"]), (user["id"], "Ada.Lovelace"))
        found = self.root(USER + "GetUserByUsername", {"username": "aDA.lOVELACE"})["user"]
        self.assertEqual(found["id"], user["id"])
        for taken in ({"username": "ADA.lovelace"}, {"username": "ada2", "email": "ADA@example.org"}):
            with self.refused(StatusCode.ALREADY_EXISTS):
                self.root(USER + "CreateUser", {"password": PASSWORD, **taken})
            with self.refused(StatusCode.ALREADY_EXISTS):
                self.call(AUTH + "Register", {"password": PASSWORD, **taken})

    def test_a_wrong_password_and_an_unknown_name_are_told_alike(self):
        self.person("known")
        told = []
        for name in ("known", "unknown", "unknown@example.org"):
            with self.refused(StatusCode.UNAUTHENTICATED) as caught:
                login(self.call, name, "not that one, no")
            told.append(caught.exception.details())
        self.assertEqual(len(set(told)), 1, told)

    def test_guessing_has_to_wait_and_others_do_not(self):
        self.person("guessed")
        self.person("other")

        def guess():
            with self.assertRaises(grpc.RpcError) as caught:
                login(self.call, "guessed", "not that one, no")
            return caught.exception.code(), caught.exception.details()

        codes = [guess()[0] for _ in range(6)]
        self.assertEqual(codes[0], StatusCode.UNAUTHENTICATED)
        self.assertEqual(guess()[0], StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn("wait", guess()[1])
        with self.refused(StatusCode.RESOURCE_EXHAUSTED, "wait"):
            login(self.call, "GUESSED")
        login(self.call, "other")
        self.eventually(lambda: self.signs_in("guessed"), 10, "it waits for ever")

    def signs_in(self, name):
        with contextlib.suppress(grpc.RpcError):
            return login(self.call, name)

    def test_whoever_registers_may_do_nothing_yet(self):
        user = self.call(AUTH + "Register", {"username": "guest", "password": PASSWORD})["user"]
        self.assertEqual((user["roles"], user["grants"]), ([], []))
        guest = calls_of(self.server, login(self.call, "guest")["access_token"])
        for method in (GRAPH + "ListServices", GRAPH + "Describe", QUERY + "Cycles"):
            with self.refused(StatusCode.PERMISSION_DENIED, "role reader"):
                guest(method)
        with self.refused(StatusCode.PERMISSION_DENIED, "role admin"):
            guest(USER + "AssignRole", {"user_id": user["id"], "role": "ADMIN"})
        self.assertEqual(guest(USER + "GetUser", {"user_id": user["id"]})["user"]["username"], "guest")

    def test_what_cannot_be_a_user_is_refused_by_its_field(self):
        for field, value in (("username", "no spaces"), ("password", "short"), ("email", "nowhere")):
            request = {"username": "proper", "password": PASSWORD, field: value}
            with self.refused(StatusCode.INVALID_ARGUMENT) as caught:
                self.root(USER + "CreateUser", request)
            self.assertEqual([name for name, _ in violations(caught.exception)], [field])
        with self.refused(StatusCode.INVALID_ARGUMENT, "scope"):
            create(self.root, "scoped-admin", grant("ADMIN", name_prefix="x-"))

    def test_a_session_is_refreshed_and_a_second_use_of_a_refresh_token_ends_it(self):
        user, _ = self.person("refreshes", grant("READER"))
        first, other = login(self.call, "refreshes"), login(self.call, "refreshes")
        told = self.call(AUTH + "ValidateToken", {"token": first["access_token"]})
        self.assertEqual((told["valid"], told["principal"], told["user_id"]), (True, "refreshes", user["id"]))
        self.assertEqual(told["grants"], [{"role": "READER"}])
        self.assertEqual(told["expires_at"], first["access_expires_at"])

        second = self.call(AUTH + "RefreshToken", {"refresh_token": first["refresh_token"]})
        self.assertNotIn(second["refresh_token"], (first["refresh_token"], other["refresh_token"]))
        calls_of(self.server, second["access_token"])(GRAPH + "ListServices")

        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(AUTH + "RefreshToken", {"refresh_token": first["refresh_token"]})
        for token in (first["access_token"], second["access_token"]):
            self.until_refused(token)
        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(AUTH + "RefreshToken", {"refresh_token": second["refresh_token"]})
        self.assertTrue(self.call(AUTH + "ValidateToken", {"token": other["access_token"]})["valid"])
        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(AUTH + "RefreshToken", {"refresh_token": other["access_token"]})

    def test_logging_out_ends_one_session_or_all(self):
        create(self.root, "leaves", grant("READER"))
        sessions = [login(self.call, "leaves") for _ in range(4)]
        by_access = calls_of(self.server, sessions[0]["access_token"])(AUTH + "Logout")
        by_refresh = self.call(AUTH + "Logout", {"refresh_token": sessions[1]["refresh_token"]})
        self.assertEqual((by_access["sessions_ended"], by_refresh["sessions_ended"]), (1, 1))
        for gone in sessions[:2]:
            self.until_refused(gone["access_token"])
            with self.refused(StatusCode.UNAUTHENTICATED):
                self.call(AUTH + "RefreshToken", {"refresh_token": gone["refresh_token"]})
        for kept in sessions[2:]:
            self.assertTrue(self.call(AUTH + "ValidateToken", {"token": kept["access_token"]})["valid"])
        told = calls_of(self.server, sessions[2]["access_token"])(AUTH + "Logout", {"everywhere": True})
        self.assertEqual(told["sessions_ended"], 2)
        for gone in sessions[2:]:
            self.until_refused(gone["access_token"])

    def test_whoever_is_disabled_or_deleted_is_signed_out(self):
        for name, method, fields in (("off", "UpdateUser", {"status": "DISABLED"}), ("gone", "DeleteUser", {})):
            user = create(self.root, name, grant("READER"))
            session = login(self.call, name)
            self.root(USER + method, {"user_id": user["id"], **fields})
            self.until_refused(session["access_token"])
            with self.refused(StatusCode.UNAUTHENTICATED):
                login(self.call, name)
        with self.refused(StatusCode.FAILED_PRECONDITION, "last active administrator"):
            root = self.root(USER + "GetUserByUsername", {"username": "root"})["user"]
            self.root(USER + "DeleteUser", {"user_id": root["id"]})

    def test_a_key_is_shown_once_and_may_do_what_it_was_made_for(self):
        _, owner = self.person("owner", grant("WRITER"))
        made = owner(AUTH + "CreateApiKey", {"name": "ci", "grants": [grant("READER")], "ttl": "3600s"})
        key, about = made["key"], made["api_key"]
        self.assertNotIn("key", about)
        self.assertGreater(about["expires_at"], about["created_at"])
        by_key = calls_of(self.server, key)
        self.assertEqual(by_key(AUTH + "ValidateToken")["principal"], "owner/ci")
        put(owner, "made/by-owner")
        self.assertEqual(by_key(GRAPH + "GetEntity", {"ref": ref("made/by-owner")})["entity"]["ref"]["kind"], "made")
        with self.refused(StatusCode.PERMISSION_DENIED):
            put(by_key, "made/by-key")
        with self.refused(StatusCode.PERMISSION_DENIED):
            owner(AUTH + "CreateApiKey", {"name": "more", "grants": [grant("ADMIN")]})
        with self.refused(StatusCode.ALREADY_EXISTS, "ci"):
            owner(AUTH + "CreateApiKey", {"name": "ci"})

        listed = owner(AUTH + "ListApiKeys")["api_keys"]
        self.assertEqual(listed, [about])
        self.assertNotIn(key, json.dumps(listed))
        revoked = owner(AUTH + "RevokeApiKey", {"key_id": about["id"], "reason": "found in a log"})["api_key"]
        self.assertTrue(revoked["revoked_at"])
        self.until_refused(key)
        with self.refused(StatusCode.UNAUTHENTICATED):
            by_key(GRAPH + "ListServices")
        self.assertEqual(owner(AUTH + "ListApiKeys")["api_keys"], [])
        self.assertEqual(owner(AUTH + "ListApiKeys", {"include_ended": True})["api_keys"], [revoked])

    def test_users_are_listed_in_pages_and_by_what_they_may(self):
        for name in ("list-a", "List-b", "list-c"):
            create(self.root, name, grant("OPERATOR"))
        create(self.root, "list-d", grant("READER", name_prefix="d-"), status="DISABLED")
        found, replies = every_page(self.root, USER + "ListUsers", {"username_prefix": "LIST-"}, "users", 3)
        self.assertEqual([one["username"] for one in found], ["list-a", "List-b", "list-c", "list-d"])
        self.assertEqual([(len(one["users"]), one["total"]) for one in replies], [(3, 4), (1, 4)])
        for filters, count in (({"role": "OPERATOR"}, 3), ({"role": "READER"}, 1), ({"status": "DISABLED"}, 1)):
            told = self.root(USER + "ListUsers", {"username_prefix": "list-", **filters})
            self.assertEqual((len(told["users"]), told["total"]), (count, count), filters)
        for secret in (PASSWORD, "argon2"):
            self.assertNotIn(secret, json.dumps(found))

    def test_a_user_is_changed_only_at_the_version_that_was_expected(self):
        user = create(self.root, "versions")
        profile = {"user_id": user["id"], "profile": {"team": "payments"}, "expected_version": user["version"]}
        changed = self.root(USER + "UpdateProfile", profile)["user"]
        self.assertEqual((changed["version"], changed["profile"]["team"]), (user["version"] + 1, "payments"))
        with self.refused(StatusCode.ABORTED):
            self.root(USER + "UpdateProfile", profile)


class Starts(ServerTest):
    def test_the_setup_token_is_shown_on_standard_error_until_there_is_an_administrator(self):
        server = self.serve("--auth")
        server.terminate()
        server.start()
        first, second = setup_tokens(server)
        self.assertEqual(server.output.read_text(), "")
        call = server.client().call
        with self.refused(StatusCode.PERMISSION_DENIED):
            become_first_administrator(call, first)
        user = become_first_administrator(call, second)
        self.assertEqual((user["roles"], user["grants"]), (["ADMIN"], [{"role": "ADMIN"}]))
        server.terminate()
        server.start()
        self.assertEqual(setup_tokens(server), [first, second])

    def test_users_sessions_and_keys_outlive_the_server(self):
        for end in ("terminate", "kill"):
            with self.subTest(end=end):
                server = self.serve("--auth", folder=self.folder / end)
                call = server.client().call
                become_first_administrator(call, setup_tokens(server)[0])
                root = login(call, "root")
                by_root = calls_of(server, root["access_token"])
                create(by_root, "stays", grant("WRITER", name_prefix="s-"))
                session, ended = login(call, "stays"), login(call, "stays")
                call(AUTH + "Logout", {"refresh_token": ended["refresh_token"]})
                key = by_root(AUTH + "CreateApiKey", {"name": "ci"})["key"]
                put(calls_of(server, session["access_token"]), "team/s-1")
                getattr(server, end)()
                server.start()

                call = server.client().call
                stays = calls_of(server, session["access_token"])
                self.assertEqual(stays(AUTH + "ValidateToken")["principal"], "stays")
                self.assertEqual(stays(GRAPH + "Describe")["entity_counts"], {"team": 1})
                with self.refused(StatusCode.PERMISSION_DENIED):
                    put(stays, "team/other")
                self.assertEqual(calls_of(server, key)(AUTH + "ValidateToken")["principal"], "root/ci")
                call(AUTH + "RefreshToken", {"refresh_token": session["refresh_token"]})
                login(call, "stays")
                with self.refused(StatusCode.UNAUTHENTICATED):
                    call(AUTH + "ValidateToken", {"token": ended["access_token"]})
                with self.refused(StatusCode.UNAUTHENTICATED):
                    call(AUTH + "RefreshToken", {"refresh_token": ended["refresh_token"]})

    def test_beyond_loopback_it_says_what_to_add(self):
        certificate = ("--tls-cert", "cert.pem", "--tls-key", "key.pem")
        for arguments, added, not_added in (
            ((), ("--auth", "--tls-cert", "--tls-key", "--insecure"), ()),
            (("--auth",), ("--tls-cert", "--tls-key", "--insecure"), ("--auth",)),
            (certificate, ("--auth", "--insecure"), ("--tls-cert",)),
        ):
            for listen, http in (("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")):
                addresses = ("--listen", f"{listen}:{free_port()}", "--http", f"{http}:{free_port()}")
                command = [str(harness.BINARY), "serve", *addresses, *arguments]
                with self.subTest(arguments=arguments, listen=listen):
                    done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=30)
                    self.assertEqual((done.returncode, done.stdout), (1, ""))
                    for word in ("0.0.0.0", *added):
                        self.assertIn(word, done.stderr)
                    for word in not_added:
                        self.assertNotIn(word, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [], "a refused start leaves nothing")

    def test_weak_or_open_signing_keys_are_refused(self):
        file = self.folder / "keys"
        for text, mode, word in (("", 0o600, "no key"), ("00" * 31, 0o600, "31 bytes"), ("00" * 32, 0o644, "chmod")):
            file.write_text(text)
            file.chmod(mode)
            server = self.serve("--auth", "--token-keys", str(file), wait=False)
            self.assertEqual(server.process.wait(30), 1)
            self.assertIn(word, server.tail())
            server.log.unlink()

    def test_nobody_else_may_read_what_signs_and_who_there_is(self):
        self.serve("--auth")
        files = [file for part in ("users", "keys") for file in self.folder.glob(f"amadeus.db.{part}*")]
        self.assertGreaterEqual(len(files), 2)
        for file in files:
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)

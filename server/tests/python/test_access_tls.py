"""A stock client speaks TLS with a server whose certificates openssl has made."""

import shutil
import subprocess
import unittest

import grpc
import harness
from access import AUTH, bearing, become_first_administrator, command_environment, login, setup_tokens
from grpc import StatusCode
from harness import GRAPH, ServerTest, names, register


def needs_openssl(test):
    return unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")(test)


@needs_openssl
class Tls(ServerTest):
    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def authority(self):
        """`ca.pem`, which signs."""
        files = ("-keyout", "ca.key", "-out", "ca.pem")
        self.openssl("req", "-x509", *self.NEW_KEY, "-days", "2", "-subj", "/CN=test authority", *files)
        return self.folder / "ca.pem"

    def certificate(self, name, subject):
        """`NAME.pem` and `NAME.key`, signed for this subject on this machine."""
        request = ("-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("req", *self.NEW_KEY, *request)
        (self.folder / "names").write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        self.openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
        (self.folder / f"{name}.key").chmod(0o600)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def served(self, *arguments):
        """A server that speaks TLS, and the file of the authority behind its certificate."""
        ca = self.authority()
        certificate, key = self.certificate("server", "localhost")
        files = ("--tls-cert", str(certificate), "--tls-key", str(key))
        return self.serve("--auth", *files, *arguments, ca=ca), ca

    def test_a_client_certificate_is_the_user_whom_it_names(self):
        server, ca = self.served("--tls-client-ca", str(self.folder / "ca.pem"))
        call = server.client(credentials=grpc.ssl_channel_credentials(ca.read_bytes())).call
        become_first_administrator(call, setup_tokens(server)[0])
        with self.refused(StatusCode.UNAUTHENTICATED, "sign in"):
            call(GRAPH + "Describe")
        for name, may in (("Root", True), ("nobody", False)):
            certificate, key = self.certificate(name, name)
            shown = grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), certificate.read_bytes())
            by_certificate = server.client(credentials=shown).call
            if may:
                self.assertEqual(by_certificate(AUTH + "ValidateToken")["principal"], "root")
                by_certificate(GRAPH + "Describe")
            else:
                with self.refused(StatusCode.UNAUTHENTICATED):
                    by_certificate(GRAPH + "Describe")

    def test_a_secure_channel_works_and_a_plain_one_does_not(self):
        server, ca = self.served()
        trusting = grpc.ssl_channel_credentials(ca.read_bytes())
        call = server.client(credentials=trusting).call
        become_first_administrator(call, setup_tokens(server)[0])
        token = login(call, "root")["access_token"]
        root = server.client(credentials=trusting, metadata=bearing(token)).call
        register(root, "a", "b")
        self.assertEqual(names(root(GRAPH + "ListServices")["services"]), ["a"])
        watch = root(GRAPH + "Watch", {"from_revision": 1}, timeout=30)
        self.assertTrue(next(watch)["changes"])
        watch.cancel()

        for distrusting in (None, grpc.ssl_channel_credentials()):
            with self.refused(StatusCode.UNAVAILABLE):
                server.client(credentials=distrusting, timeout=10).services()
        self.assertEqual(server.get("/livez")[0], 200)
        plain = harness.Server(self.folder)
        plain.http_address = server.http_address
        self.assertEqual(plain.get("/livez")[0], 0)

        private = {"env": command_environment(self.folder)}
        done = server.cli("service", "list", "--ca", str(ca), "--token", token, **private)
        self.assertIn("a", done.stdout)
        done = server.cli("service", "list", "--token", token, check=False, **private)
        self.assertEqual(done.returncode, 5)
        self.assertIn("--ca", done.stderr)
        plain.address = server.address
        done = plain.cli("service", "list", check=False, **private)
        self.assertEqual(done.returncode, 5)
        self.assertIn("https://", done.stderr)

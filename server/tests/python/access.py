"""People who sign in: what the tests of access share."""

import os
import re

import grpc
from grpc import StatusCode
from harness import ADMIN, SharedServerTest

AUTH = "amadeus.v1.AuthService/"
USER = "amadeus.v1.UserService/"
PASSWORD = "correct horse battery staple"

# What anybody may call, since it is how one gets in.
OPEN = {AUTH + name for name in ("Register", "Login", "ValidateToken", "RefreshToken", "Logout")}

# Within which time what is taken away has to be gone.
SOON_SECONDS = 5

# Access tokens, refresh tokens and keys, wherever they stand.
SECRET = re.compile(r"eyJ[\w.-]{8,}|am[rk]_[\w-]{8,}")


def setup_tokens(server):
    """The tokens for the first administrator that it has shown on standard error, oldest first."""
    return re.findall(r"(?m)^\s+(ams_\S+)$", server.log.read_text())


def become_first_administrator(call, token, name="root"):
    return call(AUTH + "Register", {"username": name, "password": PASSWORD, "setup_token": token})["user"]


def login(call, name, password=PASSWORD):
    return call(AUTH + "Login", {"username": name, "password": password})


def bearing(token):
    return (("authorization", f"Bearer {token}"),)


def calls_of(server, token):
    """`call`, as whoever has this token."""
    return server.client(metadata=bearing(token)).call


def grant(role, **scope):
    """A role, within a scope if one is given."""
    return {"role": role, "scope": scope} if scope else {"role": role}


def create(call, name, *grants, **fields):
    """Creates a user, and gives the roles one by one."""
    user = call(USER + "CreateUser", {"username": name, "password": PASSWORD, **fields})["user"]
    for one in grants:
        user = call(USER + "AssignRole", {"user_id": user["id"], **one})["user"]
    return user


def events(call, **filters):
    """All events of the audit log that fit, oldest first."""
    return [event for message in call(ADMIN + "Audit", filters) for event in message["events"]]


class SignedInTest(SharedServerTest):
    """A server that asks everybody to sign in; `self.call` is nobody's, `self.root` the administrator's."""

    arguments = ("--auth",)

    @classmethod
    def prepare(cls):
        [token] = setup_tokens(cls.server)
        become_first_administrator(cls.call, token)
        cls.root = calls_of(cls.server, login(cls.call, "root")["access_token"])

    def person(self, name, *grants, **fields):
        """A new user, and their calls."""
        user = create(self.root, name, *grants, **fields)
        return user, calls_of(self.server, login(self.call, name)["access_token"])

    def until_refused(self, token):
        """Waits until a token is good no more."""

        def is_refused():
            try:
                self.call(AUTH + "ValidateToken", {"token": token})
            except grpc.RpcError as error:
                return error.code() == StatusCode.UNAUTHENTICATED

        self.eventually(is_refused, SOON_SECONDS, "the token is still good")


def command_environment(folder, **more):
    """The environment of a command whose credentials are below `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AMADEUS_")}
    return {**kept, "XDG_CONFIG_HOME": str(folder / "config"), **more}

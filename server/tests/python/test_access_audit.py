"""The audit log: who did what, from where and why, and who was refused."""

import contextlib
import json
import re

from access import AUTH, PASSWORD, USER, SignedInTest, calls_of, create, events, grant, login, setup_tokens
from grpc import StatusCode
from harness import ADMIN, GRAPH, put, ref, revision


class Audit(SignedInTest):
    def test_what_was_done_and_what_was_refused_is_there_with_who_whence_and_why(self):
        user, _ = self.person("audited", grant("READER", name_prefix="a-"), reason="joins")
        writer = self.person("audited-writer", grant("WRITER"))[1]
        request = {"entity": {"ref": ref("a/1")}, "reason": "ticket 7"}
        made = revision(writer(GRAPH + "PutEntity", request))
        with self.refused(StatusCode.UNAUTHENTICATED):
            login(self.call, "audited", "not that one, no")
        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(GRAPH + "Describe")
        audited = calls_of(self.server, login(self.call, "audited")["access_token"])
        with self.refused(StatusCode.PERMISSION_DENIED):
            put(audited, "a/2")
        key = self.root(AUTH + "CreateApiKey", {"name": "nightly", "user_id": user["id"], "reason": "for the job"})
        self.root(AUTH + "RevokeApiKey", {"key_id": key["api_key"]["id"], "reason": "job is gone"})
        remove = {"user_id": user["id"], "role": "READER", "scope": {"name_prefix": "a-"}, "reason": "leaves"}
        self.root(USER + "RemoveRole", remove)
        self.root(USER + "DeleteUser", {"user_id": user["id"], "reason": "has left"})

        # Action, outcome, actor, a word of what it was done to, and one of why.
        expected = [
            ("create_user", "DONE", "root", "user/audited", "joins"),
            ("assign_role", "DONE", "root", "user/audited", "a-"),
            ("login", "DONE", "audited", "user/audited", ""),
            ("commit", "DONE", "audited-writer", "1 change", "ticket 7"),
            ("login", "REFUSED", "", "user/audited", "password"),
            ("denied", "REFUSED", None, "GraphService/Describe", "no token"),
            ("denied", "REFUSED", "audited", "GraphService/PutEntity", "role writer"),
            ("create_api_key", "DONE", "root", "nightly", "for the job"),
            ("revoke_api_key", "DONE", "root", "nightly", "job is gone"),
            ("remove_role", "DONE", "root", "user/audited", "leaves"),
            ("delete_user", "DONE", "root", "user/audited", "has left"),
        ]

        def fits(event, action, outcome, actor, resource, reason):
            return (
                (event["action"], event["outcome"]) == (action, outcome)
                and actor in (None, event["actor"])
                and resource in event["resource"]
                and reason in event["reason"]
            )

        def missing():
            log = events(self.root)
            return [row for row in expected if not any(fits(event, *row) for event in log)]

        # Security events are written behind the calls that they tell of.
        with contextlib.suppress(AssertionError):
            self.eventually(lambda: not missing(), 5)
        self.assertEqual(missing(), [])
        log = events(self.root)
        self.assertEqual({event["source"] for event in log}, {"127.0.0.1"})
        self.assertEqual([one["revision"] for one in log if one["reason"] == "ticket 7"], [made])
        self.assertEqual([one["time"] for one in log], sorted(one["time"] for one in log))
        for secret in (PASSWORD, "not that one", key["key"], setup_tokens(self.server)[0]):
            self.assertNotIn(secret, json.dumps(log))

        def told(**filters):
            return events(self.root, **filters)

        self.assertEqual({one["actor"] for one in told(actor="audited-writer")}, {"audited-writer"})
        self.assertEqual({one["action"] for one in told(action="commit")}, {"commit"})
        refused = told(outcome="REFUSED")
        self.assertEqual({one["outcome"] for one in refused}, {"REFUSED"})
        self.assertEqual(len(refused) + len(told(outcome="DONE")), len(told()))
        at = next(one["time"] for one in log if one["reason"] == "ticket 7")
        self.assertEqual(told(until=at) + told(**{"from": at}), told())

    def test_it_can_be_followed(self):
        follow = self.root(ADMIN + "Audit", {"follow": True, "actor": "followed"}, timeout=30)
        self.addCleanup(follow.cancel)
        create(self.root, "followed", grant("WRITER"))
        calls = calls_of(self.server, login(self.call, "followed")["access_token"])
        put(calls, "f/1")
        seen = []
        for message in follow:
            seen += [one["action"] for one in message["events"]]
            if len(seen) >= 2:
                break
        self.assertEqual(seen, ["login", "commit"])

    def test_only_an_administrator_reads_it(self):
        operator = self.person("nosy", grant("OPERATOR"))[1]
        with self.refused(StatusCode.PERMISSION_DENIED, "role admin"):
            events(operator)

    def test_refusals_are_counted(self):
        def count(series):
            found = re.search(rf"(?m)^{re.escape(series)} (\d+)$", self.server.get("/metrics")[1])
            return int(found[1]) if found else 0

        wrong, denied = 'amadeus_sign_ins_total{outcome="wrong"}', 'amadeus_denied_total{reason="unauthenticated"}'
        before = count(wrong), count(denied)
        with self.refused(StatusCode.UNAUTHENTICATED):
            login(self.call, "nobody-at-all", "not that one, no")
        with self.refused(StatusCode.UNAUTHENTICATED):
            self.call(GRAPH + "Describe")
        self.eventually(lambda: count(wrong) == before[0] + 1 and count(denied) > before[1])

"""A service's life with Amadeus, in Python: register, read, ask who would notice, follow what changes.

    cargo run --release -- serve --load examples/online-boutique.json
    pip install grpcio grpcio-reflection
    python examples/python/boutique.py [127.0.0.1:50051]
"""

import sys

from amadeus_client import Client


def main(address="127.0.0.1:50051"):
    with Client(address) as client:
        graph, query = "amadeus.v1.GraphService/", "amadeus.v1.QueryService/"

        # A registration may be repeated: with the same request id it is applied once, whatever was lost on the way.
        service = {
            "name": "gift-wrap",
            "category": "backend",
            "version": "v1",
            "capabilities": ["gift_wrapping"],
            "dependencies": [{"service": "currency"}],
        }
        registered = client.call(
            graph + "RegisterService", {"service": service, "request_id": "gift-wrap/python/v1", "reason": "started"}
        )
        revision = registered["header"]["revision"]
        print(f"registered gift-wrap at revision {revision}")

        # On this server a write is visible once it is acknowledged; `at_least` carries that to any other server.
        found = client.call(graph + "GetService", {"name": "gift-wrap", "consistency": {"at_least": revision}})
        print("it needs", ", ".join(one["service"] for one in found["service"]["dependencies"]))

        impact = client.call(query + "Impact", {"refs": [{"kind": "service", "name": "currency"}]})
        noticed = ", ".join(hit["ref"]["name"] for hit in impact["hits"])
        print(f"{impact['total']} would notice if currency went down: {noticed}")

        # Everything from our own registration on, in order, each revision whole.
        changes = client.call(graph + "Watch", {"from_revision": revision})
        switched = client.call(
            graph + "SetCapability", {"name": "gift-wrap", "capability": "greeting_cards", "enabled": True}
        )
        for message in changes:
            for change in message["changes"]:
                print(f"revision {change['revision']}: {change['kind'].lower()} {subject(change)}")
            if message["bookmark"] >= switched["header"]["revision"]:
                break
        changes.cancel()


def subject(change):
    if "entity" in change:
        return written(change["entity"]["ref"])
    if "relation" in change:
        relation = change["relation"]
        return f"{written(relation['from'])} {relation['relation']} {written(relation['to'])}"
    return change["node"]["path"]


def written(ref):
    return f"{ref['kind']}/{ref['name']}"


if __name__ == "__main__":
    main(*sys.argv[1:])

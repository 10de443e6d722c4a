-- The number of the last change of leases. Whoever changes some moves it on first, and holds this row until the end: so the
-- numbers become visible in their order.
CREATE TABLE amadeus_lease_clock (
    one boolean PRIMARY KEY CHECK (one),
    seq bigint  NOT NULL
) WITH (fillfactor = 10);

INSERT INTO amadeus_lease_clock VALUES (true, 0);

-- The servers, and the beat of each, which it moves on as long as it lives. -1: it left.
CREATE TABLE amadeus_lease_servers (
    server bigint PRIMARY KEY,
    beat   bigint NOT NULL
) WITH (fillfactor = 10);

-- Leases: whose promise, which server judges it, what was last shown of it. One that was revoked has the time of that in
-- `gone_at` and stays for an hour. `seq` is the number of its last change. Ids of leases and servers are 64 bits without a
-- sign.
CREATE TABLE amadeus_leases (
    id      bigint PRIMARY KEY,
    service text   NOT NULL,
    ttl_ms  bigint NOT NULL,
    owner   bigint NOT NULL,
    health  text   NOT NULL,
    gone_at timestamptz,
    seq     bigint NOT NULL
);

CREATE INDEX amadeus_leases_seq ON amadeus_leases (seq);
CREATE INDEX amadeus_leases_gone ON amadeus_leases (gone_at) WHERE gone_at IS NOT NULL;

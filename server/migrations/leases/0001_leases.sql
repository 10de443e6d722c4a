CREATE TABLE about (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL,
    seq      INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE servers (
    server INTEGER PRIMARY KEY,
    beat   INTEGER NOT NULL
);

CREATE TABLE leases (
    id      INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    ttl_ms  INTEGER NOT NULL,
    owner   INTEGER NOT NULL,
    health  TEXT NOT NULL,
    gone_ms INTEGER,
    seq     INTEGER NOT NULL
);

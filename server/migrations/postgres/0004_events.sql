-- The ends of the log of events. Whoever appends moves `next` on first, and holds this row until the end: so places become
-- visible in their order, without a gap, whichever server writes.
CREATE TABLE amadeus_event_head (
    one         boolean PRIMARY KEY CHECK (one),
    oldest      bigint NOT NULL,
    next        bigint NOT NULL,
    bytes       bigint NOT NULL,
    appended_ms bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO amadeus_event_head VALUES (true, 1, 1, 0, 0);

-- Events. `key` is a hash of type and id, by which a repetition is found, and `content` one of what it says.
CREATE TABLE amadeus_event_log (
    place       bigint PRIMARY KEY,
    appended_ms bigint NOT NULL,
    key         bigint NOT NULL,
    content     bigint NOT NULL,
    body        bytea  NOT NULL
);

CREATE UNIQUE INDEX amadeus_event_log_key ON amadeus_event_log (key);
CREATE INDEX amadeus_event_log_time ON amadeus_event_log (appended_ms, place);

-- Consumer groups, each a message; and when whoever is served said last that it lives.
CREATE TABLE amadeus_event_groups (
    name  text COLLATE "C" PRIMARY KEY,
    body  bytea NOT NULL,
    alive timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What groups could not handle, by the place that it had.
CREATE TABLE amadeus_event_letters (
    name  text COLLATE "C" NOT NULL,
    place bigint NOT NULL,
    body  bytea  NOT NULL,
    PRIMARY KEY (name, place)
);

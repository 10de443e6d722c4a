CREATE TABLE about (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL
);

-- Events, many in a row: those at `first` and the `count - 1` places behind it, appended at once. `body` holds each with its
-- length before it, `sum` its checksum. `marks` holds what repetitions are found by, with a checksum behind it.
CREATE TABLE chunks (
    first       INTEGER PRIMARY KEY,
    count       INTEGER NOT NULL,
    appended_ms INTEGER NOT NULL,
    sum         INTEGER NOT NULL,
    marks       BLOB NOT NULL,
    body        BLOB NOT NULL
);

CREATE INDEX chunks_by_time ON chunks (appended_ms);

-- Consumer groups, each a message.
CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) WITHOUT ROWID;

-- What groups could not handle, by the place that it had.
CREATE TABLE letters (
    name TEXT NOT NULL,
    place INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, place)
) WITHOUT ROWID;

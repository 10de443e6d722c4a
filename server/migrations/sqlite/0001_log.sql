-- The log: one row per record. `batch` is the identity of the append that brought it.
CREATE TABLE records (
    revision INTEGER PRIMARY KEY,
    batch    BLOB NOT NULL,
    body     BLOB NOT NULL
);

-- What the store says of itself, in one row. Records up to `compacted` were removed; a checkpoint covers them.
CREATE TABLE store (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    store_id  TEXT NOT NULL,
    compacted INTEGER NOT NULL
);

-- What the store says of itself, in one row. `revision` and `batch` are the log's end and the append that brought it: an
-- append moves them on, and whoever finds them moved was not the first. Records up to `compacted` were removed; a
-- checkpoint covers them. `version` counts the steps of the schema.
CREATE TABLE amadeus_store (
    one       boolean PRIMARY KEY CHECK (one),
    version   integer NOT NULL,
    store_id  text    NOT NULL,
    revision  bigint  NOT NULL,
    batch     bytea   NOT NULL,
    compacted bigint  NOT NULL
) WITH (fillfactor = 10);

-- The log: one row per record. `batch` is the identity of the append that brought it.
CREATE TABLE amadeus_records (
    revision bigint PRIMARY KEY,
    batch    bytea  NOT NULL,
    body     bytea  NOT NULL
);

-- Checkpoints, which bound the replay: whole once their row is there, which is written with their parts.
CREATE TABLE amadeus_checkpoints (
    revision   bigint PRIMARY KEY,
    parts      integer NOT NULL,
    written_by text    NOT NULL,
    written_ms bigint  NOT NULL
);

CREATE TABLE amadeus_checkpoint_parts (
    revision bigint  NOT NULL,
    part     integer NOT NULL,
    bytes    bytea   NOT NULL,
    PRIMARY KEY (revision, part)
);

CREATE TABLE about (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL
);

-- Runs, in the order in which they were begun. `owner` is the server that carries a run out, `epoch` grows with every change
-- of that, `told` is 1 once its end was announced. Times are milliseconds since 1970.
CREATE TABLE amadeus_runs (
    run           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL UNIQUE,
    request       TEXT    UNIQUE,
    body          INTEGER NOT NULL,
    pattern       TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    begun_by      TEXT    NOT NULL,
    correlation   TEXT    NOT NULL,
    parent        TEXT    NOT NULL,
    about         BLOB    NOT NULL,
    owner         INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL,
    steps_done    INTEGER NOT NULL,
    code          TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    created_ms    INTEGER NOT NULL,
    ended_ms      INTEGER,
    cancel_actor  TEXT,
    cancel_reason TEXT,
    told          INTEGER NOT NULL
);

CREATE INDEX amadeus_runs_open ON amadeus_runs (owner) WHERE told = 0;
CREATE INDEX amadeus_runs_ended ON amadeus_runs (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX amadeus_runs_pattern ON amadeus_runs (pattern, run);
CREATE INDEX amadeus_runs_parent ON amadeus_runs (parent) WHERE parent <> '';

-- What a run carries out and with what; apart, because it is large and never changes.
CREATE TABLE amadeus_run_plans (
    run        INTEGER PRIMARY KEY,
    inputs     BLOB NOT NULL,
    definition BLOB NOT NULL
);

-- The journals: each row holds the lines from `seq` on that became durable together.
CREATE TABLE amadeus_run_lines (
    run  INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    body BLOB    NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;

-- How patterns have run. Stays when runs are trimmed.
CREATE TABLE amadeus_run_statistics (
    pattern   TEXT PRIMARY KEY,
    usage     INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    total_ms  INTEGER NOT NULL,
    min_ms    INTEGER NOT NULL,
    max_ms    INTEGER NOT NULL,
    last_ms   INTEGER NOT NULL
) WITHOUT ROWID;

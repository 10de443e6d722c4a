-- Servers that carry runs out, and when each said by the database's clock that it lives.
CREATE TABLE amadeus_run_servers (
    server bigint      PRIMARY KEY,
    seen   timestamptz NOT NULL
) WITH (fillfactor = 10);

-- Runs, in the order in which they were begun. `owner` is the server that carries a run out, `epoch` grows with every change
-- of that, `told` is 1 once its end was announced. Times are milliseconds since 1970.
CREATE TABLE amadeus_runs (
    run           bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id            text   NOT NULL UNIQUE,
    request       text   UNIQUE,
    body          bigint NOT NULL,
    pattern       text   NOT NULL,
    actor         text   NOT NULL,
    begun_by      text   NOT NULL,
    correlation   text   NOT NULL,
    parent        text   NOT NULL,
    about         bytea  NOT NULL,
    owner         bigint NOT NULL,
    epoch         bigint NOT NULL,
    state         bigint NOT NULL,
    last_seq      bigint NOT NULL,
    steps_done    bigint NOT NULL,
    code          text   NOT NULL,
    message       text   NOT NULL,
    created_ms    bigint NOT NULL,
    ended_ms      bigint,
    cancel_actor  text,
    cancel_reason text,
    told          bigint NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX amadeus_runs_open ON amadeus_runs (owner) WHERE told = 0;
CREATE INDEX amadeus_runs_ended ON amadeus_runs (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX amadeus_runs_pattern ON amadeus_runs (pattern, run);
CREATE INDEX amadeus_runs_parent ON amadeus_runs (parent) WHERE parent <> '';

-- What a run carries out and with what; apart, because it is large and never changes.
CREATE TABLE amadeus_run_plans (
    run        bigint PRIMARY KEY,
    inputs     bytea  NOT NULL,
    definition bytea  NOT NULL
);

-- The journals: each row holds the lines from `seq` on that became durable together.
CREATE TABLE amadeus_run_lines (
    run  bigint NOT NULL,
    seq  bigint NOT NULL,
    body bytea  NOT NULL,
    PRIMARY KEY (run, seq)
);

-- How patterns have run. Stays when runs are trimmed.
CREATE TABLE amadeus_run_statistics (
    pattern   text   PRIMARY KEY,
    usage     bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed    bigint NOT NULL,
    cancelled bigint NOT NULL,
    total_ms  bigint NOT NULL,
    min_ms    bigint NOT NULL,
    max_ms    bigint NOT NULL,
    last_ms   bigint NOT NULL
) WITH (fillfactor = 50);

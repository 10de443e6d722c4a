-- The store that these users belong to.
CREATE TABLE about (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL
);

-- What the users have in common, in one row. Whoever changes any of them locks it first and holds it until the end, so changes
-- happen one after the other. `epoch` moves on when something is taken away or a grant changes; `event` is the last number
-- of the audit log; `setup` is kept of the token that makes the first administrator. `home` is the Redis that may hold copies
-- of users, and `generation` the number that those copies carry; empty: nobody keeps copies.
CREATE TABLE amadeus_user_state (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    epoch      INTEGER NOT NULL,
    event      INTEGER NOT NULL,
    setup      BLOB,
    home       TEXT NOT NULL,
    generation INTEGER NOT NULL
);

INSERT INTO amadeus_user_state VALUES (1, 0, 0, NULL, '', 0);

-- What was taken away or changed with each step of the epoch, one row for each: the user, session or key that a server which
-- remembers it has to look at again. The oldest go; a server that comes later looks at all that it remembers.
CREATE TABLE amadeus_changes (
    epoch INTEGER PRIMARY KEY,
    what  TEXT    NOT NULL,
    id    TEXT    NOT NULL
);

-- Users. What is `folded` is compared, and what stands beside it is shown. `grants` and `profile` are JSON; `roles` are the
-- names of the roles in `grants`, each between commas, and `is_admin` is 1 for who may do everything.
CREATE TABLE amadeus_users (
    id           TEXT PRIMARY KEY,
    username     TEXT NOT NULL,
    folded       TEXT NOT NULL UNIQUE,
    email        TEXT NOT NULL,
    email_folded TEXT UNIQUE,
    status       TEXT NOT NULL,
    password     TEXT,
    grants       TEXT NOT NULL,
    roles        TEXT NOT NULL,
    is_admin     INTEGER NOT NULL,
    profile      TEXT NOT NULL,
    version      INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL
);

CREATE INDEX amadeus_users_admin ON amadeus_users (id) WHERE is_admin = 1;
CREATE INDEX amadeus_users_without_role ON amadeus_users (id) WHERE roles = ',';

-- Sessions. `refresh` is kept of the one refresh token that is good, and `rotations` counts those before it.
CREATE TABLE amadeus_sessions (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES amadeus_users (id) ON DELETE CASCADE,
    refresh    BLOB NOT NULL UNIQUE,
    rotations  INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    used_ms    INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    ended_ms   INTEGER
);

CREATE INDEX amadeus_sessions_user ON amadeus_sessions (user_id);
CREATE INDEX amadeus_sessions_expires ON amadeus_sessions (expires_ms);

-- Refresh tokens that were exchanged. Whoever presents one has a copy.
CREATE TABLE amadeus_refreshed (
    refresh    BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES amadeus_sessions (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL
);

CREATE INDEX amadeus_refreshed_session ON amadeus_refreshed (session_id, number);

-- API keys, by what is kept of them. `grants` is JSON.
CREATE TABLE amadeus_api_keys (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES amadeus_users (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    folded     TEXT NOT NULL,
    grants     TEXT NOT NULL,
    secret     BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER
);

CREATE INDEX amadeus_api_keys_user ON amadeus_api_keys (user_id, id);

-- Keys that access tokens are signed with, shared by all servers.
CREATE TABLE amadeus_signing_keys (
    id         TEXT PRIMARY KEY,
    secret     BLOB NOT NULL,
    created_ms INTEGER NOT NULL
);

-- The audit log, apart from commits. `class` says what may be kept of its like (done, refused, denied), and `number` counts
-- those of one class.
CREATE TABLE amadeus_events (
    id       INTEGER PRIMARY KEY,
    class    TEXT NOT NULL,
    number   INTEGER NOT NULL,
    time_ms  INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    source   TEXT NOT NULL,
    action   TEXT NOT NULL,
    resource TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    reason   TEXT NOT NULL
);

CREATE INDEX amadeus_events_time ON amadeus_events (time_ms);
CREATE UNIQUE INDEX amadeus_events_number ON amadeus_events (class, number);

-- What the users have in common, in one row. Whoever changes any of them locks it first and holds it until the end, so changes
-- happen one after the other. `epoch` moves on when something is taken away or a grant changes; `event` is the last number
-- of the audit log; `setup` is kept of the token that makes the first administrator. `home` is the Redis that may hold copies
-- of users, and `generation` the number that those copies carry; empty: nobody keeps copies.
CREATE TABLE amadeus_user_state (
    one        integer PRIMARY KEY CHECK (one = 1),
    epoch      bigint NOT NULL,
    event      bigint NOT NULL,
    setup      bytea,
    home       text   NOT NULL,
    generation bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO amadeus_user_state VALUES (1, 0, 0, NULL, '', 0);

-- What was taken away or changed with each step of the epoch, one row for each: the user, session or key that a server which
-- remembers it has to look at again. The oldest go; a server that comes later looks at all that it remembers.
CREATE TABLE amadeus_changes (
    epoch bigint PRIMARY KEY,
    what  text   NOT NULL,
    id    text   NOT NULL
);

-- Users. What is `folded` is compared, and what stands beside it is shown. `grants` and `profile` are JSON; `roles` are the
-- names of the roles in `grants`, each between commas, and `is_admin` is 1 for who may do everything.
CREATE TABLE amadeus_users (
    id           text   PRIMARY KEY,
    username     text   NOT NULL,
    folded       text   COLLATE "C" NOT NULL UNIQUE,
    email        text   NOT NULL,
    email_folded text   COLLATE "C" UNIQUE,
    status       text   NOT NULL,
    password     text,
    grants       text   NOT NULL,
    roles        text   NOT NULL,
    is_admin     bigint NOT NULL,
    profile      text   NOT NULL,
    version      bigint NOT NULL,
    created_ms   bigint NOT NULL,
    updated_ms   bigint NOT NULL
);

CREATE INDEX amadeus_users_admin ON amadeus_users (id) WHERE is_admin = 1;
CREATE INDEX amadeus_users_without_role ON amadeus_users (id) WHERE roles = ',';

-- Sessions. `refresh` is kept of the one refresh token that is good, and `rotations` counts those before it.
CREATE TABLE amadeus_sessions (
    id         text   PRIMARY KEY,
    user_id    text   NOT NULL REFERENCES amadeus_users (id) ON DELETE CASCADE,
    refresh    bytea  NOT NULL UNIQUE,
    rotations  bigint NOT NULL,
    created_ms bigint NOT NULL,
    used_ms    bigint NOT NULL,
    expires_ms bigint NOT NULL,
    ended_ms   bigint
);

CREATE INDEX amadeus_sessions_user ON amadeus_sessions (user_id);
CREATE INDEX amadeus_sessions_expires ON amadeus_sessions (expires_ms);

-- Refresh tokens that were exchanged. Whoever presents one has a copy.
CREATE TABLE amadeus_refreshed (
    refresh    bytea  PRIMARY KEY,
    session_id text   NOT NULL REFERENCES amadeus_sessions (id) ON DELETE CASCADE,
    number     bigint NOT NULL
);

CREATE INDEX amadeus_refreshed_session ON amadeus_refreshed (session_id, number);

-- API keys, by what is kept of them. `grants` is JSON.
CREATE TABLE amadeus_api_keys (
    id         text   COLLATE "C" PRIMARY KEY,
    user_id    text   NOT NULL REFERENCES amadeus_users (id) ON DELETE CASCADE,
    name       text   NOT NULL,
    folded     text   NOT NULL,
    grants     text   NOT NULL,
    secret     bytea  NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    revoked_ms bigint
);

CREATE INDEX amadeus_api_keys_user ON amadeus_api_keys (user_id, id);

-- Keys that access tokens are signed with, shared by all servers.
CREATE TABLE amadeus_signing_keys (
    id         text   PRIMARY KEY,
    secret     bytea  NOT NULL,
    created_ms bigint NOT NULL
);

-- The audit log, apart from commits. `class` says what may be kept of its like (done, refused, denied), and `number` counts
-- those of one class.
CREATE TABLE amadeus_events (
    id       bigint PRIMARY KEY,
    class    text   NOT NULL,
    number   bigint NOT NULL,
    time_ms  bigint NOT NULL,
    actor    text   NOT NULL,
    source   text   NOT NULL,
    action   text   NOT NULL,
    resource text   NOT NULL,
    outcome  text   NOT NULL,
    reason   text   NOT NULL
);

CREATE INDEX amadeus_events_time ON amadeus_events (time_ms);
CREATE UNIQUE INDEX amadeus_events_number ON amadeus_events (class, number);

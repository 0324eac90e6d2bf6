-- Tables of pgbackfill. Names are a contract: extend, never rename.

-- What people enqueue. Written when a job changes state, never inside a chunk: a person's open transaction on
-- this table must not be able to block the work.
CREATE TABLE pgbackfill.jobs (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE,
    table_name       text NOT NULL,
    operation        text NOT NULL DEFAULT 'update',
    set_clause       text,
    from_clause      text,
    where_clause     text,
    statement        text,
    target_table     text,
    handler          text,
    params           jsonb NOT NULL DEFAULT '{}',
    key_columns      text[],
    from_key         text[],
    to_key           text[],
    session_settings jsonb NOT NULL DEFAULT '{}',
    options          jsonb NOT NULL DEFAULT '{}',
    priority         int NOT NULL DEFAULT 0,
    run_after        timestamptz NOT NULL DEFAULT now(),
    desired_state    text NOT NULL DEFAULT 'run',
    finalize         jsonb NOT NULL DEFAULT '[]', -- steps after the last chunk, in order
    keep_old         boolean NOT NULL DEFAULT false, -- keep what was there, so that undo can put it back
    undo_set_clause  text,                        -- the inverse of set_clause, for undo
    windows          jsonb,                       -- when it may run: hours in a time zone, conditions on signals
    after            text[] NOT NULL DEFAULT '{}', -- jobs that must have succeeded before it begins
    approve          boolean NOT NULL DEFAULT false, -- it begins when somebody has called pgbackfill.approve

    -- Written by pgbackfill only.
    status           text NOT NULL DEFAULT 'queued',
    error            text,
    enqueued_by      text NOT NULL DEFAULT session_user,
    enqueued_at      timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    search_path      text NOT NULL DEFAULT '',    -- the enqueuer's; the job's SQL is checked and run under it
    time_zone        text NOT NULL DEFAULT 'UTC', -- likewise
    relation         oid,                         -- the walked table, resolved at INSERT, so that a rename is followed
    root_relation    oid,                         -- its partition root: one job at a time per root
    target_relation  oid,                         -- where a copy goes, resolved at INSERT likewise
    claim_xid        xid8,                        -- upper bounds are read once every transaction before it has ended
    prepared_at      timestamptz,                 -- ranges exist from here on
    wait_reason      text,                        -- what an unprepared job waits for, e.g. an old transaction
    wait_since       timestamptz,
    pause_until      timestamptz,                 -- when a pause ends by itself; NULL: when somebody resumes the job
    kept_columns     text[],                      -- what is kept of each changed row beside its key; NULL: nothing is
    approved_at      timestamptz,
    approved_by      text
);

CREATE UNIQUE INDEX jobs_one_active_per_table ON pgbackfill.jobs (root_relation)
    WHERE status IN ('running', 'verifying');
CREATE INDEX jobs_unfinished ON pgbackfill.jobs (priority DESC, id)
    WHERE status IN ('queued', 'running', 'paused', 'verifying');

-- One row per key range: the unit that a worker claims. Updated at every chunk, hence the fillfactor (HOT needs
-- room in the page) and the eager autovacuum.
CREATE TABLE pgbackfill.ranges (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id           bigint NOT NULL REFERENCES pgbackfill.jobs ON DELETE CASCADE,
    ordinal          int NOT NULL,                -- order in which ranges are claimed
    relation         oid NOT NULL,                -- the leaf table
    status           text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'skipped')),
    lower_key        text[],                      -- where it begins; NULL: from the start
    lower_inclusive  boolean NOT NULL DEFAULT true, -- at that key, which may be a prefix; false: after it
    upper_key        text[],                      -- inclusive, a full key; NULL: the range is empty
    retry_of         bigint,                      -- the range whose quarantined rows this one repeats
    retry_after      bigint NOT NULL DEFAULT 0,   -- id of the last quarantine entry that was tried again
    repair           boolean NOT NULL DEFAULT false, -- walks again what verification found wrong
    cursor_key       text[],                      -- last key that was scanned; NULL: nothing yet
    epoch            bigint NOT NULL DEFAULT 0,   -- counts claims
    token_hash       bytea,                       -- sha256 of the claim's random token; NULL: not claimed
    lease_until      timestamptz,                 -- on the database's clock
    worker_id        bigint,
    chunk_no         bigint NOT NULL DEFAULT 0,   -- counts committed chunks: tells whether a lost COMMIT happened
    rows_estimated   bigint NOT NULL DEFAULT 0,
    milestones       int NOT NULL DEFAULT 0,      -- keys that part the estimated rows evenly
    milestones_passed int NOT NULL DEFAULT 0,
    passed_scanned   bigint NOT NULL DEFAULT 0,   -- rows_scanned when the last of them was passed
    rows_scanned     bigint NOT NULL DEFAULT 0,
    rows_changed     bigint NOT NULL DEFAULT 0,
    rows_quarantined bigint NOT NULL DEFAULT 0,
    wal_bytes        bigint NOT NULL DEFAULT 0,
    active_ms        double precision NOT NULL DEFAULT 0, -- time spent in chunks
    chunk_rows       int,                         -- size of the last chunk
    chunk_ms         double precision,            -- duration of the last chunk
    sleep_ms         double precision,            -- pause before the last chunk
    rows_per_second  double precision,            -- smoothed
    hold_reason      text,
    hold_since       timestamptz,
    UNIQUE (job_id, ordinal)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- Sampled keys that part a range evenly: how far its cursor has come does not depend on how many rows there are.
CREATE TABLE pgbackfill.milestones (
    range_id bigint NOT NULL REFERENCES pgbackfill.ranges ON DELETE CASCADE,
    ordinal  int NOT NULL,
    key      text[] NOT NULL,
    PRIMARY KEY (range_id, ordinal)
);

-- Jobs that shall make only a share of their pace for a while. Of several that are in force the lowest ratio counts.
CREATE TABLE pgbackfill.throttles (
    job_id  bigint REFERENCES pgbackfill.jobs ON DELETE CASCADE, -- NULL: every job of this database
    ratio   double precision NOT NULL CHECK (ratio >= 1e-6 AND ratio < 1),
    ends_at timestamptz NOT NULL CHECK (ends_at < '9000-01-01')
);
CREATE UNIQUE INDEX throttles_one_per_job ON pgbackfill.throttles (coalesce(job_id, 0));

-- Who did what to a job and when. Append-only.
CREATE TABLE pgbackfill.events (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    job_id bigint NOT NULL REFERENCES pgbackfill.jobs ON DELETE CASCADE,
    actor  text NOT NULL DEFAULT session_user,
    event  text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_of_job ON pgbackfill.events (job_id, id);

-- Rows that could not be changed.
CREATE TABLE pgbackfill.quarantine (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id   bigint NOT NULL REFERENCES pgbackfill.jobs ON DELETE CASCADE,
    range_id bigint NOT NULL REFERENCES pgbackfill.ranges ON DELETE CASCADE,
    key      text[] NOT NULL,
    sqlstate text NOT NULL,
    message  text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (range_id, key)
);

-- What is done after the last chunk, one step after the other: verification, then what the job's `finalize` says. Claimed
-- like ranges, so that another daemon goes on where one has died.
CREATE TABLE pgbackfill.steps (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      bigint NOT NULL REFERENCES pgbackfill.jobs ON DELETE CASCADE,
    ordinal     int NOT NULL,                     -- 0 is verification
    kind        text NOT NULL,
    spec        jsonb NOT NULL DEFAULT '{}',      -- what it is to do
    status      text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'skipped', 'failed')),
    state       jsonb NOT NULL DEFAULT '{}',      -- where it is: what the next daemon begins with
    share       double precision,                 -- of its work that is done, 0 to 1; NULL: nobody can say
    round       int NOT NULL DEFAULT 0,           -- repairs that verification has asked for
    epoch       bigint NOT NULL DEFAULT 0,        -- counts claims
    token_hash  bytea,                            -- sha256 of the claim's random token; NULL: not claimed
    lease_until timestamptz,                      -- on the database's clock
    worker_id   bigint,
    hold_reason text,
    hold_since  timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    UNIQUE (job_id, ordinal)
);

-- Rows that a job promised to change and that verification found as they were; the last pass's.
CREATE TABLE pgbackfill.mismatches (
    job_id   bigint NOT NULL REFERENCES pgbackfill.jobs ON DELETE CASCADE,
    relation oid NOT NULL,                        -- the leaf table
    key      text[] NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, key)
);

-- Every daemon and its heartbeat.
CREATE TABLE pgbackfill.workers (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hostname     text NOT NULL,
    pid          int NOT NULL,
    version      text NOT NULL,
    lanes        int NOT NULL DEFAULT 0,          -- ranges being worked now
    paused_by    text[] NOT NULL DEFAULT '{}',    -- holders of a pause of this process
    handlers     text[] NOT NULL DEFAULT '{}',    -- names of the handlers that it has loaded
    signals      jsonb NOT NULL DEFAULT '[]',     -- what it sees: replicas, canaries, and whatever slows or holds it
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

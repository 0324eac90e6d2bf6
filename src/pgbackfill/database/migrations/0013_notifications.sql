-- What people see at a distance, and what they are told.

-- Who may see how far a job is may see why.
GRANT SELECT ON pgbackfill.workers TO pgbackfill_enqueuer, pgbackfill_viewer;

-- Told by webhook: one row for each thing that happened, made by the daemon that is the first to note it.

CREATE TABLE pgbackfill.notifications (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id   bigint NOT NULL REFERENCES pgbackfill.jobs ON DELETE CASCADE,
    kind     text NOT NULL CHECK (kind IN ('failed', 'held', 'paused', 'finished')),
    cause    text NOT NULL,              -- the event or the hold, so that several daemons note it once
    at       timestamptz NOT NULL,       -- when it happened
    reason   text,
    attempts int NOT NULL DEFAULT 0,
    try_at   timestamptz NOT NULL DEFAULT clock_timestamp(), -- not before; while one daemon tries, when another may
    sent_at  timestamptz,
    UNIQUE (job_id, cause)
);
CREATE INDEX notifications_unsent ON pgbackfill.notifications (try_at) WHERE sent_at IS NULL;

-- Few of the events are worth a message; daemons that send them look for new ones every second.
CREATE INDEX events_to_tell ON pgbackfill.events (at) WHERE event IN ('status', 'circuit_breaker', 'throughput_floor');

GRANT SELECT, INSERT, UPDATE, DELETE ON pgbackfill.notifications TO pgbackfill_daemon;

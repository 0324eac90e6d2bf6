-- The daemons.

-- name: register
INSERT INTO pgbackfill.workers (hostname, pid, version, handlers) VALUES ($1, $2, $3, $4) RETURNING id;

-- name: heartbeat
UPDATE pgbackfill.workers SET heartbeat_at = clock_timestamp(), lanes = $2, paused_by = $3,
    signals = $4::text::jsonb WHERE id = $1
RETURNING heartbeat_at;

-- name: beat_of
-- Read on the primary it is a canary; on a replica it says how far that one is.
SELECT heartbeat_at FROM pgbackfill.workers WHERE id = $1;

-- name: deregister
DELETE FROM pgbackfill.workers WHERE id = $1;

-- name: lanes_of_others
-- Lanes of the other daemons that are alive: what the capacity is divided by.
SELECT coalesce(sum(lanes), 0)::int FROM pgbackfill.workers
 WHERE id <> $1 AND heartbeat_at > clock_timestamp() - make_interval(secs => $2);

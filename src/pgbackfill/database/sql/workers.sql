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

-- name: others_query
-- Whether a session that is not pgbackfill's runs a query or began one in the last $1 seconds. One of which the login may see
-- nothing might.
SELECT EXISTS (
    SELECT FROM pg_stat_activity a
     WHERE coalesce(a.backend_type, 'client backend') = 'client backend' AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()
       AND coalesce(a.application_name, '') NOT LIKE 'pgbackfill/%'
       AND (coalesce(a.state, 'disabled') IN ('active', 'disabled')
            OR a.query_start > clock_timestamp() - make_interval(secs => $1)));

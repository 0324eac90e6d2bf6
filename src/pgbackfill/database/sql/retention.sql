-- What is removed when it is old. $1: how long it is kept, $2: rows at most.

-- name: workers
-- A daemon that has been silent for a day is gone.
DELETE FROM pgbackfill.workers WHERE heartbeat_at < clock_timestamp() - interval '1 day';

-- name: events
SELECT pgbackfill.prune_events($1, $2);

-- name: jobs
SELECT pgbackfill.prune_jobs($1, $2);

-- name: notifications
WITH gone AS (
    DELETE FROM pgbackfill.notifications
     WHERE id IN (SELECT n.id FROM pgbackfill.notifications n WHERE n.at < clock_timestamp() - $1::interval
                   ORDER BY n.id LIMIT $2 FOR UPDATE SKIP LOCKED)
 RETURNING 1
)
SELECT count(*) FROM gone;

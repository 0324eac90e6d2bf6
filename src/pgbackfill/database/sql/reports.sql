-- name: progress
-- Unfinished jobs first, then the latest; a limit, because finished jobs may be kept for years.
SELECT * FROM pgbackfill.progress ORDER BY finished_at DESC NULLS FIRST, started_at NULLS LAST, name LIMIT $1

-- name: progress_of_job
SELECT * FROM pgbackfill.progress WHERE name = $1

-- name: job
-- No SQL of the job and no session settings: those are for who may read the table itself.
SELECT id, table_name, operation, priority, run_after, options, enqueued_by, enqueued_at, error
FROM pgbackfill.jobs WHERE name = $1

-- name: ranges_of_job
-- Keys are row data, so they are not here.
SELECT r.ordinal, r.relation::regclass::text AS relation, r.status, r.epoch, r.chunk_no, r.rows_scanned, r.rows_changed,
       r.rows_estimated, r.rows_quarantined, r.wal_bytes, r.lease_until, r.hold_reason,
       w.hostname || ':' || w.pid AS worker
FROM pgbackfill.ranges AS r
LEFT JOIN pgbackfill.workers AS w ON w.id = r.worker_id
WHERE r.job_id = $1
ORDER BY r.status = 'open' DESC, r.ordinal
LIMIT 100

-- name: hazards_of_job
SELECT h ->> 'kind' AS kind, h ->> 'detail' AS what
FROM pgbackfill.events AS e CROSS JOIN LATERAL jsonb_array_elements(e.detail -> 'hazards') AS h
WHERE e.id = (SELECT max(id) FROM pgbackfill.events WHERE job_id = $1 AND event = 'hazards')

-- name: steps_of_job
-- A cursor is row data, so of the state only what a statement says of itself is here.
SELECT s.ordinal, s.kind, s.status, floor(100 * s.share)::int AS percent, s.state ->> 'phase' AS phase, s.hold_reason,
       w.hostname || ':' || w.pid AS worker, s.started_at, s.finished_at
FROM pgbackfill.steps AS s
LEFT JOIN pgbackfill.workers AS w ON w.id = s.worker_id AND s.lease_until > clock_timestamp()
WHERE s.job_id = $1
ORDER BY s.ordinal

-- name: undo
SELECT pgbackfill.undo($1)

-- name: name_of
SELECT name FROM pgbackfill.jobs WHERE id = $1

-- name: events_of_job
SELECT at, actor, event, detail FROM pgbackfill.events WHERE job_id = $1 ORDER BY id DESC LIMIT 20

-- name: quarantine_of_job
SELECT sqlstate, count(*) AS rows, max(at) AS latest FROM pgbackfill.quarantine WHERE job_id = $1
GROUP BY sqlstate ORDER BY count(*) DESC, sqlstate

-- name: quarantine_list
-- Keys are row data: for logins that may read the table itself.
SELECT q.key, q.sqlstate, q.message, q.at FROM pgbackfill.quarantine AS q JOIN pgbackfill.jobs AS j ON j.id = q.job_id
WHERE j.name = $1 ORDER BY q.id LIMIT $2

-- name: set_option
-- The enqueuer's own right; the check of options says what is wrong with one.
UPDATE pgbackfill.jobs SET options = options || jsonb_build_object($2::text, $3::bigint) WHERE name = $1 RETURNING id

-- name: signals
-- What the daemons that live saw at their last heartbeat, of which the longest setting is 10 s.
SELECT s.name, s.detail AS about, s.value, s.unit, s.soft, s.hard, s.level
FROM pgbackfill.workers AS w
CROSS JOIN LATERAL jsonb_to_recordset(w.signals) AS s (name text, detail text, value double precision, unit text,
    soft double precision, hard double precision, level text)
WHERE w.heartbeat_at > clock_timestamp() - interval '15 seconds'
ORDER BY s.name, s.detail

-- name: retry_quarantined
SELECT pgbackfill.retry_quarantined($1)

-- name: pause
SELECT pgbackfill.pause($1, $2)

-- name: resume
SELECT pgbackfill.resume($1)

-- name: cancel
SELECT pgbackfill.cancel($1)

-- name: approve
SELECT pgbackfill.approve($1)

-- name: retry
SELECT pgbackfill.retry($1)

-- name: throttle
-- No name: every job of the database.
SELECT pgbackfill.throttle($1, $2, $3)

-- name: unthrottle
SELECT pgbackfill.unthrottle($1)

-- name: enqueue
-- No row: a job of that name exists, and a migration that runs twice has lost nothing.
INSERT INTO pgbackfill.jobs (name, table_name, operation, set_clause, from_clause, where_clause, statement, target_table,
    handler, params, key_columns, from_key, to_key, session_settings, options, priority, run_after, desired_state,
    finalize, keep_old, undo_set_clause, windows, after, approve)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, coalesce($17, now()), $18,
    $19, $20, $21, $22, $23, $24)
ON CONFLICT (name) DO NOTHING
RETURNING id

-- What HTTP and the command line show of one job.

-- name: progress
SELECT * FROM pgbackfill.progress WHERE $1::text IS NULL OR name = $1;

-- name: ranges_of
-- Without the claim's token, which is nobody's business.
SELECT r.ordinal, coalesce(c.oid::regclass::text, r.relation::text) AS relation, r.status, r.lower_key, r.upper_key,
       r.cursor_key, r.epoch, r.chunk_no AS chunks, r.rows_estimated, r.rows_scanned, r.rows_changed,
       r.rows_quarantined, r.wal_bytes, r.lease_until, w.hostname || ':' || w.pid AS worker
  FROM pgbackfill.ranges r
  JOIN pgbackfill.jobs j ON j.id = r.job_id
  LEFT JOIN pg_class c ON c.oid = r.relation
  LEFT JOIN pgbackfill.workers w ON w.id = r.worker_id
 WHERE j.name = $1
 ORDER BY r.ordinal;

-- name: events_of
SELECT e.at, e.actor, e.event, e.detail::text AS detail
  FROM pgbackfill.events e JOIN pgbackfill.jobs j ON j.id = e.job_id
 WHERE j.name = $1
 ORDER BY e.id DESC
 LIMIT 50;

-- name: error_of
SELECT error FROM pgbackfill.jobs WHERE name = $1;

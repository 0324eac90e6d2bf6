-- Claims and leases. All times are the database's: workers' clocks decide nothing.

-- name: insert_range
INSERT INTO pgbackfill.ranges (job_id, ordinal, relation, lower_key, upper_key, rows_estimated, status)
VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $5::text[] IS NULL THEN 'done' ELSE 'open' END);

-- name: claim_range
-- Takes a range that nobody holds. Only the first `$5` (parallelism) open ranges of the job may be held at a time, so
-- the limit needs no lock on the job. A zombie that still has its chunk open holds the row's lock and is passed over.
UPDATE pgbackfill.ranges r
   SET epoch = r.epoch + 1, token_hash = sha256($2), worker_id = $3,
       lease_until = clock_timestamp() + make_interval(secs => $4), hold_reason = NULL, hold_since = NULL
 WHERE r.id = (SELECT c.id
                 FROM pgbackfill.ranges c JOIN pgbackfill.jobs j ON j.id = c.job_id
                WHERE c.job_id = $1 AND c.status = 'open' AND j.status = 'running' AND j.desired_state = 'run'
                  AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
                  AND (SELECT count(*) FROM pgbackfill.ranges b
                        WHERE b.job_id = c.job_id AND b.status = 'open' AND b.ordinal < c.ordinal) < $5
                ORDER BY c.ordinal
                LIMIT 1 FOR UPDATE OF c SKIP LOCKED)
RETURNING r.id, r.job_id, r.ordinal, r.relation, r.epoch, r.lower_key, r.upper_key;

-- name: claimable_jobs
-- Jobs with a range that nobody holds: one question for all of them, before any claim is tried.
SELECT DISTINCT j.id
  FROM pgbackfill.jobs j JOIN pgbackfill.ranges r ON r.job_id = j.id
 WHERE j.status = 'running' AND j.desired_state = 'run' AND r.status = 'open'
   AND (r.lease_until IS NULL OR r.lease_until < clock_timestamp());

-- name: release_range
SELECT * FROM pgbackfill.release_range($1, $2, $3);

-- name: skip_range
-- The leaf table has left the partitioned table: its rows are no longer the job's business.
UPDATE pgbackfill.ranges
   SET status = 'skipped', lease_until = NULL, token_hash = NULL
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3)
RETURNING id;

-- name: renew_lease
SELECT * FROM pgbackfill.renew_lease($1, $2, $3, $4);

-- name: set_hold
SELECT * FROM pgbackfill.show_hold($1, $2, $3, $4, $5);

-- Claims and leases. All times are the database's: workers' clocks decide nothing.

-- name: store_ranges
-- Stores all ranges of a job ($2: a JSON array of them) and that it is prepared; how many, 0 where another daemon was faster
-- or is at it. One statement: of a job that takes a tenth of a second, each round trip would be a hundredth.
WITH job AS (
    SELECT id FROM pgbackfill.jobs WHERE id = $1 AND status = 'running' AND prepared_at IS NULL FOR UPDATE SKIP LOCKED
), wanted AS (
    SELECT job.id AS job_id, r.*
      FROM job, jsonb_to_recordset($2::jsonb)
        AS r (ordinal int, relation oid, lower_key text[], lower_inclusive boolean, upper_key text[], rows bigint, parts jsonb)
), stored AS (
    INSERT INTO pgbackfill.ranges
           (job_id, ordinal, relation, lower_key, lower_inclusive, upper_key, rows_estimated, milestones, status)
    SELECT job_id, ordinal, relation, lower_key, lower_inclusive, upper_key, rows, jsonb_array_length(parts),
           CASE WHEN upper_key IS NULL THEN 'done' ELSE 'open' END
      FROM wanted ORDER BY ordinal
 RETURNING id, ordinal
), parted AS (
    INSERT INTO pgbackfill.milestones (range_id, ordinal, key)
    SELECT stored.id, part.place - 1, ARRAY(SELECT jsonb_array_elements_text(part.key))
      FROM stored JOIN wanted USING (ordinal), jsonb_array_elements(wanted.parts) WITH ORDINALITY AS part (key, place)
), prepared AS (
    UPDATE pgbackfill.jobs SET prepared_at = clock_timestamp(), wait_reason = NULL, wait_since = NULL
     WHERE id = (SELECT id FROM job)
)
SELECT count(*) FROM stored;

-- name: milestones_ahead
SELECT m.key
  FROM pgbackfill.milestones m JOIN pgbackfill.ranges r ON r.id = m.range_id
 WHERE m.range_id = $1 AND m.ordinal >= r.milestones_passed
 ORDER BY m.ordinal;

-- name: claim_range
-- Takes the next range that nobody holds. How many lanes work on a job is each daemon's own business (`parallelism`); that
-- two never get the same range is the row lock's. A zombie that still has its chunk open holds that lock and is passed over.
-- The ranges $5 are those that this daemon works on: after a long outage their leases have run out, and nobody was faster.
UPDATE pgbackfill.ranges r
   SET epoch = r.epoch + 1, token_hash = sha256($2), worker_id = $3,
       lease_until = clock_timestamp() + make_interval(secs => $4), hold_reason = NULL, hold_since = NULL
 WHERE r.id = (SELECT c.id
                 FROM pgbackfill.ranges c JOIN pgbackfill.jobs j ON j.id = c.job_id
                WHERE c.job_id = $1 AND c.status = 'open' AND j.status = 'running' AND j.desired_state = 'run'
                  AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp()) AND c.id <> ALL ($5::text[]::bigint[])
                ORDER BY c.ordinal
                LIMIT 1 FOR UPDATE OF c SKIP LOCKED)
RETURNING r.id, r.job_id, r.ordinal, r.relation, r.epoch, r.lower_key, r.lower_inclusive, r.upper_key,
          r.retry_of IS NOT NULL AS retry;

-- name: open_ranges
-- Per running job, the ranges that nobody holds and those that a live lane holds: one question for all jobs, before any
-- claim is tried. Of a job that somebody pauses or cancels nothing is free.
SELECT j.id,
       count(*) FILTER (WHERE j.desired_state = 'run' AND (r.lease_until IS NULL OR r.lease_until < clock_timestamp()))
           AS free,
       count(*) FILTER (WHERE r.lease_until >= clock_timestamp()) AS held
  FROM pgbackfill.jobs j JOIN pgbackfill.ranges r ON r.job_id = j.id
 WHERE j.status = 'running' AND r.status = 'open'
 GROUP BY j.id;

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

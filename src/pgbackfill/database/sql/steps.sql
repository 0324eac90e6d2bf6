-- Claims and leases of the steps that follow the last chunk; like those of ranges. All times are the database's.

-- name: claim_step
-- The first step that is not done, unless somebody is at it.
UPDATE pgbackfill.steps s
   SET epoch = s.epoch + 1, token_hash = sha256($2), worker_id = $3,
       lease_until = clock_timestamp() + make_interval(secs => $4), hold_reason = NULL, hold_since = NULL,
       started_at = coalesce(s.started_at, clock_timestamp())
 WHERE s.id = (SELECT c.id
                 FROM pgbackfill.steps c JOIN pgbackfill.jobs j ON j.id = c.job_id
                WHERE c.job_id = $1 AND c.status = 'open' AND j.status = 'verifying' AND j.desired_state = 'run'
                  AND c.ordinal = (SELECT min(o.ordinal) FROM pgbackfill.steps o WHERE o.job_id = $1 AND o.status = 'open')
                  AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
                  FOR UPDATE OF c SKIP LOCKED)
RETURNING s.id, s.job_id, s.ordinal, s.kind, s.spec::text AS spec, s.state::text AS state, s.round, s.epoch;

-- name: store_step
-- How far it is; renews the lease. No row: the lease is lost.
UPDATE pgbackfill.steps
   SET state = $4::text::jsonb, share = $5, lease_until = clock_timestamp() + make_interval(secs => $6)
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3) AND status = 'open'
RETURNING id;

-- name: show_share
-- What a screen shows of a statement that runs; renews the lease.
UPDATE pgbackfill.steps SET share = coalesce($4, share), lease_until = clock_timestamp() + make_interval(secs => $5)
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3) AND status = 'open'
RETURNING id;

-- name: hold_step
-- Why nothing happens (NULL: it goes on), and the lease.
UPDATE pgbackfill.steps
   SET hold_reason = $4, hold_since = CASE WHEN $4::text IS NULL THEN NULL ELSE coalesce(hold_since, clock_timestamp()) END,
       lease_until = clock_timestamp() + make_interval(secs => $5)
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3) AND status = 'open'
RETURNING id;

-- name: release_step
UPDATE pgbackfill.steps
   SET lease_until = NULL, token_hash = NULL, worker_id = NULL, hold_reason = NULL, hold_since = NULL
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3)
RETURNING id;

-- name: end_step
SELECT * FROM pgbackfill.end_step($1, $2, $3);

-- name: is_done
SELECT status <> 'open' FROM pgbackfill.steps WHERE id = $1;

-- name: skip_step
UPDATE pgbackfill.steps
   SET status = 'skipped', finished_at = clock_timestamp(), lease_until = NULL, token_hash = NULL
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3) AND status = 'open'
RETURNING id;

-- name: fail_step
-- A retry of the job opens it again.
UPDATE pgbackfill.steps
   SET status = 'failed', round = 0, finished_at = clock_timestamp(), lease_until = NULL, token_hash = NULL
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3) AND status = 'open'
RETURNING id;

-- name: begin_repair
-- The step is done until the job comes back from its repair. No row: the lease is lost.
UPDATE pgbackfill.steps
   SET status = 'done', round = round + 1, lease_until = NULL, token_hash = NULL
 WHERE id = $1 AND epoch = $2 AND token_hash = sha256($3) AND status = 'open'
RETURNING job_id;

-- name: run_again
UPDATE pgbackfill.jobs SET status = 'running' WHERE id = $1 AND status = 'verifying' RETURNING id;

-- name: insert_repair
INSERT INTO pgbackfill.ranges (job_id, ordinal, relation, lower_key, lower_inclusive, upper_key, rows_estimated, repair)
SELECT $1, (SELECT max(r.ordinal) + 1 FROM pgbackfill.ranges r WHERE r.job_id = $1), $2, $3, $4, $5, $6, true;

-- name: walked_ranges
-- What the job has walked, in order; nothing of a partition that has left the table.
SELECT r.ordinal, r.relation, r.lower_key, r.lower_inclusive, r.upper_key, greatest(r.rows_scanned, 1) AS rows
  FROM pgbackfill.ranges r
 WHERE r.job_id = $1 AND r.retry_of IS NULL AND NOT r.repair AND r.status = 'done' AND r.upper_key IS NOT NULL
 ORDER BY r.ordinal;

-- name: began
-- The transaction in which the job was started, before whose end no upper bound was read.
SELECT claim_xid::text::bigint FROM pgbackfill.jobs WHERE id = $1;

-- name: wal_position
-- Inserted, not flushed: neither chunks nor, where the server has it so, any other commit has waited for the disk.
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint;

-- name: quarantined_keys
SELECT key FROM pgbackfill.quarantine WHERE job_id = $1;

-- name: forget_mismatches
DELETE FROM pgbackfill.mismatches WHERE job_id = $1;

-- name: note_mismatches
INSERT INTO pgbackfill.mismatches (job_id, relation, key)
SELECT $1, $2, ARRAY(SELECT jsonb_array_elements_text(value)) FROM jsonb_array_elements($3::text::jsonb)
    ON CONFLICT DO NOTHING;

-- name: job_by_name
SELECT id, name, table_name, operation, relation, key_columns, set_clause, from_clause, where_clause, statement, target_relation,
       handler, params::text AS params, from_key, to_key, session_settings::text AS session_settings, options::text AS options, search_path, time_zone,
       status, desired_state, prepared_at IS NOT NULL AS prepared, NULL::float8 AS throttle_ratio,
       NULL::timestamptz AS throttle_until, kept_columns, finalize <> '[]' AS finalizes,
       NULL::text AS waits_for, '{}'::text[] AS only_while
  FROM pgbackfill.jobs WHERE name = $1;

-- What the daemon asks and tells of jobs. Every statement that writes a job skips one that is locked: a person's open
-- transaction on a job must delay that job's change of state and nothing else. Lists of ids come as text[], whose type every
-- client knows; of bigint[] asyncpg asks the catalog on each new connection, for some 5 ms.

-- name: to_settle
SELECT j.id
  FROM pgbackfill.jobs j
 WHERE j.status = 'running'
   AND (j.desired_state <> 'run' OR j.prepared_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM pgbackfill.ranges r WHERE r.job_id = j.id AND r.status = 'open'))
    OR j.status = 'verifying'
   AND (j.desired_state <> 'run'
        OR NOT EXISTS (SELECT FROM pgbackfill.steps s WHERE s.job_id = j.id AND s.status IN ('open', 'failed')))
 ORDER BY j.id;

-- name: lock_to_settle
-- A statement of its own: the next one sees the ranges as they are once nobody else can add any. In one statement, a job
-- that is being prepared looked as if it had ranges and none of them were open.
SELECT j.id FROM pgbackfill.jobs j WHERE j.id = ANY($1::text[]::bigint[]) ORDER BY j.id FOR UPDATE SKIP LOCKED;

-- name: settle
-- Moves jobs to the state that follows from what is already true. Any daemon may do it at any time, so that no job
-- stays between states when a daemon dies. A lease that still runs means that a lane, or a step, is at work. `verify` ($2) is
-- what holds for jobs that do not say.
WITH ready AS (
    SELECT j.id, wanted.verify,
           CASE WHEN j.status = 'verifying'
                     AND NOT EXISTS (SELECT FROM pgbackfill.steps s WHERE s.job_id = j.id AND s.status IN ('open', 'failed'))
                    THEN 'succeeded'
                WHEN j.status = 'running'
                     AND NOT EXISTS (SELECT FROM pgbackfill.ranges r WHERE r.job_id = j.id AND r.status = 'open')
                     AND EXISTS (SELECT FROM pgbackfill.ranges r WHERE r.job_id = j.id)
                     AND j.prepared_at IS NOT NULL
                    THEN CASE WHEN wanted.verify <> 'off' OR j.finalize <> '[]' THEN 'verifying' ELSE 'succeeded' END
                WHEN j.desired_state = 'pause' THEN 'paused'
                WHEN j.desired_state = 'cancel' THEN 'cancelled'
           END AS next
      FROM pgbackfill.jobs j
     CROSS JOIN LATERAL (SELECT coalesce(j.options ->> 'verify', $2::text) AS verify) AS wanted
     WHERE j.status IN ('running', 'verifying') AND j.id = ANY($1::text[]::bigint[])
       AND NOT EXISTS (SELECT FROM pgbackfill.ranges r
                        WHERE r.job_id = j.id AND r.status = 'open' AND r.lease_until > clock_timestamp())
       AND NOT EXISTS (SELECT FROM pgbackfill.steps s
                        WHERE s.job_id = j.id AND s.status = 'open' AND s.lease_until > clock_timestamp())
       FOR UPDATE OF j SKIP LOCKED
), moved AS (
    UPDATE pgbackfill.jobs j
       SET status = ready.next,
           -- Why it paused itself; everything else that a job waited for ends here.
           wait_reason = CASE WHEN ready.next = 'paused' AND j.wait_reason ~ '^(circuit_breaker|throughput)' THEN j.wait_reason END,
           wait_since = CASE WHEN ready.next = 'paused' AND j.wait_reason ~ '^(circuit_breaker|throughput)' THEN j.wait_since END,
           finished_at = CASE WHEN ready.next IN ('paused', 'verifying') THEN NULL ELSE clock_timestamp() END
      FROM ready
     WHERE j.id = ready.id AND ready.next IS NOT NULL
    RETURNING j.id, j.name, j.status, j.relation, j.finalize, ready.verify
), stepped AS (
    -- A job that comes a second time (after a repair, or queued again) is verified anew, unless it was only interrupted; what
    -- else is done stays done.
    INSERT INTO pgbackfill.steps (job_id, ordinal, kind, spec)
    SELECT moved.id, step.ordinal, step.kind, step.spec
      FROM moved
     CROSS JOIN LATERAL (
           SELECT 0 AS ordinal, 'verify' AS kind, jsonb_build_object('mode', moved.verify) AS spec
            WHERE moved.verify <> 'off'
            UNION ALL
           SELECT f.ordinal, f.kind, f.spec FROM pgbackfill.finalize_steps(moved.finalize) AS f) AS step
     WHERE moved.status = 'verifying'
        ON CONFLICT (job_id, ordinal) DO UPDATE
       SET spec = excluded.spec, status = 'open', finished_at = NULL,
           state = CASE WHEN steps.status = 'open' THEN steps.state ELSE '{}' END,
           share = CASE WHEN steps.status = 'open' THEN steps.share END,
           started_at = CASE WHEN steps.status = 'open' THEN steps.started_at END
     WHERE steps.kind = 'verify' OR steps.status = 'failed'
), attached AS (
    -- Partitions that came while the job ran were not walked: said once, when it ends. pg_inherits is read without a
    -- lock on the tables, which pg_partition_tree would take.
    INSERT INTO pgbackfill.events (job_id, event, detail)
    SELECT moved.id, 'partition_attached',
           jsonb_build_object('partitions', jsonb_agg(leaf.oid::regclass::text ORDER BY leaf.oid))
      FROM moved
     CROSS JOIN LATERAL (
           WITH RECURSIVE tree (oid) AS (
               SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = moved.relation
               UNION ALL
               SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid)
           SELECT tree.oid FROM tree JOIN pg_class c ON c.oid = tree.oid WHERE c.relkind <> 'p') AS leaf
     WHERE moved.status = 'succeeded'
       AND NOT EXISTS (SELECT FROM pgbackfill.ranges r WHERE r.job_id = moved.id AND r.relation = leaf.oid)
     GROUP BY moved.id
)
SELECT id, name, status FROM moved;

-- name: expire
-- Ends pauses and throttles whose time is over; answers the jobs that go on.
WITH unthrottled AS (
    DELETE FROM pgbackfill.throttles
     WHERE coalesce(job_id, 0) IN (SELECT coalesce(job_id, 0) FROM pgbackfill.throttles
                                    WHERE ends_at <= clock_timestamp() FOR UPDATE SKIP LOCKED)
)
UPDATE pgbackfill.jobs
   SET desired_state = 'run'
 WHERE id IN (SELECT id FROM pgbackfill.jobs
               WHERE status IN ('queued', 'running', 'paused', 'verifying') AND desired_state = 'pause'
                 AND pause_until <= clock_timestamp()
                 FOR UPDATE SKIP LOCKED)
RETURNING name;

-- name: start_job
-- Takes the next due job whose table is free. Its transaction id is what upper bounds wait for.
UPDATE pgbackfill.jobs
   SET status = 'running', error = NULL, started_at = coalesce(started_at, clock_timestamp()),
       claim_xid = coalesce(claim_xid, pg_current_xact_id())
 WHERE id = (SELECT j.id FROM pgbackfill.jobs j
              WHERE j.status = 'queued' AND j.desired_state = 'run' AND j.run_after <= clock_timestamp()
                AND (j.handler IS NULL OR j.handler = ANY ($1::text[]))
                AND pgbackfill.waits_for(j, clock_timestamp()) IS NULL
                AND NOT EXISTS (SELECT FROM pgbackfill.jobs a
                                 WHERE a.root_relation = j.root_relation AND a.status IN ('running', 'verifying'))
              ORDER BY j.priority DESC, j.id
              LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, name;

-- name: active_jobs
-- Every job of status $1 that a daemon with the handlers $2 may have to do something about.
SELECT id, name, table_name, operation, relation, key_columns, set_clause, from_clause, where_clause, statement,
       target_relation, handler, params::text AS params, from_key, to_key, session_settings::text AS session_settings,
       options::text AS options, search_path, time_zone,
       status, desired_state, prepared_at IS NOT NULL AS prepared, throttle.ratio AS throttle_ratio,
       throttle.ends_at AS throttle_until, kept_columns, finalize <> '[]' AS finalizes,
       pgbackfill.waits_for(jobs, clock_timestamp()) AS waits_for,
       ARRAY(SELECT jsonb_array_elements_text(windows -> 'only_while')) AS only_while
  FROM pgbackfill.jobs
  LEFT JOIN LATERAL (SELECT t.ratio, t.ends_at FROM pgbackfill.throttles t
                      WHERE (t.job_id = jobs.id OR t.job_id IS NULL) AND t.ends_at > clock_timestamp()
                      ORDER BY t.ratio, t.ends_at DESC LIMIT 1) AS throttle ON true
 WHERE status = $1 AND (handler IS NULL OR status <> 'running' OR handler = ANY ($2::text[]))
 ORDER BY priority DESC, id;

-- name: pending
-- What `run --drain` of a daemon with the handlers $1 looks at before it goes: due work, and what is left behind by name.
SELECT j.name, j.status, j.desired_state, left_for.reason IS NULL AS due, left_for.reason
  FROM pgbackfill.jobs j
 CROSS JOIN LATERAL (
       SELECT CASE WHEN j.status = 'paused' THEN 'paused'
                   WHEN j.status = 'queued' AND j.run_after > clock_timestamp() THEN 'not due'
                   WHEN j.handler <> ALL ($1::text[]) AND j.handler IS NOT NULL THEN format('handler %s is not loaded here', j.handler)
                   WHEN j.status <> 'verifying' THEN pgbackfill.waits_for(j, clock_timestamp())
              END AS reason) AS left_for
 WHERE j.status IN ('queued', 'running', 'paused', 'verifying')
 ORDER BY j.id;

-- name: old_transactions_ended
SELECT pg_snapshot_xmin(pg_current_snapshot()) > claim_xid FROM pgbackfill.jobs WHERE id = $1;

-- name: oldest_blocker
-- Who keeps the oldest transaction open: a session, a prepared transaction, or somebody in another database.
SELECT l.pid, p.gid, coalesce(a.datname, p.database) AS datname, current_database() AS here,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) AS age_s
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
 WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
   AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY age(l.transactionid) DESC
 LIMIT 1;

-- name: set_wait_reason
-- Says why an unprepared job waits; written only when the words change.
UPDATE pgbackfill.jobs
   SET wait_reason = $2, wait_since = CASE WHEN $2::text IS NULL THEN NULL ELSE coalesce(wait_since, clock_timestamp()) END
 WHERE id = (SELECT id FROM pgbackfill.jobs WHERE id = $1 AND wait_reason IS DISTINCT FROM $2 FOR UPDATE SKIP LOCKED);

-- name: fail_job
UPDATE pgbackfill.jobs
   SET status = 'failed', error = $2, finished_at = clock_timestamp(), wait_reason = NULL, wait_since = NULL
 WHERE id = $1 AND status IN ('running', 'verifying')
RETURNING id;

-- name: pause_itself
-- With an event and the reason; resumed like any other pause.
WITH paused AS (
    UPDATE pgbackfill.jobs SET desired_state = 'pause', wait_reason = $3, wait_since = clock_timestamp()
     WHERE id = (SELECT id FROM pgbackfill.jobs WHERE id = $1 AND status = 'running' AND desired_state = 'run'
                    FOR UPDATE SKIP LOCKED)
 RETURNING id
)
INSERT INTO pgbackfill.events (job_id, event, detail)
SELECT id, $2, jsonb_build_object('reason', $3::text) FROM paused
RETURNING job_id;

-- name: note_event
INSERT INTO pgbackfill.events (job_id, event, detail) VALUES ($1, $2, $3::text::jsonb);

-- name: quarantined
SELECT coalesce(sum(rows_quarantined), 0)::bigint FROM pgbackfill.ranges WHERE job_id = $1;

-- name: any_failed
SELECT name FROM pgbackfill.jobs WHERE id = ANY($1::text[]::bigint[]) AND status = 'failed' ORDER BY id;

-- What a plan asks beside the function pgbackfill.plan_of.

-- name: replicas_behind
-- $1: bytes that a replica may have still to replay. One that cannot be seen is not waited for: the plan says so.
SELECT coalesce(nullif(r.application_name, ''), r.pid::text) AS name,
       pg_size_pretty(pg_current_wal_lsn() - r.replay_lsn) AS backlog
  FROM pg_stat_replication r
 WHERE pg_current_wal_lsn() - r.replay_lsn > $1::bigint
 ORDER BY pg_current_wal_lsn() - r.replay_lsn DESC;

-- name: subject
-- A job as a daemon sees it, whatever its status, and what SQL knows of it.
SELECT j.id, j.name, j.table_name, j.operation, j.relation, j.key_columns, j.set_clause, j.from_clause, j.where_clause,
       j.statement, j.target_relation, j.handler, j.params::text AS params, j.from_key, j.to_key, j.session_settings::text AS session_settings, j.options::text AS options,
       j.search_path, j.time_zone, j.status, j.desired_state, j.prepared_at IS NOT NULL AS prepared, j.kept_columns,
       j.finalize <> '[]' AS finalizes, NULL::text AS waits_for, '{}'::text[] AS only_while, NULL::double precision AS throttle_ratio, NULL::timestamptz AS throttle_until,
       pgbackfill.plan(j.name)::text AS facts
  FROM pgbackfill.jobs AS j WHERE j.name = $1;

-- name: leaves
SELECT l.leaf, l.bytes FROM pgbackfill.plan_leaves($1) AS l;

-- name: oldest_transaction
-- Nothing is walked before the transactions that are older than the job have ended.
SELECT a.pid, a.usename, extract(epoch FROM clock_timestamp() - a.xact_start) AS age_s
  FROM pg_stat_activity a
 WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid() AND clock_timestamp() - a.xact_start > interval '5 s'
 ORDER BY a.xact_start LIMIT 1;

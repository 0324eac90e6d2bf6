-- What the pace is steered by. Polled in autocommit: cumulative views freeze inside a transaction.

-- name: primary
-- Where the WAL stands, in bytes, and on which timeline.
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline;

-- name: replicas
-- Physical standbys. Base backups, pg_receivewal and logical subscribers are not replicas that anybody reads from.
-- Without pg_monitor the rows are there but state and LSNs are NULL, which must read as unknown.
SELECT coalesce(nullif(r.application_name, ''), r.pid::text) AS name, r.state,
       (r.replay_lsn - '0/0'::pg_lsn)::bigint AS replay_lsn
  FROM pg_stat_replication r
  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE r.state IS DISTINCT FROM 'backup'
   AND s.slot_type IS DISTINCT FROM 'logical'
   AND r.application_name IS DISTINCT FROM 'pg_receivewal'
 ORDER BY 1;

-- name: may_monitor
SELECT pg_has_role(current_user, 'pg_monitor', 'USAGE') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
       OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);

-- name: lock_holders
-- Who holds what a one-row chunk waits for, asked while it waits.
SELECT pg_blocking_pids($1);

-- What the pace is steered by. Polled in autocommit: cumulative views freeze inside a transaction.

-- name: primary
-- Where the WAL stands, in bytes, and on which timeline.
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline;

-- name: system_identifier
-- The cluster: a standby that has another one is not ours.
SELECT system_identifier FROM pg_control_system();

-- name: identity
-- Of a primary: which cluster, and on which timeline; a failover begins a new one.
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline;

-- name: replicas
-- Physical standbys. Base backups, pg_receivewal and its kind (which report no replay) and logical subscribers are not
-- replicas that anybody reads from. Without pg_monitor the rows are there but state and LSNs are NULL, which must read
-- as unknown.
SELECT r.pid, coalesce(r.application_name, '') AS application_name, s.slot_name AS slot, host(r.client_addr) AS address,
       r.state, (r.replay_lsn - '0/0'::pg_lsn)::bigint AS replay_lsn, (r.flush_lsn - '0/0'::pg_lsn)::bigint AS flush_lsn
  FROM pg_stat_replication r
  LEFT JOIN (SELECT active_pid, slot_type, CASE WHEN NOT temporary THEN slot_name END AS slot_name
               FROM pg_replication_slots) s ON s.active_pid = r.pid
 WHERE r.state IS DISTINCT FROM 'backup'
   AND s.slot_type IS DISTINCT FROM 'logical'
   AND r.application_name IS DISTINCT FROM 'pg_receivewal'
   AND NOT (r.state IS NOT NULL AND r.replay_lsn IS NULL)
 ORDER BY r.pid;

-- name: physical_slots
-- Permanent ones that keep WAL for somebody. A lost one has nothing left to wait with.
SELECT slot_name, active FROM pg_replication_slots
 WHERE slot_type = 'physical' AND NOT temporary AND restart_lsn IS NOT NULL AND wal_status <> 'lost';

-- name: standby
-- Asked of a replica itself. Without pg_read_all_stats everything about its receiver but the pid is NULL.
SELECT pg_is_in_recovery() AS in_recovery, (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
       (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint AS replay_lsn,
       (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint AS flush_lsn,
       CASE WHEN w.pid IS NULL THEN 'no receiver' ELSE coalesce(w.status, 'receiving') END AS state,
       w.slot_name AS slot, substring(w.conninfo FROM '(?:^| )application_name=(\S+)') AS application_name,
       current_setting('cluster_name') AS cluster_name, host(inet_server_addr()) AS address,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS apply_delay_ms,
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'pgbackfill' AND c.relname = 'workers' AND has_schema_privilege(n.oid, 'USAGE')
                  AND has_table_privilege(c.oid, 'SELECT')) AS has_heartbeat
  FROM (SELECT) AS one LEFT JOIN pg_stat_wal_receiver w ON true;

-- name: may_monitor
SELECT pg_has_role(current_user, 'pg_monitor', 'USAGE') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
       OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);

-- name: has_aurora
-- Only Amazon Aurora has this function, and its readers appear nowhere else.
SELECT to_regprocedure('aurora_replica_status()') IS NOT NULL;

-- name: aurora
-- The writer itself is the row with this session_id.
SELECT server_id AS name, (replica_lag_in_msec / 1000.0)::float8 AS lag_s
  FROM aurora_replica_status() WHERE session_id IS DISTINCT FROM 'MASTER_SESSION_ID';

-- name: lock_holders
-- Who holds what a one-row chunk waits for, asked while it waits.
SELECT pg_blocking_pids($1);

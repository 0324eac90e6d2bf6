-- Signals with two thresholds, one block each: `value`, and `detail`, which says about what. No row: nothing of the kind
-- is there, which is 0. $1, where there is one, is what sources.py says.

-- name: slot_wal_used
-- How much of max_slot_wal_keep_size the worst slot has used up, in percent. $1: slots to leave out.
SELECT CASE WHEN wal_status IN ('unreserved', 'lost') THEN 100
            ELSE greatest(0, 100 * (1 - safe_wal_size / greatest(keep, 1)::float8)) END AS value,
       format('slot %s, %s', slot_name, wal_status) AS detail
  FROM pg_replication_slots,
       (SELECT setting::bigint << 20 AS keep FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS s
 WHERE slot_name <> ALL ($1::text[]) AND (safe_wal_size IS NOT NULL OR wal_status IN ('unreserved', 'lost'))
 ORDER BY 1 DESC, slot_name LIMIT 1;

-- name: slot_retained
-- WAL kept for the worst slot where nothing limits it, in bytes. $1: slots to leave out.
SELECT greatest(0, pg_current_wal_lsn() - restart_lsn)::float8 AS value,
       format('slot %s, %s', slot_name, CASE WHEN active THEN 'active' ELSE 'inactive' END) AS detail
  FROM pg_replication_slots
 WHERE slot_name <> ALL ($1::text[]) AND restart_lsn IS NOT NULL AND safe_wal_size IS NULL AND wal_status <> 'lost'
 ORDER BY 1 DESC, slot_name LIMIT 1;

-- name: logical_lag
-- WAL that the slowest logical consumer of this database has not confirmed, in bytes. Those of other databases get
-- nothing from us. $1: slots to leave out.
SELECT greatest(0, pg_current_wal_lsn() - confirmed_flush_lsn)::float8 AS value,
       format('slot %s, %s', slot_name, CASE WHEN active THEN 'active' ELSE 'inactive' END) AS detail
  FROM pg_replication_slots
 WHERE slot_type = 'logical' AND database = current_database() AND slot_name <> ALL ($1::text[])
   AND confirmed_flush_lsn IS NOT NULL AND wal_status <> 'lost'
 ORDER BY 1 DESC, slot_name LIMIT 1;

-- name: archive_backlog
-- Segments that wait for archive_command. Needs pg_monitor.
SELECT (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')::float8 AS value,
       CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity')
            THEN 'archiving fails, last with ' || last_failed_wal ELSE '' END AS detail
  FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off';

-- name: archive_backlog_estimate
-- The same without pg_monitor: complete segments behind the one that is written. NULL, which is unknown, where the
-- archiver has only ever failed.
SELECT CASE WHEN last_archived_wal ~ '^[0-9A-F]{24}' THEN
            greatest(0, div(pg_current_wal_lsn() - '0/0'::pg_lsn, size)
                - ('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * div(4294967296, size)
                - ('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint - 1)
            WHEN failed_count = 0 THEN 0 END::float8 AS value,
       CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity')
            THEN 'archiving fails, last with ' || last_failed_wal ELSE '' END AS detail
  FROM pg_stat_archiver,
       (SELECT setting::numeric AS size FROM pg_settings WHERE name = 'wal_segment_size') AS s
 WHERE current_setting('archive_mode') <> 'off';

-- name: requested_checkpoints
-- Since the statistics were reset: those that somebody or too much WAL asked for, not those by the clock.
SELECT num_requested::float8 AS value, '' AS detail FROM pg_stat_checkpointer;

-- name: requested_checkpoints_16
-- The same up to Postgres 16.
SELECT checkpoints_req::float8 AS value, '' AS detail FROM pg_stat_bgwriter;

-- name: autovacuum
-- For how long autovacuum has been at a table that is walked, in seconds. 0 where it cannot succeed because somebody
-- pins what it would remove, or has taken an hour: waiting for it would be futile. $1: tables that are walked.
WITH walked AS (
    SELECT coalesce(part.relid, root)::oid AS relid
      FROM unnest($1::oid[]) AS root LEFT JOIN LATERAL pg_partition_tree(root) AS part ON true
), vacuum AS (
    SELECT p.relid::regclass::text AS name, p.phase, a.xact_start AS since
      FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid)
     WHERE a.backend_type = 'autovacuum worker' AND p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND p.relid IN (SELECT relid FROM walked
                       UNION SELECT c.reltoastrelid FROM walked JOIN pg_class c ON c.oid = walked.relid)
     ORDER BY a.xact_start LIMIT 1
), pinner AS (
    SELECT format('pid %s, %s', a.pid, a.state) AS name, a.xact_start AS since
      FROM pg_stat_activity a
     WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.backend_type = 'client backend'
    UNION ALL SELECT format('prepared transaction %s', gid), prepared FROM pg_prepared_xacts
    UNION ALL SELECT format('replica %s', application_name), reply_time - interval '1 day'
                FROM pg_stat_replication WHERE age(backend_xmin) > 1000000
    UNION ALL SELECT format('slot %s', slot_name), now() - interval '1 day'
                FROM pg_replication_slots WHERE age(xmin) > 1000000
)
SELECT CASE WHEN pin.name IS NOT NULL OR v.since < now() - interval '1 hour' THEN 0
            ELSE greatest(0, extract(epoch FROM clock_timestamp() - v.since)) END::float8 AS value,
       v.name || ', ' || v.phase || coalesce('; its dead rows are pinned by ' || pin.name, '') AS detail
  FROM vacuum v
  LEFT JOIN LATERAL (SELECT p.name FROM pinner p WHERE p.since < v.since ORDER BY p.since LIMIT 1) AS pin ON true;

-- name: dead_tuples
-- Dead rows for each hundred live ones in the worst table that is walked. A job that changes every row once makes 100.
-- A crash, a failover, a restored or cloned database forget how many are live; pg_class.reltuples does not.
-- $1: tables that are walked.
SELECT (100.0 * s.n_dead_tup / greatest(s.n_live_tup, c.reltuples))::float8 AS value, s.relid::regclass::text AS detail
  FROM unnest($1::oid[]) AS root LEFT JOIN LATERAL pg_partition_tree(root) AS part ON true
  JOIN pg_stat_all_tables s ON s.relid = coalesce(part.relid, root)
  JOIN pg_class c ON c.oid = s.relid
 WHERE s.n_dead_tup > 10000 AND greatest(s.n_live_tup, c.reltuples) > 0
 ORDER BY 1 DESC, 2 LIMIT 1;

-- name: connections
-- Share of the connections that ordinary logins may have, in percent.
SELECT 100.0 * (SELECT sum(numbackends) FROM pg_stat_database)::float8 / greatest(1, most) AS value,
       format('of %s', most) AS detail
  FROM (SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0) AS most) AS m;

-- name: oldest_transaction
-- Its age in seconds, our own left out.
SELECT greatest(0, extract(epoch FROM clock_timestamp() - since))::float8 AS value, detail
  FROM (SELECT xact_start AS since, format('pid %s, %s, %s', pid, state, usename) AS detail
          FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name NOT LIKE 'pgbackfill/%' AND pid <> pg_backend_pid()
           AND xact_start IS NOT NULL
        UNION ALL SELECT prepared, format('prepared transaction %s', gid) FROM pg_prepared_xacts) AS t
 ORDER BY since LIMIT 1;

-- What `pgbackfill doctor` looks at, one block each: `level` ('problem', 'warning' or 'fine'), `what` for people, and `fix`, the
-- command that mends it. Names come qualified, because pg_catalog alone is in the search path. No row: nothing of the kind.

-- name: long_transactions
-- $1: seconds from which a transaction is long. Our own chunks are short, and whoever sends WAL or vacuums is no session.
SELECT CASE WHEN a.state LIKE 'idle in transaction%' OR clock_timestamp() - a.xact_start > interval '30 min' THEN 'problem'
            ELSE 'warning' END AS level,
       format('pid %s (%s%s) is %s, in a transaction for %s s%s; last: %s', a.pid, a.usename,
              coalesce(', ' || nullif(a.application_name, ''), ''), a.state,
              extract(epoch FROM clock_timestamp() - a.xact_start)::bigint,
              CASE WHEN a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL
                   THEN ', and keeps dead rows from being removed' ELSE '' END,
              left(regexp_replace(a.query, '\s+', ' ', 'g'), 120)) AS what,
       -- With its start: by the time that somebody runs it, the pid may be another's.
       format('SELECT %s(pid) FROM pg_stat_activity WHERE pid = %s AND xact_start = %L',
              CASE WHEN a.state = 'active' THEN 'pg_cancel_backend' ELSE 'pg_terminate_backend' END, a.pid, a.xact_start)
           AS fix
  FROM pg_stat_activity a
 WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.application_name NOT LIKE 'pgbackfill/%'
   AND clock_timestamp() - a.xact_start > make_interval(secs => $1)
 ORDER BY a.xact_start;

-- name: prepared_transactions
-- $1: as above. Whoever prepared one has to end it, in its own database.
SELECT CASE WHEN clock_timestamp() - p.prepared > make_interval(secs => $1) THEN 'problem' ELSE 'fine' END AS level,
       format('prepared transaction %L of %s in database %s, for %s s', p.gid, p.owner, p.database,
              extract(epoch FROM clock_timestamp() - p.prepared)::bigint) AS what,
       format('ROLLBACK PREPARED %L   -- or COMMIT PREPARED %1$L, as its transaction manager says', p.gid) AS fix
  FROM pg_prepared_xacts p ORDER BY p.prepared;

-- name: blocked
-- Who waits for whom. pg_blocking_pids looks into every backend, so it is asked of waiters only.
SELECT CASE WHEN w.waited > interval '10 s' THEN 'problem' ELSE 'warning' END AS level,
       format('pid %s (%s) waits%s for %s: %s; blocked by %s', w.pid, w.usename,
              coalesce(' since ' || extract(epoch FROM w.waited)::int || ' s', ''), w.lock,
              left(regexp_replace(w.query, '\s+', ' ', 'g'), 80),
              string_agg(format('pid %s (%s, %s): %s', b.pid, coalesce(h.usename, 'a prepared transaction'),
                  coalesce(h.state, 'unknown'), left(regexp_replace(coalesce(h.query, ''), '\s+', ' ', 'g'), 80)), ' and ' ORDER BY b.pid))
           AS what,
       coalesce(min(format('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND xact_start = %L',
                           h.pid, h.xact_start)), 'ROLLBACK PREPARED …') AS fix
  FROM (SELECT a.pid, a.usename, a.query, clock_timestamp() - min(l.waitstart) AS waited,
               min(l.mode || coalesce(' on ' || l.relation::regclass::text, ' on ' || l.locktype)) AS lock
          FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE NOT l.granted GROUP BY a.pid, a.usename, a.query) AS w
 CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b(pid)
  LEFT JOIN pg_stat_activity h ON h.pid = b.pid
 GROUP BY w.pid, w.usename, w.query, w.waited, w.lock
 ORDER BY w.waited DESC NULLS LAST;

-- name: invalid_indexes
-- Left behind by a CREATE or REINDEX CONCURRENTLY that did not end well; IF NOT EXISTS takes them for the real thing.
SELECT 'problem' AS level,
       format('index %s of %s (%s) is not valid: queries do not use it, writes still pay for it', i.indexrelid::regclass,
              i.indrelid::regclass, pg_size_pretty(pg_relation_size(i.indexrelid))) AS what,
       CASE WHEN c.relname ~ '_cc(new|old)[0-9]*$' THEN format('DROP INDEX CONCURRENTLY %s', i.indexrelid::regclass)
            WHEN c.relkind = 'I' THEN format('ALTER INDEX %s ATTACH PARTITION …, for each partition that lacks it',
                                             i.indexrelid::regclass)
            ELSE format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass) END AS fix
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE NOT i.indisvalid AND c.relpersistence <> 't'
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid
                      OR p.relid = i.indrelid AND p.index_relid = 0)
   -- Whoever may not see others' builds sees their locks; vacuum takes the same one.
   AND (pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') OR NOT EXISTS (
            SELECT FROM pg_locks l WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted))
 ORDER BY 2;

-- name: index_builds
SELECT CASE WHEN p.current_locker_pid <> 0 AND p.phase LIKE 'waiting%' THEN 'warning' ELSE 'fine' END AS level,
       format('%s on %s by pid %s: %s%s%s', p.command, p.relid::regclass, p.pid, p.phase,
              CASE WHEN p.blocks_total > 0 THEN format(', %s %% of the blocks', 100 * p.blocks_done / p.blocks_total)
                   WHEN p.tuples_total > 0 THEN format(', %s %% of the rows', 100 * p.tuples_done / p.tuples_total)
                   ELSE '' END,
              CASE WHEN p.lockers_total > 0 THEN format(', waits for pid %s (%s of %s transactions ended)',
                   p.current_locker_pid, p.lockers_done, p.lockers_total) ELSE '' END) AS what,
       CASE WHEN p.current_locker_pid <> 0 AND p.phase LIKE 'waiting%'
            THEN format('SELECT query, xact_start FROM pg_stat_activity WHERE pid = %s   -- it ends, or end it',
                        p.current_locker_pid) END AS fix
  FROM pg_stat_progress_create_index p
 WHERE p.datname = current_database() ORDER BY p.pid;

-- name: replicas
-- $1: bytes from which a replica is far behind.
SELECT CASE WHEN r.state IS NULL THEN 'unknown' WHEN r.state <> 'streaming' THEN 'problem'
            WHEN pg_current_wal_lsn() - r.replay_lsn > $1::bigint THEN 'problem' ELSE 'fine' END AS level,
       format('%s is %s%s%s%s', coalesce(nullif(r.application_name, ''), 'pid ' || r.pid), coalesce(r.state, 'not to be seen'),
              coalesce(', ' || pg_size_pretty(pg_current_wal_lsn() - r.replay_lsn) || ' to replay', ''),
              coalesce(format(', %s s behind', round(extract(epoch FROM r.replay_lag), 1)), ''),
              CASE WHEN r.sync_state IN ('sync', 'quorum') THEN ', commits wait for it' ELSE '' END) AS what,
       CASE WHEN r.state <> 'streaming' OR pg_current_wal_lsn() - r.replay_lsn > $1::bigint
            THEN 'SELECT pid, state, query FROM pg_stat_activity WHERE backend_type = ''client backend'' ORDER BY xact_start   -- on that replica: a long query, its disk, its link' END
           AS fix
  FROM pg_stat_replication r
 WHERE r.state IS DISTINCT FROM 'backup' AND NOT (r.state IS NOT NULL AND r.replay_lsn IS NULL)
 ORDER BY 2;

-- name: slots
-- $1: bytes from which retained WAL is much.
SELECT CASE WHEN s.wal_status IN ('unreserved', 'lost') THEN 'problem'
            WHEN pg_current_wal_lsn() - s.restart_lsn > $1::bigint THEN 'problem'
            WHEN NOT s.active THEN 'warning' ELSE 'fine' END AS level,
       format('slot %s (%s%s) is %s, keeps %s of WAL%s', s.slot_name, s.slot_type, coalesce(', ' || s.database, ''),
              CASE WHEN s.active THEN 'in use' ELSE 'used by nobody' END,
              coalesce(pg_size_pretty(pg_current_wal_lsn() - s.restart_lsn), 'nothing'),
              CASE WHEN s.wal_status IN ('unreserved', 'lost') THEN ', and is ' || s.wal_status ELSE '' END) AS what,
       CASE WHEN s.wal_status = 'lost' OR NOT s.active
            THEN format('SELECT pg_drop_replication_slot(%L)   -- if nobody needs it; else start its consumer', s.slot_name)
            WHEN pg_current_wal_lsn() - s.restart_lsn > $1::bigint OR s.wal_status = 'unreserved'
            THEN format('SELECT * FROM pg_stat_activity WHERE pid = %s   -- its consumer is too slow', s.active_pid) END AS fix
  FROM pg_replication_slots s WHERE NOT s.temporary ORDER BY s.slot_name;

-- name: archive
SELECT CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity') THEN 'problem' ELSE 'fine' END AS level,
       CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity')
            THEN format('archiving fails: %s, %s s ago; the disk fills meanwhile', a.last_failed_wal,
                        extract(epoch FROM clock_timestamp() - a.last_failed_time)::bigint)
            ELSE format('archiving works: %s segments so far', a.archived_count) END AS what,
       CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity')
            THEN 'SHOW archive_command   -- the server''s log has its words' END AS fix
  FROM pg_stat_archiver a WHERE current_setting('archive_mode') <> 'off';

-- name: connections
SELECT CASE WHEN used >= 0.95 * most THEN 'problem' WHEN used >= 0.8 * most THEN 'warning' ELSE 'fine' END AS level,
       format('%s of %s connections are taken', used, most) AS what,
       CASE WHEN used >= 0.8 * most THEN 'SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC' END
           AS fix
  FROM (SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
               (SELECT sum(numbackends) FROM pg_stat_database)::int AS used) AS c;

-- name: targets
-- Autovacuum on the tables of jobs that are not finished; $1: their oids.
SELECT CASE WHEN off THEN 'warning' WHEN dead > 10000 AND dead > live THEN 'warning' ELSE 'fine' END AS level,
       format('%s: %s dead rows beside %s live ones, %s%s%s', name, dead, live,
              coalesce('vacuumed ' || extract(epoch FROM clock_timestamp() - vacuumed)::bigint || ' s ago', 'never vacuumed'),
              CASE WHEN off THEN ', autovacuum is off' ELSE '' END, coalesce(', ' || at_it, '')) AS what,
       CASE WHEN off THEN format('ALTER TABLE %s RESET (autovacuum_enabled)', name)
            WHEN dead > 10000 AND dead > live AND at_it IS NULL THEN format('VACUUM (VERBOSE) %s', name) END AS fix
  FROM (SELECT c.oid::regclass::text AS name, pg_stat_get_dead_tuples(c.oid) AS dead,
               greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint) AS live,  -- the former is lost in a crash
               greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS vacuumed,
               EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
                        WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean) AS off,
               (SELECT format('pid %s is vacuuming it: %s, %s %% of the heap', p.pid, p.phase,
                              CASE WHEN p.heap_blks_total > 0 THEN 100 * p.heap_blks_scanned / p.heap_blks_total ELSE 0 END)
                  FROM pg_stat_progress_vacuum p WHERE p.relid = c.oid AND p.datname = current_database() LIMIT 1) AS at_it
          FROM unnest($1::oid[]) AS root LEFT JOIN LATERAL pg_partition_tree(root) AS part ON true
          JOIN pg_class c ON c.oid = coalesce(part.relid, root) AND c.relkind = 'r') AS t
 ORDER BY off DESC, dead DESC, name LIMIT 20;

-- name: targets_of
SELECT DISTINCT j.relation FROM pgbackfill.jobs j
 WHERE j.status IN ('queued', 'running', 'paused', 'verifying') AND j.relation IS NOT NULL;

-- name: jobs
-- What is not finished, and what failed within a week. A hold of some seconds is the daemon doing its work.
SELECT CASE WHEN p.status = 'failed' OR clock_timestamp() - p.hold_since > interval '1 min' THEN 'problem'
            WHEN p.hold_reason IS NOT NULL OR p.rows_quarantined > 0 OR p.status = 'paused' THEN 'warning'
            ELSE 'fine' END AS level,
       format('job %s is %s at %s %%%s%s%s', p.name, p.status, p.percent,
              coalesce(format(', held for %s s: %s', extract(epoch FROM clock_timestamp() - p.hold_since)::bigint, p.hold_reason), ''),
              CASE WHEN p.rows_quarantined > 0 THEN format(', %s rows in quarantine', p.rows_quarantined) ELSE '' END,
              CASE WHEN p.pause_until IS NOT NULL THEN format(', until %s', p.pause_until) ELSE '' END) AS what,
       CASE WHEN p.status = 'failed' THEN format('SELECT pgbackfill.retry(%L)   -- once its cause is mended: pgbackfill status %s', p.name, p.name)
            WHEN p.status = 'paused' THEN format('SELECT pgbackfill.resume(%L)', p.name)
            WHEN p.hold_reason IS NOT NULL THEN format('pgbackfill status %s   -- it goes on by itself when the reason has gone', p.name)
            WHEN p.rows_quarantined > 0 THEN format('pgbackfill quarantine list %s', p.name) END AS fix
  FROM pgbackfill.progress p
 WHERE p.status IN ('queued', 'running', 'paused', 'verifying')
    OR p.status = 'failed' AND p.finished_at > clock_timestamp() - interval '7 days'
 ORDER BY p.status = 'failed' DESC, p.name LIMIT 30;

-- name: daemons
-- Jobs that are due, and nobody who would work on them.
SELECT CASE WHEN alive = 0 AND waiting > 0 THEN 'problem' ELSE 'fine' END AS level,
       format('%s live %s of pgbackfill, %s %s to work on', alive, CASE alive WHEN 1 THEN 'daemon' ELSE 'daemons' END, waiting,
              CASE waiting WHEN 1 THEN 'job' ELSE 'jobs' END) AS what,
       CASE WHEN alive = 0 AND waiting > 0 THEN 'pgbackfill run' END AS fix
  FROM (SELECT (SELECT count(*) FROM pgbackfill.workers w WHERE w.heartbeat_at > clock_timestamp() - interval '15 s') AS alive,
               (SELECT count(*) FROM pgbackfill.progress p
                 WHERE p.status IN ('queued', 'running', 'verifying') AND p.desired_state = 'run') AS waiting) AS d;

-- DDL with bounded waits.

-- name: holders
-- Who holds a lock on one of the tables $1, longest transaction first.
SELECT DISTINCT format('pid %s%s', l.pid, coalesce(format(' (%s for %s s)', a.state,
           round(extract(epoch FROM clock_timestamp() - a.xact_start))), '')) AS holder, a.xact_start
  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
 WHERE l.granted AND l.pid <> pg_backend_pid() AND l.locktype = 'relation'
   AND l.relation IN (SELECT to_regclass(u)::oid FROM unnest($1::text[]) AS u)
 ORDER BY a.xact_start LIMIT 3;

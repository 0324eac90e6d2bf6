-- Who waits for our chunks. pg_locks is open to every login; pg_stat_activity hides other people's waits from most.

-- name: blocked
-- For each of the backends $1, the session that has waited longest for it, where that is $2 seconds or more. What waits
-- for a transaction to end, as CREATE INDEX CONCURRENTLY does, is in nobody's way; nor are other chunks.
-- pg_blocking_pids looks into every backend (p99 2 ms), so it is asked of waiters only.
SELECT DISTINCT ON (b.pid) b.pid AS blocker, l.pid AS waiter,
       extract(epoch FROM clock_timestamp() - l.waitstart)::double precision AS waited_s
  FROM pg_locks l
 CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS b(pid)
 WHERE NOT l.granted AND l.locktype <> 'virtualxid' AND b.pid = ANY($1::int[])
   AND clock_timestamp() - l.waitstart >= make_interval(secs => $2)
   AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND a.application_name LIKE 'pgbackfill/%')
 ORDER BY b.pid, l.waitstart;

-- name: cancel
-- Only while the backend is in that very transaction: it may have ended, and a pooler may have given the backend to
-- somebody else.
SELECT pg_cancel_backend(l.pid)
  FROM pg_locks l
 WHERE l.pid = $1 AND l.locktype = 'transactionid' AND l.transactionid = $2::text::xid8::xid
   AND l.mode = 'ExclusiveLock' AND l.granted;

-- name: end_silent
-- Own backends whose daemon has said nothing inside a transaction for $1 seconds. idle_in_transaction_session_timeout does
-- not end them all: one whose client fell silent between Parse and Bind counts as active, and no time-out of the server
-- before 17 sees it wait. It would hold its range for as long as TCP believes in the connection.
SELECT a.pid, a.application_name, pg_terminate_backend(a.pid) AS ended
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
   AND a.application_name IN ('pgbackfill/work', 'pgbackfill/control')
   AND a.xact_start IS NOT NULL AND a.wait_event = 'ClientRead'
   AND a.state_change < clock_timestamp() - make_interval(secs => $1);

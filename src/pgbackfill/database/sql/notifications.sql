-- What is told by webhook. Noted first, then sent: a daemon that dies in between leaves it to another one.

-- name: note_events
-- Those that nobody has noted yet; of two daemons that look at once the unique key lets one through. Not older than $1
-- seconds: a webhook that was set up just now tells nothing of last week.
INSERT INTO pgbackfill.notifications (job_id, kind, cause, at, reason)
SELECT found.job_id, found.kind, found.cause, found.at, found.reason
  FROM (SELECT e.job_id, e.at, 'event ' || e.id AS cause,
               CASE WHEN e.event <> 'status' THEN 'paused'
                    WHEN e.detail ->> 'to' = 'failed' THEN 'failed'
                    WHEN e.detail ->> 'to' = 'succeeded' THEN 'finished' END AS kind,
               coalesce(e.detail ->> 'reason', e.detail ->> 'error') AS reason
          FROM pgbackfill.events AS e
         WHERE e.event IN ('status', 'circuit_breaker', 'throughput_floor')
           AND e.at > clock_timestamp() - make_interval(secs => $1)) AS found
 WHERE found.kind = ANY($2::text[])
   AND NOT EXISTS (SELECT FROM pgbackfill.notifications AS n WHERE n.job_id = found.job_id AND n.cause = found.cause)
ON CONFLICT (job_id, cause) DO NOTHING;

-- name: note_holds
-- Jobs that have been held for $1 seconds, once for each hold; by people's own pauses and windows nobody is surprised.
INSERT INTO pgbackfill.notifications (job_id, kind, cause, at, reason)
SELECT j.id, 'held', 'held since ' || extract(epoch FROM p.hold_since), p.hold_since, p.hold_reason
  FROM pgbackfill.jobs AS j JOIN pgbackfill.progress AS p ON p.name = j.name
 WHERE j.status IN ('running', 'verifying') AND p.hold_since < clock_timestamp() - make_interval(secs => $1)
   AND p.hold_reason NOT LIKE 'paused by %' AND p.hold_reason NOT LIKE 'outside!_window %' ESCAPE '!'
   AND NOT EXISTS (SELECT FROM pgbackfill.notifications AS n
                    WHERE n.job_id = j.id AND n.cause = 'held since ' || extract(epoch FROM p.hold_since))
ON CONFLICT (job_id, cause) DO NOTHING;

-- name: claim
-- The next one to send. $1 seconds are the sender's own; after these and a pause that doubles, another may try.
UPDATE pgbackfill.notifications AS n
   SET attempts = n.attempts + 1,
       try_at = clock_timestamp() + make_interval(secs => $1 + least($2 * 2 ^ n.attempts, $3))
 WHERE n.id = (SELECT u.id FROM pgbackfill.notifications AS u
                WHERE u.sent_at IS NULL AND u.try_at <= clock_timestamp() AND u.attempts < $4
                ORDER BY u.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING n.id, n.job_id, n.kind, n.at, n.reason, n.attempts, extract(epoch FROM clock_timestamp() - n.at)::double precision AS age_s,
          (SELECT j.name FROM pgbackfill.jobs AS j WHERE j.id = n.job_id) AS job, current_database() AS database;

-- name: sent
UPDATE pgbackfill.notifications SET sent_at = clock_timestamp() WHERE id = $1;

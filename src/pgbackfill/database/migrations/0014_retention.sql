-- How long history is kept. The daemon removes what is old, and no login of a daemon can remove what is not: with its
-- owner's rights, at most so many rows a call, so that no call takes long.

-- Deleting a job takes everything of it along.
CREATE INDEX quarantine_of_job ON pgbackfill.quarantine (job_id);
CREATE INDEX events_by_age ON pgbackfill.events (at);
-- Unfinished jobs first, then the latest, as people and daemons list them every second: the rest is not even counted.
CREATE INDEX jobs_latest ON pgbackfill.jobs (finished_at DESC, started_at, name);

-- Younger than this nothing is removed, whatever is asked for.
CREATE FUNCTION pgbackfill.oldest_kept(retention interval) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT statement_timestamp() - greatest(retention, interval '1 day')
$$;

CREATE FUNCTION pgbackfill.prune_events(retention interval, most int) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM pgbackfill.events
         WHERE id IN (SELECT e.id FROM pgbackfill.events e WHERE e.at < pgbackfill.oldest_kept($1)
                       ORDER BY e.at LIMIT $2 FOR UPDATE SKIP LOCKED)
     RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- Finished jobs with their ranges and events. A job that has succeeded stays while rows of it are in quarantine: nothing
-- else says which rows were not changed.
CREATE FUNCTION pgbackfill.prune_jobs(retention interval, most int) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM pgbackfill.jobs
         WHERE id IN (SELECT j.id FROM pgbackfill.jobs j
                       WHERE j.status IN ('succeeded', 'failed', 'cancelled')
                         AND j.finished_at < pgbackfill.oldest_kept($1)
                         AND NOT (j.status = 'succeeded'
                                  AND EXISTS (SELECT FROM pgbackfill.quarantine q WHERE q.job_id = j.id))
                         AND NOT EXISTS (SELECT FROM pgbackfill.jobs w  -- which waits for it
                                          WHERE w.status IN ('queued', 'paused') AND j.name = ANY (w.after))
                       ORDER BY j.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)
     RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

REVOKE ALL ON FUNCTION pgbackfill.oldest_kept(interval), pgbackfill.prune_events(interval, int),
    pgbackfill.prune_jobs(interval, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbackfill.prune_events(interval, int), pgbackfill.prune_jobs(interval, int)
    TO pgbackfill_daemon;
REVOKE DELETE ON pgbackfill.jobs FROM pgbackfill_daemon;

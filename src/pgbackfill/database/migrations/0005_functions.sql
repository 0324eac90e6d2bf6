-- What people call instead of writing INSERT and UPDATE.

-- Enqueues a job and returns its id; if the name is taken, the id of the job that has it, so that a migration can be
-- run twice. No search_path of its own: the job is checked and run under the caller's.
CREATE FUNCTION pgbackfill.enqueue(
    name text, table_name text, set_clause text DEFAULT NULL, where_clause text DEFAULT NULL,
    operation text DEFAULT 'update', from_clause text DEFAULT NULL, statement text DEFAULT NULL,
    target_table text DEFAULT NULL, handler text DEFAULT NULL, params jsonb DEFAULT '{}',
    key_columns text[] DEFAULT NULL, from_key text[] DEFAULT NULL, to_key text[] DEFAULT NULL,
    session_settings jsonb DEFAULT '{}', options jsonb DEFAULT '{}', priority int DEFAULT 0,
    run_after timestamptz DEFAULT now(), desired_state text DEFAULT 'run', finalize jsonb DEFAULT '[]',
    keep_old boolean DEFAULT false, undo_set_clause text DEFAULT NULL, windows jsonb DEFAULT NULL,
    after text[] DEFAULT '{}', approve boolean DEFAULT false)
RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO pgbackfill.jobs (name, table_name, operation, set_clause, from_clause, where_clause, statement,
        target_table, handler, params, key_columns, from_key, to_key, session_settings, options, priority, run_after,
        desired_state, finalize, keep_old, undo_set_clause, windows, after, approve)
    VALUES (enqueue.name, enqueue.table_name, enqueue.operation, enqueue.set_clause, enqueue.from_clause,
        enqueue.where_clause, enqueue.statement, enqueue.target_table, enqueue.handler, enqueue.params,
        enqueue.key_columns, enqueue.from_key, enqueue.to_key, enqueue.session_settings, enqueue.options,
        enqueue.priority, enqueue.run_after, enqueue.desired_state, enqueue.finalize, enqueue.keep_old,
        enqueue.undo_set_clause, enqueue.windows, enqueue.after, enqueue.approve)
    ON CONFLICT (name) DO NOTHING;
    SELECT j.id FROM pgbackfill.jobs AS j WHERE j.name = enqueue.name;
END;

CREATE FUNCTION pgbackfill.raise_unknown_job(job_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'there is no job named "%"; SELECT name FROM pgbackfill.progress lists them', job_name
        USING ERRCODE = 'no_data_found';
END $$;

-- Writes desired_state and returns the status: a job that runs takes notice at its next chunk boundary.
CREATE FUNCTION pgbackfill.want(job_name text, wanted text, until timestamptz DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new_status text;
BEGIN
    UPDATE pgbackfill.jobs AS j SET desired_state = wanted, pause_until = until
    WHERE j.name = job_name RETURNING j.status INTO new_status;
    IF NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(job_name);
    ELSIF wanted = 'run' AND new_status = 'failed' THEN
        PERFORM pgbackfill.refuse_finished(job_name, new_status);
    END IF;
    RETURN new_status;
END $$;

-- When something ends that begins now and lasts so long.
CREATE FUNCTION pgbackfill.ends_after(duration interval) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF duration IS NULL THEN
        PERFORM pgbackfill.refuse('duration', 'is missing; say for how long, as in "30 min"');
    ELSIF NOT (duration > interval '0' AND duration <= interval '10 years') THEN
        PERFORM pgbackfill.refuse('duration', format('must be above 0 and at most 10 years, not %s', duration));
    END IF;
    RETURN clock_timestamp() + duration;
END $$;

-- With a duration the pause ends by itself: the job goes on then, unless somebody has cancelled it.
CREATE FUNCTION pgbackfill.pause(name text, duration interval DEFAULT NULL) RETURNS text
LANGUAGE sql BEGIN ATOMIC
    SELECT pgbackfill.want(name, 'pause', CASE WHEN duration IS NOT NULL THEN pgbackfill.ends_after(duration) END);
END;

CREATE FUNCTION pgbackfill.resume(name text) RETURNS text
LANGUAGE sql BEGIN ATOMIC SELECT pgbackfill.want(name, 'run'); END;

CREATE FUNCTION pgbackfill.cancel(name text) RETURNS text
LANGUAGE sql BEGIN ATOMIC SELECT pgbackfill.want(name, 'cancel'); END;

-- Lets a job (NULL: every job of this database, those to come included) make only this share of its pace, for so long.
-- Replaces an earlier throttle of the same job. Returns when it ends.
CREATE FUNCTION pgbackfill.throttle(name text, ratio double precision, duration interval) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job   record;
    until timestamptz;
BEGIN
    IF throttle.ratio = 0 THEN
        PERFORM pgbackfill.refuse('ratio', 'must be above 0; use pause to stop a job');
    ELSIF throttle.ratio > 0 AND throttle.ratio < 1e-6 THEN
        PERFORM pgbackfill.refuse('ratio', 'must be at least 0.000001; use pause to stop a job');
    ELSIF throttle.ratio IS NULL OR NOT (throttle.ratio > 0 AND throttle.ratio < 1) THEN
        PERFORM pgbackfill.refuse('ratio', format('must be above 0 and below 1, as in 0.5 for half of the pace, not %s',
            coalesce(throttle.ratio::text, 'null')));
    END IF;
    until := pgbackfill.ends_after(duration);
    SELECT j.id, j.status INTO job FROM pgbackfill.jobs AS j WHERE j.name = throttle.name;
    IF throttle.name IS NOT NULL AND NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(throttle.name);
    ELSIF job.status IN ('succeeded', 'failed', 'cancelled') THEN
        RAISE EXCEPTION 'job "%" is %; only a job that is not finished can be throttled', throttle.name, job.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO pgbackfill.throttles (job_id, ratio, ends_at) VALUES (job.id, throttle.ratio, until)
    ON CONFLICT (coalesce(job_id, 0)) DO UPDATE SET ratio = excluded.ratio, ends_at = excluded.ends_at;
    RETURN until;
END $$;

-- Ends the throttle of a job; with NULL every throttle in this database, that of the database itself and those of single
-- jobs. Returns how many there were. With its owner's rights: who may delete may also lock the table against every daemon.
CREATE FUNCTION pgbackfill.unthrottle(name text DEFAULT NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job   bigint := (SELECT j.id FROM pgbackfill.jobs AS j WHERE j.name = unthrottle.name);
    ended int;
BEGIN
    IF unthrottle.name IS NOT NULL AND job IS NULL THEN
        PERFORM pgbackfill.raise_unknown_job(unthrottle.name);
    END IF;
    DELETE FROM pgbackfill.throttles AS t WHERE unthrottle.name IS NULL OR t.job_id = job;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END $$;

-- Queues a failed or cancelled job again. Cursor and counts stay, so it goes on where it stopped; quarantined rows
-- stay listed (retry_quarantined runs those). With its owner's rights, because enqueuers may not write status; only they may call it.
CREATE FUNCTION pgbackfill.retry(name text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job pgbackfill.jobs;
BEGIN
    SELECT * INTO job FROM pgbackfill.jobs AS j WHERE j.name = retry.name FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(retry.name);
    ELSIF job.status NOT IN ('failed', 'cancelled') THEN
        RAISE EXCEPTION 'job "%" is %; only a failed or cancelled job can be retried', retry.name, job.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE pgbackfill.jobs AS j
    SET status = 'queued', desired_state = 'run', error = NULL, finished_at = NULL,
        wait_reason = NULL, wait_since = NULL
    WHERE j.id = job.id;
    RETURN 'queued';
END $$;

-- Runs a job's quarantined rows again, each alone and through the same chunk transaction; those that succeed leave the
-- quarantine. Returns how many there are. A job that has ended is queued again for it; a paused one waits for resume.
CREATE FUNCTION pgbackfill.retry_quarantined(name text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job   pgbackfill.jobs;
    found_rows bigint;
BEGIN
    SELECT * INTO job FROM pgbackfill.jobs AS j WHERE j.name = retry_quarantined.name FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(retry_quarantined.name);
    ELSIF job.status IN ('cancelled', 'verifying') THEN
        RAISE EXCEPTION 'job "%" is %; %', job.name, job.status, CASE job.status
            WHEN 'cancelled' THEN format('queue it again first, with SELECT pgbackfill.retry(%L)', job.name)
            ELSE 'wait until it has ended' END
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT count(*) INTO found_rows FROM pgbackfill.quarantine AS q WHERE q.job_id = job.id;
    IF found_rows = 0 THEN
        RETURN 0;
    END IF;
    UPDATE pgbackfill.ranges AS r SET retry_after = 0
    WHERE r.job_id = job.id AND r.retry_of IS NOT NULL AND r.status = 'open';
    -- Before everything else, so that a job that had too many of them finds fewer.
    INSERT INTO pgbackfill.ranges (job_id, ordinal, relation, upper_key, retry_of)
    SELECT job.id, (SELECT min(m.ordinal) FROM pgbackfill.ranges AS m WHERE m.job_id = job.id)
                   - row_number() OVER (ORDER BY r.ordinal DESC), r.relation, r.upper_key, r.id
    FROM pgbackfill.ranges AS r
    WHERE r.job_id = job.id AND EXISTS (SELECT FROM pgbackfill.quarantine AS q WHERE q.range_id = r.id)
      AND NOT EXISTS (SELECT FROM pgbackfill.ranges AS o WHERE o.retry_of = r.id AND o.status = 'open');
    INSERT INTO pgbackfill.events (job_id, event, detail)
    VALUES (job.id, 'quarantine_retried', jsonb_build_object('rows', found_rows));
    UPDATE pgbackfill.jobs AS j
    SET status = 'queued', desired_state = 'run', error = NULL, finished_at = NULL, wait_reason = NULL, wait_since = NULL
    WHERE j.id = job.id AND j.status IN ('succeeded', 'failed');
    PERFORM pg_notify('pgbackfill', json_build_object('job', job.id, 'name', job.name,
        'event', 'quarantine_retried')::text);
    RETURN found_rows;
END $$;

-- Raises unless the job has succeeded, so that a later migration can depend on it.
CREATE FUNCTION pgbackfill.assert_finished(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job record;
BEGIN
    SELECT * INTO job FROM pgbackfill.progress AS p WHERE p.name = assert_finished.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job named "%"; SELECT name FROM pgbackfill.progress lists them', assert_finished.name
            USING ERRCODE = 'no_data_found', HINT = 'Finished jobs are removed after PGBACKFILL_JOB_RETENTION_DAYS.';
    ELSIF job.status <> 'succeeded' THEN
        RAISE EXCEPTION 'job "%" has not succeeded yet: it is % at % %%', job.name, job.status, job.percent
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

-- The check of a job at INSERT and UPDATE. It runs with the rights of whoever enqueues, plans the job's SQL and never
-- executes it. It catches mistakes; it is not a security boundary.

-- What a wanted state means for a job that no daemon works on; a running one is settled by its daemon.
CREATE FUNCTION pgbackfill.settled(job pgbackfill.jobs) RETURNS pgbackfill.jobs
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF job.status IN ('queued', 'paused') THEN
        job.status := CASE job.desired_state WHEN 'run' THEN 'queued' WHEN 'pause' THEN 'paused' ELSE 'cancelled' END;
        job.wait_reason := NULL;
        job.wait_since := NULL;
        IF job.status = 'cancelled' THEN
            job.finished_at := clock_timestamp();
        END IF;
    END IF;
    RETURN job;
END $$;

-- Checks a whole row and fills in what pgbackfill writes.
CREATE FUNCTION pgbackfill.check_job(job pgbackfill.jobs) RETURNS pgbackfill.jobs
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    job.status := 'queued';
    job.error := NULL;
    job.enqueued_by := session_user;
    job.enqueued_at := clock_timestamp();
    job.started_at := NULL;
    job.finished_at := NULL;
    job.relation := NULL;
    job.root_relation := NULL;
    job.target_relation := NULL;
    job.claim_xid := NULL;
    job.prepared_at := NULL;
    job.wait_reason := NULL;
    job.wait_since := NULL;
    job.pause_until := NULL;
    job.kept_columns := NULL;
    job.approved_at := NULL;
    job.approved_by := NULL;
    -- A second run of a migration: the unique index settles it, by an error or by ON CONFLICT. Should the other row
    -- vanish meanwhile, jobs_checked refuses this one.
    IF EXISTS (SELECT FROM pgbackfill.jobs AS j WHERE j.name = job.name) THEN
        RETURN job;
    END IF;
    PERFORM pgbackfill.check_shape(job);
    PERFORM pgbackfill.check_options(job.options);
    PERFORM pgbackfill.check_settings(job.session_settings);
    PERFORM pgbackfill.check_windows(job.windows);
    PERFORM pgbackfill.check_after(job.name, job.after);
    job.relation := pgbackfill.find_table(job.table_name, job.search_path);
    job.root_relation := coalesce(pg_partition_root(job.relation), job.relation);
    job.key_columns := pgbackfill.choose_key(job.relation, job.key_columns);
    SELECT b.from_key, b.to_key INTO job.from_key, job.to_key
    FROM pgbackfill.check_bounds(job.relation, job.key_columns, job.from_key, job.to_key) AS b;
    IF job.operation = 'copy' THEN
        job.target_relation := pgbackfill.find_target(job);
    END IF;
    PERFORM pgbackfill.check_clauses(job);
    PERFORM pgbackfill.check_rights(job);
    PERFORM pgbackfill.check_finalize(job);
    job := pgbackfill.check_undo(job);
    RETURN pgbackfill.settled(job);
END $$;

-- The check plans the job's SQL, and a plan locks every table in it. An INSERT, perhaps in somebody's migration, must not
-- stand behind a forgotten transaction for ever.
CREATE FUNCTION pgbackfill.bounded_lock_timeout(asked text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN asked::interval BETWEEN '1ms' AND '2s' THEN asked ELSE '2s' END
$$;

CREATE FUNCTION pgbackfill.raise_locked(table_name text, job_path text, waited text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target  oid;
    holders text;
BEGIN
    PERFORM set_config('search_path', job_path, true);
    target := pg_catalog.to_regclass(table_name);
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT string_agg(DISTINCT format('pid %s', l.pid), ' and ') INTO holders
    FROM pg_locks AS l
    WHERE l.granted AND l.pid <> pg_backend_pid() AND l.locktype = 'relation'
      AND l.relation IN (SELECT target UNION SELECT relid FROM pg_partition_tree(target))
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
    RAISE EXCEPTION 'table_name: % is locked by %, and the check waited %; insert the job again when that transaction has ended',
        CASE WHEN holders IS NULL THEN 'a table of the job' ELSE table_name END, coalesce(holders, 'another session'), waited
        USING ERRCODE = 'lock_not_available', SCHEMA = 'pgbackfill', TABLE = 'jobs', COLUMN = 'table_name';
END $$;

-- No search_path of its own, because it has to see the enqueuer's; hence every name is qualified and no operator used.
-- The effective path is kept: "$user" would mean the work login later. Temporary tables come last, not first. A refusal
-- is raised anew, so that people see its sentence without the stack of functions beneath it.
CREATE FUNCTION pgbackfill.jobs_before_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused_column  text;
    refused_message text;
    refused_hint    text;
    asked           text := pg_catalog.current_setting('lock_timeout');
    bounded         text := pgbackfill.bounded_lock_timeout(asked);
    locked          boolean := false;
BEGIN
    PERFORM pg_catalog.set_config('lock_timeout', bounded, true);
    NEW.search_path := pgbackfill.path_text(pg_catalog.current_schemas(false));
    NEW.time_zone := pg_catalog.current_setting('TimeZone');
    BEGIN
        NEW := pgbackfill.check_job(NEW);
        PERFORM pg_catalog.set_config('lock_timeout', asked, true);
        RETURN NEW;
    EXCEPTION WHEN lock_not_available THEN
        locked := true;
    WHEN SQLSTATE '22023' THEN
        GET STACKED DIAGNOSTICS refused_column = COLUMN_NAME, refused_message = MESSAGE_TEXT,
            refused_hint = PG_EXCEPTION_HINT;
    END;
    IF locked THEN
        PERFORM pgbackfill.raise_locked(NEW.table_name, NEW.search_path, bounded);
    END IF;
    PERFORM pgbackfill.raise_refusal(refused_column, refused_message, refused_hint);
END $$;

CREATE FUNCTION pgbackfill.path_text(schemas name[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(quote_ident(s), ', ' ORDER BY n)
    FROM unnest(schemas || 'pg_temp'::name) WITH ORDINALITY AS u (s, n) WHERE s !~ '^pg_temp_'
$$;

-- The moves of jobs/states.py; a test compares the two.
CREATE FUNCTION pgbackfill.status_moves() RETURNS TABLE (before text, after text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('queued', 'running'), ('queued', 'paused'), ('queued', 'cancelled'),
           ('running', 'paused'), ('running', 'cancelled'), ('running', 'failed'), ('running', 'succeeded'),
           ('running', 'verifying'),
           ('paused', 'queued'), ('paused', 'cancelled'),
           ('verifying', 'running'), ('verifying', 'paused'), ('verifying', 'cancelled'), ('verifying', 'failed'),
           ('verifying', 'succeeded'),
           ('failed', 'queued'), ('cancelled', 'queued'), ('succeeded', 'queued')
$$;

CREATE FUNCTION pgbackfill.refuse_finished(job_name text, status text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pgbackfill.refuse('desired_state', format('job "%s" has %s; %s', job_name,
        CASE status WHEN 'cancelled' THEN 'been cancelled' ELSE status END,
        CASE status WHEN 'succeeded' THEN 'there is nothing left to do'
            ELSE format('retry it with SELECT pgbackfill.retry(%L)', job_name) END));
END $$;

CREATE FUNCTION pgbackfill.jobs_before_update() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    frozen text;
BEGIN
    SELECT o.key INTO frozen FROM jsonb_each(to_jsonb(OLD)) AS o JOIN jsonb_each(to_jsonb(NEW)) AS n USING (key)
    WHERE o.value IS DISTINCT FROM n.value AND o.key IN ('id', 'name', 'table_name', 'operation', 'set_clause',
        'from_clause', 'where_clause', 'statement', 'target_table', 'handler', 'params', 'key_columns', 'from_key',
        'to_key', 'session_settings', 'approve', 'finalize', 'keep_old', 'undo_set_clause', 'kept_columns', 'enqueued_by', 'enqueued_at',
        'search_path', 'time_zone', 'relation', 'root_relation', 'target_relation')
    LIMIT 1;
    IF frozen IS NOT NULL THEN
        PERFORM pgbackfill.refuse(frozen, 'cannot be changed after INSERT; cancel this job and enqueue a new one');
    END IF;
    IF NEW.options IS DISTINCT FROM OLD.options THEN
        PERFORM pgbackfill.check_options(NEW.options);
    END IF;
    IF NEW.run_after IS DISTINCT FROM OLD.run_after THEN
        PERFORM pgbackfill.check_time('run_after', NEW.run_after);
    END IF;
    IF NEW.pause_until IS DISTINCT FROM OLD.pause_until THEN
        PERFORM pgbackfill.check_time('pause_until', NEW.pause_until);
    END IF;
    IF NEW.windows IS DISTINCT FROM OLD.windows THEN
        PERFORM pgbackfill.check_windows(NEW.windows);
    END IF;
    IF NEW.after IS DISTINCT FROM OLD.after THEN
        PERFORM pgbackfill.check_after(NEW.name, NEW.after);
    END IF;
    IF NEW.desired_state IS NULL OR NEW.desired_state NOT IN ('run', 'pause', 'cancel') THEN
        PERFORM pgbackfill.refuse('desired_state', format('must be run, pause or cancel, not "%s"', NEW.desired_state));
    ELSIF NEW.status IS DISTINCT FROM OLD.status THEN
        IF NOT EXISTS (SELECT FROM pgbackfill.status_moves() AS m
                       WHERE m.before = OLD.status AND m.after = NEW.status) THEN
            PERFORM pgbackfill.refuse('status', format('a %s job cannot become %s', OLD.status, NEW.status));
        END IF;
    ELSIF NEW.desired_state IS DISTINCT FROM OLD.desired_state THEN
        IF OLD.status IN ('succeeded', 'failed', 'cancelled') THEN
            PERFORM pgbackfill.refuse_finished(OLD.name, OLD.status);
        END IF;
        NEW := pgbackfill.settled(NEW);
    END IF;
    IF NEW.desired_state <> 'pause' THEN
        NEW.pause_until := NULL;
        IF OLD.desired_state = 'pause' THEN  -- nor is it paused by itself any more
            NEW.wait_reason := NULL;
            NEW.wait_since := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- The last word on a row that was let through unchecked because its name was taken a moment ago.
CREATE FUNCTION pgbackfill.jobs_checked() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'job "%" was deleted by somebody else meanwhile; insert it again', NEW.name
        USING ERRCODE = 'serialization_failure';
END $$;

CREATE TRIGGER jobs_before_insert BEFORE INSERT ON pgbackfill.jobs
    FOR EACH ROW EXECUTE FUNCTION pgbackfill.jobs_before_insert();
CREATE TRIGGER jobs_before_update BEFORE UPDATE ON pgbackfill.jobs
    FOR EACH ROW EXECUTE FUNCTION pgbackfill.jobs_before_update();
CREATE TRIGGER jobs_checked AFTER INSERT ON pgbackfill.jobs
    FOR EACH ROW WHEN (NEW.relation IS NULL) EXECUTE FUNCTION pgbackfill.jobs_checked();

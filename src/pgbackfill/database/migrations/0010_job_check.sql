-- The check of a job at INSERT and UPDATE. It runs with the rights of whoever enqueues, plans the job's SQL and never
-- executes it. It catches mistakes; it is not a security boundary.

-- Refuses columns that contradict the operation, or are missing for it, or are out of shape.
CREATE FUNCTION pgbackfill.check_shape(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    field record;
BEGIN
    FOR field IN SELECT key, value FROM jsonb_each_text(to_jsonb(job)) WHERE key IN ('name', 'table_name', 'operation',
        'params', 'session_settings', 'options', 'priority', 'run_after', 'desired_state') AND value IS NULL
    LOOP
        PERFORM pgbackfill.refuse(field.key, 'must not be null' || CASE WHEN field.key IN ('name', 'table_name') THEN ''
            ELSE '; leave it out for the default' END);
    END LOOP;
    FOR field IN SELECT key, value FROM jsonb_each_text(to_jsonb(job)) WHERE octet_length(value) > 1048576 LOOP
        PERFORM pgbackfill.refuse(field.key, format('has %s bytes; at most 1 MiB is taken', octet_length(field.value)));
    END LOOP;
    -- 200 characters, so that the name fits a NOTIFY payload, a metric's label and a line on a screen.
    IF job.name !~ '^[a-z0-9][a-z0-9_.-]{0,199}$' THEN
        PERFORM pgbackfill.refuse('name', format('"%s" must be 1 to 200 of a-z, 0-9, _, . and -, beginning with a '
            'letter or digit', left(job.name, 200)));
    END IF;
    IF job.operation IN ('copy', 'handler') THEN
        PERFORM pgbackfill.refuse('operation', format('%s is not available in this version; use update, delete or '
            'statement', job.operation));
    ELSIF job.operation NOT IN ('update', 'delete', 'statement') THEN
        PERFORM pgbackfill.refuse('operation', format('must be update, delete or statement, not "%s"', job.operation));
    END IF;
    FOR field IN
        SELECT c.name, c.value, job.operation = ANY (c.needed_by) AS needed, job.operation = ANY (c.taken_by) AS taken
        FROM (VALUES
            ('set_clause', job.set_clause, ARRAY['update'], ARRAY['update']),
            ('from_clause', job.from_clause, '{}', ARRAY['update', 'delete']),
            ('where_clause', job.where_clause, '{}', ARRAY['update', 'delete', 'statement']),
            ('statement', job.statement, ARRAY['statement'], ARRAY['statement']),
            ('target_table', job.target_table, '{}', '{}'),
            ('handler', job.handler, '{}', '{}'),
            ('params', nullif(job.params, '{}')::text, '{}', '{}')) AS c (name, value, needed_by, taken_by)
    LOOP
        IF field.needed AND field.value IS NULL THEN
            PERFORM pgbackfill.refuse(field.name, format('is missing; operation %s needs it', job.operation));
        ELSIF field.value IS NOT NULL AND NOT field.taken THEN
            PERFORM pgbackfill.refuse(field.name, format('does not go with operation %s; leave it out', job.operation));
        ELSIF field.value ~ '^\s*$' THEN
            PERFORM pgbackfill.refuse(field.name, 'must not be empty' || CASE WHEN field.needed THEN ''
                ELSE '; leave it out' END);
        END IF;
    END LOOP;
    IF job.desired_state NOT IN ('run', 'pause', 'cancel') THEN
        PERFORM pgbackfill.refuse('desired_state', format('must be run, pause or cancel, not "%s"', job.desired_state));
    END IF;
END $$;

-- Finds the table as the enqueuer would, and refuses what cannot be walked.
CREATE FUNCTION pgbackfill.find_table(table_name text, job_search_path text) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_table regclass;
    kind        record;
    problem     text;
BEGIN
    PERFORM set_config('search_path', job_search_path, true);
    BEGIN
        found_table := pg_catalog.to_regclass(table_name);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
    END;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF found_table IS NULL THEN
        PERFORM pgbackfill.refuse('table_name', format('"%s" is not a table here%s; write it as in SQL, with its schema '
            'and quotes where the name needs them', left(table_name, 200), coalesce(' (' || problem || ')', '')));
    END IF;
    SELECT c.relkind, c.relpersistence, n.nspname,
           EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) AS has_children
    INTO kind FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = found_table;
    problem := CASE
        WHEN kind.relkind = 'v' THEN 'is a view; name the table beneath it'
        WHEN kind.relkind = 'm' THEN 'is a materialized view; name a table'
        WHEN kind.relkind = 'f' THEN 'is a foreign table; run the job in the database that holds it'
        WHEN kind.relkind NOT IN ('r', 'p') THEN 'is not a table; name an ordinary or partitioned table'
        WHEN kind.nspname IN ('pg_catalog', 'information_schema', 'pg_toast')
            THEN 'is a system catalog; name a table of your own'
        WHEN kind.nspname = 'pgbackfill' THEN 'belongs to pgbackfill itself; name a table of your own'
        WHEN kind.relpersistence = 't' THEN 'is a temporary table, which the daemon cannot see; name a permanent one'
        WHEN kind.relkind = 'r' AND kind.has_children
            THEN 'has inheritance children, which a walk would leave out; name the children, one job each'
    END;
    IF problem IS NOT NULL THEN
        PERFORM pgbackfill.refuse('table_name', format('%s %s', found_table, problem));
    END IF;
    RETURN found_table;
END $$;

-- Refuses settings that do not exist, that the enqueuer may not set, or on which the chunk itself depends.
CREATE FUNCTION pgbackfill.check_settings(session_settings jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    setting record;
    problem text;
BEGIN
    IF jsonb_typeof(session_settings) <> 'object' THEN
        PERFORM pgbackfill.refuse('session_settings', 'must be a JSON object such as {"work_mem": "64MB"}');
    END IF;
    FOR setting IN SELECT key, lower(key) AS name, value, value #>> '{}' AS text FROM jsonb_each(session_settings) LOOP
        IF setting.name IN ('role', 'session_authorization', 'search_path', 'timezone', 'lock_timeout',
            'statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'datestyle',
            'intervalstyle', 'bytea_output', 'extra_float_digits', 'synchronous_commit', 'plan_cache_mode',
            'enable_seqscan', 'enable_bitmapscan', 'enable_indexscan', 'enable_indexonlyscan', 'client_encoding',
            'standard_conforming_strings') OR setting.name ~ '^(default_)?transaction_'
        THEN
            PERFORM pgbackfill.refuse('session_settings', format('%s belongs to pgbackfill; leave it out%s', setting.name,
                CASE WHEN setting.name IN ('lock_timeout', 'statement_timeout')
                    THEN format(' and set %s_ms in options', setting.name)
                    WHEN setting.name = 'synchronous_commit' THEN ' and set it in options'
                    WHEN setting.name IN ('search_path', 'timezone') THEN ', it is that of the enqueuing session'
                    ELSE '' END));
        ELSIF jsonb_typeof(setting.value) NOT IN ('string', 'number', 'boolean') THEN
            PERFORM pgbackfill.refuse('session_settings', format('%s must be a string, a number or a boolean, not %s',
                setting.key, left(setting.value::text, 100)));
        END IF;
        BEGIN
            PERFORM set_config(setting.key, setting.text, true);
            RAISE SQLSTATE 'PBF00';
        EXCEPTION
            WHEN SQLSTATE 'PBF00' THEN NULL;
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
                PERFORM pgbackfill.refuse('session_settings', format('"%s" cannot be set: %s', setting.key, problem));
        END;
    END LOOP;
END $$;

-- What a wanted state means for a job that no daemon works on; a running one is settled by its daemon.
CREATE FUNCTION pgbackfill.settled(job pgbackfill.jobs) RETURNS pgbackfill.jobs
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF job.status IN ('queued', 'paused') THEN
        job.status := CASE job.desired_state WHEN 'run' THEN 'queued' WHEN 'pause' THEN 'paused' ELSE 'cancelled' END;
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
    job.claim_xid := NULL;
    job.prepared_at := NULL;
    job.wait_reason := NULL;
    job.wait_since := NULL;
    -- A second run of a migration: the unique index settles it, by an error or by ON CONFLICT. Should the other row
    -- vanish meanwhile, jobs_checked refuses this one.
    IF EXISTS (SELECT FROM pgbackfill.jobs AS j WHERE j.name = job.name) THEN
        RETURN job;
    END IF;
    PERFORM pgbackfill.check_shape(job);
    PERFORM pgbackfill.check_options(job.options);
    PERFORM pgbackfill.check_settings(job.session_settings);
    job.relation := pgbackfill.find_table(job.table_name, job.search_path);
    job.root_relation := coalesce(pg_partition_root(job.relation), job.relation);
    job.key_columns := pgbackfill.choose_key(job.relation, job.key_columns);
    SELECT b.from_key, b.to_key INTO job.from_key, job.to_key
    FROM pgbackfill.check_bounds(job.relation, job.key_columns, job.from_key, job.to_key) AS b;
    PERFORM pgbackfill.check_clauses(job);
    PERFORM pgbackfill.check_rights(job);
    RETURN pgbackfill.settled(job);
END $$;

-- No search_path of its own, because it has to see the enqueuer's; hence every name is qualified and no operator used.
-- The effective path is kept: "$user" would mean the work login later. Temporary tables come last, not first. A refusal
-- is raised anew, so that people see its sentence without the stack of functions beneath it.
CREATE FUNCTION pgbackfill.jobs_before_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused_column  text;
    refused_message text;
    refused_hint    text;
BEGIN
    NEW.search_path := pgbackfill.path_text(pg_catalog.current_schemas(false));
    NEW.time_zone := pg_catalog.current_setting('TimeZone');
    BEGIN
        NEW := pgbackfill.check_job(NEW);
        RETURN NEW;
    EXCEPTION WHEN SQLSTATE '22023' THEN
        GET STACKED DIAGNOSTICS refused_column = COLUMN_NAME, refused_message = MESSAGE_TEXT,
            refused_hint = PG_EXCEPTION_HINT;
    END;
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
           ('paused', 'queued'), ('paused', 'cancelled'),
           ('verifying', 'cancelled'), ('verifying', 'failed'), ('verifying', 'succeeded'),
           ('failed', 'queued'), ('cancelled', 'queued')
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
        'to_key', 'session_settings', 'enqueued_by', 'enqueued_at', 'search_path', 'time_zone', 'relation', 'root_relation')
    LIMIT 1;
    IF frozen IS NOT NULL THEN
        PERFORM pgbackfill.refuse(frozen, 'cannot be changed after INSERT; cancel this job and enqueue a new one');
    END IF;
    IF NEW.options IS DISTINCT FROM OLD.options THEN
        PERFORM pgbackfill.check_options(NEW.options);
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

-- What can be said of a job without looking at its SQL: its columns, its table, its settings.

-- Refuses what programs cannot read: infinity, and years of five digits.
CREATE FUNCTION pgbackfill.check_time(column_name text, value timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT value BETWEEN '1970-01-01' AND '9000-01-01' THEN
        PERFORM pgbackfill.refuse(column_name, format('must lie between the years 1970 and 9000, not %s; a job that is '
            'paused does not start', value));
    END IF;
END $$;

-- Refuses columns that contradict the operation, or are missing for it, or are out of shape.
CREATE FUNCTION pgbackfill.check_shape(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    field record;
BEGIN
    FOR field IN SELECT key, value FROM jsonb_each_text(to_jsonb(job)) WHERE key IN ('name', 'table_name', 'operation',
        'params', 'session_settings', 'options', 'priority', 'run_after', 'desired_state', 'finalize', 'keep_old',
        'after', 'approve') AND value IS NULL
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
    IF job.operation NOT IN ('update', 'delete', 'statement', 'copy', 'handler') THEN
        PERFORM pgbackfill.refuse('operation', format('must be update, delete, statement, copy or handler, not "%s"',
            job.operation));
    END IF;
    FOR field IN
        SELECT c.name, c.value, job.operation = ANY (c.needed_by) AS needed, job.operation = ANY (c.taken_by) AS taken
        FROM (VALUES
            ('set_clause', job.set_clause, ARRAY['update'], ARRAY['update']),
            ('from_clause', job.from_clause, '{}', ARRAY['update', 'delete']),
            ('where_clause', job.where_clause, '{}', ARRAY['update', 'delete', 'statement', 'copy', 'handler']),
            ('statement', job.statement, ARRAY['statement'], ARRAY['statement']),
            ('target_table', job.target_table, ARRAY['copy'], ARRAY['copy']),
            ('handler', job.handler, ARRAY['handler'], ARRAY['handler']),
            ('params', nullif(job.params, '{}')::text, '{}', ARRAY['handler'])) AS c (name, value, needed_by, taken_by)
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
    IF jsonb_typeof(job.params) <> 'object' THEN
        PERFORM pgbackfill.refuse('params', 'must be a JSON object such as {"country": "de"}');
    ELSIF job.handler !~ '^[A-Za-z_][A-Za-z0-9_.-]{0,199}$' THEN
        PERFORM pgbackfill.refuse('handler', format('"%s" must be 1 to 200 of A-Z, a-z, 0-9, _, . and -, beginning with a '
            'letter or _', left(job.handler, 200)));
    END IF;
    IF job.desired_state NOT IN ('run', 'pause', 'cancel') THEN
        PERFORM pgbackfill.refuse('desired_state', format('must be run, pause or cancel, not "%s"', job.desired_state));
    END IF;
    PERFORM pgbackfill.check_time('run_after', job.run_after);
END $$;

-- Finds the table as the enqueuer would, and refuses what cannot be walked.
CREATE FUNCTION pgbackfill.find_table(table_name text, job_search_path text, column_name text DEFAULT 'table_name')
RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_table regclass;
    kind        record;
    problem     text;
BEGIN
    PERFORM set_config('search_path', job_search_path, true);
    BEGIN
        found_table := pg_catalog.to_regclass(table_name);
    -- What a name cannot be resolved for: its syntax, a schema that is closed, another database.
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
    END;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    -- to_regclass also takes numbers and "-".
    IF found_table IS NULL OR table_name ~ '^\s*([0-9]+|-)\s*$' THEN
        PERFORM pgbackfill.refuse(column_name, format('"%s" is not a table here%s; write it as in SQL, with its '
            'schema and quotes where the name needs them', left(table_name, 200),
            coalesce(' (' || problem || ')', '')));
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
        WHEN EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = found_table
                     OR r.ev_class IN (SELECT relid FROM pg_partition_tree(found_table)))
            THEN 'has rules, which would replace what the job does; drop them, or use triggers'
    END;
    IF problem IS NOT NULL THEN
        PERFORM pgbackfill.refuse(column_name, format('%s %s', found_table, problem));
    END IF;
    RETURN found_table;
END $$;

-- The columns that a copy takes along: those of both tables that can be written.
CREATE FUNCTION pgbackfill.copied_columns(source oid, target oid) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(s.attname::text ORDER BY s.attnum)
    FROM pg_attribute AS s JOIN pg_attribute AS t ON t.attrelid = target AND t.attname = s.attname
    WHERE s.attrelid = source AND s.attnum > 0 AND t.attnum > 0 AND NOT s.attisdropped AND NOT t.attisdropped
        AND s.attgenerated = '' AND t.attgenerated = ''
$$;

-- Finds the table that a copy goes to, and refuses one that would lose rows or could not take them.
CREATE FUNCTION pgbackfill.find_target(job pgbackfill.jobs) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target  regclass := pgbackfill.find_table(job.target_table, job.search_path, 'target_table');
    missing text;
BEGIN
    IF coalesce(pg_partition_root(target), target) = job.root_relation THEN
        PERFORM pgbackfill.refuse('target_table', 'is the table that is copied; name another one');
    END IF;
    SELECT string_agg(quote_ident(k), ', ' ORDER BY n) INTO missing
    FROM unnest(job.key_columns) WITH ORDINALITY AS u (k, n)
    WHERE k <> ALL (coalesce(pgbackfill.copied_columns(job.relation, target), '{}'));
    IF missing IS NOT NULL THEN
        PERFORM pgbackfill.refuse('target_table', format('%s has no column %s to take the key of %s', target, missing,
            job.relation::regclass));
    ELSIF NOT EXISTS (SELECT FROM pgbackfill.keys_of(target) AS k WHERE k.objection IS NULL
                      AND k.columns @> job.key_columns AND k.columns <@ job.key_columns) THEN
        PERFORM pgbackfill.refuse('target_table', format('%1$s has no unique key on %2$s, so a copied row could not be '
            'told from a new one; give it a primary key or unique index on exactly these columns', target,
            (SELECT string_agg(quote_ident(k), ', ' ORDER BY n)
             FROM unnest(job.key_columns) WITH ORDINALITY AS u (k, n))));
    END IF;
    RETURN target;
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
            'standard_conforming_strings', 'array_nulls', 'exit_on_error') OR setting.name ~ '^(default_)?transaction_'
        THEN
            PERFORM pgbackfill.refuse('session_settings', format('%s belongs to pgbackfill; leave it out%s',
                setting.name,
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

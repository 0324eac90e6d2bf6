-- What follows the last chunk: verification and the steps of `finalize`.

-- The steps that there are, with their fields.
CREATE FUNCTION pgbackfill.finalize_fields() RETURNS TABLE (kind text, field text, type text, required boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('set_not_null',        'column',      'string',  true),
           ('set_default',         'column',      'string',  true),
           ('set_default',         'default',     'string',  true),
           ('add_check',           'name',        'string',  true),
           ('add_check',           'check',       'string',  true),
           ('create_index',        'name',        'string',  true),
           ('create_index',        'columns',     'string',  true),
           ('create_index',        'unique',      'boolean', false),
           ('create_index',        'using',       'string',  false),
           ('create_index',        'include',     'string',  false),
           ('create_index',        'where',       'string',  false),
           ('validate_constraint', 'name',        'string',  true),
           ('analyze',             NULL,          NULL,      false),
           ('vacuum',              NULL,          NULL,      false),
           ('sql',                 'sql',         'string',  true),
           ('sql',                 'transaction', 'boolean', false)
$$;

-- "analyze" and {"set_not_null": "email_lower"} in the long form.
CREATE FUNCTION pgbackfill.finalize_steps(finalize jsonb) RETURNS TABLE (ordinal int, kind text, spec jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT n::int, coalesce(given.key, element #>> '{}'),
           CASE WHEN given.key IS NULL THEN '{}'
                WHEN jsonb_typeof(given.value) = 'string' THEN jsonb_build_object(
                    CASE given.key WHEN 'set_not_null' THEN 'column' WHEN 'sql' THEN 'sql' ELSE 'name' END, given.value)
                ELSE given.value END
    FROM jsonb_array_elements(finalize) WITH ORDINALITY AS e (element, n)
    LEFT JOIN LATERAL (SELECT key, value FROM jsonb_each(CASE jsonb_typeof(element) WHEN 'object' THEN element ELSE '{}' END)
                       LIMIT 1) AS given ON true
    ORDER BY n
$$;

-- Refuses steps that do not exist, lack something, need another owner, or that the table would refuse.
CREATE FUNCTION pgbackfill.check_finalize(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    example constant text := '[{"set_not_null": "email_lower"}, "analyze"]';
    element jsonb;
    step    record;
    problem text;
BEGIN
    IF jsonb_typeof(job.finalize) <> 'array' THEN
        PERFORM pgbackfill.refuse('finalize', format('must be a JSON list of steps such as %s', example));
    ELSIF jsonb_array_length(job.finalize) > 100 THEN
        PERFORM pgbackfill.refuse('finalize', 'must not have more than 100 steps');
    END IF;
    FOR element IN SELECT value FROM jsonb_array_elements(job.finalize) LOOP
        IF jsonb_typeof(element) NOT IN ('string', 'object')
           OR jsonb_typeof(element) = 'object' AND (SELECT count(*) FROM jsonb_object_keys(element)) <> 1 THEN
            PERFORM pgbackfill.refuse('finalize', format('each step must be a name or an object with one name, as in %s, '
                'not %s', example, left(element::text, 100)));
        END IF;
    END LOOP;
    FOR step IN SELECT * FROM pgbackfill.finalize_steps(job.finalize) LOOP
        SELECT CASE
            WHEN NOT EXISTS (SELECT FROM pgbackfill.finalize_fields() AS f WHERE f.kind = step.kind)
                THEN format('is unknown; there are %s',
                    (SELECT string_agg(DISTINCT f.kind, ', ') FROM pgbackfill.finalize_fields() AS f))
            WHEN jsonb_typeof(step.spec) <> 'object' THEN 'must have an object with its fields'
            ELSE (SELECT format('lacks "%s"', f.field) FROM pgbackfill.finalize_fields() AS f
                  WHERE f.kind = step.kind AND f.required AND NOT step.spec ? f.field LIMIT 1)
        END INTO problem;
        IF problem IS NULL THEN
            SELECT CASE WHEN f.field IS NULL THEN format('has no field "%s"', g.key)
                        WHEN jsonb_typeof(g.value) <> f.type
                            THEN format('"%s" must be a %s, not %s', g.key, f.type, left(g.value::text, 100))
                        WHEN g.value #>> '{}' ~ '^\s*$' THEN format('"%s" must not be empty', g.key)
                        WHEN g.key IN ('name', 'column') AND octet_length(g.value #>> '{}') > 63
                            THEN format('"%s" must not be longer than 63 bytes', g.key) END
            INTO problem
            FROM jsonb_each(step.spec) AS g LEFT JOIN pgbackfill.finalize_fields() AS f ON f.kind = step.kind AND f.field = g.key
            ORDER BY 1 LIMIT 1;
        END IF;
        problem := coalesce(problem, pgbackfill.finalize_objection(job, step.ordinal, step.kind, step.spec));
        IF problem IS NOT NULL THEN
            PERFORM pgbackfill.refuse('finalize', format('step %s (%s) %s', step.ordinal, left(step.kind, 100), problem));
        END IF;
    END LOOP;
    IF job.finalize <> '[]' THEN
        PERFORM pgbackfill.rehearse_finalize(job);
    END IF;
END $$;

-- What the catalog says against a step; NULL: nothing.
CREATE FUNCTION pgbackfill.finalize_objection(job pgbackfill.jobs, ordinal int, kind text, spec jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN kind <> 'sql' AND NOT pg_has_role(c.relowner, 'USAGE')
             AND NOT (kind IN ('analyze', 'vacuum') AND CASE WHEN current_setting('server_version_num')::int >= 170000
                      THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END)
            THEN format('needs the owner of %s; GRANT %I TO %I', c.oid::regclass, pg_get_userbyid(c.relowner), current_user)
        WHEN kind = 'create_index' AND NOT has_schema_privilege(c.relnamespace, 'CREATE')
            THEN format('may make no index there; GRANT CREATE ON SCHEMA %s TO %I', c.relnamespace::regnamespace, current_user)
        WHEN kind = 'create_index' AND c.relkind = 'p'
            THEN 'cannot be built concurrently on a partitioned table; name the partitions, one job each'
        WHEN kind = 'create_index' AND EXISTS (
                SELECT FROM pg_class AS o LEFT JOIN pg_index AS i ON i.indexrelid = o.oid
                WHERE o.relnamespace = c.relnamespace AND o.relname = spec ->> 'name' AND i.indrelid IS DISTINCT FROM c.oid)
            THEN format('has the name of something else, "%s"; choose another', spec ->> 'name')
        WHEN kind = 'validate_constraint'
             AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.conname = spec ->> 'name')
             AND NOT EXISTS (SELECT FROM pgbackfill.finalize_steps(job.finalize) AS e
                             WHERE e.ordinal < finalize_objection.ordinal
                               AND (e.kind = 'sql' OR e.kind = 'add_check' AND e.spec ->> 'name' = finalize_objection.spec ->> 'name'))
            THEN format('names no constraint of %s', c.oid::regclass)
    END
    FROM pg_class AS c WHERE c.oid = job.relation
$$;

-- Tries the steps on an empty temporary copy of the table, which is rolled back at once: so it is Postgres that knows the
-- columns and reads the expressions. After a step of SQL nobody can tell what the table will look like. Where the enqueuer
-- may not make temporary tables, nothing is tried.
CREATE FUNCTION pgbackfill.rehearse_finalize(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    scene   text := format('pg_temp.%I', (SELECT relname FROM pg_class WHERE oid = job.relation));
    ddl     text := format('CREATE TEMPORARY TABLE %s (LIKE %s INCLUDING GENERATED)', scene, job.relation::regclass);
    place   text := '';
    step    record;
    problem text;
BEGIN
    IF NOT has_database_privilege(current_database(), 'TEMPORARY') THEN
        RETURN;
    END IF;
    EXECUTE ddl;
    FOR step IN SELECT * FROM pgbackfill.finalize_steps(job.finalize) LOOP
        EXIT WHEN step.kind = 'sql';
        ddl := pgbackfill.rehearsal_ddl(scene, step.kind, step.spec);
        CONTINUE WHEN ddl IS NULL;
        place := format('step %s (%s): ', step.ordinal, step.kind);
        PERFORM set_config('search_path', job.search_path, true);
        EXECUTE ddl;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    END LOOP;
    RAISE SQLSTATE 'PBF00';
EXCEPTION
    WHEN SQLSTATE 'PBF00' THEN
        RETURN;
    WHEN transaction_rollback OR insufficient_resources OR object_not_in_prerequisite_state OR lock_not_available
         OR operator_intervention OR system_error OR internal_error THEN
        RAISE;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
        PERFORM pgbackfill.refuse('finalize', place || problem);
END $$;

-- What a step does, on an empty table; each clause ends with a newline, so that a comment in it ends too.
CREATE FUNCTION pgbackfill.rehearsal_ddl(scene text, kind text, spec jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE kind
        WHEN 'set_not_null' THEN format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', scene, spec ->> 'column')
        WHEN 'set_default'
            THEN format(E'ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s\n', scene, spec ->> 'column', spec ->> 'default')
        WHEN 'add_check'
            THEN format(E'ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s\n)', scene, spec ->> 'name', spec ->> 'check')
        WHEN 'create_index' THEN format(E'CREATE %sINDEX %I ON %s%s (%s\n)%s%s',
            CASE WHEN (spec ->> 'unique')::boolean THEN 'UNIQUE ' ELSE '' END, spec ->> 'name', scene,
            coalesce(' USING ' || quote_ident(spec ->> 'using'), ''), spec ->> 'columns',
            coalesce(' INCLUDE (' || (spec ->> 'include') || E'\n)', ''), coalesce(' WHERE (' || (spec ->> 'where') || E'\n)', ''))
    END
$$;

-- The end of a step, also for the work login: what a step of SQL does commits together with it. No row: the lease is lost.
CREATE FUNCTION pgbackfill.end_step(step_id bigint, epoch bigint, token bytea) RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE pgbackfill.steps AS s
       SET status = 'done', share = 1, finished_at = clock_timestamp(), lease_until = NULL, token_hash = NULL,
           hold_reason = NULL, hold_since = NULL
     WHERE s.id = $1 AND s.epoch = $2 AND s.token_hash = sha256($3) AND s.status = 'open'
 RETURNING s.id
$$;

DO $$
DECLARE
    added regprocedure;
BEGIN
    FOR added IN SELECT oid FROM pg_proc WHERE pronamespace = 'pgbackfill'::regnamespace AND proname IN ('finalize_fields',
        'finalize_steps', 'check_finalize', 'finalize_objection', 'rehearse_finalize', 'rehearsal_ddl', 'end_step')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', added);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgbackfill_daemon, %s', added, CASE
            WHEN added = 'pgbackfill.end_step(bigint, bigint, bytea)'::regprocedure THEN 'pgbackfill_worker'
            ELSE 'pgbackfill_enqueuer' END);
    END LOOP;
END $$;

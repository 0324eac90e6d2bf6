-- The rights that a job needs, judged by planning the assembled statement on every table that it will run on: rights
-- on a partitioned table say nothing about its leaves.

-- Refuses unless the current user may run the job on every leaf.
CREATE FUNCTION pgbackfill.check_rights(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    needed text[] := CASE job.operation WHEN 'delete' THEN ARRAY['SELECT', 'DELETE'] ELSE ARRAY['SELECT', 'UPDATE'] END;
    leaf   record;
BEGIN
    -- Where a delete reads other tables, its rows are locked first, and a lock needs UPDATE.
    IF job.operation = 'delete' AND (job.from_clause IS NOT NULL OR job.where_clause ~* '\mselect\M') THEN
        needed := needed || 'UPDATE'::text;
    END IF;
    FOR leaf IN
        SELECT c.oid::regclass AS target, row_number() OVER () AS n,
               NOT c.relrowsecurity AND NOT c.relhasrules AND (
                   SELECT bool_and(has_table_privilege(c.oid, p)) FROM unnest(needed) AS p) AS all_granted
        FROM pg_class AS c
        WHERE c.relkind = 'r'
          AND (c.oid = job.relation OR c.oid IN (SELECT relid FROM pg_partition_tree(job.relation) WHERE isleaf))
        ORDER BY c.oid
    LOOP
        -- Leaves of one table differ in nothing but rights, so with all of them granted the first plan speaks for it.
        CONTINUE WHEN leaf.n > 1 AND leaf.all_granted;
        PERFORM pgbackfill.check_leaf(job, leaf.target, needed);
    END LOOP;
END $$;

CREATE FUNCTION pgbackfill.check_leaf(job pgbackfill.jobs, target regclass, needed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    clause  text := CASE job.operation WHEN 'statement' THEN 'statement' WHEN 'copy' THEN 'target_table'
        ELSE CASE WHEN job.from_clause IS NOT NULL THEN 'from_clause' WHEN job.operation = 'update' THEN 'set_clause'
            ELSE 'where_clause' END END;
    tried   record := pgbackfill.try_plan(job, 'EXPLAIN (FORMAT JSON) ' || pgbackfill.assembled(job, target));
    missing text;
    closed  regnamespace;
BEGIN
    IF tried.state IS NULL AND 'UPDATE' = ANY (needed) THEN
        tried := pgbackfill.try_plan(job, format('EXPLAIN (FORMAT JSON) SELECT %s FROM ONLY %s AS t FOR NO KEY UPDATE',
            (SELECT string_agg(format('t.%I', k), ', ') FROM unnest(job.key_columns) AS k), target));
    END IF;
    IF tried.state IS NULL THEN
        RETURN;
    ELSIF tried.state <> '42501' THEN
        PERFORM pgbackfill.require_plan(job, CASE job.operation WHEN 'update' THEN 'set_clause' ELSE clause END,
            'a clause that fits the whole statement', pgbackfill.assembled(job, target));
    END IF;
    IF row_security_active(target) AND job.session_settings ->> 'row_security' IS DISTINCT FROM 'on' THEN
        PERFORM pgbackfill.refuse('session_settings', format('row-level security of %s would hide rows from %I; '
            'write {"row_security": "on"} if that is meant, or enqueue as a login with BYPASSRLS',
            target, current_user));
    END IF;
    SELECT string_agg(p, ', ') INTO missing FROM unnest(needed) AS p WHERE NOT has_table_privilege(target, p);
    SELECT c.relnamespace::regnamespace INTO closed FROM pg_class AS c
    WHERE c.oid = target AND NOT has_schema_privilege(c.relnamespace, 'USAGE');
    IF closed IS NOT NULL THEN
        PERFORM pgbackfill.refuse('table_name', format(
            '%1$I may not use the schema of %2$s; GRANT USAGE ON SCHEMA %3$s TO %1$I', current_user, target, closed));
    ELSIF missing IS NOT NULL THEN
        PERFORM pgbackfill.refuse('table_name', format('%1$I lacks rights on %2$s (%3$s); GRANT %4$s ON %2$s TO %1$I',
            current_user, target, tried.message, missing));
    END IF;
    PERFORM pgbackfill.refuse(clause, format('%s; GRANT %s to %I', tried.message,
        CASE clause WHEN 'statement' THEN 'what the statement needs there'
            WHEN 'target_table' THEN format('SELECT, INSERT ON %s', job.target_relation::regclass) ELSE 'SELECT (or EXECUTE) on it' END,
        current_user));
END $$;

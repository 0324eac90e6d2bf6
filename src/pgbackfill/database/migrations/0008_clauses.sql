-- The job's SQL, planned and never executed, under the rights, the search_path and the TimeZone of the enqueuer.
--
-- A clause is right if it parses alone (so every quote, comment and parenthesis that it opens is closed), if it still
-- parses with something after it that only fits the place it is meant for, and if the assembled statement can be
-- planned. Always through a cursor, which refuses a second command, and in a subtransaction that is rolled back, so
-- that neither settings nor locks nor anything a function did while it was folded into a constant remains.

-- Plans one EXPLAIN (FORMAT JSON). Either `plan` or `state`, `message` and `hint` of the error comes back; what says
-- nothing about the job, such as a lock time-out, is raised.
CREATE FUNCTION pgbackfill.try_plan(job pgbackfill.jobs, query text,
                                    OUT plan jsonb, OUT state text, OUT message text, OUT hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
-- As in every chunk (KEY_TEXT of keyset/session.py): constants in a clause must mean the same there.
SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1
AS $$
DECLARE
    setting record;
    line    jsonb;
BEGIN
    PERFORM set_config('TimeZone', job.time_zone, true), set_config('row_security', 'off', true);
    FOR setting IN SELECT key, value FROM jsonb_each_text(job.session_settings) LOOP
        PERFORM set_config(setting.key, setting.value, true);
    END LOOP;
    -- From here to the end of the block, operators resolve in the enqueuer's path: nothing but the loop may follow.
    PERFORM set_config('search_path', job.search_path, true);
    FOR line IN EXECUTE query LOOP
        plan := line;
    END LOOP;
    RAISE SQLSTATE 'PBF00';
EXCEPTION
    WHEN SQLSTATE 'PBF00' THEN
        RETURN;
    WHEN transaction_rollback OR insufficient_resources OR object_not_in_prerequisite_state OR lock_not_available
         OR operator_intervention OR system_error OR internal_error THEN
        RAISE;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;

-- Plans and refuses. `rule` says what the column should hold, for syntax errors. Missing rights are not judged here
-- but in check_leaf, where the whole statement is planned. With `alone`, only the grammar is judged: names that other
-- clauses bring along are unknown yet.
CREATE FUNCTION pgbackfill.require_plan(job pgbackfill.jobs, column_name text, rule text, query text,
                                        alone boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tried record := pgbackfill.try_plan(job, 'EXPLAIN (FORMAT JSON) ' || query);
BEGIN
    IF tried.state IS NULL OR tried.state = '42501' THEN
        RETURN tried.plan;
    ELSIF alone AND left(tried.state, 2) = '42' AND tried.state NOT IN ('42601', '42P11') THEN
        RETURN NULL;
    ELSIF tried.state = '42P11' THEN
        PERFORM pgbackfill.refuse(column_name, format('must be %s, not several commands', rule));
    ELSIF tried.state = '42601' THEN
        PERFORM pgbackfill.refuse(column_name, format('must be %s: %s', rule, tried.message), tried.hint);
    ELSIF tried.state = '42702' AND job.from_clause IS NOT NULL THEN
        PERFORM pgbackfill.refuse(column_name, format(
            'columns need a qualifier beside a from_clause, for example t.%1$I or chunk.%1$I: %2$s',
            job.key_columns[1], tried.message));
    END IF;
    PERFORM pgbackfill.refuse(column_name, tried.message, tried.hint);
END $$;

-- The relation `chunk` for the check: the right names, types and collations, whatever the rows.
CREATE FUNCTION pgbackfill.chunk_sample(target regclass, key_columns text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('(SELECT %s FROM ONLY %s LIMIT 1) AS chunk', string_agg(format('%I', k), ', ' ORDER BY n), target)
    FROM unnest(key_columns) WITH ORDINALITY AS u (k, n)
$$;

-- The statement that a chunk will run on one table, each clause on lines of its own.
CREATE FUNCTION pgbackfill.assembled(job pgbackfill.jobs, target regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    condition text := format(E'(%s\n)', coalesce(job.where_clause, 'true'));
    items     text := '';
    copied    text[] := CASE WHEN job.operation = 'copy' THEN pgbackfill.copied_columns(target, job.target_relation) END;
BEGIN
    IF job.operation = 'statement' THEN
        RETURN format(E'WITH chunk AS MATERIALIZED (SELECT %s FROM ONLY %s AS t WHERE %s) %s\n',
            (SELECT string_agg(format('t.%I', k), ', ' ORDER BY n)
             FROM unnest(job.key_columns) WITH ORDINALITY AS u (k, n)),
            target, condition, job.statement);
    END IF;
    IF job.operation = 'copy' THEN
        RETURN format(E'INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM ONLY %s AS t WHERE %s FOR KEY SHARE OF t'
            ' ON CONFLICT (%s) DO NOTHING', job.target_relation::regclass,
            (SELECT string_agg(format('%I', c), ', ' ORDER BY n) FROM unnest(copied) WITH ORDINALITY AS u (c, n)),
            (SELECT string_agg(format('t.%I', c), ', ' ORDER BY n) FROM unnest(copied) WITH ORDINALITY AS u (c, n)),
            target, condition,
            (SELECT string_agg(format('%I', k), ', ' ORDER BY n)
             FROM unnest(job.key_columns) WITH ORDINALITY AS u (k, n)));
    ELSIF job.operation = 'handler' THEN
        RETURN format(E'SELECT %s FROM ONLY %s AS t WHERE %s\n',
            (SELECT string_agg(format('t.%I', k), ', ') FROM unnest(job.key_columns) AS k), target, condition);
    END IF;
    IF job.from_clause IS NOT NULL THEN
        items := format(E'%s %s, %s\n', CASE job.operation WHEN 'update' THEN 'FROM' ELSE 'USING' END,
            pgbackfill.chunk_sample(target, job.key_columns), job.from_clause);
        condition := (SELECT string_agg(format('t.%1$I = chunk.%1$I', k), ' AND ') FROM unnest(job.key_columns) AS k)
            || ' AND ' || condition;
    END IF;
    IF job.operation = 'update' THEN
        RETURN format(E'UPDATE ONLY %s AS t SET %s\n %s WHERE %s', target, job.set_clause, items, condition);
    END IF;
    RETURN format(E'DELETE FROM ONLY %s AS t %s WHERE %s', target, items, condition);
END $$;

-- Parses every clause of a job on its own, then the assembled statement.
CREATE FUNCTION pgbackfill.check_clauses(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target     regclass := job.relation;
    target_sql text := format('ONLY %s AS t', target);
    chunk_sql  text := pgbackfill.chunk_sample(target, job.key_columns);
    beside     boolean := job.from_clause IS NOT NULL;
    from_rule  text := 'FROM items such as customers AS c, LATERAL (SELECT …) AS s';
    where_rule text := 'one condition on the columns of t';
BEGIN
    IF beside THEN
        PERFORM pgbackfill.require_plan(job, 'from_clause', from_rule,
            format(E'SELECT 1 FROM %s, %s\n', chunk_sql, job.from_clause));
        PERFORM pgbackfill.require_plan(job, 'from_clause', from_rule,
            format(E'SELECT 1 FROM %s, %s\n, (SELECT 1) AS pgbackfill_end', chunk_sql, job.from_clause));
        -- A SELECT would also take UNION here.
        PERFORM pgbackfill.require_plan(job, 'from_clause', from_rule,
            format(E'DELETE FROM %s USING %s, %s\n WHERE true', target_sql, chunk_sql, job.from_clause));
    END IF;
    IF job.where_clause IS NOT NULL THEN
        PERFORM pgbackfill.require_plan(job, 'where_clause', where_rule,
            format(E'SELECT 1 FROM %s WHERE %s\n', target_sql, job.where_clause), alone => beside);
        PERFORM pgbackfill.require_plan(job, 'where_clause', where_rule,
            format(E'SELECT 1 FROM %s WHERE (%s\n)', target_sql, job.where_clause), alone => beside);
        IF beside THEN
            PERFORM pgbackfill.require_plan(job, 'where_clause', where_rule, format(
                E'SELECT 1 FROM %s, %s, %s\n WHERE (%s\n)', target_sql, chunk_sql, job.from_clause, job.where_clause));
        END IF;
    END IF;
    IF job.operation = 'update' THEN
        PERFORM pgbackfill.check_set_clause(job);
    ELSIF job.operation = 'statement' THEN
        PERFORM pgbackfill.check_statement(job);
    END IF;
END $$;

-- set_clause: assignments only, none of them to a column of the key or of the partition key.
CREATE FUNCTION pgbackfill.check_set_clause(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target   regclass := job.relation;
    items    text := '';
    rule     text := 'assignments only, such as a = 1, b = lower(c)';
    fixed    text[];
    reserved record;
    tried    record;
    twice    record;
BEGIN
    PERFORM pgbackfill.require_plan(job, 'set_clause', rule,
        format(E'UPDATE ONLY %s AS t SET %s\n', target, job.set_clause), alone => job.from_clause IS NOT NULL);
    IF job.from_clause IS NOT NULL THEN
        items := format('FROM %s, %s', pgbackfill.chunk_sample(target, job.key_columns), job.from_clause);
    END IF;

    -- One more assignment must fit after the clause, and assigning a column twice is an error: so an assignment to
    -- every column that must not be set proves both. DEFAULT, because an identity column takes nothing else.
    SELECT array_agg(format('%I = DEFAULT', r.name)) INTO fixed FROM pgbackfill.reserved_columns(job) AS r;
    tried := pgbackfill.try_plan(job, format(E'EXPLAIN (FORMAT JSON) UPDATE ONLY %s AS t SET %s\n, %s %s\n',
        target, job.set_clause, array_to_string(fixed, ', '), items));
    IF tried.state = '42601' THEN
        FOR reserved IN SELECT * FROM pgbackfill.reserved_columns(job) LOOP
            -- The message may be in any language, so it is compared with one that is known to mean "twice".
            twice := pgbackfill.try_plan(job, format(
                'EXPLAIN (FORMAT JSON) UPDATE ONLY %1$s SET %2$I = DEFAULT, %2$I = DEFAULT', target, reserved.name));
            IF twice.message = tried.message THEN
                PERFORM pgbackfill.refuse('set_clause', format('must not set %I, a column of the %s', reserved.name,
                    reserved.reason));
            END IF;
        END LOOP;
        PERFORM pgbackfill.refuse('set_clause', format('must be %s, with nothing after them: %s', rule, tried.message));
    ELSIF tried.state IS NOT NULL AND tried.state <> '42501' THEN
        PERFORM pgbackfill.require_plan(job, 'set_clause', rule, pgbackfill.assembled(job, target));
        PERFORM pgbackfill.refuse('set_clause', tried.message, tried.hint);
    END IF;
END $$;

-- The columns that a job must not set: its key, and what decides about the partition of a row, on every level.
CREATE FUNCTION pgbackfill.reserved_columns(job pgbackfill.jobs) RETURNS TABLE (name text, reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT ON (found.name) found.name, found.reason
    FROM (
        SELECT k AS name, 'key' AS reason FROM unnest(job.key_columns) AS k
        UNION ALL
        -- Partition columns, within expressions too, depend internally on their table.
        SELECT a.attname::text, 'partition key'
        FROM (SELECT job.relation
              UNION SELECT relid FROM pg_partition_tree(job.relation) WHERE NOT isleaf
              UNION SELECT relid FROM pg_partition_ancestors(job.relation)) AS level (relation)
        JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = level.relation AND d.objsubid > 0
            AND d.refclassid = d.classid AND d.refobjid = d.objid AND d.refobjsubid = 0 AND d.deptype = 'i'
        JOIN pg_attribute AS a ON a.attrelid = d.objid AND a.attnum = d.objsubid
    ) AS found
    ORDER BY found.name, found.reason
$$;

-- statement: one INSERT, UPDATE, DELETE or MERGE that reads the relation chunk.
CREATE FUNCTION pgbackfill.check_statement(job pgbackfill.jobs) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rule    text := 'one INSERT, UPDATE, DELETE or MERGE that reads its keys from the relation chunk';
    query   text := pgbackfill.assembled(job, job.relation);
    plan    jsonb;
    renamed record;
BEGIN
    IF job.statement !~* '^\s*(insert|update|delete|merge)\M' THEN
        PERFORM pgbackfill.refuse('statement', format('must be %s, and begin with that word', rule));
    END IF;
    plan := pgbackfill.require_plan(job, 'statement', rule, query);
    -- With chunk under another name, a statement that reads it no longer parses (or finds another table of that name).
    renamed := pgbackfill.try_plan(job, 'EXPLAIN (FORMAT JSON) WITH pgbackfill_'
        || substr(query, length('WITH ') + 1));
    IF renamed.state IS DISTINCT FROM '42P01'
       AND (plan IS NULL OR NOT plan @? '$.** ? (@."CTE Name" == "chunk")'
            OR renamed.plan @? '$.** ? (@."CTE Name" == "chunk")')
       AND NOT (plan IS NULL AND renamed.state = '42501') THEN
        PERFORM pgbackfill.refuse('statement', format(
            'must be %s, for example WHERE id IN (SELECT id FROM chunk); this one does not', rule));
    END IF;
END $$;

-- What a job replaces is kept in a table of its own, in the chunk's own transaction; undo puts it back.

-- The columns that set_clause sets. One more assignment to one of them is an error ("multiple assignments"), and to any
-- other column it is not; generated columns take DEFAULT.
CREATE FUNCTION pgbackfill.assigned_columns(job pgbackfill.jobs) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    items  text := CASE WHEN job.from_clause IS NULL THEN ''
        ELSE format('FROM %s, %s', pgbackfill.chunk_sample(job.relation, job.key_columns), job.from_clause) END;
    target regclass := job.relation;
    found  text[] := '{}';
    name   text;
BEGIN
    FOR name IN SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = job.relation AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum
    LOOP
        IF (pgbackfill.try_plan(job, format(E'EXPLAIN (FORMAT JSON) UPDATE ONLY %s AS t SET %s\n, %I = DEFAULT %s\n',
                target, job.set_clause, name, items))).state = '42601' THEN
            found := found || name;
        END IF;
    END LOOP;
    RETURN found;
END $$;

-- Refuses what cannot be undone; fills in what is kept.
CREATE FUNCTION pgbackfill.check_undo(job pgbackfill.jobs) RETURNS pgbackfill.jobs
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked   text := CASE WHEN job.keep_old THEN 'keep_old' ELSE 'undo_set_clause' END;
    inverse pgbackfill.jobs := job;
    problem text;
BEGIN
    IF NOT job.keep_old AND job.undo_set_clause IS NULL THEN
        RETURN job;
    ELSIF job.operation <> 'update' THEN
        PERFORM pgbackfill.refuse(asked, format('does not go with operation %s; leave it out', job.operation));
    ELSIF job.keep_old AND job.undo_set_clause IS NOT NULL THEN
        PERFORM pgbackfill.refuse('undo_set_clause', 'is of no use beside keep_old, which puts back what was there; leave one out');
    END IF;
    IF job.keep_old THEN
        job.kept_columns := pgbackfill.assigned_columns(job);
        RETURN job;
    END IF;
    inverse.set_clause := job.undo_set_clause;
    inverse.from_clause := 'LATERAL (SELECT 1 AS pgbackfill_xid) AS pgbackfill_old'; -- beside which undo will run it
    inverse.where_clause := NULL;
    BEGIN
        PERFORM pgbackfill.check_set_clause(inverse);
    EXCEPTION WHEN SQLSTATE '22023' THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
        PERFORM pgbackfill.refuse('undo_set_clause', regexp_replace(problem, '^set_clause: ', ''));
    END;
    job.kept_columns := '{}';
    RETURN job;
END $$;

-- The side table: key, what is kept, the transaction that changed the row, and the one whose version that has replaced. With its owner's rights, because enqueuers
-- may create nothing here; who enqueued may read it, since undo is planned under that login's rights.
CREATE FUNCTION pgbackfill.create_side_table() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    side text := format('pgbackfill.%I', 'old_' || NEW.id);
BEGIN
    EXECUTE format('CREATE TABLE %s (%s, pgbackfill_xid xid NOT NULL, pgbackfill_before xid NOT NULL, PRIMARY KEY (%s))', side,
        (SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod), coalesce(
                    (SELECT format(' COLLATE %I.%I', s.nspname, l.collname) FROM pg_collation AS l
                     JOIN pg_namespace AS s ON s.oid = l.collnamespace WHERE l.oid = a.attcollation), '')), ', ' ORDER BY k.n)
         FROM unnest(NEW.key_columns || NEW.kept_columns) WITH ORDINALITY AS k (name, n)
         JOIN pg_attribute AS a ON a.attrelid = NEW.relation AND a.attname = k.name),
        (SELECT string_agg(quote_ident(k), ', ') FROM unnest(NEW.key_columns) AS k));
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', side);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO pgbackfill_worker, pgbackfill_daemon', side);
    EXECUTE format('GRANT SELECT ON %s TO %I', side, NEW.enqueued_by);
    RETURN NULL;
END $$;

CREATE FUNCTION pgbackfill.drop_side_table() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS pgbackfill.%I', 'old_' || OLD.id);
    RETURN NULL;
END $$;

CREATE TRIGGER jobs_side_table AFTER INSERT ON pgbackfill.jobs
    FOR EACH ROW WHEN (NEW.kept_columns IS NOT NULL) EXECUTE FUNCTION pgbackfill.create_side_table();
CREATE TRIGGER jobs_side_table_dropped AFTER DELETE ON pgbackfill.jobs
    FOR EACH ROW WHEN (OLD.kept_columns IS NOT NULL) EXECUTE FUNCTION pgbackfill.drop_side_table();

-- Enqueues the job that undoes another one, for exactly the rows that it changed and that nobody has written since; its
-- name is that of the other with .undo after it. Returns its id, also when it is called again.
CREATE FUNCTION pgbackfill.undo(name text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    job  pgbackfill.jobs;
    path text := pg_catalog.current_setting('search_path');
    id   bigint;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT * INTO job FROM pgbackfill.jobs AS j WHERE j.name = undo.name;
    IF NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(undo.name);
    ELSIF job.kept_columns IS NULL THEN
        RAISE EXCEPTION 'job "%" kept nothing that could be put back; enqueue a job with keep_old or undo_set_clause', job.name
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF job.status NOT IN ('succeeded', 'failed', 'cancelled') THEN
        RAISE EXCEPTION 'job "%" is %; cancel it first, then undo what it has done', job.name, job.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM set_config('search_path', job.search_path, true);
    id := pgbackfill.enqueue(
        name => pg_catalog.concat(job.name, '.undo'),
        table_name => pgbackfill.qualified(job.relation),
        set_clause => pgbackfill.undo_clause(job, 'set'),
        from_clause => pgbackfill.undo_clause(job, 'from'),
        where_clause => pgbackfill.undo_clause(job, 'where'),
        key_columns => job.key_columns, from_key => job.from_key, to_key => job.to_key,
        session_settings => job.session_settings, priority => job.priority);
    PERFORM pg_catalog.set_config('search_path', path, true);
    RETURN id;
END $$;

CREATE FUNCTION pgbackfill.qualified(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation
$$;

-- Row by row, by the side table's key: OFFSET 0 keeps the planner from reading all of it for each chunk.
CREATE FUNCTION pgbackfill.undo_clause(job pgbackfill.jobs, clause text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE clause
        WHEN 'set' THEN coalesce(job.undo_set_clause,
            (SELECT string_agg(format('%1$I = pgbackfill_old.%1$I', c), ', ') FROM unnest(job.kept_columns) AS c))
        WHEN 'from' THEN format('LATERAL (SELECT %s pgbackfill_xid FROM pgbackfill.%I AS k WHERE %s OFFSET 0) AS pgbackfill_old',
            (SELECT string_agg(format('k.%I, ', c), '') FROM unnest(job.kept_columns) AS c), 'old_' || job.id,
            (SELECT string_agg(format('k.%1$I = chunk.%1$I', c), ' AND ') FROM unnest(job.key_columns) AS c))
        WHEN 'where' THEN 't.xmin = pgbackfill_old.pgbackfill_xid'
    END
$$;

DO $$
DECLARE
    added regprocedure;
BEGIN
    FOR added IN SELECT oid FROM pg_proc WHERE pronamespace = 'pgbackfill'::regnamespace AND proname IN ('assigned_columns',
        'check_undo', 'undo', 'qualified', 'undo_clause', 'create_side_table', 'drop_side_table')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', added);
        CONTINUE WHEN (SELECT prosecdef FROM pg_proc WHERE oid = added);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgbackfill_daemon, pgbackfill_enqueuer', added);
    END LOOP;
END $$;

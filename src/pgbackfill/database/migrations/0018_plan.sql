-- What SQL alone can know of a job before it runs. With the caller's rights; it plans the job's SQL and executes none of it.

-- The tables that hold the rows of a job, the largest first.
CREATE FUNCTION pgbackfill.plan_leaves(relation oid) RETURNS TABLE (leaf oid, bytes bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid, pg_relation_size(c.oid)
    FROM pg_class AS c
    WHERE c.relkind = 'r' AND (c.oid = relation OR c.oid IN (SELECT relid FROM pg_partition_tree(relation) WHERE isleaf))
    ORDER BY 2 DESC, 1
$$;

-- Sizes, rows, row width, an estimate of bloat, what vacuum was last here. Rows and widths are those of the last ANALYZE,
-- carried to today's size; NULL where there was none, or where the caller may not read the columns.
CREATE FUNCTION pgbackfill.plan_table(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH leaf AS (
        SELECT c.oid, l.bytes, pg_indexes_size(c.oid) AS index_bytes,
               coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
               CASE WHEN l.bytes = 0 THEN 0 WHEN c.reltuples >= 0 AND c.relpages > 0
                   THEN c.reltuples::float8 / c.relpages * (l.bytes / current_setting('block_size')::int) END AS live_rows,
               -- 23 bytes of header and, aligned to 8, the columns' own; 4 more for the pointer in the page.
               4 + 8 * ceil((24 + (SELECT sum((1 - s.null_frac) * s.avg_width) FROM pg_stats AS s
                   WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited)) / 8) AS row_bytes,
               pg_stat_get_dead_tuples(c.oid) AS dead_rows,
               coalesce((SELECT o.option_value::int FROM pg_options_to_table(c.reloptions) AS o
                         WHERE o.option_name = 'fillfactor'), 100) AS fillfactor,
               coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o
                         WHERE o.option_name = 'autovacuum_enabled'), true) AS autovacuum,
               greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS vacuumed,
               greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed,
               c.relpersistence, c.relreplident
        FROM pgbackfill.plan_leaves(relation) AS l JOIN pg_class AS c ON c.oid = l.leaf
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
    )
    SELECT jsonb_build_object(
        'name', relation::regclass::text,
        'partitions', CASE WHEN count(*) <> 1 OR min(leaf.oid) <> relation THEN count(*) END,
        'heap_bytes', coalesce(sum(leaf.bytes), 0),
        'toast_bytes', coalesce(sum(leaf.toast_bytes), 0),
        'index_bytes', coalesce(sum(leaf.index_bytes), 0),
        'rows', CASE WHEN bool_and(leaf.live_rows IS NOT NULL) THEN round(sum(leaf.live_rows)) END,
        'dead_rows', sum(leaf.dead_rows),
        'row_bytes', round(avg(leaf.row_bytes) FILTER (WHERE leaf.bytes > 0)),
        'bloat_ratio', CASE WHEN bool_and(leaf.live_rows * leaf.row_bytes IS NOT NULL OR leaf.bytes = 0) THEN
            round(greatest(0, 1 - sum(leaf.live_rows * leaf.row_bytes * 100 / leaf.fillfactor)
                / nullif(sum(leaf.bytes - 24 * leaf.bytes / current_setting('block_size')::int), 0))::numeric, 3) END,
        'fillfactor', min(leaf.fillfactor),
        'autovacuum', bool_and(leaf.autovacuum),
        'vacuumed', min(leaf.vacuumed),
        'analyzed', min(leaf.analyzed),
        'logged', bool_and(leaf.relpersistence = 'p'),
        'replica_identity', CASE min(leaf.relreplident) WHEN 'd' THEN 'primary key' WHEN 'f' THEN 'full'
            WHEN 'i' THEN 'index' WHEN 'n' THEN 'nothing' END)
    FROM leaf
$$;

-- The columns that a job assigns. Postgres itself is asked: a second assignment to the same column is an error that only
-- its parser can tell.
CREATE FUNCTION pgbackfill.plan_columns(job pgbackfill.jobs) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    probe   pgbackfill.jobs := job;
    tried   record;
    name    text;
    changed text[] := '{}';
BEGIN
    IF job.operation <> 'update' THEN
        RETURN NULL;
    END IF;
    FOR name IN SELECT a.attname FROM pg_attribute AS a
                WHERE a.attrelid = job.relation AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LOOP
        probe.set_clause := format(E'%s\n, %I = DEFAULT', job.set_clause, name);
        tried := pgbackfill.try_plan(job, 'EXPLAIN (FORMAT JSON) ' || pgbackfill.assembled(probe, job.relation));
        IF tried.state = '42601' THEN
            changed := changed || name;
        END IF;
    END LOOP;
    RETURN changed;
END $$;

-- Every index, with its size over all partitions, and whether it reads a column that is changed. From 16 on a BRIN index
-- does not stand in the way of a HOT update.
CREATE FUNCTION pgbackfill.plan_indexes(relation oid, changed text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(i) ORDER BY i.name), '[]') FROM (
        SELECT x.indexrelid::regclass::text AS name, pg_get_indexdef(x.indexrelid) AS definition,
               (SELECT coalesce(sum(pg_relation_size(t.relid)), pg_relation_size(x.indexrelid))
                FROM pg_partition_tree(x.indexrelid) AS t WHERE t.isleaf) AS bytes,
               x.indisvalid AS valid, read.columns,
               changed && read.columns AND NOT (m.amname = 'brin'
                   AND current_setting('server_version_num')::int >= 160000) AS changed
        FROM pg_index AS x
        JOIN pg_class AS c ON c.oid = x.indexrelid JOIN pg_am AS m ON m.oid = c.relam
        CROSS JOIN LATERAL (
            -- In its key, its expressions and its predicate; a constraint's index depends on the constraint instead.
            SELECT array_agg(DISTINCT a.attname::text) AS columns FROM pg_attribute AS a
            WHERE a.attrelid = x.indrelid AND a.attnum > 0 AND (a.attnum = ANY (x.indkey::int2[])
                OR EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid = a.attnum))
        ) AS read
        WHERE x.indrelid = relation) AS i
$$;

-- `checked`: for each row that the job changes or deletes.
CREATE FUNCTION pgbackfill.plan_foreign_keys(relation oid, operation text, changed text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.referencing, f.name), '[]') FROM (
        SELECT k.conname AS name, k.conrelid::regclass::text AS referencing, k.confrelid::regclass::text AS referenced,
               pg_get_constraintdef(k.oid) AS definition,
               CASE WHEN k.conrelid = relation THEN operation = 'statement' OR EXISTS (
                        SELECT FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attnum = ANY (k.conkey)
                        AND a.attname = ANY (changed))
                    ELSE operation = 'delete' END AS checked
        FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.conparentid = 0 AND relation IN (k.conrelid, k.confrelid)) AS f
$$;

-- `fires`: on what the job does. One for certain columns fires if one of them is assigned.
CREATE FUNCTION pgbackfill.plan_triggers(relation oid, operation text, changed text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.name), '[]') FROM (
        SELECT g.tgname AS name, g.tgfoid::regproc::text AS function, pg_get_triggerdef(g.oid) AS definition,
               g.tgenabled IN ('O', 'A') AND (operation = 'statement' OR g.tgtype & CASE operation WHEN 'delete' THEN 8
                   ELSE 16 END > 0 AND (cardinality(g.tgattr::int2[]) = 0 OR EXISTS (
                       SELECT FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attnum = ANY (g.tgattr::int2[])
                       AND a.attname = ANY (changed)))) AS fires
        FROM pg_trigger AS g WHERE g.tgrelid = relation AND NOT g.tgisinternal) AS t
$$;

-- Who is fed by the write-ahead log, and how far behind. Without pg_monitor states and positions are NULL: unknown.
CREATE FUNCTION pgbackfill.plan_replicas() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.name), '[]') FROM (
        SELECT coalesce(nullif(s.application_name, ''), s.pid::text) AS name, s.state,
               pg_current_wal_lsn() - s.replay_lsn AS backlog_bytes,
               extract(epoch FROM s.replay_lag)::float8 AS replay_lag_s
        FROM pg_stat_replication AS s
        WHERE s.state IS DISTINCT FROM 'backup' AND NOT (s.state IS NOT NULL AND s.replay_lsn IS NULL)) AS r
$$;

-- Everything of a job that has passed the check, enqueued or not.
CREATE FUNCTION pgbackfill.plan_of(job pgbackfill.jobs) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text[] := pgbackfill.plan_columns(job);
    indexes jsonb := pgbackfill.plan_indexes(job.relation, changed);
    sql     text;
    tried   record;
    target  regclass := (SELECT l.leaf FROM pgbackfill.plan_leaves(job.relation) AS l LIMIT 1);
    matches jsonb;
BEGIN
    IF job.operation IN ('update', 'delete', 'statement') AND target IS NOT NULL THEN
        sql := pgbackfill.assembled(job, target);
        tried := pgbackfill.try_plan(job, 'EXPLAIN (FORMAT JSON) ' || sql);
    END IF;
    IF job.where_clause IS NOT NULL THEN
        -- NULL where the clause needs the items of from_clause.
        matches := (pgbackfill.try_plan(job, format(E'EXPLAIN (FORMAT JSON) SELECT 1 FROM %s AS t WHERE (%s\n)',
            job.relation::regclass, job.where_clause))).plan -> 0 -> 'Plan' -> 'Plan Rows';
    END IF;
    RETURN jsonb_build_object(
        'job', jsonb_build_object('name', job.name, 'operation', job.operation, 'key_columns', job.key_columns,
            'set_clause', job.set_clause, 'from_clause', job.from_clause, 'where_clause', job.where_clause,
            'statement', job.statement, 'from_key', job.from_key, 'to_key', job.to_key, 'options', job.options,
            'status', CASE WHEN job.id IS NOT NULL THEN job.status END),
        'table', pgbackfill.plan_table(job.relation),
        'changed_columns', changed,
        'hot', CASE WHEN job.operation = 'update' THEN
            NOT EXISTS (SELECT FROM jsonb_array_elements(indexes) AS i WHERE (i -> 'changed')::boolean) END,
        'indexes', indexes,
        'foreign_keys', pgbackfill.plan_foreign_keys(job.relation, job.operation, changed),
        'triggers', pgbackfill.plan_triggers(job.relation, job.operation, changed),
        'publications', (SELECT coalesce(jsonb_agg(DISTINCT p.pubname), '[]') FROM pg_publication_tables AS p
            JOIN pg_class AS c ON c.relname = p.tablename JOIN pg_namespace AS n
              ON n.oid = c.relnamespace AND n.nspname = p.schemaname
            WHERE c.oid = job.relation OR c.oid IN (SELECT l.leaf FROM pgbackfill.plan_leaves(job.relation) AS l)),
        'replicas', pgbackfill.plan_replicas(),
        'rows_matching', matches,
        'statement', sql,
        'plan', tried.plan);
END $$;

-- The plan of a job that exists, and, once it has begun, what it has cost so far and what is left at that rate. The command
-- `pgbackfill plan` adds what needs more than a query: chunks that are run and rolled back.
CREATE FUNCTION pgbackfill.plan(name text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job    pgbackfill.jobs;
    so_far jsonb;
BEGIN
    SELECT * INTO job FROM pgbackfill.jobs AS j WHERE j.name = plan.name;
    IF NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(plan.name);
    END IF;
    SELECT jsonb_build_object('rows_scanned', p.rows_scanned, 'rows_changed', p.rows_changed,
               'rows_left', greatest(p.rows_estimated - p.rows_scanned, 0), 'rows_per_second', p.rows_per_second,
               'seconds_left_low', extract(epoch FROM p.eta_low), 'seconds_left_high', extract(epoch FROM p.eta_high))
    INTO so_far FROM pgbackfill.progress AS p WHERE p.name = plan.name AND p.rows_scanned > 0;
    RETURN pgbackfill.plan_of(job) || jsonb_build_object('so_far', so_far);
END $$;

REVOKE ALL ON FUNCTION pgbackfill.plan_leaves(oid), pgbackfill.plan_table(oid), pgbackfill.plan_columns(pgbackfill.jobs),
    pgbackfill.plan_indexes(oid, text[]), pgbackfill.plan_foreign_keys(oid, text, text[]),
    pgbackfill.plan_triggers(oid, text, text[]), pgbackfill.plan_replicas(), pgbackfill.plan_of(pgbackfill.jobs),
    pgbackfill.plan(text) FROM PUBLIC;
-- They lend nothing: whoever may enqueue may know what that would mean.
GRANT EXECUTE ON FUNCTION pgbackfill.plan_leaves(oid), pgbackfill.plan_table(oid), pgbackfill.plan_columns(pgbackfill.jobs),
    pgbackfill.plan_indexes(oid, text[]), pgbackfill.plan_foreign_keys(oid, text, text[]),
    pgbackfill.plan_triggers(oid, text, text[]), pgbackfill.plan_replicas(), pgbackfill.plan_of(pgbackfill.jobs),
    pgbackfill.plan(text) TO pgbackfill_enqueuer, pgbackfill_daemon;

-- Everything of a job that has passed the check, enqueued or not. A copy, a handler job and a partitioned table without
-- partitions have no statement, and so no plan of one.
CREATE OR REPLACE FUNCTION pgbackfill.plan_of(job pgbackfill.jobs) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text[] := pgbackfill.plan_columns(job);
    indexes jsonb := pgbackfill.plan_indexes(job.relation, changed);
    sql     text;
    planned jsonb;
    target  regclass := (SELECT l.leaf FROM pgbackfill.plan_leaves(job.relation) AS l LIMIT 1);
    matches jsonb;
BEGIN
    IF job.operation IN ('update', 'delete', 'statement') AND target IS NOT NULL THEN
        sql := pgbackfill.assembled(job, target);
        planned := (pgbackfill.try_plan(job, 'EXPLAIN (FORMAT JSON) ' || sql)).plan;
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
        'plan', planned);
END $$;

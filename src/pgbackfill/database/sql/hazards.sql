-- What about a table makes its backfill dearer or riskier than its rows. Run with pg_catalog alone in the search path, so
-- that every name comes qualified.

-- name: of_table
-- $1: the table that is changed, $2: by update, delete, insert or merge; `statement` where that cannot be told, `none` where
-- it is only read. Each partition counts; what they share is said once.
WITH tables AS (
    SELECT c.* FROM pg_class c
     WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass))
), sizes (root, rows) AS (
    SELECT s.root, (SELECT sum(greatest(c.reltuples, 0)) FROM pg_class c
                     WHERE c.oid = s.root OR c.oid IN (SELECT relid FROM pg_partition_tree(s.root::regclass)))
      FROM (SELECT $1::oid UNION SELECT conrelid FROM pg_constraint WHERE contype = 'f' AND confrelid = $1) AS s (root)
), hazards (rank, kind, detail) AS (
    SELECT 1, 'trigger', format('%s runs %s for each %s', quote_ident(t.tgname), t.tgfoid::regproc,
                                CASE WHEN t.tgtype & 1 = 1 THEN 'changed row' ELSE 'chunk' END)
      FROM pg_trigger t JOIN tables c ON c.oid = t.tgrelid
     WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype &
           CASE $2 WHEN 'delete' THEN 8 WHEN 'update' THEN 16 WHEN 'insert' THEN 4 WHEN 'none' THEN 0 WHEN 'copy' THEN 0 ELSE 28 END > 0
    UNION ALL
    SELECT 2, 'foreign_key', format('%s is looked up in %s for each inserted row', quote_ident(f.conname), f.confrelid::regclass)
      FROM pg_constraint f JOIN tables c ON c.oid = f.conrelid
     WHERE f.contype = 'f' AND f.conparentid = 0 AND $2 IN ('insert', 'merge')
    UNION ALL
    SELECT 2, 'foreign_key', format('%s of %s %s for each deleted row%s%s', quote_ident(f.conname), f.conrelid::regclass,
               CASE f.confdeltype WHEN 'c' THEN 'deletes rows' WHEN 'n' THEN 'sets columns to NULL'
                   WHEN 'd' THEN 'sets columns to their default' ELSE 'is searched' END,
               (SELECT format(', about %s of them', round((child.rows / parent.rows)::numeric, 1)) FROM sizes child, sizes parent
                 WHERE child.root = f.conrelid AND parent.root = $1 AND f.confdeltype IN ('c', 'n', 'd')
                   AND child.rows > 0 AND parent.rows > 0),
               CASE WHEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.conrelid AND i.indisvalid
                                      AND f.conkey @> (i.indkey::int2[])[0:cardinality(f.conkey) - 1]
                                      AND i.indpred IS NULL)
                   THEN ', without an index on its columns: each time from end to end' ELSE '' END)
      FROM pg_constraint f JOIN tables c ON c.oid = f.confrelid
     WHERE f.contype = 'f' AND f.conparentid = 0 AND $2 IN ('delete', 'merge')
    UNION ALL
    SELECT 3, 'row_security', format('row-level security is on for %s; a chunk that would not see every row is refused',
                                     c.oid::regclass)
      FROM tables c WHERE c.relrowsecurity
    UNION ALL
    SELECT 4, 'replica_identity', format('FULL on %s: each change writes the whole old row to the write-ahead log as well',
                                         c.oid::regclass)
      FROM tables c WHERE c.relreplident = 'f' AND c.relkind = 'r' AND $2 NOT IN ('insert', 'none')
    UNION ALL
    SELECT DISTINCT 5, 'replica_identity', format('%s is published by %s but has none, so Postgres refuses its changes',
                                         c.oid::regclass, quote_ident(p.pubname))
      FROM tables c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_publication_tables t ON t.schemaname = n.nspname AND t.tablename = c.relname
      JOIN pg_publication p ON p.pubname = t.pubname AND CASE $2 WHEN 'delete' THEN p.pubdelete ELSE p.pubupdate END
     WHERE c.relkind = 'r' AND $2 NOT IN ('insert', 'none') AND (c.relreplident = 'n' OR c.relreplident = 'd'
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
)
SELECT DISTINCT rank, kind, detail FROM hazards ORDER BY rank, detail;

-- name: indexed_columns
-- The columns that each index of the table and of its partitions reads, in its expressions and predicate, too.
SELECT i.indexrelid::regclass::text AS index, array_agg(DISTINCT a.attname::text) AS columns
  FROM pg_index i
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = d.classid
   AND d.refobjid = i.indrelid AND d.refobjsubid > 0
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
 WHERE i.indrelid = $1 AND i.indisready
 GROUP BY 1
UNION ALL
-- A constraint's index depends on the constraint, and that on the columns.
SELECT i.indexrelid::regclass::text, array_agg(DISTINCT a.attname::text)
  FROM pg_index i JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (c.conkey)
 WHERE i.indrelid = $1
 GROUP BY 1
 ORDER BY 1;

-- name: foreign_keys
-- What an update of these columns of table $1 costs: its own foreign keys are looked up, those that refer to it act.
WITH tables AS (
    SELECT $1::oid AS oid UNION SELECT relid FROM pg_partition_tree($1::oid::regclass)
), keys AS (
    SELECT f.*, true AS own, f.conkey AS numbers, f.conrelid AS root FROM pg_constraint f
    UNION ALL
    SELECT f.*, false, f.confkey, f.confrelid FROM pg_constraint f
)
SELECT array_agg(a.attname::text ORDER BY a.attname) AS columns,
       CASE WHEN k.own THEN format('%s is looked up in %s for each changed row', quote_ident(k.conname), k.confrelid::regclass)
            ELSE format('%s of %s %s for each changed row', quote_ident(k.conname), k.conrelid::regclass,
                CASE k.confupdtype WHEN 'c' THEN 'changes rows' WHEN 'n' THEN 'sets columns to NULL'
                    WHEN 'd' THEN 'sets columns to their default' ELSE 'is searched' END) END AS detail
  FROM keys k JOIN tables t ON t.oid = k.root
  JOIN pg_attribute a ON a.attrelid = k.root AND a.attnum = ANY (k.numbers)
 WHERE k.contype = 'f' AND k.conparentid = 0
 GROUP BY k.oid, k.root, k.own, k.conname, k.conrelid, k.confrelid, k.confupdtype
 ORDER BY detail;

-- name: table
SELECT to_regclass(format('%I.%I', $1::text, $2::text))::oid;

-- name: fillfactor
SELECT coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 100)
  FROM pg_class c WHERE c.oid = $1;

-- name: of_server
-- $1: lock_timeout_ms, $2: after how many seconds a snapshot is an old one, $3: bytes that a replica may be behind, $4: after
-- how many transactions a snapshot is an old one of which nobody knows the time.
SELECT 'deadlock_timeout' AS kind, format('%s is not above lock_timeout_ms (%s) and the 200 ms that a session may wait '
           'for a chunk: others can lose a deadlock to it', current_setting('deadlock_timeout'), $1::int) AS detail
 WHERE extract(epoch FROM current_setting('deadlock_timeout')::interval) * 1000 <= $1::int + 200
UNION ALL
SELECT 'replica_behind', format('%s has %s still to replay', coalesce(nullif(r.application_name, ''), r.pid::text),
           pg_size_pretty(pg_current_wal_lsn() - r.replay_lsn))
  FROM pg_stat_replication r WHERE pg_current_wal_lsn() - r.replay_lsn > $3::bigint
UNION ALL
(SELECT 'old_snapshot', format('%s keeps dead rows from being removed%s', holder.who,
           coalesce(format(', for %s s already', holder.age_s::bigint), ''))
  FROM (SELECT format('pid %s (%s as %s)', a.pid, coalesce(nullif(a.application_name, ''), a.backend_type), a.usename) AS who,
               extract(epoch FROM clock_timestamp() - a.xact_start) AS age_s,
               age(coalesce(a.backend_xmin, a.backend_xid)) AS xids
          FROM pg_stat_activity a
         WHERE coalesce(a.backend_xmin, a.backend_xid) IS NOT NULL AND a.pid <> pg_backend_pid()
           AND clock_timestamp() - a.xact_start > make_interval(secs => $2)
        UNION ALL
        SELECT format('replication slot %s', quote_ident(s.slot_name)), NULL, greatest(age(s.xmin), age(s.catalog_xmin))
          FROM pg_replication_slots s
         WHERE coalesce(s.xmin, s.catalog_xmin) IS NOT NULL AND (NOT s.active OR greatest(age(s.xmin), age(s.catalog_xmin)) > $4)
        UNION ALL
        SELECT format('a query on %s', coalesce(nullif(r.application_name, ''), r.pid::text)), NULL, age(r.backend_xmin)
          FROM pg_stat_replication r WHERE age(r.backend_xmin) > $4
        UNION ALL
        SELECT format('prepared transaction %L', p.gid), extract(epoch FROM clock_timestamp() - p.prepared),
               age(p.transaction)
          FROM pg_prepared_xacts p WHERE clock_timestamp() - p.prepared > make_interval(secs => $2)) AS holder
 ORDER BY holder.xids DESC LIMIT 3);

-- What the finalize steps look up. Names come qualified: the work login's search path is not known here.

-- name: lock_holder
-- Who has held the table, or a partition of it, for the longest.
SELECT l.pid, extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS age_s
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
   AND (l.relation = $1::oid OR l.relation IN (SELECT t.relid FROM pg_catalog.pg_partition_tree($1::oid::regclass) t))
 ORDER BY a.xact_start NULLS LAST, l.pid LIMIT 1;

-- name: column
SELECT a.attnotnull
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint v
                        WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND v.conkey = ARRAY[a.attnum]
                          AND NOT v.convalidated) AS not_null
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped;

-- name: constraint
SELECT k.convalidated FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1 AND k.conname = $2;

-- name: index
-- The index of this name in the table's schema; who builds it, if somebody does.
SELECT i.indrelid = t.oid AS ours, i.indisvalid AS valid, p.pid, p.phase, p.blocks_done, p.blocks_total, p.tuples_done,
       p.tuples_total
  FROM pg_catalog.pg_class t
  JOIN pg_catalog.pg_class c ON c.relnamespace = t.relnamespace AND c.relname = $2
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.index_relid = c.oid AND p.pid <> pg_catalog.pg_backend_pid()
 WHERE t.oid = $1;

-- name: index_progress
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total
  FROM pg_catalog.pg_stat_progress_create_index WHERE pid = $1;

-- name: vacuum_progress
SELECT phase, heap_blks_scanned AS blocks_done, heap_blks_total AS blocks_total
  FROM pg_catalog.pg_stat_progress_vacuum WHERE pid = $1;

-- What the walked tables look like. Run with pg_catalog alone in the search path, so that every name comes qualified.

-- name: table_name
SELECT n.nspname, c.relname, c.relkind = 'p' AS partitioned,
       (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid) AS indexes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = $1;

-- name: key_columns
SELECT k.name, format_type(a.atttypid, a.atttypmod) AS type_name
  FROM unnest($2::text[]) WITH ORDINALITY AS k(name, position)
  JOIN pg_attribute a ON a.attrelid = $1 AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY k.position;

-- name: copy
-- Where the rows of $1 are copied to, and the columns that go there: those of both tables that can be written (as
-- pgbackfill.copied_columns, which the work login may not call). No row without a target $2.
SELECT format('%I.%I', n.nspname, c.relname) AS target,
       (SELECT array_agg(s.attname::text ORDER BY s.attnum)
          FROM pg_attribute s JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = s.attname
         WHERE s.attrelid = $1 AND s.attnum > 0 AND t.attnum > 0 AND NOT s.attisdropped AND NOT t.attisdropped
           AND s.attgenerated = '' AND t.attgenerated = '') AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = $2;

-- name: leaves
-- The tables that hold the rows: the table itself, or its leaf partitions in a stable order.
SELECT t.relid::oid AS oid
  FROM pg_partition_tree($1::oid::regclass) AS t
 WHERE t.isleaf
UNION
SELECT $1::oid WHERE NOT EXISTS (SELECT FROM pg_partition_tree($1::oid::regclass))
 ORDER BY 1;

-- name: belongs
-- Whether a leaf is still part of the walked table.
SELECT c.oid = $2::oid OR EXISTS (SELECT FROM pg_partition_ancestors(c.oid) AS a(relid) WHERE a.relid = $2::oid)
  FROM pg_class c WHERE c.oid = $1::oid;

-- name: relation_pages
SELECT c.relpages FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2;

-- name: probe_dependencies
-- Everything that the probe function's body depends on besides the walked table itself and plain types. What initdb
-- made is pinned and not recorded; so no row means: built-in functions and the row itself, nothing else.
SELECT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS what
  FROM pg_depend d
 WHERE d.classid = 'pg_proc'::regclass
   AND d.objid = (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = pg_my_temp_schema() AND p.proname = 'pgbackfill_probe')
   AND NOT (d.refclassid = 'pg_class'::regclass AND d.refobjid = $1)
   AND d.refclassid NOT IN ('pg_namespace'::regclass, 'pg_type'::regclass, 'pg_collation'::regclass);

-- name: relation_blocks
-- How large the table is now, not when it was last analyzed, and how many rows a block had then.
SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint AS blocks,
       CASE WHEN c.reltuples > 0 AND c.relpages > 0 THEN c.reltuples / c.relpages END AS rows_per_block
  FROM pg_catalog.pg_class c
 WHERE c.oid = $1;

-- name: columns
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type_name, a.attgenerated <> '' AS generated
  FROM pg_attribute a
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

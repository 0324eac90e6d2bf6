-- What a handler job needs to know of a table. Run with pg_catalog alone in the search path.

-- name: columns
-- The columns of the leaf $1 of the walked table $2, and why a job must not set one; $3 are the job's key columns.
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type_name,
       a.atttypid IN ('json'::regtype, 'jsonb'::regtype) AS json,
       CASE WHEN a.attname = ANY ($3::text[]) THEN 'it belongs to the key'
            WHEN EXISTS (SELECT FROM pg_depend d JOIN pg_attribute p ON p.attrelid = d.objid AND p.attnum = d.objsubid
                          WHERE d.classid = 'pg_class'::regclass AND d.objsubid > 0 AND d.refclassid = d.classid
                            AND d.refobjid = d.objid AND d.refobjsubid = 0 AND d.deptype = 'i' AND p.attname = a.attname
                            AND (d.objid = $2 OR d.objid IN (SELECT relid FROM pg_partition_ancestors($1::oid::regclass))
                                 OR d.objid IN (SELECT relid FROM pg_partition_ancestors($2::oid::regclass))))
            THEN 'it belongs to the partition key'
            WHEN a.attgenerated <> '' THEN 'it is generated'
            WHEN a.attidentity = 'a' THEN 'it is an identity column, GENERATED ALWAYS'
       END AS fixed
  FROM pg_attribute a
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

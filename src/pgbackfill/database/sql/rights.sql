-- What the work login may do. Run with pg_catalog alone in the search path, so that every name comes qualified.

-- name: leaves
-- The tables that hold the rows of $1, and whether all of the privileges $2 on each are granted outright.
SELECT c.oid, (SELECT bool_and(has_table_privilege(c.oid, p)) FROM unnest($2::text[]) AS p)
              AND NOT row_security_active(c.oid) AS granted
  FROM pg_class c
 WHERE c.relkind = 'r' AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass) WHERE isleaf))
 ORDER BY c.oid;

-- name: login
SELECT quote_ident(current_user) AS name, row_security_active($1::oid) AS secured,
       has_schema_privilege('pgbackfill', 'USAGE')
       AND has_function_privilege('pgbackfill.begin_chunk(bigint, bigint, bytea)', 'EXECUTE') AS doors;

-- name: uses
-- What the probe function's body depends on: relations, functions, and the sequences that it names.
SELECT DISTINCT d.refclassid::regclass::text AS class, d.refobjid AS oid
  FROM pg_depend d
 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass)
   AND d.objid = (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = pg_my_temp_schema() AND p.proname = 'pgbackfill_probe');

-- name: written
-- The table that a statement names first.
SELECT to_regclass($1)::oid;

-- name: missing
-- The GRANTs that the current user lacks: $1 is the walked leaf, which needs $2; $3 another table that is written, which
-- needs $4; $5 and $6 are everything that the job's SQL uses. Rights on single columns count, for whoever has some of
-- them was given them on purpose, unless nothing else is missing ($7).
WITH used (class, oid) AS (
    SELECT 'pg_class', $1::oid
    UNION SELECT 'pg_class', $3::oid WHERE $3::oid IS NOT NULL
    UNION SELECT * FROM unnest($5::text[], $6::oid[])
), object AS (
    SELECT 1 AS rank, 'SCHEMA ' || quote_ident(n.nspname) AS name, 'USAGE' AS privilege,
           has_schema_privilege(n.oid, 'USAGE') AS granted
      FROM pg_namespace n
     WHERE n.oid IN (SELECT c.relnamespace FROM pg_class c JOIN used u ON u.class = 'pg_class' AND u.oid = c.oid
                     UNION SELECT p.pronamespace FROM pg_proc p JOIN used u ON u.class = 'pg_proc' AND u.oid = p.oid)
    UNION ALL
    SELECT 2, c.oid::regclass::text, needed.privilege,
           has_table_privilege(c.oid, needed.privilege)
           OR NOT $7 AND needed.privilege <> 'DELETE' AND has_any_column_privilege(c.oid, needed.privilege)
      FROM pg_class c JOIN used u ON u.class = 'pg_class' AND u.oid = c.oid
     CROSS JOIN LATERAL unnest(CASE c.oid WHEN $1 THEN $2::text[] WHEN $3 THEN $4::text[] ELSE ARRAY['SELECT'] END)
           AS needed (privilege)
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT 3, 'SEQUENCE ' || c.oid::regclass::text, 'USAGE',
           CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'USAGE') END
      FROM pg_class c JOIN used u ON u.class = 'pg_class' AND u.oid = c.oid WHERE c.relkind = 'S'
    UNION ALL
    SELECT 4, 'FUNCTION ' || p.oid::regprocedure::text, 'EXECUTE', has_function_privilege(p.oid, 'EXECUTE')
      FROM pg_proc p JOIN used u ON u.class = 'pg_proc' AND u.oid = p.oid
)
SELECT format('GRANT %s ON %s TO %I', string_agg(privilege, ', '), name, current_user) AS statement
  FROM object WHERE NOT granted
 GROUP BY rank, name ORDER BY rank, name;

-- name: finalize_kinds
-- The finalize steps of a job that need more than what its own SQL needs.
SELECT array_agg(DISTINCT f.kind) FROM pgbackfill.jobs j CROSS JOIN LATERAL pgbackfill.finalize_steps(j.finalize) f
 WHERE j.id = $1 AND f.kind <> 'sql';

-- name: finalize
-- The GRANTs without which the current user may not do the steps $2 to the table $1.
SELECT format('GRANT %I TO %I', pg_get_userbyid(c.relowner), current_user) AS statement
  FROM pg_class c
 WHERE c.oid = $1 AND NOT pg_has_role(c.relowner, 'USAGE')
   AND NOT ($2::text[] <@ ARRAY['analyze', 'vacuum']
            AND CASE WHEN current_setting('server_version_num')::int >= 170000
                     THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END)
 UNION ALL
SELECT format('GRANT CREATE ON SCHEMA %s TO %I', c.relnamespace::regnamespace, current_user)
  FROM pg_class c
 WHERE c.oid = $1 AND 'create_index' = ANY ($2::text[]) AND NOT has_schema_privilege(c.relnamespace, 'CREATE');

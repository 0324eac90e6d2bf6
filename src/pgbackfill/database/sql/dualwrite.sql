-- Sync triggers.

-- name: job
-- What a trigger takes over from a job.
SELECT operation, relation::oid AS relation, set_clause, from_clause, search_path, time_zone,
       session_settings::text AS session_settings
  FROM pgbackfill.jobs WHERE name = $1;

-- name: check
-- Assignments that no job has: judged by inserting one, which is rolled back. $1 table_name, $2 set_clause, $3 a name that
-- nobody has. The caller's search_path decides, as it does for every job.
INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ($3, $1, $2)
RETURNING relation::oid AS relation, set_clause, search_path, time_zone, session_settings::text AS session_settings;

-- name: table
SELECT n.nspname AS schema, format('%I.%I', n.nspname, c.relname) AS relation,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '') AS generates
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1;

-- name: columns_read
-- By the body of the probe function.
SELECT a.attname::text AS name, a.attgenerated <> '' AS generated
  FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid > 0
   AND d.objid = (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = pg_my_temp_schema() AND p.proname = 'pgbackfill_probe')
 ORDER BY 1;

-- name: installed
-- Whether the trigger $2 of the table $1 is there, enabled, and runs the function of that name.
SELECT t.tgenabled <> 'D' AND p.proname = t.tgname AND t.tgtype = 23 AS whole
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1 AND t.tgname = $2 AND NOT t.tgisinternal;

-- name: triggers
-- Where a trigger of this name is, its clones on partitions left out.
SELECT format('%I.%I', n.nspname, c.relname) AS relation
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.tgname = $1 AND t.tgparentid = 0 AND NOT t.tgisinternal
 ORDER BY 1;

-- name: functions
SELECT format('%I.%I', n.nspname, p.proname) AS function
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.proname = $1 AND p.prorettype = 'trigger'::regtype AND p.pronargs = 0
 ORDER BY 1;

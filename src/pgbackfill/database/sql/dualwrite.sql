-- Sync triggers.

-- name: job
-- What a trigger takes over from a job.
SELECT operation, relation::oid AS relation, set_clause, from_clause, search_path, time_zone,
       session_settings::text AS session_settings
  FROM pgbackfill.jobs WHERE name = $1;

-- name: check
-- Assignments that no job has: judged as if one were inserted. $1 table_name, $2 set_clause, $3 a name that nobody has.
-- As in the trigger of pgbackfill.jobs, the caller's search_path decides; no operator is used outside of the check.
SELECT checked.relation::oid AS relation, checked.set_clause, checked.search_path, checked.time_zone,
       checked.session_settings::text AS session_settings
  FROM pg_catalog.jsonb_populate_record(NULL::pgbackfill.jobs, pg_catalog.jsonb_build_object(
           'name', $3::text, 'table_name', $1::text, 'operation', 'update', 'set_clause', $2::text,
           'params', '{}'::pg_catalog.jsonb, 'session_settings', '{}'::pg_catalog.jsonb,
           'options', '{}'::pg_catalog.jsonb, 'priority', 0, 'run_after', pg_catalog.now(), 'desired_state', 'run',
           'search_path', pgbackfill.path_text(pg_catalog.current_schemas(false)),
           'time_zone', pg_catalog.current_setting('TimeZone'))) AS job
 CROSS JOIN LATERAL pgbackfill.check_job(job) AS checked;

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

-- Replacing a table by a new one. Run with pg_catalog alone in the search path, so that names come qualified, and so do those
-- in the definitions that Postgres prints.

-- name: find
-- The newest of that name.
SELECT * FROM pgbackfill.shadows WHERE name = $1 ORDER BY id DESC LIMIT 1;

-- name: lock
SELECT * FROM pgbackfill.shadows WHERE id = $1 FOR UPDATE;

-- name: insert
INSERT INTO pgbackfill.shadows (name, stage, schema_name, table_name, shadow_name, old_name, source, target, key_columns,
    own_target, columns, followed)
VALUES ($1, 'made', $2, $3, $4, $5, $6, $7, $8, $9, pgbackfill.copied_columns($6, $6), pgbackfill.copied_columns($6, $7))
RETURNING id;

-- name: drift
-- Columns that came, went or were renamed since: the triggers know nothing of them.
SELECT DISTINCT changed.name FROM pgbackfill.shadows AS s, LATERAL (
    VALUES (s.columns, pgbackfill.copied_columns(s.source, s.source)), (s.followed, pgbackfill.copied_columns(s.source, s.target))
) AS pair (before, now), LATERAL (
    (SELECT unnest(pair.before) EXCEPT SELECT unnest(pair.now)) UNION (SELECT unnest(pair.now) EXCEPT SELECT unnest(pair.before))
) AS changed (name)
 WHERE s.id = $1 ORDER BY changed.name;

-- name: move
UPDATE pgbackfill.shadows SET stage = $2, changed_at = clock_timestamp() WHERE id = $1;

-- name: set_job
UPDATE pgbackfill.shadows SET job_name = $2 WHERE id = $1;

-- name: set_way_back
UPDATE pgbackfill.shadows SET way_back = $2 WHERE id = $1;

-- name: set_verified
UPDATE pgbackfill.shadows SET verified_at = CASE WHEN $2 THEN clock_timestamp() END WHERE id = $1;

-- name: all
SELECT s.*, p.status AS job_status, p.percent, p.rows_scanned, p.rows_changed, p.rows_quarantined, p.rows_per_second,
       p.eta_low, p.eta_high, p.hold_reason,
       (SELECT greatest(c.reltuples, 0)::bigint FROM pg_catalog.pg_class c WHERE c.oid = s.source) AS old_rows_estimated,
       (SELECT greatest(c.reltuples, 0)::bigint FROM pg_catalog.pg_class c WHERE c.oid = s.target) AS new_rows_estimated
  FROM pgbackfill.shadows s LEFT JOIN pgbackfill.progress p ON p.name = s.job_name
 WHERE $1::text IS NULL OR s.name = $1
 ORDER BY s.id DESC LIMIT 100;

-- name: job
SELECT p.status, p.rows_quarantined FROM pgbackfill.progress p WHERE p.name = $1;

-- name: cancel_job
UPDATE pgbackfill.jobs SET desired_state = 'cancel'
 WHERE name = $1 AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: table
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1;

-- name: resolve
-- As the person who asks would: with their search path.
SELECT pgbackfill.find_table($1, pgbackfill.path_text(pg_catalog.current_schemas(false)))::pg_catalog.oid;

-- name: key
SELECT pgbackfill.choose_key($1, $2);

-- name: columns
-- What goes from $1 to $2: name, and the type there.
SELECT t.attname::text AS name, format_type(t.atttypid, t.atttypmod) AS type_name,
       format_type(s.atttypid, s.atttypmod) AS type_before, t.attname = ANY ($3::text[]) AS key,
       t.attidentity = 'a' AS always,
       (SELECT n.nspname FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace WHERE y.oid = s.atttypid) AS type_schema,
       t.atttypid = s.atttypid AND t.attcollation = s.attcollation
           OR s.atttypid::regtype::text IN ('smallint', 'integer', 'bigint')
              AND t.atttypid::regtype::text IN ('smallint', 'integer', 'bigint')
           OR s.atttypid::regtype::text IN ('text', 'character varying')
              AND t.atttypid::regtype::text IN ('text', 'character varying') AND t.attcollation = s.attcollation
           AS same_order
  FROM unnest(pgbackfill.copied_columns($1, $2)) WITH ORDINALITY AS u(name, n)
  JOIN pg_attribute s ON s.attrelid = $1 AND s.attname = u.name
  JOIN pg_attribute t ON t.attrelid = $2 AND t.attname = u.name
 ORDER BY u.n;

-- name: unfilled
-- Columns of $2 that $1 cannot give and that cannot stay empty.
SELECT quote_ident(t.attname) AS name FROM pg_attribute t
 WHERE t.attrelid = $2 AND t.attnum > 0 AND NOT t.attisdropped AND t.attnotnull AND NOT t.atthasdef
   AND t.attidentity = '' AND t.attgenerated = ''
   AND t.attname <> ALL (coalesce(pgbackfill.copied_columns($1, $2), '{}'))
 ORDER BY t.attnum;

-- name: unusable_target
-- Why $1 cannot follow, by the key $2.
SELECT CASE
    WHEN c.relispartition THEN 'is a partition; name the partitioned table'
    WHEN c.relhassubclass AND c.relkind = 'r' THEN 'has inheritance children'
    WHEN NOT EXISTS (SELECT FROM pgbackfill.keys_of(c.oid) k
                     WHERE k.objection IS NULL AND k.columns @> $2::text[] AND k.columns <@ $2::text[])
        THEN format('has no unique key on %s, by which rows are told apart; add one, or name another key with --key',
                    array_to_string($2::text[], ', '))
    WHEN t.tgname IS NOT NULL
        THEN format('has the trigger %s, which would fire for copied rows; create it after the cutover', quote_ident(t.tgname))
    WHEN c.relforcerowsecurity THEN 'forces row-level security on its owner, which copies the rows; NO FORCE it first'
       END AS objection
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (SELECT tgname FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgname NOT LIKE 'pgbackfill\_shadow\_%'
                      ORDER BY tgname LIMIT 1) AS t ON true
 WHERE c.oid = $1;

-- name: objections
-- What hangs on the table $1 by its identity and cannot be moved to another one: what it is, and what to do.
WITH dependent AS (
    SELECT DISTINCT d.classid, d.objid, d.objsubid
      FROM pg_depend d
      JOIN pg_class me ON me.oid = $1
      LEFT JOIN pg_type rowtype ON rowtype.oid = me.reltype
     WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = me.oid
            OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (rowtype.oid, rowtype.typarray))
       AND NOT (d.classid = 'pg_type'::regclass AND d.objid IN (rowtype.oid, rowtype.typarray))
)
SELECT format('it is a partition of %s; detach it, or replace the whole partitioned table', i.inhparent::regclass) AS objection
  FROM pg_inherits i WHERE i.inhrelid = $1
UNION ALL
SELECT format('it is published by %s, whose subscribers would miss the copied rows; ALTER PUBLICATION %s DROP TABLE it until '
              'the cutover is done', quote_ident(p.pubname), quote_ident(p.pubname))
  FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1
UNION ALL
SELECT format('the publication %s publishes every new table, and its subscribers have no shadow; name its tables one by one',
              quote_ident(p.pubname))
  FROM pg_publication p
 WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace m JOIN pg_class c ON c.relnamespace = m.pnnspid
                                  WHERE m.pnpubid = p.oid AND c.oid = $1)
UNION ALL
SELECT 'it forces row-level security on its owner, who keeps the two tables in step; ALTER TABLE … NO FORCE ROW LEVEL SECURITY'
  FROM pg_class WHERE oid = $1 AND relforcerowsecurity
UNION ALL
SELECT 'its replica identity is an index; set it to DEFAULT or FULL first' FROM pg_class WHERE oid = $1 AND relreplident = 'i'
UNION ALL
SELECT format('the partitioned table %s references it by %s, and such a foreign key cannot be moved without a scan under the '
              'lock; drop it first and add it afterwards', f.conrelid::regclass, quote_ident(f.conname))
  FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
 WHERE f.contype = 'f' AND f.confrelid = $1 AND f.conparentid = 0 AND c.relkind = 'p' AND f.conrelid <> $1
UNION ALL
SELECT format('the %s depends on it and would stay with the old table; drop it before and create it again after the cutover',
              pg_describe_object(d.classid, d.objid, d.objsubid))
  FROM dependent d
 WHERE NOT CASE d.classid
     WHEN 'pg_class'::regclass THEN (SELECT c.relkind IN ('i', 'I', 'S', 't') OR c.relispartition OR c.oid = $1
                                       FROM pg_class c WHERE c.oid = d.objid)
     WHEN 'pg_constraint'::regclass THEN true
     WHEN 'pg_trigger'::regclass THEN true
     WHEN 'pg_attrdef'::regclass THEN (SELECT a.adrelid = $1 FROM pg_attrdef a WHERE a.oid = d.objid)
     WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid = $1 FROM pg_policy p WHERE p.oid = d.objid)
     WHEN 'pg_statistic_ext'::regclass THEN true
     WHEN 'pg_publication_rel'::regclass THEN true
     WHEN 'pg_rewrite'::regclass THEN (SELECT c.relkind = 'v' AND r.ev_type = '1' AND r.rulename = '_RETURN'
                                         FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.oid = d.objid)
     ELSE false END
 ORDER BY 1;

-- name: referenced
-- The tables that the foreign keys of $1 point to, itself left out.
SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS relation
  FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE f.contype = 'f' AND f.conrelid = $1 AND f.confrelid <> $1 ORDER BY 1;

-- name: to_lock
-- Views first: their readers lock them before the table, and whoever locks the other way around meets them in a deadlock.
SELECT relation FROM (
    SELECT DISTINCT 1 AS rank, format('%I.%I', n.nspname, c.relname) AS relation
      FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v' JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    UNION
    SELECT CASE c.oid WHEN $1 THEN 2 ELSE 3 END, format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ($1, $2)
    UNION
    SELECT 4, format('%I.%I', n.nspname, c.relname)
      FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE f.contype = 'f' AND f.confrelid = $1 AND f.conrelid NOT IN ($1, $2) AND f.conparentid = 0
) AS t ORDER BY rank, relation;

-- name: outgoing
-- The foreign keys of $1 to other tables, for $2. LIKE does not take them along.
SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, f.conname, pg_get_constraintdef(f.oid)) AS statement
  FROM pg_constraint f, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = $2 AND f.contype = 'f' AND f.conrelid = $1 AND f.confrelid <> $1 AND f.conparentid = 0
   AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = $2 AND o.conname = f.conname)
 ORDER BY f.conname;

-- name: fittings
-- What LIKE leaves out of a new table $2 besides: storage parameters, statistics targets, comment.
SELECT statement FROM (
    SELECT 1 AS rank, format('ALTER TABLE %I.%I SET (%s)', n.nspname, c.relname, array_to_string(s.reloptions, ', ')) AS statement
      FROM pg_class s, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE s.oid = $1 AND c.oid = $2 AND s.reloptions IS NOT NULL
    UNION ALL
    SELECT 2, format('ALTER TABLE %I.%I ALTER COLUMN %I SET STATISTICS %s', n.nspname, c.relname, a.attname, a.attstattarget)
      FROM pg_attribute a, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = $2 AND a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND coalesce(a.attstattarget, -1) >= 0
    UNION ALL
    SELECT 3, format('COMMENT ON TABLE %I.%I IS %L', n.nspname, c.relname, obj_description($1, 'pg_class'))
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = $2 AND obj_description($1, 'pg_class') IS NOT NULL
) AS t ORDER BY rank, statement;

-- name: rights
-- Who may do what with $1, for $2: owner, grants, row-level security, replica identity.
WITH t AS (
    SELECT format('%I.%I', n.nspname, c.relname) AS relation, c.*
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $2
), s AS (SELECT * FROM pg_class WHERE oid = $1)
SELECT statement FROM (
    SELECT 1 AS rank, format('ALTER TABLE %s OWNER TO %I', t.relation, pg_get_userbyid(s.relowner)) AS statement
      FROM s, t WHERE s.relowner <> t.relowner
    UNION ALL
    SELECT DISTINCT 2, format('REVOKE ALL ON %s FROM %s', t.relation,
                              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
      FROM t, s, aclexplode(t.relacl) AS a WHERE a.grantee NOT IN (t.relowner, s.relowner)
    UNION ALL
    SELECT 3, format('GRANT %s ON %s TO %s%s', string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), t.relation,
                     CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                     CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
      FROM t, s, aclexplode(s.relacl) AS a WHERE a.grantee <> s.relowner GROUP BY t.relation, a.grantee, a.is_grantable
    UNION ALL
    SELECT 4, format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, c.attname, t.relation,
                     CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                     CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
      FROM t, pg_attribute c, aclexplode(c.attacl) AS a
     WHERE c.attrelid = $1 AND c.attnum > 0 AND NOT c.attisdropped
       AND EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = $2 AND o.attname = c.attname AND NOT o.attisdropped)
    UNION ALL
    SELECT 5, format('ALTER TABLE %s %s ROW LEVEL SECURITY', t.relation, CASE WHEN s.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END)
      FROM s, t WHERE s.relrowsecurity <> t.relrowsecurity
    UNION ALL
    SELECT 6, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, t.relation,
                     CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                     CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                         ELSE 'ALL' END,
                     (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
                        FROM unnest(p.polroles) AS r),
                     ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                     ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
      FROM t, pg_policy p
     WHERE p.polrelid = $1 AND NOT EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = $2 AND o.polname = p.polname)
    UNION ALL
    SELECT 7, format('ALTER TABLE %s REPLICA IDENTITY %s', t.relation,
                     CASE s.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE 'DEFAULT' END)
      FROM s, t WHERE s.relreplident <> t.relreplident
) AS statements ORDER BY rank, statement;

-- name: leave
-- What is taken from $1 before it gives its name away to $2. Statements with the names of now.
SELECT statement FROM (
    -- Foreign keys to it, its own included: checked in the follower, a child would come before its parent.
    SELECT 1 AS rank, format('ALTER TABLE %s DROP CONSTRAINT %I', f.conrelid::regclass, f.conname) AS statement
      FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = $1 AND f.conparentid = 0
    UNION ALL
    -- The application's triggers and ours: those of a follower must not fire.
    SELECT 2, format('DROP TRIGGER %I ON %s', t.tgname, $1::regclass)
      FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgparentid = 0
    UNION ALL
    -- Numbers go on where they were.
    SELECT 3, format('SELECT setval(%L, last_value, is_called) FROM %s', own.theirs, own.ours::regclass)
      FROM (SELECT pg_get_serial_sequence($1::regclass::text, a.attname) AS ours,
                   pg_get_serial_sequence($2::regclass::text, b.attname) AS theirs
              FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = $2 AND b.attname = a.attname AND NOT b.attisdropped
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped) AS own
     WHERE own.ours <> own.theirs
) AS t ORDER BY rank, statement;

-- name: arrive
-- What $2 gets once it has the name of $1: asked before, while the definitions still have that name in them.
SELECT statement FROM (
    SELECT 1 AS rank, 0 AS part, f.conname::text AS name,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', f.conrelid::regclass, f.conname, pg_get_constraintdef(f.oid),
                  CASE WHEN f.convalidated THEN ' NOT VALID' ELSE '' END) AS statement
      FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = $1 AND f.conparentid = 0
    UNION ALL
    SELECT 2, 0, t.tgname::text, pg_get_triggerdef(t.oid)
      FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgname NOT LIKE 'pgbackfill\_shadow\_%'
    UNION ALL
    SELECT 2, 1, t.tgname::text, format('ALTER TABLE %s %s TRIGGER %I', $1::regclass,
               CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname)
      FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgname NOT LIKE 'pgbackfill\_shadow\_%'
       AND t.tgenabled <> 'O'
    UNION ALL
    -- A view reads a table by its identity: written anew, it finds the one that has the name now.
    SELECT DISTINCT 3, 0, c.oid::text, format('CREATE OR REPLACE VIEW %s%s AS %s', c.oid::regclass,
               ' WITH (' || array_to_string(c.reloptions, ', ') || ')', pg_get_viewdef(c.oid))
      FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    UNION ALL
    SELECT 4, 0, q.oid::text, format('ALTER SEQUENCE %s OWNED BY %s.%I', q.oid::regclass, $1::regclass, a.attname)
      FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
      JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = $1 AND d.deptype = 'a'
       AND EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = $2 AND b.attname = a.attname AND NOT b.attisdropped)
) AS t ORDER BY rank, name, part;

-- name: twins
-- Indexes of $1 and $2 with the same definition, and sequences of the same column: they exchange their names.
WITH indexes AS (
    SELECT i.indrelid, c.relname, n.nspname, row_number() OVER (PARTITION BY i.indrelid, d.definition ORDER BY c.relname) AS nth,
           d.definition
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL (SELECT concat_ws(' ', i.indisprimary, i.indisunique, i.indisexclusion,
                              substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*$')) AS definition) AS d
     WHERE i.indrelid IN ($1, $2)
), sequences AS (
    SELECT d.refobjid, c.relname, n.nspname, a.attname
      FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid IN ($1, $2) AND d.deptype IN ('a', 'i')
)
SELECT 'INDEX' AS kind, a.nspname AS schema, a.relname AS ours, b.relname AS theirs
  FROM indexes a JOIN indexes b USING (definition, nth, nspname) WHERE a.indrelid = $1 AND b.indrelid = $2
UNION ALL
SELECT 'SEQUENCE', a.nspname, a.relname, b.relname
  FROM sequences a JOIN sequences b USING (attname, nspname) WHERE a.refobjid = $1 AND b.refobjid = $2
 ORDER BY 1, 3;

-- name: unvalidated
-- Foreign keys to the table $1 that a swap added without looking at the rows.
SELECT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', f.conrelid::regclass, f.conname) AS statement,
       format('%I of %s', f.conname, f.conrelid::regclass) AS label
  FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = $1 AND NOT f.convalidated AND f.conparentid = 0
 ORDER BY 1;

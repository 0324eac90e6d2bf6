-- read
/* pgbackfill job=users-geo */ SELECT t.xmin::text, t."Key ""1"".x"::text, t."at"::text, t."id", t."Ö ""x""" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."at") > (CAST($1::text AS character(3)), CAST($2::text AS date)) AND (t."Key ""1"".x", t."at") <= (CAST($3::text AS character(3)), CAST($4::text AS date)) AND CASE WHEN (lat IS NULL -- to do
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."at" LIMIT 500
-- ["a'b", '2024-01-01', '{%s}', 'infinity']

-- read everything
/* pgbackfill job=users-geo */ SELECT t.xmin::text, t."Key ""1"".x"::text, t."at"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."at") <= (CAST($1::text AS character(3)), CAST($2::text AS date)) ORDER BY t."Key ""1"".x", t."at" LIMIT 1
-- ['{%s}', 'infinity']

-- lock
/* pgbackfill job=users-geo */ SELECT t.xmin::text, t."Key ""1"".x"::text, t."at"::text FROM ONLY "public"."users" AS t JOIN (SELECT CAST(u.k0 AS character(3)) AS k0, CAST(u.k1 AS date) AS k1 FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) AS chunk ON t."Key ""1"".x" = chunk.k0 AND t."at" = chunk.k1 ORDER BY t."Key ""1"".x", t."at" FOR NO KEY UPDATE OF t
-- [["a'b", '{%s}'], ['2024-01-01', 'infinity']]

-- write
/* pgbackfill job=users-geo */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users" AS t SET "lat" = chunk.c0, "Ö ""x""" = chunk.c1 FROM pg_catalog.json_to_recordset($1::text::json) AS chunk(k0 text, k1 text, v text, c0 double precision, c1 "My Schema"."Enum") WHERE t."Key ""1"".x" = CAST(chunk.k0 AS character(3)) AND t."at" = CAST(chunk.k1 AS date) AND t.xmin = CAST(chunk.v AS xid) RETURNING 1
-- ['[]']

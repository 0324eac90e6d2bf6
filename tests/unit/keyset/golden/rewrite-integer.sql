-- read
/* pgbackfill job=users-geo */ SELECT t.xmin::text, t."id"::text, t."id", t."Ö ""x""" FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (lat IS NULL -- to do
) THEN true ELSE false END ORDER BY t."id" LIMIT 500
-- ['7', '99']

-- read everything
/* pgbackfill job=users-geo */ SELECT t.xmin::text, t."id"::text FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" LIMIT 1
-- ['99']

-- lock
/* pgbackfill job=users-geo */ SELECT t.xmin::text, t."id"::text FROM ONLY "public"."users" AS t JOIN (SELECT CAST(u.k0 AS bigint) AS k0 FROM unnest($1::text[]) AS u(k0)) AS chunk ON t."id" = chunk.k0 ORDER BY t."id" FOR NO KEY UPDATE OF t
-- [['7', '99']]

-- write
/* pgbackfill job=users-geo */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users" AS t SET "lat" = chunk.c0, "Ö ""x""" = chunk.c1 FROM pg_catalog.json_to_recordset($1::text::json) AS chunk(k0 text, v text, c0 double precision, c1 "My Schema"."Enum") WHERE t."id" = CAST(chunk.k0 AS bigint) AND t.xmin = CAST(chunk.v AS xid) RETURNING 1
-- ['[]']

-- relation oid
(SELECT pg_catalog.to_regclass('"public"."ünï ""q"" .dot"')::oid)
-- []

-- boundary from the start
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) ORDER BY t."tenant", t."at" LIMIT 1 OFFSET 499) AS k
-- ['00000000-0000-0000-0000-00000000000b', 'infinity']

-- tail from the start
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text, (SELECT count(*) FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone))) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1) AS k
-- ['00000000-0000-0000-0000-00000000000b', 'infinity']

-- last key from the start
/* pgbackfill job=old */ SELECT t."tenant"::text, t."at"::text FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") <= (CAST($1::text AS uuid)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1
-- ['00000000-0000-0000-0000-00000000000b']

-- change range from the start
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) DELETE FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END RETURNING 1
-- ['00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and count from the start
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and list from the start
/* pgbackfill job=old */ SELECT array_agg(locked."tenant"::text), array_agg(locked."at"::text) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000b', 'infinity']

-- boundary after the cursor
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) ORDER BY t."tenant", t."at" LIMIT 1 OFFSET 499) AS k
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- tail after the cursor
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text, (SELECT count(*) FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone))) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1) AS k
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- last key after the cursor
/* pgbackfill job=old */ SELECT t."tenant"::text, t."at"::text FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant") <= (CAST($3::text AS uuid)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b']

-- change range after the cursor
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) DELETE FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END RETURNING 1
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and count after the cursor
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and list after the cursor
/* pgbackfill job=old */ SELECT array_agg(locked."tenant"::text), array_agg(locked."at"::text) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") > (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- boundary from a bound
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) ORDER BY t."tenant", t."at" LIMIT 1 OFFSET 499) AS k
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- tail from a bound
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text, (SELECT count(*) FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone))) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1) AS k
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- last key from a bound
/* pgbackfill job=old */ SELECT t."tenant"::text, t."at"::text FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant") <= (CAST($3::text AS uuid)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b']

-- change range from a bound
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) DELETE FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END RETURNING 1
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and count from a bound
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and list from a bound
/* pgbackfill job=old */ SELECT array_agg(locked."tenant"::text), array_agg(locked."at"::text) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") >= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone)) AND (t."tenant", t."at") <= (CAST($3::text AS uuid), CAST($4::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000a', '2024-01-01 00:00:00+00', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- boundary from a prefix
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone)) ORDER BY t."tenant", t."at" LIMIT 1 OFFSET 499) AS k
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- tail from a prefix
/* pgbackfill job=old */ SELECT k."tenant"::text, k."at"::text, (SELECT count(*) FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone))) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1) AS k
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- last key from a prefix
/* pgbackfill job=old */ SELECT t."tenant"::text, t."at"::text FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant") <= (CAST($2::text AS uuid)) ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b']

-- change range from a prefix
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) DELETE FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END RETURNING 1
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and count from a prefix
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- lock and list from a prefix
/* pgbackfill job=old */ SELECT array_agg(locked."tenant"::text), array_agg(locked."at"::text) FROM (SELECT t."tenant", t."at" FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone)) AND CASE WHEN (done
) THEN true ELSE false END ORDER BY t."tenant", t."at" FOR UPDATE OF t) AS locked
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- last key of all
/* pgbackfill job=old */ SELECT t."tenant"::text, t."at"::text FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE true ORDER BY t."tenant" DESC, t."at" DESC LIMIT 1
-- []

-- count estimate
/* pgbackfill job=old */ EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE true
-- []

-- sampled keys
/* pgbackfill job=old */ SELECT k.k0::text, k.k1::text, k.rank, k.seen FROM (SELECT t."tenant" AS k0, t."at" AS k1, row_number() OVER (ORDER BY t."tenant", t."at") AS rank, count(*) OVER () AS seen FROM ONLY "public"."ünï ""q"" .dot" AS t TABLESAMPLE SYSTEM (0.1250000000) WHERE (t."tenant") >= (CAST($1::text AS uuid)) AND (t."tenant", t."at") <= (CAST($2::text AS uuid), CAST($3::text AS timestamp with time zone))) AS k WHERE k.rank % greatest(k.seen / 1024, 1) = 0 ORDER BY k.rank
-- ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'infinity']

-- sampled keys of the whole walk
/* pgbackfill job=old */ SELECT k.k0::text, k.k1::text, k.rank, k.seen FROM (SELECT t."tenant" AS k0, t."at" AS k1, row_number() OVER (ORDER BY t."tenant", t."at") AS rank, count(*) OVER () AS seen FROM ONLY "public"."ünï ""q"" .dot" AS t WHERE (t."tenant", t."at") <= (CAST($1::text AS uuid), CAST($2::text AS timestamp with time zone))) AS k WHERE k.rank % greatest(k.seen / 1024, 1) = 0 ORDER BY k.rank
-- ['00000000-0000-0000-0000-00000000000b', 'infinity']

-- change joined
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) DELETE FROM ONLY "public"."ünï ""q"" .dot" AS t USING (SELECT CAST(u.k0 AS uuid) AS "pgbackfill_0", CAST(u.k1 AS timestamp with time zone) AS "pgbackfill_1" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) AS pgbackfill_chunk WHERE t."tenant" = pgbackfill_chunk."pgbackfill_0" AND t."at" = pgbackfill_chunk."pgbackfill_1" AND (done
) RETURNING 1
-- [['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'], ['2024-01-01 00:00:00+00', 'infinity']]

-- change joined, not measured
/* pgbackfill job=old */ DELETE FROM ONLY "public"."ünï ""q"" .dot" AS t USING (SELECT CAST(u.k0 AS uuid) AS "pgbackfill_0", CAST(u.k1 AS timestamp with time zone) AS "pgbackfill_1" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) AS pgbackfill_chunk WHERE t."tenant" = pgbackfill_chunk."pgbackfill_0" AND t."at" = pgbackfill_chunk."pgbackfill_1" AND (done
) RETURNING 1
-- [['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'], ['2024-01-01 00:00:00+00', 'infinity']]


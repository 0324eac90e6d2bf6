-- relation oid
(SELECT pg_catalog.to_regclass('"public"."users_1"')::oid WHERE 16384 IN (SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(pg_catalog.to_regclass('"public"."users_1"')) AS a))
-- []

-- boundary from the start
/* pgbackfill job=users-email */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['99']

-- tail from the start
/* pgbackfill job=users-email */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['99']

-- last key from the start
/* pgbackfill job=users-email */ SELECT t."id"::text FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['99']

-- change range from the start
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users_1" AS t SET n = n + 1
 WHERE (t."id") <= (CAST($1::text AS bigint)) RETURNING 1
-- ['99']

-- lock and count from the start
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['99']

-- lock and list from the start
/* pgbackfill job=users-email */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['99']

-- boundary after the cursor
/* pgbackfill job=users-email */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['7', '99']

-- tail after the cursor
/* pgbackfill job=users-email */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users_1" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['7', '99']

-- last key after the cursor
/* pgbackfill job=users-email */ SELECT t."id"::text FROM ONLY "public"."users_1" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['7', '99']

-- change range after the cursor
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users_1" AS t SET n = n + 1
 WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) RETURNING 1
-- ['7', '99']

-- lock and count after the cursor
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- lock and list after the cursor
/* pgbackfill job=users-email */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- boundary from a bound
/* pgbackfill job=users-email */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['7', '99']

-- tail from a bound
/* pgbackfill job=users-email */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['7', '99']

-- last key from a bound
/* pgbackfill job=users-email */ SELECT t."id"::text FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['7', '99']

-- change range from a bound
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users_1" AS t SET n = n + 1
 WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) RETURNING 1
-- ['7', '99']

-- lock and count from a bound
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- lock and list from a bound
/* pgbackfill job=users-email */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- boundary from a prefix
/* pgbackfill job=users-email */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['7', '99']

-- tail from a prefix
/* pgbackfill job=users-email */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['7', '99']

-- last key from a prefix
/* pgbackfill job=users-email */ SELECT t."id"::text FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['7', '99']

-- change range from a prefix
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users_1" AS t SET n = n + 1
 WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) RETURNING 1
-- ['7', '99']

-- lock and count from a prefix
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- lock and list from a prefix
/* pgbackfill job=users-email */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users_1" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- last key of all
/* pgbackfill job=users-email */ SELECT t."id"::text FROM ONLY "public"."users_1" AS t WHERE true ORDER BY t."id" DESC LIMIT 1
-- []

-- count estimate
/* pgbackfill job=users-email */ EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY "public"."users_1" AS t WHERE true
-- []

-- sampled keys
/* pgbackfill job=users-email */ SELECT percentile_disc(ARRAY(SELECT i / 1024::float8 FROM generate_series(1, 1024) AS i)) WITHIN GROUP (ORDER BY t."id")::text[] AS keys, count(*) AS seen FROM ONLY "public"."users_1" AS t TABLESAMPLE SYSTEM (0.1250000000) WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))
-- ['7', '99']

-- sampled keys of the whole walk
/* pgbackfill job=users-email */ SELECT percentile_disc(ARRAY(SELECT i / 1024::float8 FROM generate_series(1, 1024) AS i)) WITHIN GROUP (ORDER BY t."id")::text[] AS keys, count(*) AS seen FROM ONLY "public"."users_1" AS t WHERE (t."id") <= (CAST($1::text AS bigint))
-- ['99']

-- change joined
/* pgbackfill job=users-email */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) UPDATE ONLY "public"."users_1" AS t SET n = n + 1
 FROM (SELECT CAST(u.k0 AS bigint) AS "pgbackfill_0" FROM unnest($1::text[]) AS u(k0)) AS pgbackfill_chunk WHERE t."id" = pgbackfill_chunk."pgbackfill_0" RETURNING 1
-- [['7', '99']]

-- change joined, not measured
/* pgbackfill job=users-email */ UPDATE ONLY "public"."users_1" AS t SET n = n + 1
 FROM (SELECT CAST(u.k0 AS bigint) AS "pgbackfill_0" FROM unnest($1::text[]) AS u(k0)) AS pgbackfill_chunk WHERE t."id" = pgbackfill_chunk."pgbackfill_0" RETURNING 1
-- [['7', '99']]


-- relation oid
(SELECT pg_catalog.to_regclass('"public"."users"')::oid)
-- []

-- boundary from the start
/* pgbackfill job=copy */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['99']

-- tail from the start
/* pgbackfill job=copy */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['99']

-- last key from the start
/* pgbackfill job=copy */ SELECT t."id"::text FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['99']

-- lock and count from the start
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['99']

-- lock and list from the start
/* pgbackfill job=copy */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['99']

-- boundary after the cursor
/* pgbackfill job=copy */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['7', '99']

-- tail after the cursor
/* pgbackfill job=copy */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['7', '99']

-- last key after the cursor
/* pgbackfill job=copy */ SELECT t."id"::text FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['7', '99']

-- lock and count after the cursor
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- lock and list after the cursor
/* pgbackfill job=copy */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") > (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- boundary from a bound
/* pgbackfill job=copy */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['7', '99']

-- tail from a bound
/* pgbackfill job=copy */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['7', '99']

-- last key from a bound
/* pgbackfill job=copy */ SELECT t."id"::text FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['7', '99']

-- lock and count from a bound
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- lock and list from a bound
/* pgbackfill job=copy */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- boundary from a prefix
/* pgbackfill job=copy */ SELECT k."id"::text FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k
-- ['7', '99']

-- tail from a prefix
/* pgbackfill job=copy */ SELECT k."id"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1) AS k
-- ['7', '99']

-- last key from a prefix
/* pgbackfill job=copy */ SELECT t."id"::text FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) ORDER BY t."id" DESC LIMIT 1
-- ['7', '99']

-- lock and count from a prefix
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- lock and list from a prefix
/* pgbackfill job=copy */ SELECT array_agg(locked."id"::text) FROM (SELECT t."id" FROM ONLY "public"."users" AS t WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint)) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."id" FOR NO KEY UPDATE OF t) AS locked
-- ['7', '99']

-- last key of all
/* pgbackfill job=copy */ SELECT t."id"::text FROM ONLY "public"."users" AS t WHERE true ORDER BY t."id" DESC LIMIT 1
-- []

-- count estimate
/* pgbackfill job=copy */ EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY "public"."users" AS t WHERE true
-- []

-- sampled keys
/* pgbackfill job=copy */ SELECT percentile_disc(ARRAY(SELECT i / 1024::float8 FROM generate_series(1, 1024) AS i)) WITHIN GROUP (ORDER BY t."id")::text[] AS keys, count(*) AS seen FROM ONLY "public"."users" AS t TABLESAMPLE SYSTEM (0.1250000000) WHERE (t."id") >= (CAST($1::text AS bigint)) AND (t."id") <= (CAST($2::text AS bigint))
-- ['7', '99']

-- sampled keys of the whole walk
/* pgbackfill job=copy */ SELECT percentile_disc(ARRAY(SELECT i / 1024::float8 FROM generate_series(1, 1024) AS i)) WITHIN GROUP (ORDER BY t."id")::text[] AS keys, count(*) AS seen FROM ONLY "public"."users" AS t WHERE (t."id") <= (CAST($1::text AS bigint))
-- ['99']

-- change joined
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) WITH chunk AS MATERIALIZED (SELECT CAST(u.k0 AS bigint) AS "id" FROM unnest($1::text[]) AS u(k0)) INSERT INTO x SELECT * FROM chunk

-- [['7', '99']]

-- change joined, not measured
/* pgbackfill job=copy */ WITH chunk AS MATERIALIZED (SELECT CAST(u.k0 AS bigint) AS "id" FROM unnest($1::text[]) AS u(k0)) INSERT INTO x SELECT * FROM chunk

-- [['7', '99']]


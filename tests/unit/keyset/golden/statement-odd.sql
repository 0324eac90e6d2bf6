-- relation oid
(SELECT pg_catalog.to_regclass('"public"."users"')::oid)
-- []

-- boundary from the start
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ['z', '\\']

-- tail from the start
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ['z', '\\']

-- last key from the start
/* pgbackfill job=copy */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") <= (CAST($1::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ['z']

-- lock and count from the start
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ['z', '\\']

-- lock and list from the start
/* pgbackfill job=copy */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ['z', '\\']

-- boundary after the cursor
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- tail after the cursor
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- last key after the cursor
/* pgbackfill job=copy */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x") <= (CAST($3::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ["a'b", '{%s}', 'z']

-- lock and count after the cursor
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- lock and list after the cursor
/* pgbackfill job=copy */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- boundary from a bound
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- tail from a bound
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- last key from a bound
/* pgbackfill job=copy */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x") <= (CAST($3::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ["a'b", '{%s}', 'z']

-- lock and count from a bound
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- lock and list from a bound
/* pgbackfill job=copy */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- boundary from a prefix
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ["a'b", 'z', '\\']

-- tail from a prefix
/* pgbackfill job=copy */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ["a'b", 'z', '\\']

-- last key from a prefix
/* pgbackfill job=copy */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x") <= (CAST($2::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ["a'b", 'z']

-- lock and count from a prefix
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ["a'b", 'z', '\\']

-- lock and list from a prefix
/* pgbackfill job=copy */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) AND CASE WHEN (n < 5
) THEN true ELSE false END ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR NO KEY UPDATE OF t) AS locked
-- ["a'b", 'z', '\\']

-- last key of all
/* pgbackfill job=copy */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE true ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- []

-- count estimate
/* pgbackfill job=copy */ EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY "public"."users" AS t WHERE true
-- []

-- sampled keys
/* pgbackfill job=copy */ SELECT k.k0::text, k.k1::text, k.rank, k.seen FROM (SELECT t."Key ""1"".x" AS k0, t."schlüssel $1" AS k1, row_number() OVER (ORDER BY t."Key ""1"".x", t."schlüssel $1") AS rank, count(*) OVER () AS seen FROM ONLY "public"."users" AS t TABLESAMPLE SYSTEM (0.1250000000) WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum"))) AS k WHERE k.rank % greatest(k.seen / 1024, 1) = 0 ORDER BY k.rank
-- ["a'b", 'z', '\\']

-- sampled keys of the whole walk
/* pgbackfill job=copy */ SELECT k.k0::text, k.k1::text, k.rank, k.seen FROM (SELECT t."Key ""1"".x" AS k0, t."schlüssel $1" AS k1, row_number() OVER (ORDER BY t."Key ""1"".x", t."schlüssel $1") AS rank, count(*) OVER () AS seen FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum"))) AS k WHERE k.rank % greatest(k.seen / 1024, 1) = 0 ORDER BY k.rank
-- ['z', '\\']

-- change joined
/* pgbackfill job=copy */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) WITH chunk AS MATERIALIZED (SELECT CAST(u.k0 AS character(3)) AS "Key ""1"".x", CAST(u.k1 AS "My Schema"."Enum") AS "schlüssel $1" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) INSERT INTO x SELECT * FROM chunk

-- [["a'b", 'z'], ['{%s}', '\\']]

-- change joined, not measured
/* pgbackfill job=copy */ WITH chunk AS MATERIALIZED (SELECT CAST(u.k0 AS character(3)) AS "Key ""1"".x", CAST(u.k1 AS "My Schema"."Enum") AS "schlüssel $1" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) INSERT INTO x SELECT * FROM chunk

-- [["a'b", 'z'], ['{%s}', '\\']]


-- relation oid
(SELECT pg_catalog.to_regclass('"public"."users"')::oid)
-- []

-- boundary from the start
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ['z', '\\']

-- tail from the start
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ['z', '\\']

-- last key from the start
/* pgbackfill job=old */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") <= (CAST($1::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ['z']

-- lock and count from the start
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ['z', '\\']

-- lock and list from the start
/* pgbackfill job=old */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ['z', '\\']

-- boundary after the cursor
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- tail after the cursor
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- last key after the cursor
/* pgbackfill job=old */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x") <= (CAST($3::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ["a'b", '{%s}', 'z']

-- lock and count after the cursor
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- lock and list after the cursor
/* pgbackfill job=old */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") > (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- boundary from a bound
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- tail from a bound
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ["a'b", '{%s}', 'z', '\\']

-- last key from a bound
/* pgbackfill job=old */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x") <= (CAST($3::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ["a'b", '{%s}', 'z']

-- lock and count from a bound
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- lock and list from a bound
/* pgbackfill job=old */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") >= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum")) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($3::text AS character(3)), CAST($4::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ["a'b", '{%s}', 'z', '\\']

-- boundary from a prefix
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x", t."schlüssel $1" LIMIT 1 OFFSET 499) AS k
-- ["a'b", 'z', '\\']

-- tail from a prefix
/* pgbackfill job=old */ SELECT k."Key ""1"".x"::text, k."schlüssel $1"::text, (SELECT count(*) FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum"))) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1) AS k
-- ["a'b", 'z', '\\']

-- last key from a prefix
/* pgbackfill job=old */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x") <= (CAST($2::text AS character(3))) ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- ["a'b", 'z']

-- lock and count from a prefix
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) SELECT count(*) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ["a'b", 'z', '\\']

-- lock and list from a prefix
/* pgbackfill job=old */ SELECT array_agg(locked."Key ""1"".x"::text), array_agg(locked."schlüssel $1"::text) FROM (SELECT t."Key ""1"".x", t."schlüssel $1" FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum")) AND EXISTS (SELECT 1 FROM (SELECT t."Key ""1"".x" AS "Key ""1"".x", t."schlüssel $1" AS "schlüssel $1") AS chunk,
gone AS g
 WHERE (t.id = g.id
)) ORDER BY t."Key ""1"".x", t."schlüssel $1" FOR UPDATE OF t) AS locked
-- ["a'b", 'z', '\\']

-- last key of all
/* pgbackfill job=old */ SELECT t."Key ""1"".x"::text, t."schlüssel $1"::text FROM ONLY "public"."users" AS t WHERE true ORDER BY t."Key ""1"".x" DESC, t."schlüssel $1" DESC LIMIT 1
-- []

-- count estimate
/* pgbackfill job=old */ EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY "public"."users" AS t WHERE true
-- []

-- sampled keys
/* pgbackfill job=old */ SELECT k.k0::text, k.k1::text, k.rank, k.seen FROM (SELECT t."Key ""1"".x" AS k0, t."schlüssel $1" AS k1, row_number() OVER (ORDER BY t."Key ""1"".x", t."schlüssel $1") AS rank, count(*) OVER () AS seen FROM ONLY "public"."users" AS t TABLESAMPLE SYSTEM (0.1250000000) WHERE (t."Key ""1"".x") >= (CAST($1::text AS character(3))) AND (t."Key ""1"".x", t."schlüssel $1") <= (CAST($2::text AS character(3)), CAST($3::text AS "My Schema"."Enum"))) AS k WHERE k.rank % greatest(k.seen / 1024, 1) = 0 ORDER BY k.rank
-- ["a'b", 'z', '\\']

-- sampled keys of the whole walk
/* pgbackfill job=old */ SELECT k.k0::text, k.k1::text, k.rank, k.seen FROM (SELECT t."Key ""1"".x" AS k0, t."schlüssel $1" AS k1, row_number() OVER (ORDER BY t."Key ""1"".x", t."schlüssel $1") AS rank, count(*) OVER () AS seen FROM ONLY "public"."users" AS t WHERE (t."Key ""1"".x", t."schlüssel $1") <= (CAST($1::text AS character(3)), CAST($2::text AS "My Schema"."Enum"))) AS k WHERE k.rank % greatest(k.seen / 1024, 1) = 0 ORDER BY k.rank
-- ['z', '\\']

-- change joined
/* pgbackfill job=old */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) DELETE FROM ONLY "public"."users" AS t USING (SELECT CAST(u.k0 AS character(3)) AS "Key ""1"".x", CAST(u.k1 AS "My Schema"."Enum") AS "schlüssel $1" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) AS chunk,
gone AS g
 WHERE t."Key ""1"".x" = chunk."Key ""1"".x" AND t."schlüssel $1" = chunk."schlüssel $1" AND (t.id = g.id
) RETURNING 1
-- [["a'b", 'z'], ['{%s}', '\\']]

-- change joined, not measured
/* pgbackfill job=old */ DELETE FROM ONLY "public"."users" AS t USING (SELECT CAST(u.k0 AS character(3)) AS "Key ""1"".x", CAST(u.k1 AS "My Schema"."Enum") AS "schlüssel $1" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) AS chunk,
gone AS g
 WHERE t."Key ""1"".x" = chunk."Key ""1"".x" AND t."schlüssel $1" = chunk."schlüssel $1" AND (t.id = g.id
) RETURNING 1
-- [["a'b", 'z'], ['{%s}', '\\']]


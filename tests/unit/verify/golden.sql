-- begin
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL "lock_timeout" = '100'; SET LOCAL "statement_timeout" = '5000'; SET LOCAL "plan_cache_mode" = 'force_custom_plan'; SET LOCAL "enable_seqscan" = 'off'; SET LOCAL "enable_bitmapscan" = 'off'; SET LOCAL "row_security" = 'off'; SET LOCAL "TimeZone" = 'UTC'; SET LOCAL "DateStyle" = 'ISO, YMD'; SET LOCAL "IntervalStyle" = 'iso_8601'; SET LOCAL "bytea_output" = 'hex'; SET LOCAL "extra_float_digits" = '1'; SET LOCAL "work_mem" = '64MB'; SELECT pg_catalog.set_config('search_path', 'public, "x y"', true)

-- compared
/* pgbackfill job=job */ SELECT count(*) FILTER (WHERE w.later), array_agg(w.k0::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later), array_agg(w.k1::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later) FROM (SELECT t."tenant" AS k0, t."I""d" AS k1, (t.xmin::text::bigint > 2 AND (t.xmin::text::bigint - 705032704 + 4294967296) % 4294967296 < (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 5000000000)) AS later FROM ONLY "public"."users" AS t WHERE (t."tenant", t."I""d") > (CAST($1::text AS integer), CAST($2::text AS bigint)) AND (t."tenant", t."I""d") <= (CAST($3::text AS integer), CAST($4::text AS bigint)) AND CASE WHEN (n < 5 -- small
) AND (t."n" IS DISTINCT FROM CAST((1
) AS integer) OR t."Odd" IS DISTINCT FROM CAST((lower(x)
) AS character varying(5))) THEN true ELSE false END) AS w
-- ['1', '2', '3', '4']

-- selected
/* pgbackfill job=job */ SELECT count(*) FILTER (WHERE w.later), array_agg(w.k0::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later), array_agg(w.k1::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later) FROM (SELECT t."tenant" AS k0, t."I""d" AS k1, (t.xmin::text::bigint > 2 AND (t.xmin::text::bigint - 705032704 + 4294967296) % 4294967296 < (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 5000000000)) AS later FROM ONLY "public"."users" AS t WHERE (t."tenant", t."I""d") <= (CAST($1::text AS integer), CAST($2::text AS bigint)) AND CASE WHEN (n < 5 -- small
) THEN true ELSE false END) AS w
-- ['3', '4']

-- beside
/* pgbackfill job=job */ SELECT count(*) FILTER (WHERE w.later), array_agg(w.k0::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later), array_agg(w.k1::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later) FROM (SELECT t."tenant" AS k0, t."I""d" AS k1, (t.xmin::text::bigint > 2 AND (t.xmin::text::bigint - 705032704 + 4294967296) % 4294967296 < (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 5000000000)) AS later FROM ONLY "public"."users" AS t WHERE (t."tenant", t."I""d") > (CAST($1::text AS integer), CAST($2::text AS bigint)) AND (t."tenant", t."I""d") <= (CAST($3::text AS integer), CAST($4::text AS bigint)) AND CASE WHEN EXISTS (SELECT 1 FROM (SELECT t."tenant" AS "tenant", t."I""d" AS "I""d") AS chunk,
other AS o -- two
 WHERE (o.id = t.id
)) THEN true ELSE false END) AS w
-- ['1', '2', '3', '4']

-- quarantined
/* pgbackfill job=job */ SELECT count(*) FILTER (WHERE w.later), array_agg(w.k0::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later), array_agg(w.k1::text ORDER BY w.k0, w.k1) FILTER (WHERE NOT w.later) FROM (SELECT t."tenant" AS k0, t."I""d" AS k1, (t.xmin::text::bigint > 2 AND (t.xmin::text::bigint - 705032704 + 4294967296) % 4294967296 < (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 5000000000)) AS later FROM ONLY "public"."users" AS t WHERE (t."tenant", t."I""d") > (CAST($1::text AS integer), CAST($2::text AS bigint)) AND (t."tenant", t."I""d") <= (CAST($3::text AS integer), CAST($4::text AS bigint)) AND CASE WHEN (t."tenant", t."I""d") IN (SELECT CAST(u.k0 AS integer), CAST(u.k1 AS bigint) FROM unnest($5::text[], $6::text[]) AS u(k0, k1)) THEN false WHEN (n < 5 -- small
) AND (t."n" IS DISTINCT FROM CAST((1
) AS integer) OR t."Odd" IS DISTINCT FROM CAST((lower(x)
) AS character varying(5))) THEN true ELSE false END) AS w
-- ['1', '2', '3', '4', ['7', '9'], ['8', '10']]

-- sampled
/* pgbackfill job=job */ SELECT count(*), count(*) FILTER (WHERE w.wrong AND w.later), array_agg(w.k0::text) FILTER (WHERE w.wrong AND NOT w.later), array_agg(w.k1::text) FILTER (WHERE w.wrong AND NOT w.later) FROM (SELECT t."tenant" AS k0, t."I""d" AS k1, (t.xmin::text::bigint > 2 AND (t.xmin::text::bigint - 705032704 + 4294967296) % 4294967296 < (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 5000000000)) AS later, CASE WHEN (n < 5 -- small
) AND (t."n" IS DISTINCT FROM CAST((1
) AS integer) OR t."Odd" IS DISTINCT FROM CAST((lower(x)
) AS character varying(5))) THEN true ELSE false END AS wrong FROM ONLY "public"."users" AS t TABLESAMPLE SYSTEM (0.5000000000) WHERE (t."tenant", t."I""d") > (CAST($1::text AS integer), CAST($2::text AS bigint)) AND (t."tenant", t."I""d") <= (CAST($3::text AS integer), CAST($4::text AS bigint)) OFFSET 0) AS w
-- ['1', '2', '3', '4']


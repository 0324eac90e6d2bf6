/* pgbackfill job=job */ EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) WITH chunk AS MATERIALIZED (SELECT CAST(u.k0 AS integer) AS "tenant", CAST(u.k1 AS bigint) AS "Id" FROM unnest($1::text[], $2::text[]) AS u(k0, k1)) , pgbackfill_old AS MATERIALIZED (SELECT t."tenant", t."Id", t.xmin AS pgbackfill_before FROM ONLY "public"."users" AS t JOIN chunk ON t."tenant" = chunk."tenant" AND t."Id" = chunk."Id"), pgbackfill_changed AS (UPDATE ONLY "public"."users" AS t SET n = n + 1 -- one
 FROM chunk,
other AS o -- two
 WHERE t."tenant" = chunk."tenant" AND t."Id" = chunk."Id" AND (o.id = t.id
) RETURNING t."tenant", t."Id") INSERT INTO pgbackfill."old_42" AS s ("tenant", "Id", pgbackfill_xid, pgbackfill_before) SELECT o."tenant", o."Id", pg_catalog.pg_current_xact_id()::pg_catalog.xid, o.pgbackfill_before FROM pgbackfill_changed AS c JOIN pgbackfill_old AS o ON c."tenant" = o."tenant" AND c."Id" = o."Id" ON CONFLICT ("tenant", "Id") DO UPDATE SET pgbackfill_xid = excluded.pgbackfill_xid, pgbackfill_before = excluded.pgbackfill_before

-- [['1', '2'], ['3', '4']]

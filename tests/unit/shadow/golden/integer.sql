CREATE OR REPLACE FUNCTION "public"."pgbackfill_shadow_1_forth"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp SET row_security TO off SET enable_seqscan TO off
AS $pgbackfill$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE "public"."orders_shadow";
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND ROW(OLD."id") IS DISTINCT FROM ROW(NEW."id") THEN
        IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
            -- DELETE passes over a row that was copied after this transaction's snapshot; a conflict does not.
            INSERT INTO "public"."orders_shadow" ("id", "number", "total") OVERRIDING SYSTEM VALUE
            VALUES (OLD."id", OLD."number", OLD."total")
            ON CONFLICT ("id") DO NOTHING;
        END IF;
        DELETE FROM "public"."orders_shadow" AS f WHERE f."id" = OLD."id"
            AND NOT EXISTS (SELECT FROM "public"."orders" AS t WHERE t."id" = OLD."id" AND pg_catalog.age(t.xmin) BETWEEN -1073741824 AND 0);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        DELETE FROM "public"."orders_shadow" AS f USING "public"."orders" AS t WHERE f."id" = NEW."id" AND t."id" = NEW."id" AND pg_catalog.age(t.xmin) BETWEEN -1073741824 AND 0
            AND ROW(f."number") IS DISTINCT FROM ROW(t."number");
        INSERT INTO "public"."orders_shadow" ("id", "number", "total") OVERRIDING SYSTEM VALUE
            SELECT t."id", t."number", t."total" FROM "public"."orders" AS t WHERE t."id" = NEW."id" AND pg_catalog.age(t.xmin) BETWEEN -1073741824 AND 0
            ON CONFLICT ("id") DO UPDATE SET "total" = excluded."total";
    END IF;
    RETURN NULL;
END
$pgbackfill$

CREATE TRIGGER pgbackfill_shadow_row AFTER INSERT OR UPDATE OR DELETE ON "public"."orders" FOR EACH ROW EXECUTE FUNCTION "public"."pgbackfill_shadow_1_forth"()

ALTER TABLE "public"."orders" ENABLE ALWAYS TRIGGER pgbackfill_shadow_row

CREATE TRIGGER pgbackfill_shadow_truncate AFTER TRUNCATE ON "public"."orders" FOR EACH STATEMENT EXECUTE FUNCTION "public"."pgbackfill_shadow_1_forth"()

ALTER TABLE "public"."orders" ENABLE ALWAYS TRIGGER pgbackfill_shadow_truncate

DROP TRIGGER IF EXISTS pgbackfill_shadow_row ON "public"."orders"

DROP TRIGGER IF EXISTS pgbackfill_shadow_truncate ON "public"."orders"

SELECT k."id"::text FROM (SELECT t."id" FROM "public"."orders" AS t WHERE true ORDER BY t."id" LIMIT 1 OFFSET 499) AS k

-- []

SELECT k."id"::text FROM (SELECT t."id" FROM "public"."orders" AS t WHERE (t."id") > (CAST($1::text AS integer)) ORDER BY t."id" LIMIT 1 OFFSET 499) AS k

-- ['7']

SELECT l.rows AS leader_rows, f.rows AS follower_rows, l.checksum = f.checksum AS same FROM (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(CAST(t."id" AS bigint), CAST(t."number" AS bigint), CAST(t."total" AS numeric(10,2)))::text, 0)::numeric), 0)::text AS checksum FROM "public"."orders" AS t WHERE (t."id") > (CAST($1::text AS integer)) AND (t."id") <= (CAST($2::text AS integer))) AS l, (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(t."id", t."number", t."total")::text, 0)::numeric), 0)::text AS checksum FROM "public"."orders_shadow" AS t WHERE (t."id") > (CAST($1::text AS integer)) AND (t."id") <= (CAST($2::text AS integer))) AS f

-- ['7', '7']

SELECT l.rows AS leader_rows, f.rows AS follower_rows, l.checksum = f.checksum AS same FROM (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(CAST(t."id" AS bigint), CAST(t."number" AS bigint), CAST(t."total" AS numeric(10,2)))::text, 0)::numeric), 0)::text AS checksum FROM "public"."orders" AS t WHERE (t."id") > (CAST($1::text AS integer))) AS l, (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(t."id", t."number", t."total")::text, 0)::numeric), 0)::text AS checksum FROM "public"."orders_shadow" AS t WHERE (t."id") > (CAST($1::text AS integer))) AS f

-- ['7']

SELECT key FROM (SELECT ARRAY[t."id"::text] AS key, ROW(CAST(t."id" AS bigint), CAST(t."number" AS bigint), CAST(t."total" AS numeric(10,2)))::text AS row FROM "public"."orders" AS t WHERE (t."id") > (CAST($1::text AS integer)) AND (t."id") <= (CAST($2::text AS integer))) AS l FULL JOIN (SELECT ARRAY[t."id"::text] AS key, ROW(t."id", t."number", t."total")::text AS row FROM "public"."orders_shadow" AS t WHERE (t."id") > (CAST($1::text AS integer)) AND (t."id") <= (CAST($2::text AS integer))) AS f USING (key) WHERE l.row IS DISTINCT FROM f.row ORDER BY key LIMIT 10

-- ['7', '7']

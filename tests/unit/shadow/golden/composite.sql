CREATE OR REPLACE FUNCTION "My ""S"""."f"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path TO pg_catalog, "x y", pg_temp SET row_security TO off SET enable_seqscan TO off
AS $pgbackfill$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE "My ""S"""."u";
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND ROW(OLD."Ä", OLD."n") IS DISTINCT FROM ROW(NEW."Ä", NEW."n") THEN
        IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
            -- DELETE passes over a row that was copied after this transaction's snapshot; a conflict does not.
            INSERT INTO "My ""S"""."u" ("n", "Ä") OVERRIDING SYSTEM VALUE
            VALUES (OLD."n", OLD."Ä")
            ON CONFLICT ("Ä", "n") DO NOTHING;
        END IF;
        DELETE FROM "My ""S"""."u" AS f WHERE f."Ä" = OLD."Ä" AND f."n" = OLD."n"
            AND NOT EXISTS (SELECT FROM "My ""S"""."t" AS t WHERE t."Ä" = OLD."Ä" AND t."n" = OLD."n" AND pg_catalog.age(t.xmin) BETWEEN -1073741824 AND 0);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO "My ""S"""."u" ("n", "Ä") OVERRIDING SYSTEM VALUE
            SELECT t."n", t."Ä" FROM "My ""S"""."t" AS t WHERE t."Ä" = NEW."Ä" AND t."n" = NEW."n" AND pg_catalog.age(t.xmin) BETWEEN -1073741824 AND 0
            ON CONFLICT ("Ä", "n") DO NOTHING;
    END IF;
    RETURN NULL;
END
$pgbackfill$

CREATE TRIGGER pgbackfill_shadow_row AFTER INSERT OR UPDATE OR DELETE ON "My ""S"""."t" FOR EACH ROW EXECUTE FUNCTION "My ""S"""."f"()

ALTER TABLE "My ""S"""."t" ENABLE ALWAYS TRIGGER pgbackfill_shadow_row

CREATE TRIGGER pgbackfill_shadow_truncate AFTER TRUNCATE ON "My ""S"""."t" FOR EACH STATEMENT EXECUTE FUNCTION "My ""S"""."f"()

ALTER TABLE "My ""S"""."t" ENABLE ALWAYS TRIGGER pgbackfill_shadow_truncate

DROP TRIGGER IF EXISTS pgbackfill_shadow_row ON "My ""S"""."t"

DROP TRIGGER IF EXISTS pgbackfill_shadow_truncate ON "My ""S"""."t"

SELECT k."Ä"::text, k."n"::text FROM (SELECT t."Ä", t."n" FROM "My ""S"""."t" AS t WHERE true ORDER BY t."Ä", t."n" LIMIT 1 OFFSET 499) AS k

-- []

SELECT k."Ä"::text, k."n"::text FROM (SELECT t."Ä", t."n" FROM "My ""S"""."t" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer)) ORDER BY t."Ä", t."n" LIMIT 1 OFFSET 499) AS k

-- ['7', '7']

SELECT l.rows AS leader_rows, f.rows AS follower_rows, l.checksum = f.checksum AS same FROM (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(CAST(t."n" AS integer), CAST(t."Ä" AS "x y".citext))::text, 0)::numeric), 0)::text AS checksum FROM "My ""S"""."t" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer)) AND (t."Ä", t."n") <= (CAST($3::text AS "x y".citext), CAST($4::text AS integer))) AS l, (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(t."n", t."Ä")::text, 0)::numeric), 0)::text AS checksum FROM "My ""S"""."u" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer)) AND (t."Ä", t."n") <= (CAST($3::text AS "x y".citext), CAST($4::text AS integer))) AS f

-- ['7', '7', '7', '7']

SELECT l.rows AS leader_rows, f.rows AS follower_rows, l.checksum = f.checksum AS same FROM (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(CAST(t."n" AS integer), CAST(t."Ä" AS "x y".citext))::text, 0)::numeric), 0)::text AS checksum FROM "My ""S"""."t" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer))) AS l, (SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW(t."n", t."Ä")::text, 0)::numeric), 0)::text AS checksum FROM "My ""S"""."u" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer))) AS f

-- ['7', '7']

SELECT key FROM (SELECT ARRAY[t."Ä"::text, t."n"::text] AS key, ROW(CAST(t."n" AS integer), CAST(t."Ä" AS "x y".citext))::text AS row FROM "My ""S"""."t" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer)) AND (t."Ä", t."n") <= (CAST($3::text AS "x y".citext), CAST($4::text AS integer))) AS l FULL JOIN (SELECT ARRAY[t."Ä"::text, t."n"::text] AS key, ROW(t."n", t."Ä")::text AS row FROM "My ""S"""."u" AS t WHERE (t."Ä", t."n") > (CAST($1::text AS "x y".citext), CAST($2::text AS integer)) AND (t."Ä", t."n") <= (CAST($3::text AS "x y".citext), CAST($4::text AS integer))) AS f USING (key) WHERE l.row IS DISTINCT FROM f.row ORDER BY key LIMIT 10

-- ['7', '7', '7', '7']

CREATE OR REPLACE FUNCTION "public"."zz_pgbackfill_sync_users-email-lower"() RETURNS trigger LANGUAGE plpgsql
SET search_path TO public, pg_temp
SET "TimeZone" TO 'UTC'
SET "app"."tenant" TO 'it''s'
AS $pgbackfill$
#variable_conflict use_column
BEGIN
    SELECT (lower(email) -- lower
    )
    INTO NEW."email_lower"
    FROM (SELECT NEW.*) AS t;
    RETURN NEW;
END
$pgbackfill$;

CREATE TRIGGER "zz_pgbackfill_sync_users-email-lower" BEFORE INSERT OR UPDATE ON "public"."users" FOR EACH ROW EXECUTE FUNCTION "public"."zz_pgbackfill_sync_users-email-lower"();

CREATE OR REPLACE FUNCTION "My ""Schema"""."zz_pgbackfill_sync_odd"() RETURNS trigger LANGUAGE plpgsql
SET search_path TO "My ""Schema""", pg_temp
AS $pgbackfill1$
#variable_conflict use_column
BEGIN
    IF (SELECT (country = 'DE' -- only
    ) FROM (SELECT NEW.*) AS t) THEN
    SELECT ('$pgbackfill$'
    ),
    ((SELECT max(x) FROM y)
    )
    INTO NEW."Ä", NEW."b"
    FROM (SELECT NEW.*) AS t;
    END IF;
    RETURN NEW;
END
$pgbackfill1$;

CREATE TRIGGER "zz_pgbackfill_sync_odd" BEFORE INSERT OR UPDATE ON "My ""Schema"""."t" FOR EACH ROW EXECUTE FUNCTION "My ""Schema"""."zz_pgbackfill_sync_odd"();

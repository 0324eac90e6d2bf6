-- The key that a job walks by, and the part of it that the job is limited to.

-- Every index of a table with its key columns and, if rows cannot be walked by it, the first objection.
CREATE FUNCTION pgbackfill.keys_of(relation oid)
RETURNS TABLE (index_name text, columns text[], is_primary boolean, is_unique boolean, objection text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.relname::text, k.columns, i.indisprimary, i.indisunique,
        CASE
            WHEN NOT i.indisunique
                THEN 'is not unique; name a unique NOT NULL key'
            WHEN i.indpred IS NOT NULL
                THEN format('is partial (WHERE %s); name a unique NOT NULL key without a predicate',
                            pg_get_expr(i.indpred, i.indrelid))
            WHEN i.indexprs IS NOT NULL
                THEN 'is on an expression; name a unique NOT NULL key of plain columns'
            WHEN am.amname <> 'btree'
                THEN format('is a %s index; name a unique NOT NULL btree key', am.amname)
            WHEN NOT i.indimmediate
                THEN 'is deferrable, so duplicates can exist within a transaction; name a key that is not'
            WHEN NOT (i.indisvalid AND i.indisready AND i.indislive)
                THEN 'is invalid (an interrupted CREATE INDEX CONCURRENTLY?); drop it and create it again'
            WHEN k.nullable IS NOT NULL
                THEN format('holds column %I, which may be null; make it NOT NULL first', k.nullable)
            WHEN k.unordered IS NOT NULL
                THEN format('does not hold column %I in the default order (ASC NULLS LAST); name a key that does',
                            k.unordered)
            WHEN k.odd_opclass IS NOT NULL
                THEN format('orders column %I by %s, not by the default of its type; name a key that does',
                            k.odd_opclass, k.opclass)
            WHEN k.odd_collation IS NOT NULL
                THEN format('orders column %I by another collation than the column''s; name a key that does not',
                            k.odd_collation)
            WHEN k.nondeterministic IS NOT NULL
                THEN format('orders column %I by a nondeterministic collation; name a key that does not',
                            k.nondeterministic)
        END
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS am ON am.oid = c.relam
    CROSS JOIN LATERAL (
        SELECT
            array_agg(a.attname::text ORDER BY n) AS columns,
            -- A NOT NULL constraint may be NOT VALID (18+); attnotnull is set all the same.
            min(a.attname::text) FILTER (WHERE NOT a.attnotnull OR EXISTS (
                SELECT FROM pg_constraint AS v
                WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND v.conkey = ARRAY[a.attnum] AND NOT v.convalidated
            )) AS nullable,
            min(a.attname::text) FILTER (WHERE i.indoption[n] <> 0) AS unordered,
            -- varchar_ops is another name of text_ops.
            min(a.attname::text) FILTER (WHERE NOT o.opcdefault AND o.opcname <> 'varchar_ops') AS odd_opclass,
            min(o.opcname::text) FILTER (WHERE NOT o.opcdefault AND o.opcname <> 'varchar_ops') AS opclass,
            min(a.attname::text) FILTER (WHERE i.indcollation[n] <> a.attcollation) AS odd_collation,
            min(a.attname::text) FILTER (WHERE NOT l.collisdeterministic) AS nondeterministic
        FROM generate_series(0, i.indnkeyatts - 1) AS n
        LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]
        JOIN pg_opclass AS o ON o.oid = i.indclass[n]
        LEFT JOIN pg_collation AS l ON l.oid = i.indcollation[n]
    ) AS k
    WHERE i.indrelid = relation
$$;

-- The key columns of a job: those it names if a usable index has exactly them, else the primary key, else the
-- narrowest usable unique index if there is only one such. Refuses, with the reason, where nothing fits.
CREATE FUNCTION pgbackfill.choose_key(relation oid, wanted text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    table_label text := relation::regclass::text;
    chosen      text[];
    others      text;
    found_index record;
    missing     text;
BEGIN
    IF wanted IS NULL THEN
        SELECT k.columns INTO chosen FROM pgbackfill.keys_of(relation) AS k
        WHERE k.objection IS NULL ORDER BY k.is_primary DESC, cardinality(k.columns), k.columns LIMIT 1;
        IF chosen IS NULL THEN
            SELECT string_agg(format('index %I %s', k.index_name, k.objection), '. ' ORDER BY k.index_name) INTO others
            FROM pgbackfill.keys_of(relation) AS k WHERE k.is_unique;
            PERFORM pgbackfill.refuse('key_columns', format('%s has no key to walk by; give it a primary key or a '
                'unique index on NOT NULL columns', table_label), others);
        END IF;
        IF NOT EXISTS (SELECT FROM pgbackfill.keys_of(relation) AS k
                       WHERE k.is_primary AND k.objection IS NULL) THEN
            SELECT string_agg(DISTINCT array_to_string(k.columns, ', '), ' or ') INTO others
            FROM pgbackfill.keys_of(relation) AS k
            WHERE k.objection IS NULL AND cardinality(k.columns) = cardinality(chosen) AND k.columns <> chosen;
            IF others IS NOT NULL THEN
                PERFORM pgbackfill.refuse('key_columns', format('%s has several usable keys and no primary key; name '
                    'one: %s or %s', table_label, array_to_string(chosen, ', '), others));
            END IF;
        END IF;
        RETURN chosen;
    END IF;

    IF cardinality(wanted) = 0 OR array_ndims(wanted) > 1 OR array_position(wanted, NULL) IS NOT NULL THEN
        PERFORM pgbackfill.refuse('key_columns', 'must be a list of column names such as {tenant_id,id}');
    END IF;
    SELECT w INTO missing FROM unnest(wanted) AS w
    WHERE NOT EXISTS (SELECT FROM pg_attribute AS a
                      WHERE a.attrelid = relation AND a.attname = w AND a.attnum > 0 AND NOT a.attisdropped) LIMIT 1;
    IF missing IS NOT NULL THEN
        PERFORM pgbackfill.refuse('key_columns', format('%s has no column "%s"', table_label, missing));
    END IF;
    -- The order of preference finds the index that was probably meant, for the sake of the message.
    SELECT k.* INTO found_index FROM pgbackfill.keys_of(relation) AS k
    WHERE k.columns @> wanted
    ORDER BY k.columns = wanted AND k.objection IS NULL DESC, k.columns = wanted AND k.is_unique DESC,
             k.columns <@ wanted AND k.is_unique DESC, k.columns = wanted DESC, k.is_unique DESC,
             k.objection IS NULL DESC, k.index_name
    LIMIT 1;
    IF NOT FOUND OR NOT found_index.is_unique AND found_index.columns <> wanted THEN
        SELECT format('index %I %s', k.index_name, k.objection) INTO others
        FROM pgbackfill.keys_of(relation) AS k
        WHERE k.is_unique AND array_position(k.columns, NULL) IS NOT NULL ORDER BY 1 LIMIT 1;
        PERFORM pgbackfill.refuse('key_columns', format('%s has no unique index on (%s); name the columns of one, or '
            'leave key_columns out for the primary key', table_label, array_to_string(wanted, ', ')), others);
    ELSIF found_index.columns = wanted AND found_index.objection IS NULL THEN
        RETURN wanted;
    ELSIF found_index.columns = wanted THEN
        PERFORM pgbackfill.refuse('key_columns', format('index %I %s', found_index.index_name, found_index.objection));
    ELSE
        PERFORM pgbackfill.refuse('key_columns', format('index %I is on (%s); name exactly these columns in this order',
            found_index.index_name, array_to_string(found_index.columns, ', ')));
    END IF;
END $$;

-- The bounds of a job in the canonical text of the key's types; each may be a prefix of the key.
CREATE FUNCTION pgbackfill.check_bounds(relation oid, key_columns text[], INOUT from_key text[], INOUT to_key text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- As in every chunk (KEY_TEXT of keyset/session.py): the text of a key depends on them.
SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1
AS $$
DECLARE
    side      text;
    given     text[];
    types     text[];
    compared  text[] := '{}'; -- how a value is written as a literal that orders like the column
    canonical text;
    ordered   boolean;
    problem   text;
BEGIN
    SELECT array_agg(format_type(a.atttypid, -1) ORDER BY k.n),
           array_agg('%L::' || replace(format_type(a.atttypid, -1), '%', '%%') || coalesce(
               (SELECT replace(format(' COLLATE %I.%I', s.nspname, l.collname), '%', '%%')
                FROM pg_collation AS l JOIN pg_namespace AS s ON s.oid = l.collnamespace
                WHERE l.oid = a.attcollation), '') ORDER BY k.n)
    INTO types, compared
    FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)
    JOIN pg_attribute AS a ON a.attrelid = relation AND a.attname = k.name;

    FOREACH side IN ARRAY ARRAY['from_key', 'to_key'] LOOP
        given := CASE side WHEN 'from_key' THEN from_key ELSE to_key END;
        CONTINUE WHEN given IS NULL;
        IF cardinality(given) NOT BETWEEN 1 AND cardinality(key_columns) OR array_ndims(given) > 1
           OR array_position(given, NULL) IS NOT NULL THEN
            PERFORM pgbackfill.refuse(side, format('must hold %s for (%s), none of them null',
                CASE cardinality(key_columns) WHEN 1 THEN 'one value'
                    ELSE format('1 to %s values', cardinality(key_columns)) END,
                array_to_string(key_columns, ', ')));
        END IF;
        FOR i IN 1 .. cardinality(given) LOOP
            BEGIN
                EXECUTE format('SELECT (%L::%s)::text', given[i], types[i]) INTO canonical;
            EXCEPTION WHEN data_exception OR integrity_constraint_violation OR syntax_error THEN
                GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
                PERFORM pgbackfill.refuse(side, format('"%s" is not a value of %I, a column of type %s (%s)',
                    left(given[i], 100), key_columns[i], types[i], problem));
            END;
            given[i] := canonical;
        END LOOP;
        IF side = 'from_key' THEN from_key := given; ELSE to_key := given; END IF;
    END LOOP;

    IF from_key IS NOT NULL AND to_key IS NOT NULL THEN
        SELECT format('SELECT (%s) <= (%s)',
                      string_agg(format(compared[i], from_key[i]), ', ' ORDER BY i),
                      string_agg(format(compared[i], to_key[i]), ', ' ORDER BY i))
        INTO canonical FROM generate_series(1, least(cardinality(from_key), cardinality(to_key))) AS i;
        EXECUTE canonical INTO ordered;
        IF NOT ordered THEN
            PERFORM pgbackfill.refuse('to_key', format('(%s) must not be below from_key (%s)',
                array_to_string(to_key, ', '), array_to_string(from_key, ', ')));
        END IF;
    END IF;
END $$;

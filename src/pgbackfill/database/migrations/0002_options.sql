-- How a row is refused, and the options of a job with their units and ranges.

-- SQLSTATE 22023 for every refusal and the column as a field of its own, so that programs need not read the sentence.
CREATE FUNCTION pgbackfill.raise_refusal(column_name text, message text, hint text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    message := regexp_replace(message, '\s*\n\s*', ' ', 'g');
    IF coalesce(hint, '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = message,
            COLUMN = column_name, TABLE = 'jobs', SCHEMA = 'pgbackfill';
    END IF;
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = message, HINT = hint,
        COLUMN = column_name, TABLE = 'jobs', SCHEMA = 'pgbackfill';
END $$;

-- Refuses a job: one sentence that begins with the column's name.
CREATE FUNCTION pgbackfill.refuse(column_name text, message text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pgbackfill.raise_refusal(column_name, column_name || ': ' || message, hint);
END $$;

-- The same names, units, ranges and defaults as control/options.py; a test compares the two. `above` means that the
-- minimum itself is excluded.
CREATE FUNCTION pgbackfill.option_ranges()
RETURNS TABLE (name text, kind text, unit text, minimum numeric, above boolean, maximum numeric, choices text[],
               default_value jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES
        ('chunk_target_ms',      'integer', 'ms',    1,    false, 60000,            NULL::text[], '100'::jsonb),
        ('chunk_min_rows',       'integer', 'rows',  1,    false, 1000000,          NULL, '1'),
        ('chunk_max_rows',       'integer', 'rows',  1,    false, 1000000,          NULL, '50000'),
        ('chunk_max_wal_bytes',  'integer', 'bytes', 8192, false, 1099511627776,    NULL, '8388608'),
        ('lag_soft_s',           'number',  's',     0,    true,  86400,            NULL, '1'),
        ('lag_hard_s',           'number',  's',     0,    true,  86400,            NULL, '5'),
        ('queue_target_s',       'number',  's',     0,    true,  3600,             NULL, '0.2'),
        ('latency_soft_ratio',   'number',  'ratio', 1,    true,  1000,             NULL, '1.5'),
        ('latency_hard_ratio',   'number',  'ratio', 1,    true,  1000,             NULL, '3'),
        ('latency_slack_ms',     'integer', 'ms',    0,    false, 60000,            NULL, '2'),
        ('duty_max',             'number',  'ratio', 0,    true,  1,                NULL, '1.0'),
        ('max_wal_bytes_per_s',  'integer', 'bytes', 1,    false, 1125899906842624, NULL, 'null'),
        ('max_rows_per_s',       'integer', 'rows',  1,    false, 1125899906842624, NULL, 'null'),
        ('lock_timeout_ms',      'integer', 'ms',    1,    false, 60000,            NULL, '100'),
        ('statement_timeout_ms', 'integer', 'ms',    10,   false, 3600000,          NULL, '5000'),
        ('synchronous_commit',   'text',    NULL,    NULL, NULL,  NULL,
            ARRAY['off', 'local', 'remote_write', 'on', 'remote_apply'], '"off"'),
        ('throughput_floor_ratio', 'number', 'ratio', 0, false, 1,              NULL, '0.1'),
        ('throughput_floor_s',   'number',  's',     0,    true,  86400,            NULL, '300'),
        ('max_quarantined',      'integer', 'rows',  0,    false, 1000000000,       NULL, '100'),
        ('parallelism',          'integer', 'lanes', 1,    false, 64,               NULL, '1'),
        ('verify',               'text',    NULL,    NULL, NULL,  NULL, ARRAY['off', 'check', 'repair'], '"off"'),
        ('handler_batch_rows',   'integer', 'rows',  1,    false, 10000,            NULL, '1'),
        ('handler_concurrency',  'integer', 'calls', 1,    false, 1000,             NULL, '20'),
        ('handler_timeout_s',    'number',  's',     0,    true,  3600,             NULL, '30')
$$;

-- The option whose name shares the most three-letter pieces with a wrong one.
CREATE FUNCTION pgbackfill.nearest_option(wrong text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.name
    FROM pgbackfill.option_ranges() AS o
    ORDER BY (SELECT count(*) FROM generate_series(1, length(o.name) - 2) AS i
              WHERE position(substr(o.name, i, 3) IN lower(wrong)) > 0)::numeric / length(o.name) DESC, o.name
    LIMIT 1
$$;

-- Refuses options that the daemon could not use. A value of null means the default.
CREATE FUNCTION pgbackfill.check_options(options jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given    record;
    allowed  record;
    relation record;
BEGIN
    IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        PERFORM pgbackfill.refuse('options', 'must be a JSON object such as {"chunk_target_ms": 50}');
    END IF;
    FOR given IN SELECT key, value, jsonb_typeof(value) AS type FROM jsonb_each(options) LOOP
        SELECT * INTO allowed FROM pgbackfill.option_ranges() AS o WHERE o.name = given.key;
        IF NOT FOUND THEN
            PERFORM pgbackfill.refuse('options',
                format('there is no option "%s"; the nearest is %s', given.key, pgbackfill.nearest_option(given.key)),
                (SELECT 'Options are ' || string_agg(o.name, ', ') || '.' FROM pgbackfill.option_ranges() AS o));
        END IF;
        CONTINUE WHEN given.type = 'null';
        IF allowed.kind = 'text' THEN
            IF given.type <> 'string' OR (given.value #>> '{}') <> ALL (allowed.choices) THEN
                PERFORM pgbackfill.refuse('options', format('%s must be one of %s, not %s', given.key,
                    array_to_string(allowed.choices, ', '), given.value));
            END IF;
        ELSIF given.type <> 'number' THEN
            PERFORM pgbackfill.refuse('options', format('%s must be a%s number%s, not %s', given.key,
                CASE allowed.kind WHEN 'integer' THEN ' whole' ELSE '' END, ' in ' || allowed.unit, given.value));
        ELSIF allowed.kind = 'integer' AND given.value::numeric <> trunc(given.value::numeric) THEN
            PERFORM pgbackfill.refuse('options',
                format('%s must be a whole number in %s, not %s', given.key, allowed.unit, given.value));
        -- Rounded, because a daemon reads a double: 1e-400 would be 0 there.
        ELSIF NOT (round(given.value::numeric, 9) BETWEEN allowed.minimum AND allowed.maximum)
              OR allowed.above AND round(given.value::numeric, 9) = allowed.minimum THEN
            PERFORM pgbackfill.refuse('options', format('%s must be %s %s and at most %s %s, not %s', given.key,
                CASE WHEN allowed.above THEN 'above' ELSE 'at least' END, allowed.minimum, allowed.maximum,
                allowed.unit, left(given.value::text, 40)));
        END IF;
    END LOOP;
    FOR relation IN
        SELECT pair.low, pair.high, value.low AS low_value, value.high AS high_value
        FROM (VALUES ('chunk_min_rows', 'chunk_max_rows'), ('lag_soft_s', 'lag_hard_s'),
                     ('latency_soft_ratio', 'latency_hard_ratio')) AS pair (low, high),
             LATERAL (SELECT
                 max(coalesce(nullif(options -> o.name, 'null'), o.default_value)::numeric)
                     FILTER (WHERE o.name = pair.low) AS low,
                 max(coalesce(nullif(options -> o.name, 'null'), o.default_value)::numeric)
                     FILTER (WHERE o.name = pair.high) AS high
                 FROM pgbackfill.option_ranges() AS o WHERE o.name IN (pair.low, pair.high)) AS value
    LOOP
        IF relation.low_value > relation.high_value THEN
            PERFORM pgbackfill.refuse('options', format('%s (%s) must not be above %s (%s%s)', relation.low,
                relation.low_value, relation.high, relation.high_value,
                CASE WHEN coalesce(options -> relation.high, 'null') = 'null' THEN ', the default' ELSE '' END));
        END IF;
    END LOOP;
END $$;

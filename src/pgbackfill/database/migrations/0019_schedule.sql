-- When a job may run: its hours in a time zone, the jobs that come before it, an approval. All of it is decided here, on the
-- database's clock and with the database's time zones, so that daemons, screens and people never disagree.

-- The numbers (1: Monday) of the days in `Mon-Fri,Sun`, a span may go over the end of the week; NULL where it names no day.
CREATE FUNCTION pgbackfill.days_of(days text) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names text[] := ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
    part  text;
    first int;
    last  int;
    found int[] := '{}';
BEGIN
    FOREACH part IN ARRAY string_to_array(lower(days), ',') LOOP
        first := array_position(names, split_part(part, '-', 1));
        last := array_position(names, coalesce(nullif(split_part(part, '-', 2), ''), part));
        IF first IS NULL OR last IS NULL THEN
            RETURN NULL;
        END IF;
        found := found || ARRAY(SELECT (d - 1) % 7 + 1 FROM generate_series(first, last + CASE WHEN last < first THEN 7 ELSE 0 END) AS d);
    END LOOP;
    RETURN found;
END $$;

-- `22:00-06:00` or `Mon-Fri,Sun 22:00-06:00` in its parts; no row where it is nothing of the kind.
CREATE FUNCTION pgbackfill.hours_of(span text, OUT days int[], OUT begins time, OUT ends time) RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text[] := regexp_match(span, '^\s*(?:([A-Za-z]{3}(?:-[A-Za-z]{3})?(?:,[A-Za-z]{3}(?:-[A-Za-z]{3})?)*)\s+)?'
        '((?:[01]\d|2[0-3]):[0-5]\d)\s*-\s*((?:[01]\d|2[0-3]):[0-5]\d|24:00)\s*$');
BEGIN
    days := CASE WHEN part[1] IS NULL THEN ARRAY[1, 2, 3, 4, 5, 6, 7] ELSE pgbackfill.days_of(part[1]) END;
    begins := part[2]::time;
    ends := part[3]::time;
    IF days IS NOT NULL AND begins <> ends THEN
        RETURN NEXT;
    END IF;
END $$;

-- The spans around that time. One that goes over midnight belongs to the day on which it begins. A local time that does not
-- exist when clocks are set forward is taken as later by as much as they are set; one that exists twice as the second.
CREATE FUNCTION pgbackfill.spans(windows jsonb, at timestamptz) RETURNS TABLE (opens timestamptz, closes timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.opens, s.closes
    FROM jsonb_array_elements_text(windows -> 'hours') AS span,
         LATERAL pgbackfill.hours_of(span) AS h,
         generate_series(-1, 15) AS ahead,
         LATERAL (SELECT (at AT TIME ZONE (windows ->> 'time_zone'))::date + ahead AS day) AS d,
         LATERAL (SELECT (d.day + h.begins) AT TIME ZONE (windows ->> 'time_zone') AS opens,
                         (d.day + CASE WHEN h.ends < h.begins THEN 1 ELSE 0 END + h.ends)
                             AT TIME ZONE (windows ->> 'time_zone') AS closes) AS s
    WHERE extract(isodow FROM d.day)::int = ANY (h.days) AND s.closes > s.opens
$$;

-- `outside_window opens 22:00 Europe/Berlin`, with the day if that is more than a day away; NULL within the hours.
CREATE FUNCTION pgbackfill.outside(windows jsonb, at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    next timestamptz;
BEGIN
    IF windows -> 'hours' IS NULL
       OR EXISTS (SELECT FROM pgbackfill.spans(windows, at) AS s WHERE at >= s.opens AND at < s.closes) THEN
        RETURN NULL;
    END IF;
    SELECT min(s.opens) INTO next FROM pgbackfill.spans(windows, at) AS s WHERE s.opens > at;
    RETURN format('outside_window opens %s %s', to_char(next AT TIME ZONE (windows ->> 'time_zone'),
        CASE WHEN next - at < interval '24 hours' THEN 'HH24:MI' ELSE 'Dy HH24:MI' END), windows ->> 'time_zone');
END $$;

-- The first of these jobs that has not succeeded.
CREATE FUNCTION pgbackfill.unfinished(names text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('waits_for job %s%s', n.name, CASE WHEN j.name IS NULL THEN ', which no longer exists'
        WHEN j.status = 'failed' THEN ', which has failed' WHEN j.status = 'cancelled' THEN ', which has been cancelled'
        ELSE '' END)
    FROM unnest(names) WITH ORDINALITY AS n (name, place) LEFT JOIN pgbackfill.jobs AS j ON j.name = n.name
    WHERE j.status IS DISTINCT FROM 'succeeded' ORDER BY n.place LIMIT 1
$$;

-- Refuses hours, time zones and conditions that mean nothing.
CREATE FUNCTION pgbackfill.check_windows(windows jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    example text := '{"time_zone": "Europe/Berlin", "hours": ["Mon-Fri 22:00-06:00", "Sat-Sun 00:00-24:00"]}';
    field   record;
    item    record;
BEGIN
    IF windows IS NULL THEN
        RETURN;
    ELSIF jsonb_typeof(windows) <> 'object' THEN
        PERFORM pgbackfill.refuse('windows', format('must be a JSON object such as %s', example));
    ELSIF NOT windows ?| ARRAY['hours', 'only_while'] THEN
        PERFORM pgbackfill.refuse('windows', format('must have "hours" or "only_while", as in %s', example));
    END IF;
    FOR field IN SELECT key, value FROM jsonb_each(windows) LOOP
        IF field.key NOT IN ('time_zone', 'hours', 'only_while') THEN
            PERFORM pgbackfill.refuse('windows', format('has no field "%s"; there are time_zone, hours and only_while',
                left(field.key, 100)));
        ELSIF field.key <> 'time_zone' AND (jsonb_typeof(field.value) <> 'array' OR field.value = '[]') THEN
            PERFORM pgbackfill.refuse('windows', format('%s must be a list of texts such as %s', field.key,
                CASE field.key WHEN 'hours' THEN '["22:00-06:00"]' ELSE '["checkout_load < 100"]' END));
        END IF;
    END LOOP;
    FOR item IN SELECT value #>> '{}' AS text FROM jsonb_array_elements(windows -> 'hours') LOOP
        IF NOT EXISTS (SELECT FROM pgbackfill.hours_of(item.text)) THEN
            PERFORM pgbackfill.refuse('windows', format('"%s" is no span of hours; write one such as 22:00-06:00, '
                '00:00-24:00 or Mon-Fri,Sun 22:00-06:00', left(item.text, 100)));
        END IF;
    END LOOP;
    FOR item IN SELECT value #>> '{}' AS text FROM jsonb_array_elements(windows -> 'only_while') LOOP
        IF item.text IS NULL OR item.text !~ '^\s*[a-z][a-z0-9_]*\s*[<>]\s*-?\d{1,15}(\.\d{1,15})?\s*$' THEN
            PERFORM pgbackfill.refuse('windows', format('"%s" is no condition on a signal; write one such as '
                'checkout_load < 100', left(item.text, 100)));
        END IF;
    END LOOP;
    IF windows ? 'hours' AND coalesce(jsonb_typeof(windows -> 'time_zone'), '') <> 'string' THEN
        PERFORM pgbackfill.refuse('windows', 'hours need a time_zone such as "Europe/Berlin" or "UTC"');
    ELSIF windows ? 'time_zone' AND NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = windows ->> 'time_zone') THEN
        PERFORM pgbackfill.refuse('windows', format('there is no time zone "%s"; write it as in pg_timezone_names, such as '
            'Europe/Berlin', left(windows ->> 'time_zone', 100)));
    END IF;
END $$;

-- Refuses jobs that do not exist, and jobs that wait for this one.
CREATE FUNCTION pgbackfill.check_after(job_name text, after text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    other text;
    chain text;
BEGIN
    IF array_ndims(after) > 1 OR array_position(after, NULL) IS NOT NULL THEN
        PERFORM pgbackfill.refuse('after', 'must be a list of names of jobs such as {users-email}');
    ELSIF job_name = ANY (after) THEN
        PERFORM pgbackfill.refuse('after', 'must not name the job itself');
    END IF;
    SELECT a INTO other FROM unnest(after) AS a WHERE NOT EXISTS (SELECT FROM pgbackfill.jobs AS j WHERE j.name = a) LIMIT 1;
    IF FOUND THEN
        PERFORM pgbackfill.refuse('after', format('there is no job "%s"; insert it first', left(other, 200)));
    END IF;
    WITH RECURSIVE before (name, path) AS (
        SELECT a, ARRAY[a] FROM unnest(after) AS a
        UNION ALL
        SELECT a, b.path || a FROM before AS b JOIN pgbackfill.jobs AS j ON j.name = b.name, unnest(j.after) AS a
        WHERE b.name <> job_name AND NOT a = ANY (b.path)
    )
    SELECT array_to_string(b.path, ' after ') INTO chain FROM before AS b WHERE b.name = job_name LIMIT 1;
    IF FOUND THEN
        PERFORM pgbackfill.refuse('after', format('would make a circle: %s after %s', job_name, chain));
    END IF;
END $$;

-- Lets a job begin that waits for it. With its owner's rights, because enqueuers may not write who approved; only they may
-- call it. Where the same people must not do both, REVOKE EXECUTE from them.
CREATE FUNCTION pgbackfill.approve(name text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job pgbackfill.jobs;
BEGIN
    SELECT * INTO job FROM pgbackfill.jobs AS j WHERE j.name = approve.name FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM pgbackfill.raise_unknown_job(approve.name);
    ELSIF NOT job.approve THEN
        RAISE EXCEPTION 'job "%" needs no approval', approve.name USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF job.status IN ('succeeded', 'failed', 'cancelled') THEN
        RAISE EXCEPTION 'job "%" is %; there is nothing to approve', approve.name, job.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF job.approved_at IS NULL THEN
        UPDATE pgbackfill.jobs AS j SET approved_at = clock_timestamp(), approved_by = session_user WHERE j.id = job.id;
        INSERT INTO pgbackfill.events (job_id, event) VALUES (job.id, 'approved');
        PERFORM pg_notify('pgbackfill', json_build_object('job', job.id, 'name', job.name, 'event', 'approved')::text);
    END IF;
    RETURN job.status;
END $$;

-- As in 0012_roles.sql: nothing for everybody; the check runs with the enqueuer's rights.
DO $$
DECLARE
    new regprocedure;
BEGIN
    FOR new IN SELECT oid FROM pg_proc WHERE pronamespace = 'pgbackfill'::regnamespace AND proname IN ('days_of', 'hours_of',
        'spans', 'outside', 'unfinished', 'check_windows', 'check_after', 'approve')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', new);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgbackfill_enqueuer, pgbackfill_daemon', new);
    END LOOP;
END $$;

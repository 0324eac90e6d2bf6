-- Who did what to a job and when; and the NOTIFY that wakes daemons and screens.

-- With its owner's rights, so that nobody who may change a job can forge or suppress its history.
CREATE FUNCTION pgbackfill.jobs_after_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        SELECT 'enqueued' AS event,
               jsonb_build_object('status', NEW.status, 'desired_state', NEW.desired_state) AS detail
        WHERE TG_OP = 'INSERT'
        UNION ALL
        SELECT field.name, jsonb_build_object('from', field.before, 'to', field.after)
               || CASE WHEN field.name <> 'desired_state' THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object(
                   'until', NEW.pause_until,
                   'reason', CASE WHEN NEW.desired_state = 'run' AND OLD.pause_until <= clock_timestamp()
                       THEN 'the time of the pause was over' END)) END
        FROM (VALUES
            ('desired_state', to_jsonb(OLD.desired_state), to_jsonb(NEW.desired_state)),
            ('options', OLD.options, NEW.options),
            ('priority', to_jsonb(OLD.priority), to_jsonb(NEW.priority)),
            ('run_after', to_jsonb(OLD.run_after), to_jsonb(NEW.run_after)),
            ('windows', OLD.windows, NEW.windows),
            ('after', to_jsonb(OLD.after), to_jsonb(NEW.after)),
            ('pause_until', to_jsonb(OLD.pause_until),
                to_jsonb(CASE WHEN OLD.desired_state = NEW.desired_state THEN NEW.pause_until ELSE OLD.pause_until END))
            ) AS field (name, before, after)
        WHERE TG_OP = 'UPDATE' AND field.before IS DISTINCT FROM field.after
        UNION ALL
        SELECT 'status', jsonb_strip_nulls(jsonb_build_object('from', OLD.status, 'to', NEW.status, 'error', NEW.error))
        WHERE TG_OP = 'UPDATE' AND OLD.status IS DISTINCT FROM NEW.status
    LOOP
        INSERT INTO pgbackfill.events (job_id, actor, event, detail)
        VALUES (NEW.id, session_user, change.event, change.detail);
        PERFORM pg_notify('pgbackfill', json_build_object('job', NEW.id, 'name', NEW.name, 'status', NEW.status,
            'desired_state', NEW.desired_state, 'event', change.event)::text);
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER jobs_after_write AFTER INSERT OR UPDATE ON pgbackfill.jobs
    FOR EACH ROW EXECUTE FUNCTION pgbackfill.jobs_after_write();

-- A throttle of the whole database is an event of every job that is not finished. Nothing is noted of a job that is
-- being deleted.
CREATE FUNCTION pgbackfill.throttles_after_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    throttled bigint := coalesce(NEW.job_id, OLD.job_id);
BEGIN
    INSERT INTO pgbackfill.events (job_id, actor, event, detail)
    SELECT j.id, session_user, CASE TG_OP WHEN 'DELETE' THEN 'throttle_ended' ELSE 'throttled' END,
           jsonb_strip_nulls(jsonb_build_object(
               'ratio', coalesce(NEW.ratio, OLD.ratio),
               'until', NEW.ends_at,
               'every_job', CASE WHEN throttled IS NULL THEN true END,
               'reason', CASE WHEN TG_OP = 'DELETE' AND OLD.ends_at <= clock_timestamp()
                   THEN 'the time of the throttle was over' END))
    FROM pgbackfill.jobs AS j
    WHERE j.id = throttled OR throttled IS NULL AND j.status IN ('queued', 'running', 'paused', 'verifying');
    PERFORM pg_notify('pgbackfill', json_build_object('event', 'throttle')::text);
    RETURN NULL;
END $$;

CREATE TRIGGER throttles_after_write AFTER INSERT OR UPDATE OR DELETE ON pgbackfill.throttles
    FOR EACH ROW EXECUTE FUNCTION pgbackfill.throttles_after_write();

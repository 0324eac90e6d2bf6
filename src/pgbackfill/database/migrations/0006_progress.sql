-- What people and dashboards look at. The columns are a contract: new ones go to the end.

-- Why nothing of a job may run at that time: an approval, another job, its hours (0019_schedule.sql). NULL: it may. Asked by
-- everybody who looks at a job, so with its owner's rights.
CREATE FUNCTION pgbackfill.waits_for(job pgbackfill.jobs, at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF job.status NOT IN ('queued', 'running') OR job.desired_state <> 'run' THEN
        RETURN NULL;
    ELSIF job.status = 'queued' AND job.approve AND job.approved_at IS NULL THEN
        RETURN 'waits_for approval';
    ELSIF job.status = 'queued' AND job.after <> '{}' THEN
        RETURN coalesce(pgbackfill.unfinished(job.after), pgbackfill.outside(job.windows, at));
    END IF;
    RETURN pgbackfill.outside(job.windows, at);
END $$;

-- Read with the view owner's rights: viewers need none on the tables, and lease tokens are not in it.
CREATE VIEW pgbackfill.progress AS
SELECT
    j.name,
    j.status,
    j.desired_state,
    -- 100 is a promise, so nothing but success reaches it; the estimate grows with what was really there.
    CASE WHEN j.status = 'succeeded' THEN 100
         WHEN r.rows_scanned + r.rows_left = 0 THEN 0
         ELSE least(99.99, floor(10000.0 * r.rows_scanned / (r.rows_scanned + r.rows_left)) / 100)
    END::double precision AS percent,
    r.rows_scanned,
    r.rows_changed,
    r.rows_estimated,
    r.rows_quarantined,
    r.rows_per_second,
    r.chunk_rows,
    r.chunk_ms,
    r.sleep_ms,
    -- At the rate of the chunks themselves on all live lanes, and at the rate since the start with every sleep, hold and pause in it.
    -- Beyond 300 years it says no more, and an interval cannot hold every number.
    CASE WHEN e.known THEN make_interval(secs => least(e.active_s, e.overall_s, 1e10)) END AS eta_low,
    CASE WHEN e.known THEN make_interval(secs => least(greatest(e.active_s, e.overall_s), 1e10)) END AS eta_high,
    h.hold_reason,
    h.hold_since,
    coalesce(r.worker, s.worker) AS worker,
    j.started_at,
    j.finished_at,
    t.ratio AS throttle_ratio,
    t.ends_at AS throttle_until,
    j.pause_until,
    -- After the last chunk: what is done now, and how much of it.
    s.kind AS step,
    floor(10000 * s.share) / 100 AS step_percent
FROM pgbackfill.jobs AS j
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(a.rows_scanned), 0)::bigint AS rows_scanned,
        coalesce(sum(a.rows_changed), 0)::bigint AS rows_changed,
        coalesce(sum(a.rows_estimated), 0)::bigint AS rows_estimated,
        coalesce(sum(a.rows_quarantined), 0)::bigint AS rows_quarantined,
        -- The position of the cursor, and what was scanned since it was known, up to the next position that will be.
        coalesce(sum(greatest(a.rows_estimated - a.milestones_passed * a.apart
            - least(a.rows_scanned - a.passed_scanned, a.apart), 0)) FILTER (WHERE a.status = 'open'), 0) AS rows_left,
        sum(a.active_ms) AS active_ms,
        greatest(count(*) FILTER (WHERE a.current), 1) AS lanes,
        bool_and(a.hold_reason IS NOT NULL) FILTER (WHERE a.current) AS all_held,
        sum(a.rows_per_second) FILTER (WHERE a.current) AS rows_per_second,
        max(a.chunk_rows) FILTER (WHERE a.current) AS chunk_rows,
        max(a.chunk_ms) FILTER (WHERE a.current) AS chunk_ms,
        max(a.sleep_ms) FILTER (WHERE a.current) AS sleep_ms,
        (array_agg(a.hold_reason ORDER BY a.hold_since) FILTER (WHERE a.current AND a.hold_reason IS NOT NULL))[1]
            AS hold_reason,
        min(a.hold_since) FILTER (WHERE a.current AND a.hold_reason IS NOT NULL) AS hold_since,
        string_agg(DISTINCT w.hostname || ':' || w.pid, ', ') FILTER (WHERE a.current) AS worker
    FROM (SELECT n.*, n.rows_estimated / (n.milestones + 1.0) AS apart, j.status = 'running' AND n.status = 'open' AND n.lease_until > clock_timestamp() AS current
          FROM pgbackfill.ranges AS n WHERE n.job_id = j.id) AS a
    LEFT JOIN pgbackfill.workers AS w ON w.id = a.worker_id
) AS r
LEFT JOIN LATERAL (
    SELECT n.kind, n.share, n.hold_reason, n.hold_since, w.hostname || ':' || w.pid AS worker
    FROM pgbackfill.steps AS n
    LEFT JOIN pgbackfill.workers AS w ON w.id = n.worker_id AND n.lease_until > clock_timestamp()
    WHERE n.job_id = j.id AND n.status = 'open' AND j.status = 'verifying'
    ORDER BY n.ordinal LIMIT 1
) AS s ON true
CROSS JOIN LATERAL (
    SELECT coalesce(r.hold_reason, s.hold_reason, w.reason) AS hold_reason,
           CASE WHEN r.hold_reason IS NOT NULL THEN r.hold_since WHEN s.hold_reason IS NOT NULL THEN s.hold_since
                WHEN w.reason IS NOT NULL THEN j.wait_since END
               AS hold_since
    FROM (SELECT CASE WHEN j.status IN ('queued', 'running', 'paused', 'verifying')
                      THEN coalesce(j.wait_reason, pgbackfill.waits_for(j, clock_timestamp()), d.reason) END AS reason
          FROM (SELECT CASE WHEN j.handler IS NOT NULL AND j.status IN ('queued', 'running') AND j.desired_state = 'run'
                                 AND NOT EXISTS (SELECT FROM pgbackfill.workers AS n WHERE j.handler = ANY (n.handlers)
                                                 AND n.heartbeat_at > clock_timestamp() - interval '15 seconds')
                            THEN format('no_daemon has the handler %s', j.handler) END AS reason) AS d) AS w
) AS h
CROSS JOIN LATERAL (
    SELECT j.status = 'running' AND (h.hold_reason IS NULL OR NOT r.all_held) AND r.rows_scanned > 0 AND r.active_ms > 0
               AND j.started_at < clock_timestamp() AS known,
           r.rows_left * r.active_ms / 1000 / r.lanes / nullif(r.rows_scanned, 0) AS active_s,
           r.rows_left * extract(epoch FROM clock_timestamp() - j.started_at)::double precision
               / nullif(r.rows_scanned, 0) AS overall_s
) AS e
LEFT JOIN LATERAL (
    SELECT n.ratio, n.ends_at FROM pgbackfill.throttles AS n
    WHERE (n.job_id = j.id OR n.job_id IS NULL) AND n.ends_at > clock_timestamp()
      AND j.status IN ('queued', 'running', 'paused', 'verifying')
    ORDER BY n.ratio, n.ends_at DESC
    LIMIT 1
) AS t ON true;

-- Who may do what: four group roles. Nobody else can touch anything in the schema, PUBLIC included.

DO $$
DECLARE
    wanted  text[] := ARRAY['pgbackfill_enqueuer', 'pgbackfill_viewer', 'pgbackfill_daemon', 'pgbackfill_worker'];
    missing text;
    create_all text;
BEGIN
    SELECT string_agg(format('CREATE ROLE %I NOLOGIN', r), '; ') INTO create_all
    FROM unnest(wanted) AS r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r);
    FOREACH missing IN ARRAY wanted LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = missing);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXCEPTION
            -- Roles belong to the whole cluster: another database may be migrated at the same time.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not create roles', session_user
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('let an admin run `%s` first', create_all);
        END;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA pgbackfill FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgbackfill FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgbackfill FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgbackfill FROM PUBLIC;

GRANT USAGE ON SCHEMA pgbackfill TO pgbackfill_enqueuer, pgbackfill_viewer, pgbackfill_daemon, pgbackfill_worker;
GRANT SELECT ON pgbackfill.schema_version
    TO pgbackfill_enqueuer, pgbackfill_viewer, pgbackfill_daemon, pgbackfill_worker;

GRANT SELECT ON pgbackfill.progress, pgbackfill.events TO pgbackfill_enqueuer, pgbackfill_viewer;
GRANT EXECUTE ON FUNCTION pgbackfill.assert_finished(text) TO pgbackfill_viewer;
GRANT EXECUTE ON FUNCTION pgbackfill.waits_for(pgbackfill.jobs, timestamptz) TO pgbackfill_enqueuer, pgbackfill_viewer;

GRANT SELECT,
      INSERT (name, table_name, operation, set_clause, from_clause, where_clause, statement, target_table, handler,
              params, key_columns, from_key, to_key, session_settings, options, priority, run_after, desired_state,
              finalize, keep_old, undo_set_clause, windows, after, approve),
      UPDATE (desired_state, options, priority, run_after, pause_until, windows, after)
    ON pgbackfill.jobs TO pgbackfill_enqueuer;
-- Whoever may pause may throttle. Column by column, because a right on a whole table is also one to lock it.
GRANT SELECT, INSERT (job_id, ratio, ends_at), UPDATE (ratio, ends_at) ON pgbackfill.throttles TO pgbackfill_enqueuer;
GRANT EXECUTE ON FUNCTION pgbackfill.retry(text), pgbackfill.retry_quarantined(text), pgbackfill.unthrottle(text)
    TO pgbackfill_enqueuer;
-- The check runs with the enqueuer's rights, so its functions lend none.
DO $$
DECLARE
    lends_nothing regprocedure;
BEGIN
    FOR lends_nothing IN SELECT oid FROM pg_proc WHERE pronamespace = 'pgbackfill'::regnamespace AND NOT prosecdef LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgbackfill_enqueuer', lends_nothing);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgbackfill TO pgbackfill_daemon;
REVOKE INSERT, UPDATE, DELETE ON pgbackfill.schema_version, pgbackfill.progress FROM pgbackfill_daemon;
REVOKE UPDATE, DELETE ON pgbackfill.events FROM pgbackfill_daemon;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgbackfill TO pgbackfill_daemon;

-- Fenced by the claim's token; nothing else is within the work login's reach.
DO $$
DECLARE
    door regprocedure;
BEGIN
    FOR door IN SELECT oid FROM pg_proc WHERE pronamespace = 'pgbackfill'::regnamespace
                AND proname IN ('begin_chunk', 'end_chunk', 'quarantine_row', 'renew_lease', 'show_hold', 'release_range',
                    'next_quarantined', 'end_retry', 'quarantine_row_again')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgbackfill_worker', door);
    END LOOP;
END $$;

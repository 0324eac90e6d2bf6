-- A procedure that commits per batch, as it is usually written: keyset batches, the last key kept in a variable.
-- What it lacks beside a daemon: it cannot resume, it holds a session, and nothing slows it down.
CREATE OR REPLACE PROCEDURE pgbackfill_bench.commit_per_batch(batch_rows int)
LANGUAGE plpgsql AS $$
DECLARE
    last_id bigint := 0;
    upper_id bigint;
BEGIN
    LOOP
        SELECT max(id) INTO upper_id
        FROM (SELECT id FROM pgbackfill_bench.work WHERE id > last_id ORDER BY id LIMIT batch_rows) AS batch;
        EXIT WHEN upper_id IS NULL;
        UPDATE pgbackfill_bench.work
        SET email_lower = lower(email), n = n + 1
        WHERE id > last_id AND id <= upper_id AND email_lower IS NULL;
        last_id := upper_id;
        COMMIT;
    END LOOP;
END;
$$;

-- The only doors through which a chunk reaches pgbackfill's tables. They run with their owner's rights, so that the
-- work login needs none on the tables; the claim's random token, of which only a hash is stored, says who may pass.
-- The two that every chunk passes are in PL/pgSQL with generic plans: planned once a session, not in every chunk. A plan
-- made while the tables are small must not be a scan of them when they no longer are.

-- Locks the range row for the rest of the transaction. No row: the lease is lost.
-- The job is read, not locked: a person's open transaction on it must not block a chunk.
CREATE FUNCTION pgbackfill.begin_chunk(range_id bigint, epoch bigint, token bytea)
RETURNS TABLE (cursor_key text[], chunk_no bigint, desired_state text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.cursor_key, r.chunk_no, j.desired_state
      FROM pgbackfill.ranges r JOIN pgbackfill.jobs j ON j.id = r.job_id
     WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3)
       AND r.status = 'open' AND j.status = 'running'
       FOR UPDATE OF r;
END
$$;

-- Stores how far the range has come and renews its lease. Returns the chunk's number; no row: the lease is lost.
CREATE FUNCTION pgbackfill.end_chunk(
    range_id bigint, epoch bigint, token bytea,
    cursor_key text[], scanned bigint, changed bigint, wal_bytes bigint,
    chunk_rows int, chunk_ms double precision, sleep_ms double precision, rows_per_second double precision,
    lease_s double precision, finished boolean, milestones_passed int DEFAULT 0)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE pgbackfill.ranges r
       SET cursor_key = coalesce($4, r.cursor_key), chunk_no = r.chunk_no + 1,
           rows_scanned = r.rows_scanned + $5, rows_changed = r.rows_changed + $6, wal_bytes = r.wal_bytes + $7,
           chunk_rows = $8, chunk_ms = $9, active_ms = r.active_ms + $9, sleep_ms = $10, rows_per_second = $11,
           hold_reason = NULL, hold_since = NULL,
           milestones_passed = r.milestones_passed + $14,
           passed_scanned = CASE WHEN $14 > 0 THEN r.rows_scanned + $5 ELSE r.passed_scanned END,
           status = CASE WHEN $13 THEN 'done' ELSE r.status END,
           lease_until = CASE WHEN $13 THEN NULL ELSE clock_timestamp() + make_interval(secs => $12) END,
           token_hash = CASE WHEN $13 THEN NULL ELSE r.token_hash END
     WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3) AND r.status = 'open'
 RETURNING r.chunk_no;
END
$$;

-- Sets one row aside and moves the cursor past it. Called in place of end_chunk, in a chunk of one row.
CREATE FUNCTION pgbackfill.quarantine_row(
    range_id bigint, epoch bigint, token bytea, key text[], sqlstate text, message text, lease_s double precision)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH moved AS (
        UPDATE pgbackfill.ranges r
           SET cursor_key = $4, chunk_no = r.chunk_no + 1, rows_scanned = r.rows_scanned + 1,
               rows_quarantined = r.rows_quarantined + 1,
               lease_until = clock_timestamp() + make_interval(secs => $7)
         WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3) AND r.status = 'open'
     RETURNING r.id, r.job_id, r.chunk_no
    ), noted AS (
        INSERT INTO pgbackfill.quarantine (job_id, range_id, key, sqlstate, message)
        SELECT moved.job_id, moved.id, $4, $5, $6 FROM moved
        ON CONFLICT (range_id, key) DO UPDATE SET sqlstate = excluded.sqlstate, message = excluded.message,
                                                  at = clock_timestamp()
    )
    SELECT moved.chunk_no FROM moved
$$;

-- The key of the next row to run again; NULL: none is left, or the lease is lost, which the end of the chunk will tell.
CREATE FUNCTION pgbackfill.next_quarantined(range_id bigint, epoch bigint, token bytea) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.key
      FROM pgbackfill.ranges r JOIN pgbackfill.quarantine q ON q.range_id = r.retry_of AND q.id > r.retry_after
     WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3)
     ORDER BY q.id LIMIT 1
$$;

-- In place of end_chunk where a quarantined row was run again: with its change its entry goes. It was counted as scanned
-- when it was set aside.
CREATE FUNCTION pgbackfill.end_retry(
    range_id bigint, epoch bigint, token bytea, key text[], changed bigint, wal_bytes bigint, chunk_ms double precision,
    lease_s double precision, finished boolean)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH moved AS (
        UPDATE pgbackfill.ranges r
           SET chunk_no = r.chunk_no + 1, rows_changed = r.rows_changed + $5, wal_bytes = r.wal_bytes + $6,
               chunk_rows = 1, chunk_ms = $7, active_ms = r.active_ms + $7, hold_reason = NULL, hold_since = NULL,
               status = CASE WHEN $9 THEN 'done' ELSE r.status END,
               lease_until = CASE WHEN $9 THEN NULL ELSE clock_timestamp() + make_interval(secs => $8) END,
               token_hash = CASE WHEN $9 THEN NULL ELSE r.token_hash END
         WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3) AND r.status = 'open'
     RETURNING r.retry_of, r.chunk_no
    ), cleared AS (
        DELETE FROM pgbackfill.quarantine q USING moved WHERE q.range_id = moved.retry_of AND q.key = $4
     RETURNING q.range_id
    ), counted AS (
        UPDATE pgbackfill.ranges o SET rows_quarantined = o.rows_quarantined - 1 FROM cleared
         WHERE o.id = cleared.range_id
    )
    SELECT moved.chunk_no FROM moved
$$;

-- In place of quarantine_row where a row has failed again: its entry says why, and the next one comes.
CREATE FUNCTION pgbackfill.quarantine_row_again(
    range_id bigint, epoch bigint, token bytea, key text[], sqlstate text, message text, lease_s double precision)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH moved AS (
        UPDATE pgbackfill.ranges r
           SET chunk_no = r.chunk_no + 1, lease_until = clock_timestamp() + make_interval(secs => $7),
               retry_after = coalesce((SELECT q.id FROM pgbackfill.quarantine q
                                        WHERE q.range_id = r.retry_of AND q.key = $4), r.retry_after)
         WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3) AND r.status = 'open'
     RETURNING r.retry_of, r.chunk_no
    ), noted AS (
        UPDATE pgbackfill.quarantine q SET sqlstate = $5, message = $6, at = clock_timestamp() FROM moved
         WHERE q.range_id = moved.retry_of AND q.key = $4
    )
    SELECT moved.chunk_no FROM moved
$$;

-- Between chunks, while nothing runs: held time is not lease time. Passes over a row that somebody has locked.
CREATE FUNCTION pgbackfill.renew_lease(range_id bigint, epoch bigint, token bytea, lease_s double precision)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE pgbackfill.ranges r
       SET lease_until = clock_timestamp() + make_interval(secs => $4)
     WHERE r.id = (SELECT f.id FROM pgbackfill.ranges f
                    WHERE f.id = $1 AND f.epoch = $2 AND f.token_hash = sha256($3) AND f.status = 'open'
                      FOR UPDATE SKIP LOCKED)
 RETURNING r.id
$$;

-- Shows a hold (or, by NULL, its end) in the progress view and keeps the lease.
CREATE FUNCTION pgbackfill.show_hold(range_id bigint, epoch bigint, token bytea, reason text, lease_s double precision)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
    UPDATE pgbackfill.ranges r
       SET hold_reason = $4,
           hold_since = CASE WHEN $4 IS NULL THEN NULL ELSE coalesce(r.hold_since, clock_timestamp()) END,
           lease_until = clock_timestamp() + make_interval(secs => $5)
     WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3) AND r.status = 'open'
 RETURNING r.id
$$;

-- Gives the range back before its lease ends.
CREATE FUNCTION pgbackfill.release_range(range_id bigint, epoch bigint, token bytea)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
    UPDATE pgbackfill.ranges r
       SET lease_until = NULL, token_hash = NULL, worker_id = NULL, hold_reason = NULL, hold_since = NULL
     WHERE r.id = $1 AND r.epoch = $2 AND r.token_hash = sha256($3)
 RETURNING r.id
$$;

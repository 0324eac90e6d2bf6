"""What an enqueuer and a job may try, and how it ends; docs/security.md has the same list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """`sql` is what is run; `sqlstate` what it is refused with, None: it is let through and achieves nothing."""

    name: str
    sql: str
    sqlstate: str | None


NO_RIGHT = "42501"
REFUSED = "22023"
OUT_OF_RANGE = "23514"

BY_ENQUEUER = [
    Attempt("write what pgbackfill writes", "UPDATE pgbackfill.jobs SET status = 'succeeded'", NO_RIGHT),
    Attempt(
        "enqueue in another's name",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, enqueued_by) VALUES ('x', 't1', 'n = 1', 'bob')",
        NO_RIGHT,
    ),
    Attempt(
        "run under another search_path than its own",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, search_path) VALUES ('x', 't1', 'n = 1', 'evil')",
        NO_RIGHT,
    ),
    Attempt("change the SQL of a job", "UPDATE pgbackfill.jobs SET set_clause = 'n = 9'", NO_RIGHT),
    Attempt("move a cursor", "UPDATE pgbackfill.ranges SET cursor_key = '{99}'", NO_RIGHT),
    Attempt("read lease tokens", "SELECT token_hash FROM pgbackfill.ranges", NO_RIGHT),
    Attempt("read keys of quarantined rows", "SELECT key FROM pgbackfill.quarantine", NO_RIGHT),
    Attempt("begin a chunk", "SELECT * FROM pgbackfill.begin_chunk(1, 1, 'guess')", NO_RIGHT),
    Attempt(
        "end a chunk",
        "SELECT pgbackfill.end_chunk(1, 1, 'guess', '{99}', 0, 0, 0, 0, 0, 0, 0, 0, true)",
        NO_RIGHT,
    ),
    Attempt("forge history", "INSERT INTO pgbackfill.events (job_id, event) VALUES (1, 'status')", NO_RIGHT),
    Attempt("remove history", "DELETE FROM pgbackfill.events", NO_RIGHT),
    Attempt("remove history by the daemon's function", "SELECT pgbackfill.prune_events('0', 1000)", NO_RIGHT),
    Attempt("remove a job", "DELETE FROM pgbackfill.jobs", NO_RIGHT),
    Attempt("empty a table", "TRUNCATE pgbackfill.jobs CASCADE", NO_RIGHT),
    Attempt("switch the checks off", "ALTER TABLE pgbackfill.jobs DISABLE TRIGGER ALL", NO_RIGHT),
    Attempt("replace a function", "CREATE OR REPLACE FUNCTION pgbackfill.check_rights(job pgbackfill.jobs) RETURNS void"
            " LANGUAGE sql AS ''", NO_RIGHT),
    Attempt("add a function of its own", "CREATE FUNCTION pgbackfill.jsonb_each(x jsonb) RETURNS int LANGUAGE sql"
            " AS 'SELECT 1'", NO_RIGHT),
    Attempt("stop daemons by a lock on jobs", "LOCK TABLE pgbackfill.jobs IN ACCESS EXCLUSIVE MODE", NO_RIGHT),
    Attempt("stop daemons by a lock on throttles", "LOCK TABLE pgbackfill.throttles IN EXCLUSIVE MODE", NO_RIGHT),
    Attempt("be the daemon", "SET ROLE pgbackfill_daemon", NO_RIGHT),
    Attempt(
        "a second statement",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('x', 't1', 'n = 1; DROP TABLE t1')",
        REFUSED,
    ),
    Attempt(
        "an oversized clause",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause)"
        " VALUES ('x', 't1', 'n = 1', 'true --' || repeat('x', 1048577))",
        REFUSED,
    ),
    Attempt(
        "oversized JSON",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, session_settings)"
        " VALUES ('x', 't1', 'n = 1', jsonb_build_object('a.b', repeat('x', 1048577)))",
        REFUSED,
    ),
    Attempt(
        "a role for the job",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, session_settings)"
        """ VALUES ('x', 't1', 'n = 1', '{"role": "postgres"}')""",
        REFUSED,
    ),
    Attempt(
        "a time that no client can read",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, run_after) VALUES ('x', 't1', 'n = 1', 'infinity')",
        REFUSED,
    ),
    Attempt("the same later", "UPDATE pgbackfill.jobs SET run_after = '200000-01-01'", REFUSED),
    Attempt("a pause without a readable end", "UPDATE pgbackfill.jobs SET pause_until = 'infinity'", REFUSED),
    Attempt("a throttle without a readable end",
            "INSERT INTO pgbackfill.throttles VALUES (NULL, 0.5, 'infinity')", OUT_OF_RANGE),
    Attempt("a throttle that stops everything",
            "INSERT INTO pgbackfill.throttles VALUES (NULL, 1e-300, now())", OUT_OF_RANGE),
    Attempt(
        "options that no daemon could use",
        """UPDATE pgbackfill.jobs SET options = '{"chunk_target_ms": 1e9}'""",
        REFUSED,
    ),
]  # fmt: skip

BY_JOB = [
    Attempt("read another table", "SELECT count(*) FROM private", NO_RIGHT),
    Attempt("write another table", "DELETE FROM private", NO_RIGHT),
    Attempt("read other jobs", "SELECT count(*) FROM pgbackfill.jobs", NO_RIGHT),
    Attempt("write another job", "UPDATE pgbackfill.jobs SET set_clause = 'n = 9'", NO_RIGHT),
    Attempt("read a lease", "SELECT token_hash FROM pgbackfill.ranges", NO_RIGHT),
    Attempt("move a cursor", "UPDATE pgbackfill.ranges SET cursor_key = '{99}'", NO_RIGHT),
    Attempt("take the rights of the daemon", "SET ROLE pgbackfill_daemon", NO_RIGHT),
    Attempt("take the rights of a superuser", "SET SESSION AUTHORIZATION postgres", NO_RIGHT),
    Attempt("take them by set_config", "SELECT set_config('role', 'postgres', false)", NO_RIGHT),
    Attempt("switch triggers off", "SELECT set_config('session_replication_role', 'replica', true)", NO_RIGHT),
    Attempt("commit in the middle", "COMMIT", "0A000"),
    Attempt("queue a job",
            "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('x', 't1', 'n = 1')", NO_RIGHT),
    Attempt("remove history", "SELECT pgbackfill.prune_jobs('0', 1000)", NO_RIGHT),
    Attempt(
        "forge the end of another's chunk",
        "SELECT count(*) FROM generate_series(1, 50) AS r, generate_series(1, 3) AS e,"
        " LATERAL pgbackfill.end_chunk(r, e, 'guess', '{99}', 9, 9, 9, 9, 9, 9, 9, 9, true)",
        None,
    ),
    Attempt(
        "set rows aside in another's range",
        "SELECT count(*) FROM generate_series(1, 50) AS r,"
        " LATERAL pgbackfill.quarantine_row(r, 1, 'guess', '{1}', '22012', 'forged', 9)",
        None,
    ),
    Attempt(
        "give another's range away",
        "SELECT count(*) FROM generate_series(1, 50) AS r, LATERAL pgbackfill.release_range(r, 1, NULL)",
        None,
    ),
    Attempt("tell daemons that all is done",
            """SELECT pg_notify('pgbackfill', '{"job": 1, "status": "succeeded"}')""", None),
    Attempt("outlive its chunk by settings", "SELECT set_config('statement_timeout', '0', false),"
            " set_config('search_path', 'pg_temp', false), set_config('row_security', 'on', false),"
            " set_config('lock_timeout', '0', false), set_config('DateStyle', 'SQL, DMY', false)", None),
    Attempt("put a temporary table before the target",
            "CREATE TEMP TABLE IF NOT EXISTS {target} (id int PRIMARY KEY, n int)", None),
    Attempt("put constraints off until COMMIT", "SET CONSTRAINTS ALL DEFERRED", None),
]  # fmt: skip

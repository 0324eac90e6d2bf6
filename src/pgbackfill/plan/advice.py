"""What to do about a hazard, and how to get back from a job. Pure."""

from __future__ import annotations

from typing import Any, Final

from pgbackfill.keyset.names import quote_identifier, quote_literal

ADVICE: Final = {
    "trigger": "read what it does; session_settings can tell it to stand aside, if it asks for a setting",
    "foreign_key": "create an index on the referencing columns first: CREATE INDEX CONCURRENTLY",
    "row_security": 'give the work login BYPASSRLS, or write session_settings {"row_security": "on"} if that is meant',
    "replica_identity": "expect more write-ahead log, or ALTER TABLE … REPLICA IDENTITY USING INDEX before the job",
    "indexed_column": "create that index after the backfill instead: DROP INDEX CONCURRENTLY now, CREATE INDEX"
    " CONCURRENTLY afterwards",
    "fillfactor": "ALTER TABLE … SET (fillfactor = 90) helps pages that are written from then on",
    "deadlock_timeout": "lower lock_timeout_ms in the job's options, or raise deadlock_timeout",
    "replica_behind": "begin when it has caught up; the job would wait for it anyway",
    "old_snapshot": "end it if nobody needs it; `pgbackfill doctor` has the command",
    "rights": "run the GRANT as the owner of the object",
    "plan": "create the index that the error names, or change the job's SQL: the job would fail with it",
    "old_transaction": "the job begins when it has ended",
    "publication": "every changed row goes to its subscribers: make sure that they keep up",
    "keep_old": "expect two to three times the duration, and room for the keys and the kept columns",
    "not_logged": "an unlogged table is not replicated, and is emptied by a crash",
    "autovacuum_off": "ALTER TABLE … RESET (autovacuum_enabled), or VACUUM by hand while the job runs",
    "never_analyzed": "ANALYZE the table, so that plans and this page rest on figures",
}


def way_back(facts: dict[str, Any], *, undoable: bool = False) -> list[str]:
    """How to stop, and what to save beforehand for whoever wants the old values again; the last lines are SQL."""
    job, table = facts["job"], facts["table"]
    name = job["name"]
    lines = [
        f"pgbackfill pause {name}    -- stops at the next chunk boundary; pgbackfill resume {name} goes on",
        f"pgbackfill cancel {name}   -- the same for good; what is done stays done",
    ]
    if undoable:
        return [*lines, f"pgbackfill undo {name}     -- once it has ended: puts back what nobody has written since"]
    if job["operation"] == "statement":
        return [*lines, "-- what the statement writes, only its author can take back"]
    saved = quote_identifier(f"{name}_before"[:63])
    where = f" WHERE ({job['where_clause']})" if job["where_clause"] and not job["from_clause"] else ""
    if job["operation"] == "delete":
        return [
            *lines,
            f"CREATE TABLE {saved} AS SELECT t.* FROM {table['name']} AS t{where};   -- before the job",
            f"INSERT INTO {table['name']} SELECT * FROM {saved};   -- the way back",
        ]
    if job["operation"] != "update" or not facts["changed_columns"]:
        return lines
    keys = [quote_identifier(column) for column in job["key_columns"]]
    changed = [quote_identifier(column) for column in facts["changed_columns"]]
    columns = ", ".join(f"t.{column}" for column in [*keys, *changed])
    back = ", ".join(f"{column} = old.{column}" for column in changed)
    match = " AND ".join(f"old.{key} = chunk.{key}" for key in keys)
    return [
        *lines,
        f"CREATE TABLE {saved} AS SELECT {columns} FROM {table['name']} AS t{where};"
        f" ALTER TABLE {saved} ADD PRIMARY KEY ({', '.join(keys)});   -- before the job",
        f"SELECT pgbackfill.enqueue({quote_literal(name + '-back')}, {quote_literal(table['name'])},"
        f" {quote_literal(back)}, {quote_literal(match)}, from_clause => {quote_literal(saved + ' AS old')});"
        "   -- the way back",
    ]

"""Sync triggers and shadows as people use them: commands, their answers and their exit codes."""

from __future__ import annotations

import json
from typing import Any


async def _answer(site: Any, *arguments: str, code: int = 0) -> Any:
    done = await site.cli(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


async def test_a_derived_column_is_right_for_old_rows_and_new_ones(site: Any) -> None:
    await site.connection.execute(
        "CREATE TABLE users (id int PRIMARY KEY, email text, lower text);"
        "INSERT INTO users SELECT i, 'User' || i FROM generate_series(1, 50) AS i"
    )
    assignments = ("public.users", "--set", "lower = lower(email)")
    printed = await site.cli("sync-trigger", "create", "low", *assignments, "--sql")
    assert "CREATE TRIGGER" in printed.stdout
    assert await site.connection.fetchval("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz%'") == 0
    assert (await _answer(site, "sync-trigger", "create", "low", *assignments))["created"]
    again = await site.cli("sync-trigger", "create", "low", *assignments)
    assert "was there and has the expression now, on" in again.stdout
    await site.connection.execute("INSERT INTO users (id, email) VALUES (51, 'NEW')")
    await site.enqueue(
        "low", "public.users", set_clause="lower = lower(email)", where_clause="lower IS NULL", options={}
    )
    assert (await site.cli("run", "--drain", http__enabled="false")).returncode == 0
    assert await site.connection.fetchval("SELECT count(*) FROM users WHERE lower IS DISTINCT FROM lower(email)") == 0
    assert await _answer(site, "sync-trigger", "drop", "low") == {"name": "low", "tables": ["public.users"]}
    refused = await site.cli("sync-trigger", "create", "none")
    assert (refused.returncode, "There is no job 'none'" in refused.stderr) == (2, True)


async def test_a_table_is_replaced_and_comes_back(site: Any) -> None:
    await site.connection.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, n int);"
        "INSERT INTO orders SELECT i, i FROM generate_series(1, 99) AS i"
    )
    create = (
        "shadow",
        "create",
        "big",
        "orders",
        "--alter",
        "ALTER COLUMN id TYPE bigint",
        "--option",
        "parallelism=2",
    )
    assert (await _answer(site, *create))["job"] == "shadow-big-1"
    (row,) = await _answer(site, "shadow", "status", "big")
    assert (row["stage"], row["job_status"], row["next"]) == (
        "copying",
        "queued",
        "wait for the copy, job shadow-big-1",
    )
    early = await site.cli("shadow", "cutover", "big")
    assert (early.returncode, "job shadow-big-1 is queued" in early.stderr) == (2, True)
    assert (await site.cli("run", "--drain", http__enabled="false")).returncode == 0

    verified = await site.cli("shadow", "verify", "big")
    assert verified.stdout == "public.orders: both tables hold the same 99 rows (1 ranges).\n"
    transaction = site.connection.transaction()
    await transaction.start()
    await site.connection.execute("LOCK TABLE orders IN ACCESS SHARE MODE")
    locked = await site.cli("shadow", "cutover", "big", "--wait", "1s")
    assert (locked.returncode, "could not be had within 1 s: held by pid" in locked.stderr) == (1, True)
    await transaction.rollback()
    for command, said in (
        ("cutover", "public.orders is the new table, and orders_old follows it"),
        ("rollback", "public.orders is the old table, and orders_shadow follows it"),
        ("cutover", "goes back, `drop` ends it."),
        ("drop", "orders_old is gone; public.orders is an ordinary table again."),
    ):
        done = await site.cli("shadow", command, "big")
        assert (done.returncode, said in done.stdout) == (0, True), done
    assert "big\tpublic.orders\tdropped" in (await site.cli("shadow", "status")).stdout
    await site.connection.execute("UPDATE orders SET id = id + 5000000000")

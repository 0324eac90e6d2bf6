"""A plan as titled sections of short lines, which text and Markdown both draw. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pgbackfill.control.holds import quantity
from pgbackfill.durations import duration

UNKNOWN = "unknown"

Facts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Section:
    """`facts` are names with values, `notes` whole lines, `sql` is drawn as code."""

    title: str
    facts: Facts = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sql: list[str] = field(default_factory=list)


def sections(plan: dict[str, Any]) -> list[Section]:
    """In the order in which somebody who has to decide reads them; those with nothing in them are left out."""
    found = [
        _job(plan), _projection(plan), _hazards(plan), _table(plan), _change(plan), _sample(plan), _replicas(plan),
        Section("Way back", sql=plan["way_back"]), _chunk_plan(plan), _statements(plan),
    ]  # fmt: skip
    return [section for section in found if section.facts or section.notes or section.sql]


def _job(plan: dict[str, Any]) -> Section:
    job = plan["job"]
    bounds = [f"{word} {', '.join(job[name])}" for word, name in (("from", "from_key"), ("to", "to_key")) if job[name]]
    facts = [
        ("job", f"{job['name']} ({job['status'] or 'not enqueued'})"),
        ("does", f"{job['operation']} of {plan['table']['name']} by {', '.join(job['key_columns'])}"),
        ("range", " ".join(bounds)),
        ("set", job["set_clause"]),
        ("from", job["from_clause"]),
        ("where", job["where_clause"]),
        ("statement", job["statement"]),
    ]
    return Section("Job", [(name, " ".join(value.split())) for name, value in facts if value])


def _projection(plan: dict[str, Any]) -> Section:
    projection, so_far, facts = plan["projection"], plan["so_far"], list[tuple[str, str]]()
    notes: list[str] = []
    if projection is not None:
        facts += [
            (
                "duration",
                _between(_time, projection["seconds"], projection["seconds_low"], projection["seconds_high"]),
            ),
            (
                "WAL",
                _between(_bytes, projection["wal_bytes"], projection["wal_bytes_low"], projection["wal_bytes_high"]),
            ),
            ("WAL per second", f"{_bytes(projection['wal_bytes_per_s'])}/s, which every replica has to take"),
            (
                "rows",
                f"{plan['rows']:,} looked at, {projection['rows_changed']:,} changed, {projection['chunks']:,} chunks",
            ),
        ]
        notes.append("Without holds: what replicas, foreground and people make it wait for comes on top.")
    else:
        facts += [("rows", f"{plan['rows']:,} looked at" if plan["rows"] is not None else UNKNOWN)]
        if plan["rows_matching"] is not None:
            facts += [("rows that match", f"{plan['rows_matching']:,} by the planner's statistics")]
        notes.append(
            "A handler's calls are not sampled: they may have effects that no rollback undoes."
            if plan["job"]["operation"] == "handler"
            else "Duration and WAL are known from a sample: --sample runs a few chunks and rolls them back."
        )
    if plan["disk"] is not None:
        disk = plan["disk"]
        facts.append(("disk", f"up to {_bytes(disk['high_bytes'])} until vacuum makes room; WAL that slots or a failing"
                              " archive keep comes on top"))  # fmt: skip
    if so_far is not None:
        left = [so_far["seconds_left_low"], so_far["seconds_left_high"]]
        facts.append(("done", f"{so_far['rows_scanned']:,} looked at, {so_far['rows_changed']:,} changed"))
        if None not in left:
            facts.append(("left", f"{duration(left[0])} to {duration(left[1])} at the rate so far"))
    return Section("Projection", facts, notes)


def _hazards(plan: dict[str, Any]) -> Section:
    lines = [
        f"{hazard['kind']}: {hazard['detail']}" + (f". Advice: {hazard['advice']}." if hazard["advice"] else "")
        for hazard in plan["hazards"]
    ]
    return Section("Hazards", notes=lines or ["None found."])


def _table(plan: dict[str, Any]) -> Section:
    table = plan["table"]
    dead = f", {table['dead_rows']:,} dead" if table["dead_rows"] else ""
    facts = [
        ("table", table["name"] + (f", {table['partitions']} partitions" if table["partitions"] else "")),
        ("size", f"{_bytes(table['heap_bytes'])} heap, {_bytes(table['index_bytes'])} indexes, "
                 f"{_bytes(table['toast_bytes'])} TOAST"),
        ("rows", (f"{table['rows']:,}" if table["rows"] is not None else UNKNOWN) + dead),
        ("row", f"{table['row_bytes']:,} bytes on average" if table["row_bytes"] is not None else UNKNOWN),
        ("bloat", f"{table['bloat_ratio']:.0%} by column statistics" if table["bloat_ratio"] is not None else UNKNOWN),
        ("fillfactor", str(table["fillfactor"])),
        ("vacuumed", str(table["vacuumed"] or "never")[:19]),
        ("replica identity", str(table["replica_identity"])),
    ]  # fmt: skip
    return Section("Table", facts)


def _change(plan: dict[str, Any]) -> Section:
    facts: Facts = []
    if plan["changed_columns"] is not None:
        facts.append(("columns", ", ".join(plan["changed_columns"]) or "none"))
        hit = [index["name"] for index in plan["indexes"] if index["changed"]]
        facts.append(("HOT", f"never: a changed column is in {', '.join(hit)}" if hit else "where the page has room"))
    for index in plan["indexes"]:
        marks = [_bytes(index["bytes"])] + ["changed"] * bool(index["changed"]) + ["INVALID"] * (not index["valid"])
        facts.append(("index", f"{index['name']} ({', '.join(index['columns'] or [])}), {', '.join(marks)}"))
    for key in plan["foreign_keys"]:
        checked = "checked for each row" if key["checked"] else "not touched"
        facts.append(("foreign key", f"{key['name']} of {key['referencing']} to {key['referenced']}, {checked}"))
    for trigger in plan["triggers"]:
        fires = "fires" if trigger["fires"] else "does not fire"
        facts.append(("trigger", f"{trigger['name']} ({trigger['function']}), {fires}"))
    return Section("What it touches", facts)


def _sample(plan: dict[str, Any]) -> Section:
    sample = plan["sample"]
    if sample is None:
        return Section("Sample")
    facts = [
        ("chunks", f"{sample['chunks']} of {sample['chunks_wanted']}, rolled back: {sample['rows_scanned']:,} rows"
                   f" looked at, {sample['rows_changed']:,} changed"),
        ("speed", f"{sample['rows_per_second'] or 0:,.0f} rows/s while a chunk runs; {sample['row_us_least']:.1f} to"
                  f" {sample['row_us_most']:.1f} µs a row"),
    ]  # fmt: skip
    if sample["wal_bytes_per_changed_row"] is not None:
        facts.append(("WAL", f"{sample['wal_bytes_per_changed_row']:,.0f} bytes a changed row,"
                             f" {sample['page_images_per_changed_row']:.2f} page images"))  # fmt: skip
    if sample["lock_wal_bytes_per_row"] is not None:
        facts.append(("WAL of locks", f"{sample['lock_wal_bytes_per_row']:,.0f} bytes a row, before it is changed"))
    if sample["hot_ratio"] is not None:
        facts.append(("HOT", f"{sample['hot_ratio']:.0%} of the sampled updates"))
    notes = [f"It ended early: {sample['stopped']}."] if sample["stopped"] else []
    return Section("Sample", facts, notes)


def _replicas(plan: dict[str, Any]) -> Section:
    facts = [
        (replica["name"],
         f"{replica['state'] or 'state ' + UNKNOWN}, "
         + (f"{_bytes(replica['backlog_bytes'])} to replay" if replica["backlog_bytes"] is not None
            else f"backlog {UNKNOWN}: GRANT pg_monitor to the login")
         + (f", {replica['replay_lag_s']:.1f} s behind" if replica["replay_lag_s"] is not None else ""))
        for replica in plan["replicas"]
    ]  # fmt: skip
    return Section("Replicas", facts, [] if facts else ["None streams from this server."])


def _chunk_plan(plan: dict[str, Any]) -> Section:
    return Section("Plan of a chunk", sql=plan["chunk_plan"] or [])


def _statements(plan: dict[str, Any]) -> Section:
    return Section("Statements of a chunk", sql=list(_commented(plan["statements"])))


def _commented(steps: list[dict[str, str]]) -> Iterator[str]:
    for step in steps:
        yield f"-- {step['why']}"
        yield f"{step['sql'].strip()};"


def _between(words: Any, value: float, low: float, high: float) -> str:
    return f"{words(value)} ({words(low)} to {words(high)})"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _bytes(value: float | None) -> str:
    return quantity(value, "B") if value is not None else UNKNOWN

"""Writes the dashboards: `make generated`. A test says when what is written is not what this would write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.grafana import panels, queries
from deploy.grafana.panels import SOURCE, filled, graph
from grafana_foundation_sdk.builders import bargauge, dashboard, stat
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, VizOrientation
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DynamicConfigValue,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)

FOLDER = Path(__file__).parent / "dashboards"
ALL, ONE = "pgbackfill", "pgbackfill-job"
"""File names and uids."""

TITLES = {"State changes": "{{exported_job}}: {{status}}", "Holds": "held: {{reason}}"}
"""Of annotations, which the SDK has no field for."""


def query_variable(name: str, label: str, query: str, *, several: bool) -> dashboard.QueryVariable:
    """A choice among the values of a label."""
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.multi(True).include_all(True).all_value(".*") if several else variable


def frame(uid: str, title: str, about: str, *, several: bool) -> dashboard.Dashboard:
    """What both dashboards have: variables, annotations, links."""
    made = dashboard.Dashboard(title).uid(uid).description(about).tags(["pgbackfill"]).editable()
    made.time("now-1h", "now").refresh("10s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    scrape_job = "label_values(pgbackfill_build_info, job)"
    instance = 'label_values(pgbackfill_build_info{job=~"$scrape_job"}, instance)'
    backfill = f"label_values(pgbackfill_job_status{{{queries.DAEMONS}}}, exported_job)"
    made.with_variable(query_variable("scrape_job", "Scrape job", scrape_job, several=True))
    made.with_variable(query_variable("instance", "Daemon", instance, several=True))
    made.with_variable(query_variable("backfill", "Job", backfill, several=several))
    begins = {"State changes": (queries.status_begins(), "blue"), "Holds": (queries.hold_begins(), "orange")}
    for name, (expression, color) in begins.items():
        made.annotation(dashboard.AnnotationQuery().name(name).datasource(SOURCE).icon_color(color).expr(expression))
    link = dashboard.DashboardLink("pgbackfill").type(DashboardLinkType.DASHBOARDS).tags(["pgbackfill"])
    return made.link(link.keep_time(True).include_vars(True))


def with_rows(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """What both dashboards show about the daemons."""
    for title, group in (("Speed", panels.speed()), ("Pressure", panels.pressure()), ("Trouble", panels.trouble())):
        made.with_row(panels.row(title))
        for panel in group:
            made.with_panel(panel)
    return made


def all_jobs() -> dashboard.Dashboard:
    made = frame(ALL, "pgbackfill", "All jobs of the chosen daemons' databases.", several=True)
    counts = {
        "{{status}}": f"sum by (status) ({queries.gauge('job_status', 'exported_job, status', queries.BACKFILL)})"
    }
    progress = {"{{exported_job}}": queries.gauge("progress_ratio", "exported_job", queries.BACKFILL)}
    number = stat.Panel().graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE)
    made.with_row(panels.row("Jobs"))
    made.with_panel(filled(number, "Jobs by status", "Finished jobs are counted for an hour.", counts, height=6))
    bars = bargauge.Panel().unit("percentunit").min(0).max(1).orientation(VizOrientation.HORIZONTAL)
    made.with_panel(filled(bars, "Progress", "100 % only where a job has succeeded.", progress, height=6))
    made.with_panel(panels.status_timeline())
    made.with_panel(panels.hold_timeline())
    with_rows(made)
    made.with_row(panels.row("Daemons"))
    cpu, memory = queries.process("cpu_seconds_total", per_second=True), queries.process("resident_memory_bytes")
    made.with_panel(graph("Processor", "Seconds per second.", "short", {"{{instance}}": cpu}))
    made.with_panel(graph("Memory", "Resident.", "bytes", {"{{instance}}": memory}))
    return made


def one_job() -> dashboard.Dashboard:
    about = (
        "One job, and the daemons while it runs: speed, pressure and trouble are those of all jobs that the chosen "
        "daemons work on, so with several at a time look at pgbackfill.progress as well."
    )
    made = frame(ONE, "pgbackfill: one job", about, several=False)
    number = stat.Panel().graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE)
    words = {
        str(i): ValueMappingResult(text=text, color=color, index=i)
        for i, (text, color) in panels.status_words().items()
    }
    status = number.mappings([ValueMap(words)])
    made.with_row(panels.row("$backfill"))
    made.with_panel(filled(status, "Status", "Of the job.", {"status": queries.status_code()}, span=4, height=5))
    progress = queries.gauge("progress_ratio", "", queries.BACKFILL)
    share = stat.Panel().unit("percentunit").decimals(1)
    made.with_panel(filled(share, "Progress", "By sampled rows and keys.", {"done": progress}, span=4, height=5))
    low, high = (queries.gauge("eta_seconds", "", f'{queries.BACKFILL}, bound="{bound}"') for bound in ("low", "high"))
    left = stat.Panel().unit("s").no_value("unknown").graph_mode(BigValueGraphMode.NONE)
    eta = {"at least": low, "at most": high}
    made.with_panel(filled(left, "Time left", "Unknown while nothing moves.", eta, span=10, height=5))
    throttle = queries.gauge("throttle_ratio", "", queries.BACKFILL)
    kept = stat.Panel().unit("percentunit").graph_mode(BigValueGraphMode.NONE)
    made.with_panel(filled(kept, "Pace left by throttles", "1: not throttled.", {"share": throttle}, span=6, height=5))
    made.with_panel(panels.status_timeline())
    made.with_panel(panels.hold_timeline())
    made.with_panel(graph("Progress", "Never backwards.", "percentunit", {"done": progress}).max(1))
    speed = f"max (deriv(pgbackfill_progress_ratio{{{queries.BACKFILL}}}[$__rate_interval])) * 3600"
    made.with_panel(graph("Progress per hour", "Share of the whole job.", "percentunit", {"progress": speed}))
    band = graph("Time left", "Between the two bounds.", "s", eta, span=24)
    made.with_panel(
        band.override_by_name("at most", [DynamicConfigValue(id_val="custom.fillBelowTo", value="at least")])
    )
    return with_rows(made)


def content(made: dashboard.Dashboard) -> dict[str, Any]:
    """The dashboard as JSON, with panels numbered and annotations titled."""
    found: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    for number, panel in enumerate(found["panels"], 1):
        panel["id"] = number
    for annotation in found["annotations"]["list"]:
        annotation["titleFormat"] = TITLES[annotation["name"]]
    return found


def dashboards() -> dict[Path, str]:
    """Path → text of every file."""
    made = {ALL: all_jobs(), ONE: one_job()}
    return {
        FOLDER / f"{uid}.json": json.dumps(content(each), indent=1, sort_keys=True) + "\n" for uid, each in made.items()
    }


if __name__ == "__main__":
    for path, text in dashboards().items():
        path.write_text(text, encoding="utf-8")

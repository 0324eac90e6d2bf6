"""The panels that both dashboards share, and how a panel looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from deploy.grafana import queries
from deploy.grafana.queries import STATUSES
from grafana_foundation_sdk.builders import common, dashboard, prometheus, statetimeline, timeseries
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DynamicConfigValue, ValueMap, ValueMappingResult

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
COLORS = ("blue", "green", "yellow", "purple", "dark-green", "red", "text")
"""One for each of STATUSES."""

WIDTH, HEIGHT = 12, 8
"""Of a panel, in the units of Grafana's grid, which is 24 wide."""

P = TypeVar("P", bound=Any)


def filled(
    panel: P, title: str, about: str, targets: Mapping[str, str], *, span: int = WIDTH, height: int = HEIGHT
) -> P:
    """A panel with its queries: legend → expression."""
    panel.title(title).description(about).datasource(SOURCE).span(span).height(height)
    for number, (legend, expression) in enumerate(targets.items()):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        panel.with_target(query.range().datasource(SOURCE))
    return panel


def graph(title: str, about: str, unit: str, targets: Mapping[str, str], *, span: int = WIDTH) -> timeseries.Panel:
    """Lines over time."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel = (
        timeseries.Panel()
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .legend(legend.placement(LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    return filled(panel, title, about, targets, span=span)


def dashed(panel: timeseries.Panel, pattern: str, color: str) -> timeseries.Panel:
    """Draws the series whose legend matches as a limit."""
    return panel.override_by_regexp(
        pattern,
        [
            DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}),
            DynamicConfigValue(id_val="custom.fillOpacity", value=0),
            DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color}),
        ],
    )


def timeline(
    title: str, about: str, targets: Mapping[str, str], words: Mapping[int, tuple[str, str]], *, span: int = 24
) -> statetimeline.Panel:
    """States over time; `words` says text and colour of a number."""
    options = {
        str(number): ValueMappingResult(text=text, color=color, index=number) for number, (text, color) in words.items()
    }
    panel = statetimeline.Panel().mappings([ValueMap(options)]).show_value(VisibilityMode.AUTO).merge_values(True)
    return filled(panel.fill_opacity(80).line_width(0), title, about, targets, span=span, height=6)


def status_words() -> dict[int, tuple[str, str]]:
    return dict(enumerate(zip(STATUSES, COLORS, strict=True), 1))


def status_timeline() -> statetimeline.Panel:
    return timeline("Status", "One line a job.", {"{{exported_job}}": queries.status_code()}, status_words())


def hold_timeline() -> statetimeline.Panel:
    return timeline(
        "Holds",
        "Why something was held. The column hold_reason of pgbackfill.progress has the whole sentence.",
        {"{{reason}}": queries.gauge("hold", "reason")},
        {0: ("", "transparent"), 1: ("held", "orange")},
    )


def speed() -> list[timeseries.Panel]:
    """How fast, in which chunks, and what the time goes into."""
    rows = {
        "scanned": queries.rate("rows_scanned_total"),
        "changed": queries.rate("rows_changed_total"),
    }
    wal = {
        "written": queries.rate("wal_bytes_total"),
        "pace of {{instance}}": queries.gauge("pace_wal_bytes_per_second", "instance") + " < +Inf",
        "capacity seen by {{instance}}": queries.gauge("capacity_wal_bytes_per_second", "instance"),
    }
    time = {
        "chunks": queries.rate("chunk_duration_seconds_sum"),
        "sleep": queries.rate("sleep_seconds_total"),
        "held: {{reason}}": queries.rate("held_seconds_total", "reason"),
    }
    stacked = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    chunk_ms = {"median": queries.quantile(0.5), "95 %": queries.quantile(0.95)}
    return [
        graph("Throughput", "Of all jobs together.", "rowsps", rows),
        dashed(
            graph("Write-ahead log", "Pace against capacity; without a pace, nothing limits it.", "binBps", wal),
            "/^(pace|capacity) /",
            "text",
        ),
        graph("Chunk time", "Steered towards chunk_target_ms, 0.1 s.", "s", chunk_ms),
        graph("Chunk size", "Rows asked for.", "short", {"{{instance}}": queries.gauge("chunk_rows", "instance")}),
        graph("Where the time goes", "Seconds per second; a lane has one.", "short", time, span=24).stacking(stacked),
    ]


def pressure() -> list[timeseries.Panel]:
    """What makes it slow down: each signal against its limits."""
    lag = {"{{replica}}": queries.gauge("replica_lag_seconds", "replica"), "{{level}}": queries.limit("replica_lag")}
    canaries = {
        "{{signal}}": queries.gauge("signal_value", "signal", f'{queries.DAEMONS}, signal=~"canary_.+"'),
        "{{signal}} {{level}}": queries.limit("canary_.+"),
    }
    soft = queries.gauge("signal_limit", "signal", f'{queries.DAEMONS}, level="soft"')
    return [
        dashed(graph("Replica lag", "True lag; a gap is an unknown one.", "s", lag), "/^(soft|hard)$/", "red"),
        graph(
            "Replica backlog",
            "WAL that a replica has not replayed.",
            "bytes",
            {"{{replica}}": queries.gauge("replica_backlog_bytes", "replica")},
        ),
        dashed(
            graph("Canary latency", "What a foreground query feels: one row read, one committed.", "s", canaries),
            "/ (soft|hard)$/",
            "red",
        ),
        graph(
            "Signals as a share of their soft limits",
            "Above 1 the work slows down. A gap is an unknown signal.",
            "percentunit",
            {"{{signal}}": f"{queries.gauge('signal_value', 'signal')} / ({soft} > 0)"},
        ),
    ]


def trouble() -> list[timeseries.Panel]:
    """What failed."""
    return [
        graph("Chunks", "By how they ended.", "cps", {"{{outcome}}": queries.rate("chunks_total", "outcome")}),
        graph("Retries", "By SQLSTATE.", "cps", {"{{sqlstate}}": queries.rate("retries_total", "sqlstate")}),
        graph(
            "Rows set aside", "Into quarantine.", "short", {"rows": queries.increase("rows_quarantined_total")}
        ).draw_style(GraphDrawStyle.BARS),
        graph(
            "Notifications",
            "Attempts to tell the webhook, by how they ended.",
            "short",
            {"{{outcome}}": queries.increase("notifications_total", "outcome")},
        ).draw_style(GraphDrawStyle.BARS),
        graph(
            "Age of signals", "Of the last value.", "s", {"{{signal}}": queries.gauge("signal_age_seconds", "signal")}
        ),
    ]


def row(title: str) -> dashboard.Row:
    return dashboard.Row(title)

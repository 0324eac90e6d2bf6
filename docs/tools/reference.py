"""Writes the tables of the reference that the code knows best: `make generated`. A test says when one is out of date.

In a page of docs/reference they stand between `<!-- made: NAME -->` and `<!-- end -->`; everything else there is
written by people. Words come from the code: a setting's `description`, a metric's help, a command's docstring.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pgbackfill.cli.app import app
from pgbackfill.control.options import PacingOptions
from pgbackfill.metrics import Metrics
from pgbackfill.settings import Settings
from pgbackfill.settings_errors import expected
from pgbackfill.settings_signals import CustomSql, Promql, SignalSettings, Threshold
from pgbackfill.settings_sources import PREFIX

FOLDER = Path(__file__).parents[1] / "reference"
MADE = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
POWERS = {1 << 40: "2^40", 1 << 50: "2^50", 1 << 60: "2^60"}
ELSEWHERE = {*PacingOptions.model_fields, "signals", "custom_sql", "promql"}
"""Settings that have a table of their own."""

Row = tuple[str, ...]


class NothingSaid(Exception):
    """Something that people can set or see has no words."""


def said(text: str | None, what: str, where: str) -> str:
    """The words about `what`, in one line. Raises NothingSaid where the code has none."""
    if not text:
        raise NothingSaid(f"{what} has no words: give it a {where}, then `make generated`.")
    return " ".join(text.split()).replace("|", "\\|")


def table(header: Row, rows: Iterable[Row]) -> str:
    lines = (header, tuple("---" for _ in header), *rows)
    return "".join("| " + " | ".join(cells).strip() + " |\n" for cells in lines)


def options() -> str:
    return table(("option", "default", "takes", ""), _fields(PacingOptions))


def settings() -> str:
    return table(("variable", "default", "takes", ""), _variables(Settings, PREFIX, ELSEWHERE))


def thresholds() -> str:
    return table(("NAME", "soft", "hard", "unit", "interval, s"), _thresholds())


def custom_sql() -> str:
    return table(("entry", "default", "takes", ""), _fields(CustomSql))


def promql() -> str:
    return table(("entry", "default", "takes", ""), _fields(Promql))


def metrics() -> str:
    rows = []
    for metric in families():
        (family,) = metric.describe()
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        about = said(family.documentation, family.name, "help text")
        rows.append((f"`{exposed(family.name, family.type)}`", family.type, labels, about))
    return table(("metric", "type", "labels", ""), rows)


def commands() -> str:
    parts = []
    for name, command in walk(typer.main.get_command(app)):
        about = said(command.help, f"`pgbackfill {name}`", "docstring")
        usage = " ".join(["pgbackfill", name, *(_argument(each) for each in command.params if _is_argument(each))])
        parts.append(f"## {name}\n\n{about}\n\n    {usage}\n\n" + table(("flag", ""), _flags(command, name)))
    return "\n".join(parts)


def _fields(model: type[BaseModel]) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        about = said(field.description, f"{model.__name__}.{name}", "description")
        yield f"`{name}`", default(field), takes(field), about


def _variables(model: type[BaseModel], prefix: str, skip: set[str]) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name}".upper()
        if name in skip:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, f"{variable}__", set())
        else:
            about = said(field.description, f"The setting {variable}", "description")
            yield f"`{variable}`", default(field), takes(field), about


def _thresholds() -> Iterator[Row]:
    for name, field in SignalSettings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Threshold)
        fields = field.annotation.model_fields
        extra = fields["soft"].json_schema_extra
        unit = str(extra["unit"]) if isinstance(extra, dict) else ""
        yield name.upper(), default(fields["soft"]), default(fields["hard"]), unit, default(fields["interval_s"])


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if field.is_required():
        return "required"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "none" if value in (None, "") else str(value)


def takes(field: FieldInfo) -> str:
    """As the message says it that refuses a wrong value."""
    text = expected(field)
    for number, power in POWERS.items():
        text = text.replace(str(number), power)
    return text


def families() -> list[MetricWrapperBase]:
    """Every metric of the daemon's registry, in the order in which the code defines them."""
    found = Metrics().registry._collector_to_names
    return [collector for collector in found if isinstance(collector, MetricWrapperBase)]


def exposed(family: str, kind: str) -> str:
    """The name by which a query finds it."""
    return family + {"counter": "_total", "info": "_info"}.get(kind, "")


def walk(command: Any, path: Row = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words after `pgbackfill`."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from walk(inner, (*path, name))
    else:
        yield " ".join(path), command


def _flags(command: Any, name: str) -> Iterator[Row]:
    for each in command.params:
        what = (
            _argument(each) if _is_argument(each) else ", ".join(f"`{it}`" for it in (*each.opts, *each.secondary_opts))
        )
        yield what, said(each.help, f"{what} of `pgbackfill {name}`", "help")


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name).strip("[]{}").upper()
    return name if argument.required else f"[{name}]"


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (options, settings, thresholds, custom_sql, promql, metrics, commands)
}


def pages() -> dict[Path, str]:
    """Path → text of every page that has such a table."""
    found = {path: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
    return {
        path: MADE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}", text)
        for path, text in found.items()
        if MADE.search(text)
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")

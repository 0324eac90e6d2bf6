"""Turns a validation error into the one sentence that a person needs."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from pgbackfill.settings_sources import PREFIX


def sentence(
    model: type[BaseModel], error: ValidationError, layers: Mapping[str, Mapping[str, Any]], config: Path | None
) -> str:
    """What is wrong with the first wrong setting, where it came from, and what would be right."""
    first = error.errors(include_url=False, include_context=True)[0]
    path = tuple(part for part in first["loc"] if isinstance(part, str))
    if not path:
        return f"The settings contradict each other: {_reason(first)}."
    where = _origin(path, layers, config)
    field, parent = _find(model, path)
    if field is None:
        near = difflib.get_close_matches(path[-1], list(parent.model_fields), n=1, cutoff=0.6)
        return f"{where} is not a setting" + (f"; did you mean {near[0]}." if near else "; remove it.")
    if first["type"] == "value_error":
        return f"{where} {_reason(first)}."
    shown = "" if _is_secret(field.annotation) else f", not {_short(first['input'])}"
    return f"{where} must be {expected(field)}{shown}."


def expected(field: FieldInfo) -> str:
    """What a field takes, in words: kind, unit and range."""
    words = _kind(field.annotation)
    unit = _unit(field, field.annotation)
    if unit and unit != "ratio":
        words += f" ({unit})"
    limits = {
        name: getattr(item, name) for item in field.metadata for name in ("gt", "ge", "lt", "le") if hasattr(item, name)
    }
    low = f"above {limits['gt']}" if "gt" in limits else f"from {limits['ge']}" if "ge" in limits else ""
    high = f"below {limits['lt']}" if "lt" in limits else f"to {limits['le']}" if "le" in limits else ""
    if low.startswith("above") and high:
        high = f"and at most {high.removeprefix('to ')}"
    return " ".join(part for part in (words, low, high) if part)


def _unit(field: FieldInfo, annotation: Any) -> Any:
    """Of the field, or inside `Rows | None` of the part that has one."""
    if isinstance(field.json_schema_extra, dict):
        return field.json_schema_extra.get("unit")
    inner = (each for part in get_args(annotation) for each in getattr(part, "__metadata__", ()))
    return next((_unit(each, None) for each in inner if isinstance(each, FieldInfo)), None)


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(annotation) if part is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(str(part) for part in get_args(annotation))
    if origin in (tuple, list):
        return "a list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table of settings"
    kinds = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    return kinds.get(annotation, "text")


def _origin(path: tuple[str, ...], layers: Mapping[str, Mapping[str, Any]], config: Path | None) -> str:
    name = next((layer for layer in ("flag", "env", "file") if _has(layers[layer], path)), "env")
    if name == "flag":
        return "--" + "-".join(path).replace("_", "-")
    if name == "env":
        return PREFIX + "__".join(path).upper()
    return f"{'.'.join(path)} in {config}"


def _has(values: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _find(model: type[BaseModel], path: tuple[str, ...]) -> tuple[FieldInfo | None, type[BaseModel]]:
    field: FieldInfo | None = None
    for part in path:
        field = model.model_fields.get(part)
        if field is None:
            return None, model
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return field, model


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def _reason(error: Mapping[str, Any]) -> str:
    cause = error.get("ctx", {}).get("error")
    return str(cause if cause is not None else error["msg"]).rstrip(".")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

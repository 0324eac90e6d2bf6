"""Where settings come from: the environment, a TOML file, a file that holds a secret."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsError

from pgbackfill.errors import UsageError

PREFIX = "PGBACKFILL_"

# Kubernetes gives every pod variables for every service of its namespace; a service called "pgbackfill" must not
# stop the daemon. CONFIG stands for the flag --config; TEST_ belongs to the test suite.
_NOT_OURS = re.compile(
    r"PGBACKFILL_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
    r"|PGBACKFILL_CONFIG|PGBACKFILL_TEST_\w+"
)
_KUBERNETES_PORT = re.compile(r"PGBACKFILL_(\w+_)?PORT")


def _split_words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    return json_list(text) if text.startswith("[") else [part for part in re.split(r"[\s,]+", text) if part]


def json_list(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise ValueError("begins with [ but is not a JSON list") from None


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_words)]
"""A JSON list, or words between commas or blanks."""


def read_environment(settings: type[BaseSettings]) -> dict[str, Any]:
    """What PGBACKFILL_* says, nested as the settings are. A variable that means nothing is refused."""
    names = {name.upper() for name in variables(settings)}
    for variable, value in os.environ.items():
        upper = variable.upper()
        if not upper.startswith(PREFIX) or upper in names or _NOT_OURS.fullmatch(upper):
            continue
        if _KUBERNETES_PORT.fullmatch(upper) and re.match(r"(tcp|udp|sctp)://", value):
            continue
        raise UsageError(f"{variable} is not a setting{_nearest(upper, names)}.")
    try:
        return dict(EnvSettingsSource(settings)())
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        variable = PREFIX + (field.group(1).upper() if field else "*")
        raise UsageError(f"{variable} is not valid JSON; set its parts, as in {variable}__NAME, instead.") from None


def variables(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    """Names of all environment variables, in upper case."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{prefix}{name}".upper()
            yield from variables(field.annotation, f"{prefix}{name}__".upper())
        else:
            yield f"{prefix}{name}".upper()


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content, or a UsageError that names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The configuration file {path} cannot be read ({error.strerror or error}); give --config a readable file."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"The configuration file {path} is not UTF-8 text; save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The configuration file {path} is not valid TOML: {error}.") from None


def read_secret_file(path: Path, setting: str) -> str:
    """The first line of a file that holds a secret. UsageError names the setting, never the content."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{setting} names {path}, which cannot be read ({error.strerror or error}); give it a readable file."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{setting} names {path}, which is not UTF-8 text.") from None
    secret = text.split("\n", 1)[0].rstrip("\r")
    if not secret:
        raise UsageError(f"{setting} names {path}, whose first line is empty; put the secret there.")
    return secret


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flags that were given: None at any depth is left out."""
    cleaned = {key: without_none(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    return {key: value for key, value in cleaned.items() if value is not None and value != {}}


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`high` over `low`, table by table."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _nearest(name: str, names: set[str]) -> str:
    match = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {match[0]}" if match else "; unset it"

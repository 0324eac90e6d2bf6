"""Settings of a process: flags over environment over TOML file, each checked with its unit and range."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from pgbackfill import settings_sources as sources
from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import UsageError
from pgbackfill.settings_errors import sentence
from pgbackfill.settings_signals import CustomSql, Promql, SignalSettings
from pgbackfill.settings_sources import Words
from pgbackfill.settings_webhook import WebhookSettings

_URI_STARTS = re.compile(r"[\s,]+(?=postgres(?:ql)?://)")


def _split_dsns(value: Any) -> Any:
    """A JSON list, URIs between commas or blanks, or one `key=value` DSN, which holds blanks itself."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return sources.json_list(text)
    return [part.strip(" ,") for part in _URI_STARTS.split(text) if part.strip(" ,")]


Dsns = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_dsns)]


class HttpSettings(BaseModel):
    """The listener for metrics, health and control."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="whether to listen at all")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(9188, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    token: SecretStr | None = Field(None, description="what POST requests must carry as a bearer token")
    token_file: Path | None = Field(None, description="file that holds the token")
    allowed_hosts: Words = Field((), description="further names by which this listener may be addressed")

    def read_token(self) -> str | None:
        """The bearer token, from the file if there is one; None where none is configured."""
        if self.token_file is not None:
            return sources.read_secret_file(self.token_file, "PGBACKFILL_HTTP__TOKEN_FILE")
        return self.token.get_secret_value() if self.token else None


class LogSettings(BaseModel):
    """What is logged, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity that is logged")
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")


class Settings(BaseSettings, PacingOptions):
    """Everything a process can be told. Read it with `load_settings`, which puts the sources in order."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=sources.PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        validate_default=False,
    )

    dsn: SecretStr = Field(SecretStr(""), description="the database; empty: libpq's own PG* variables")
    work_dsn: SecretStr | None = Field(None, description="a login with fewer rights that runs the chunks")
    direct_dsn: SecretStr | None = Field(None, description="a way past the pooler, for LISTEN")
    replica_dsns: Dsns = Field((), description="replicas that are asked for their lag directly")
    expected_replicas: Words = Field((), description="application_name or slot of replicas that must be there")
    delayed_replicas: Words = Field(
        (), description="replicas that replay late on purpose: judged by what they have received"
    )
    ignored_slots: Words = Field((), description="replication slots that are nobody's business here")
    pooler: Literal["auto", "pgbouncer", "none"] = Field("auto", description="what stands before the database")
    connect_timeout_s: float = Field(
        10, gt=0, le=3_600, json_schema_extra={"unit": "s"}, description="for a connection; the DSN's own wins"
    )
    password_file: Path | None = Field(None, description="file that holds the password; read at each connect")
    password_command: SecretStr | None = Field(None, description="shell command that prints the password")

    http: HttpSettings = Field(default_factory=lambda: HttpSettings())
    log: LogSettings = Field(default_factory=lambda: LogSettings())
    signals: SignalSettings = Field(default_factory=lambda: SignalSettings())
    webhook: WebhookSettings = Field(default_factory=lambda: WebhookSettings())
    custom_sql: tuple[CustomSql, ...] = Field((), description="signals that a query of yours reads")
    promql: tuple[Promql, ...] = Field((), description="signals that a Prometheus query reads")

    handlers: Words = Field((), description="Python modules whose handlers this process runs")

    max_concurrent_jobs: int = Field(2, ge=1, le=100, description="jobs that this process works on at once")
    lease_s: float = Field(
        30,
        ge=5,
        le=3_600,
        json_schema_extra={"unit": "s"},
        description="a daemon that is silent for so long is replaced",
    )
    poll_s: float = Field(
        1.0,
        ge=0.05,
        le=60,
        json_schema_extra={"unit": "s"},
        description="time between two looks at the jobs, NOTIFY or not",
    )
    heartbeat_s: float = Field(
        1, ge=0.1, le=10, json_schema_extra={"unit": "s"}, description="liveness, and how often the canaries sing"
    )
    event_retention_days: int = Field(
        90, ge=1, le=36_500, json_schema_extra={"unit": "days"}, description="older events are removed"
    )
    job_retention_days: int = Field(
        365, ge=0, le=36_500, json_schema_extra={"unit": "days"}, description="finished jobs; 0: kept for ever"
    )
    metrics_retention_s: float = Field(
        3_600, ge=0, le=31_536_000, json_schema_extra={"unit": "s"}, description="series of a finished job"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` merged: it has to know which source a wrong value came from."""
        return (init_settings,)

    @model_validator(mode="after")
    def _signal_names_differ(self) -> Self:
        names = [signal.name for signal in (*self.custom_sql, *self.promql)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the signal name {twice[0]} is given twice in custom_sql and promql")
        return self

    @cached_property
    def pacing(self) -> PacingOptions:
        """The pacing options alone, as jobs override them."""
        return PacingOptions(**{name: getattr(self, name) for name in PacingOptions.model_fields})

    def secrets(self) -> tuple[str, ...]:
        """Every secret held here in the clear, for redaction. DSNs are taken apart by whoever parses them."""
        values = (self.http.token, self.webhook.url)
        return tuple(value.get_secret_value() for value in values if value is not None)


def load_settings(config: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Settings from flags (`overrides`, nested as the settings are; None is "not given"), environment and file.

    Can be called again at any time, as SIGHUP does. Raises UsageError with one sentence that names the variable,
    the file entry or the flag, and says what would be right.
    """
    layers = {
        "flag": sources.without_none(overrides or {}),
        "env": sources.read_environment(Settings),
        "file": sources.read_toml(config) if config else {},
    }
    merged: dict[str, Any] = {}
    for name in ("file", "env", "flag"):
        merged = sources.merge(merged, layers[name])
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise UsageError(sentence(Settings, error, layers, config)) from None

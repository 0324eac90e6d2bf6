"""What several commands share: their options, their settings, their connection, their output."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pgbackfill.database.types import Connection
    from pgbackfill.settings import Settings

T = TypeVar("T")

Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="PGBACKFILL_CONFIG", help="TOML file with settings.", show_default=False),
]
Database = Annotated[
    str | None,
    typer.Option("--dsn", help="Database, as a URI or key=value pairs. [env: PGBACKFILL_DSN, PG*]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; nothing of it stays.")]


@dataclass(frozen=True, slots=True)
class Common:
    """Options given before the command's name; the same ones after it win."""

    config: Path | None
    dsn: str | None


def settings_of(
    context: typer.Context, config: Path | None, dsn: str | None, overrides: dict[str, Any] | None = None
) -> Settings:
    """The settings of this command. Raises UsageError. Can be called again, as SIGHUP does."""
    from pgbackfill.settings import load_settings

    common = context.obj if isinstance(context.obj, Common) else Common(None, None)
    flags: dict[str, Any] = {"dsn": dsn if dsn is not None else common.dsn}
    return load_settings(config or common.config, flags | (overrides or {}))


def with_database(settings: Settings, work: Callable[[Connection], Awaitable[T]], *, check: bool = True) -> T:
    """Runs `work` with a connection to the primary whose schema is (with `check`) the one this program knows."""
    import anyio

    from pgbackfill.database.connect import connected
    from pgbackfill.database.migrate import check_schema

    async def run() -> T:
        async with connected(
            settings.dsn.get_secret_value(), settings=settings, purpose="cli", require_primary=True
        ) as connection:
            if check:
                await check_schema(connection)
            return await work(connection)

    return anyio.run(run)


def marked(dry_run: bool) -> dict[str, bool]:
    """What a JSON answer says of a dry run: a script must not take it for the real thing."""
    return {"dry_run": True} if dry_run else {}


def say_json(content: Any) -> None:
    """One JSON document on standard output."""
    from pgbackfill.jsonable import plain

    typer.echo(json.dumps(plain(content), ensure_ascii=False, indent=2))

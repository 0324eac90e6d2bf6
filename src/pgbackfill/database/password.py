"""Passwords from where they change: a file or a command, read again at each connect."""

from __future__ import annotations

import os
import subprocess

import anyio

from pgbackfill.database.dsn import Dsn
from pgbackfill.errors import DatabaseUnavailable
from pgbackfill.redact import remember
from pgbackfill.settings import Settings
from pgbackfill.settings_sources import read_secret_file


async def password_for(target: Dsn, settings: Settings) -> str | None:
    """The password for this connection: connection string, password_command, password_file, PGPASSWORD, pgpass.

    The command sees PGHOST, PGPORT, PGUSER and PGDATABASE of the connection, so that one command serves them all.
    Raises DatabaseUnavailable where the command fails and UsageError where the file cannot be read.
    """
    password = target.password
    if password is None and settings.password_command is not None:
        password = await _run(settings.password_command.get_secret_value(), target)
    elif password is None and settings.password_file is not None:
        password = read_secret_file(settings.password_file, "PGBACKFILL_PASSWORD_FILE")
    elif password is None:
        password = target.fallback_password()
    remember(password)
    return password


async def _run(command: str, target: Dsn) -> str:
    host, port = target.hosts[0]
    place = {"PGHOST": host, "PGPORT": port, "PGUSER": target.user, "PGDATABASE": target.database}
    result = await anyio.run_process(
        command, env=os.environ | place, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    if result.returncode != 0:
        raise DatabaseUnavailable(
            f"PGBACKFILL_PASSWORD_COMMAND ended with status {result.returncode}; run it by hand to see why."
        )
    password = result.stdout.decode(errors="replace").split("\n", 1)[0].rstrip("\r")
    if not password:
        raise DatabaseUnavailable("PGBACKFILL_PASSWORD_COMMAND printed no password; its first line must be one.")
    return password

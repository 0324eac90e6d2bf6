"""TLS as libpq spells it, against a server with a certificate: what each sslmode takes, and what it refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pgbackfill.database.connect import connected
from pgbackfill.embedded import Binaries, Scratch, Server
from pgbackfill.errors import DatabaseUnavailable
from pgbackfill.settings import load_settings

SETTINGS = load_settings(None, {"http": {"enabled": False}})
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass
class Tls:
    """A server with a certificate for `localhost`, signed by the authority in `root`; `other` is another authority."""

    server: Server
    root: Path
    other: Path

    def dsn(self, options: str, host: str = "localhost") -> str:
        return f"host={host} port={self.server.port} user={self.server.user} dbname=postgres {options}"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _authority(folder: Path, name: str) -> tuple[Path, Path]:
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
             "-keyout", key, "-out", certificate)  # fmt: skip
    return key, certificate


@pytest.fixture(scope="module")
def tls(debian_15: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("tls")
    key, root = _authority(folder, "authority")
    _, other = _authority(folder, "other")
    request, own, extensions = folder / "request", folder / "server.key", folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", own, "-out", request)
    _openssl("x509", "-req", "-days", "2", "-in", request, "-CA", root, "-CAkey", key, "-CAcreateserial",
             "-extfile", extensions, "-out", folder / "server.crt")  # fmt: skip
    with Server.create(Binaries(15, POSTGRES_15), {"fsync": "off", "log_min_messages": "fatal"}) as server:
        for name in ("server.key", "server.crt"):
            target = server.data / name
            target.write_bytes((folder / name).read_bytes())
            target.chmod(0o600)
            Scratch.of_process().give(target)
        server.configure({"ssl": "on"})
        server.restart()
        yield Tls(server, root, other)


@pytest.mark.parametrize(
    ("options", "encrypted"),
    [
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("", True),
        ("sslmode=prefer", True),
        ("sslmode=require", True),
        ("sslmode=verify-ca sslrootcert={root}", True),
        ("sslmode=verify-full sslrootcert={root}", True),
        ("sslmode=require sslrootcert={root}", True),
    ],
)
async def test_each_mode_encrypts_as_libpq_would(tls: Any, options: str, encrypted: bool) -> None:
    dsn = tls.dsn(options.format(root=tls.root))
    async with connected(dsn, settings=SETTINGS, purpose="work") as connection:
        assert await connection.fetchval(ENCRYPTED) is encrypted


@pytest.mark.parametrize(
    ("options", "host", "sentence"),
    [
        ("sslmode=verify-full sslrootcert={root}", "127.0.0.1", "IP address mismatch"),
        ("sslmode=verify-ca sslrootcert={other}", "localhost", "is not valid: "),
        ("sslmode=verify-full sslrootcert={other}", "localhost", "is not valid: "),
    ],
)
async def test_a_certificate_that_does_not_fit_is_refused_in_one_sentence(
    tls: Any, options: str, host: str, sentence: str
) -> None:
    dsn = tls.dsn(options.format(root=tls.root, other=tls.other), host)
    with pytest.raises(DatabaseUnavailable) as caught:
        async with connected(dsn, settings=SETTINGS, purpose="work"):
            pass
    assert sentence in str(caught.value)
    assert str(caught.value).endswith("; check sslrootcert and the host.")


async def test_verify_ca_looks_at_no_name(tls: Any) -> None:
    dsn = tls.dsn(f"sslmode=verify-ca sslrootcert={tls.root}", "127.0.0.1")
    async with connected(dsn, settings=SETTINGS, purpose="work") as connection:
        assert await connection.fetchval(ENCRYPTED)


async def test_a_server_without_tls_is_named_where_it_is_required(debian_15: Server) -> None:
    with pytest.raises(DatabaseUnavailable, match="speaks no TLS; set sslmode=prefer"):
        async with connected(debian_15.dsn() + "?sslmode=require", settings=SETTINGS, purpose="work"):
            pass

"""docker-compose.yml: what must hold without an engine. `make test-docker` runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CHUNK_DEADLINE_S = 35
"""Five statement time-outs of 5 s and 10 s: the longest that a chunk can take with the defaults."""


def test_ports_are_published_on_loopback_only_and_can_be_changed() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-\d+\}:\d+", port)] == []


def test_everything_that_stays_is_checked_for_health() -> None:
    stays = {name for name, service in SERVICES.items() if service["restart"] == "unless-stopped"}
    unchecked = {name for name in stays if "test" not in SERVICES[name].get("healthcheck", {})}
    assert unchecked == {"pgbackfill", "load"}  # the first by its image's HEALTHCHECK, the second is nobody's concern


def test_only_what_may_be_missing_is_behind_a_profile() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"grafana": ["grafana"], "load": ["load"]}


def test_no_password_is_in_the_environment() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET", variable):
                assert "/run/secrets/" in value, (name, variable)
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), (name, variable)


def test_every_secret_is_a_file_that_is_there() -> None:
    folder = ROOT / "deploy" / "compose" / "secrets"
    assert set(COMPOSE["secrets"]) == {path.name for path in folder.iterdir()}
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"] == f"${{SECRETS:-./deploy/compose/secrets}}/{name}"
        assert (folder / name).read_text(encoding="utf-8").strip()
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])


def test_every_file_that_is_mounted_is_there() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", []) if mount.startswith(".")]
    assert [mount for mount in mounts if not mount.endswith(":ro")] == []
    assert [mount for mount in mounts if not (ROOT / mount.split(":")[0]).exists()] == []


def test_the_daemon_can_do_no_harm_and_has_time_to_finish_its_chunk() -> None:
    daemon = SERVICES["pgbackfill"]
    assert daemon["read_only"] is True
    assert daemon["cap_drop"] == ["ALL"]
    assert daemon["security_opt"] == ["no-new-privileges:true"]
    assert int(daemon["stop_grace_period"].removesuffix("s")) > CHUNK_DEADLINE_S

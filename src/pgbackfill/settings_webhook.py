"""Where people are told what happened to a job: `PGBACKFILL_WEBHOOK__URL` and its kin."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from pgbackfill.errors import UsageError
from pgbackfill.settings_sources import Words, read_secret_file

KINDS: Final = ("failed", "held", "paused", "finished")


class WebhookSettings(BaseModel):
    """An address that takes JSON by POST. It usually holds a secret, so it is never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr | None = Field(None, description="where to send; none: nothing is sent")
    url_file: Path | None = Field(None, description="file that holds the address; read each time")
    on: Words = Field(KINDS, description="what is told: failed, held, paused, finished")
    held_s: float = Field(
        300, ge=1, le=86_400, json_schema_extra={"unit": "s"}, description="a hold that lasts longer is told"
    )
    timeout_s: float = Field(
        10, gt=0, le=60, json_schema_extra={"unit": "s"}, description="longest time for one attempt"
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not is_address(url.get_secret_value()):
            raise ValueError("must be an address that begins with https:// or http://")
        return url

    @field_validator("on")
    @classmethod
    def _are_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [kind for kind in kinds if kind not in KINDS]
        if wrong:
            raise ValueError(f"may hold {', '.join(KINDS)}, not {wrong[0][:40]!r}")
        return kinds

    def read_url(self) -> str | None:
        """The address, from the file if there is one; None where none is configured. Raises UsageError."""
        if self.url_file is None:
            return self.url.get_secret_value() if self.url else None
        url = read_secret_file(self.url_file, "PGBACKFILL_WEBHOOK__URL_FILE").strip()
        if not is_address(url):
            raise UsageError(f"{self.url_file} must hold an address that begins with https:// or http://.")
        return url


def is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False

"""Removes secrets from any text that may be shown to somebody."""

from __future__ import annotations

import re

MASK = "***"

# A shorter secret is likely to be an ordinary word ("postgres"), and masking those makes messages unreadable; the
# patterns below still catch it wherever it is labelled as a password.
MIN_LITERAL_CHARS = 8

_PATTERNS = (
    # user:password@ in a URI
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)[^\s@'\"]*(?:@[^\s@'\"/]*(?=@))?(?=@)", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    # password='it''s', "password": "x", token=x, PGPASSWORD=x
    (
        re.compile(
            r"""((?:password|passwd|pwd|secret|token)["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.|'')*'|[^\s&,;}"']+)""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # ALTER ROLE me PASSWORD 'x', in the query of a session
    (re.compile(r"(\bPASSWORD\s+)'(?:[^']|'')*'", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(X-Amz-(?:Signature|Security-Token|Credential)=)[^&\s\"']+", re.IGNORECASE), rf"\1{MASK}"),
)

_literals: set[str] = set()


def remember(*secrets: str | None) -> None:
    """Masks these wherever they appear from now on, whatever stands around them."""
    _literals.update(secret for secret in secrets if secret and len(secret) >= MIN_LITERAL_CHARS)


def redact(text: str) -> str:
    """The text without passwords and tokens."""
    # Patterns first: a secret that is also an ordinary word ("postgres") would mask what they recognise.
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    for secret in _literals:
        text = text.replace(secret, MASK)
    return text

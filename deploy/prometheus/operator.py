"""Writes the rules as the Prometheus operator takes them; part of `make generated`."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
RULES = HERE / "rules" / "pgbackfill.yml"
TARGET = HERE.parent / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
HEAD = """\
# deploy/prometheus/rules/pgbackfill.yml, written by `make generated`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pgbackfill
spec:
"""


def manifest() -> str:
    """The rules without their opening comment, as the spec of a PrometheusRule."""
    _, start, rest = RULES.read_text(encoding="utf-8").partition("groups:\n")
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in (start + rest).splitlines(keepends=True))


if __name__ == "__main__":
    TARGET.write_text(manifest(), encoding="utf-8")

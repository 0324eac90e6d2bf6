"""Command-line flags that all benchmarks share."""

from __future__ import annotations

import argparse

from .tables import FILLER_BYTES


def parser(description: str | None) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--dsn", help="measure on this database (of a superuser) instead of an embedded server")
    result.add_argument(
        "--filler-bytes",
        type=int,
        default=FILLER_BYTES,
        help="bytes of each row beside key and changed columns, which take about 70 (%(default)s)",
    )
    result.add_argument("--quick", action="store_true", help="small and few: shows that it works, not how fast")
    result.add_argument("--json", action="store_true", help="print JSON instead of tables")
    result.add_argument("--plot", metavar="FILE", help="also draw the result into this PNG or SVG")
    return result


def positive(text: str) -> int:
    """An argparse type."""
    value = int(text.replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value

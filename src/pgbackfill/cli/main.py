"""The command `pgbackfill`: every way out of it is an exit code and at most one sentence.

0: done. 1: a job that this process worked on failed, or a demonstration did not verify. 2: bad configuration or
arguments. 3: the database cannot be reached or used. 70: a defect of pgbackfill. 128 + n: ended by signal n.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from pgbackfill.cli.app import app
from pgbackfill.errors import PgbackfillError

EXIT_DEFECT = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line and exits."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_report(error))
    sys.exit(0)


def _report(error: Exception) -> int:
    from pgbackfill.redact import redact

    known = _known(error)
    if known is not None:
        print(f"pgbackfill: {redact(str(known))}", file=sys.stderr)
        return known.exit_code
    if os.environ.get("PGBACKFILL_LOG__LEVEL", "").lower() == "debug":
        import traceback

        print(redact("".join(traceback.format_exception(error))), file=sys.stderr)
    first = _first(error)
    said = redact(" ".join(str(first).split()))
    print(
        f"pgbackfill: A defect ended this command ({type(first).__name__}: {said}); "
        "set PGBACKFILL_LOG__LEVEL=debug to see where, and report it.",
        file=sys.stderr,
    )
    return EXIT_DEFECT


def _known(error: BaseException) -> PgbackfillError | None:
    """The error that has a sentence; of several at once the one that says most about the cause."""
    if isinstance(error, PgbackfillError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [_known(each) for each in error.exceptions]
        # A defect beside a known error must not hide behind its sentence.
        if all(found):
            return max((each for each in found if each), key=lambda each: each.exit_code)
    return None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = next((each for each in error.exceptions if _known(each) is None), error.exceptions[0])
    return error

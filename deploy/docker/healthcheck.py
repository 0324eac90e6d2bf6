"""Exit 0 where the daemon in this container answers /healthz, else 1 with a sentence. For HEALTHCHECK, without a shell.

It asks whether the process lives, not whether the database does: restarting the daemon mends no database.
"""

from __future__ import annotations

import os
import socket
import sys

TIMEOUT_S = 2.0
"""Below the HEALTHCHECK's own time-out, so that the sentence is seen."""

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def main() -> int:
    host = os.environ.get("PGBACKFILL_HTTP__HOST", "")
    place = EVERYWHERE.get(host, host), int(os.environ.get("PGBACKFILL_HTTP__PORT") or 9188)
    try:
        # Not urllib: importing it takes longer than asking, every ten seconds.
        with socket.create_connection(place, TIMEOUT_S) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            status = connection.makefile("rb").readline()
    except OSError as error:
        print(f"{place[0]}:{place[1]} does not answer: {error}")
        return 1
    print(status.decode("latin-1").strip())
    return 0 if b" 200 " in status else 1


if __name__ == "__main__":
    sys.exit(main())

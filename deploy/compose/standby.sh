#!/bin/bash
# A copy of the primary where there is none yet, then the image's own entrypoint, which starts what it finds.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    PGPASSWORD=$(cat /run/secrets/replicator) pg_basebackup \
        --dbname='host=primary user=replicator application_name=standby' --slot=standby \
        --pgdata="$PGDATA" --write-recovery-conf --wal-method=stream --checkpoint=fast
fi
exec docker-entrypoint.sh "$@"

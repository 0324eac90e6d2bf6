#!/bin/sh
# The familiar loop: find the key that ends the next 5000 rows still to do, change everything up to it, repeat.
# Usage: offset_loop.sh DSN. One psql for all batches would be faster by some milliseconds each; people start one each.
set -eu
batch_rows=5000
while :; do
    upper=$(psql "$1" -qAtX -v ON_ERROR_STOP=1 -c "SELECT id FROM pgbackfill_bench.work
        WHERE email_lower IS NULL ORDER BY id LIMIT 1 OFFSET $batch_rows")
    psql "$1" -qAtX -v ON_ERROR_STOP=1 -c "UPDATE pgbackfill_bench.work
        SET email_lower = lower(email), n = n + 1
        WHERE email_lower IS NULL AND id <= ${upper:-9223372036854775807}"
    [ -n "$upper" ] || break
done

#!/bin/bash
# Foreground traffic: what a shop's users do while the backfill runs.
set -euo pipefail
PGPASSWORD=$(cat /run/secrets/shop)
export PGPASSWORD
exec pgbench --host=primary --username=shop --no-vacuum --file=/load.sql --client=4 --rate="$LOAD_TPS" \
    --time=86400 --progress=60 shop

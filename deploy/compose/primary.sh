#!/bin/bash
# The image's own entrypoint, with the superuser's password from its secret.
set -euo pipefail
POSTGRES_PASSWORD=$(cat /run/secrets/postgres)
export POSTGRES_PASSWORD
exec docker-entrypoint.sh "$@"

#!/bin/bash
# Runs once, when the primary's cluster is made: logins with their passwords, the standby's slot, a million orders.
set -euo pipefail

secret() { cat "/run/secrets/$1"; }

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
    --set=replicator="$(secret replicator)" --set=pgbackfill="$(secret pgbackfill)" \
    --set=worker="$(secret worker)" --set=shop="$(secret shop)" <<'SQL'
-- The groups that `pgbackfill migrate` grants rights to; it makes those that are missing.
CREATE ROLE pgbackfill_enqueuer NOLOGIN;
CREATE ROLE pgbackfill_viewer NOLOGIN;
CREATE ROLE pgbackfill_daemon NOLOGIN;
CREATE ROLE pgbackfill_worker NOLOGIN;

CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator';
CREATE ROLE pgbackfill LOGIN PASSWORD :'pgbackfill' IN ROLE pgbackfill_daemon, pg_monitor;
CREATE ROLE worker LOGIN PASSWORD :'worker' IN ROLE pgbackfill_worker;
CREATE ROLE shop LOGIN PASSWORD :'shop' IN ROLE pgbackfill_enqueuer;

SELECT pg_create_physical_replication_slot('standby');

CREATE TABLE orders (
    id          bigint PRIMARY KEY,
    email       text NOT NULL,
    email_lower text,
    amount      int NOT NULL DEFAULT 0
);
INSERT INTO orders SELECT i, 'Customer' || i || '@Example.com' FROM generate_series(1, 1000000) AS i;
ANALYZE orders;
-- The application's own migrations: they alter the table and make functions.
ALTER TABLE orders OWNER TO shop;
GRANT CREATE ON SCHEMA public TO shop;
GRANT SELECT, UPDATE ON orders TO worker;
SQL

# The image lets nobody else replicate.
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"

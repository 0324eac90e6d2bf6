"""Changes millions of rows in a live Postgres table without anybody noticing."""

__version__ = "0.1.0"

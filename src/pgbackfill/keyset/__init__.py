"""The SQL of a chunk. Pure."""

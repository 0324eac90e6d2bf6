"""What the benchmarks share: a server, fresh tables, the daemon as a subprocess, pairing, statistics, reports."""

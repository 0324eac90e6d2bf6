"""Chaos: daemons are killed, frozen and cut off, servers crash and fail over, while `n = n + 1` has to happen once to every row."""

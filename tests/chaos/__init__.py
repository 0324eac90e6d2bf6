"""Daemons are killed, frozen and cut off, servers crash and fail over; `n = n + 1` happens once to every row."""

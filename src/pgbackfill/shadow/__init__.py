"""Replaces a table by a new one under traffic: follow, copy, compare, swap, and the way back."""

"""Measurements that anybody can repeat: `python -m benchmarks.throughput`, `.scaling`, `.reaction`."""

"""How close does a handler job come to what its calls allow? `python -m benchmarks.handler`."""

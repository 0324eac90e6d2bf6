"""The decision core: samples go in with `now`, a decision comes out. No clock, no I/O, no logging."""

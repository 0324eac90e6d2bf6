"""Triggers that keep a derived column right for new writes, made from a job's own assignments."""

"""Looks at every row again after the last chunk, and lists those that the job has missed."""

from .step import run

__all__ = ["run"]

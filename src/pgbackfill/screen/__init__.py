"""What a person sees in a terminal while a job runs: a snapshot goes in, a picture of it comes out."""

from pgbackfill.screen.display import Display
from pgbackfill.screen.snapshot import Gauge, JobView, Snapshot, Unit

__all__ = ["Display", "Gauge", "JobView", "Snapshot", "Unit"]

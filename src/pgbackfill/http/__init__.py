"""HTTP: the status page, metrics, health, JSON control."""

from pgbackfill.http.app import create_app
from pgbackfill.http.plane import ControlPlane
from pgbackfill.http.server import serve

__all__ = ["ControlPlane", "create_app", "serve"]

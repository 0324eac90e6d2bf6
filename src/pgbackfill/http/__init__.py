"""HTTP: metrics, health, JSON control."""

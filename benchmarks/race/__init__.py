"""Who changes a table fastest, and what it does to the standby and the foreground meanwhile."""

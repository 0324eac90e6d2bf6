"""Rows a second of the daemon against one plain UPDATE statement, and against what people write today."""

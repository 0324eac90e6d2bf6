"""The job: its row, its states, what its errors mean. Pure."""

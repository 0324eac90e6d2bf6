"""What is wrong with a database from the point of view of a migration, each with the command that mends it."""

"""What a job will do, cost and risk, before it does any of it: facts, a sample that is rolled back, a projection."""

"""What the integration tests of a walk share."""

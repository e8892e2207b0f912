"""Both halves of a feature store in memory: the reference, for tests and notebooks."""

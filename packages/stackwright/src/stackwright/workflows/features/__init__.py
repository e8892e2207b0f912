"""The life of a row: defined, ingested, computed, pushed, shared, deleted."""

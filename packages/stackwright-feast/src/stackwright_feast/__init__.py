"""A Feast repository as the whole feature store."""

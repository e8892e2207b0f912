"""Redis as the online half of a feature store."""

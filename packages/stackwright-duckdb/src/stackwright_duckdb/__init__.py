"""DuckDB over Parquet as the offline half of a feature store."""

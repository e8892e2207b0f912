"""Apache Spark over Parquet as the offline half of a feature store."""

"""History as Parquet files in a folder: what the offline halves that keep it so have in common."""

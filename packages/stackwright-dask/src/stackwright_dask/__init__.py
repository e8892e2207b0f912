"""A Dask cluster as the compute slot."""

"""A model registry and training runs on an MLflow server, with digests, a journal and safe aliases on top."""

"""A model registry on plain files, with digests, aliases and a journal."""

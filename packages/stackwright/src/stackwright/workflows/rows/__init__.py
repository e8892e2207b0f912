"""Rows in and out: files, folders of them, buckets, databases."""

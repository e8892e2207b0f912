"""Retrievers: what names candidates."""

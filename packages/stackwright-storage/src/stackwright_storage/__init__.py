"""Conditional operations on a URL: what registry, journal and catalogue are kept on."""

from stackwright_storage.files import FileStorage
from stackwright_storage.urls import open_storage

__all__ = ["FileStorage", "open_storage"]

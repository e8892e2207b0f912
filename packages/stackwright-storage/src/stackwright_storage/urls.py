"""From a URL or path to a storage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from stackwright_interfaces.errors import UsageError, did_you_mean
from stackwright_interfaces.storage import Storage
from stackwright_storage.files import FileStorage

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def open_storage(url_or_path: str) -> Storage:
    """Open a storage; nothing is read or made yet.

    Args:
        url_or_path: ``s3://bucket/prefix``, ``postgresql://host/database``, ``file:///folder``, or a path; a relative
            one is relative to the working directory.

    Raises:
        UsageError: no such scheme, or a URL that names no folder here and no bucket.
        PluginError: what reads the scheme is not installed.
    """
    match = _SCHEME.match(url_or_path)
    if match is None:
        if not url_or_path:
            raise UsageError("storage", "neither a URL nor a path", "Name a folder.")
        return FileStorage(Path(url_or_path))
    scheme = match[1].lower()
    if scheme not in _OPENERS:
        found = f"no storage for the scheme {scheme!r}. Known: {', '.join(sorted(_OPENERS))}"
        todo = did_you_mean(scheme, _OPENERS) or "Name a folder, or begin with './' if it is a path."
        raise UsageError(f"storage {scheme}", found, todo)
    try:
        urlsplit(url_or_path)
    except ValueError:
        found = "the URL cannot be read"  # what is wrong with it may quote a password
        raise UsageError(f"storage {scheme}", found, "Write brackets that belong to a name as %5B and %5D.") from None
    return _OPENERS[scheme](url_or_path)


def _open_folder(url: str) -> Storage:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment or not parts.path:
        raise UsageError(f"storage {url!r}", "not the URL of a folder on this machine", "Write file:///path/to/folder.")
    return FileStorage(Path(unquote(parts.path)))


def _open_bucket(url: str) -> Storage:
    from stackwright_storage.s3 import S3Storage

    return S3Storage(url)


def _open_database(url: str) -> Storage:
    from stackwright_storage.postgres import PostgresStorage

    return PostgresStorage(url)


_OPENERS: Final[Mapping[str, Callable[[str], Storage]]] = {
    "file": _open_folder,
    "postgres": _open_database,
    "postgresql": _open_database,
    "s3": _open_bucket,
}

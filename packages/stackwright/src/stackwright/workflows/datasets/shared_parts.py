"""Rows of a training in a storage, for workers that do not see the project's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.storage import Storage
from stackwright_storage import open_storage


@dataclass(frozen=True)
class Shared:
    """A file of rows in a storage.

    Args:
        url: of the storage, as :func:`~stackwright_storage.open_storage` takes it.
        key: of the object.
    """

    url: str
    key: str

    def __str__(self) -> str:
        return f"{self.key} in {self.url}"

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            ObjectNotFound: it is gone.
            StorageError: it cannot be read.
            PluginError: what reads the storage is not installed here.
        """
        return _opened(self.url).get(self.key).data


@dataclass(frozen=True)
class Share:
    """A place in a storage for the rows of one training.

    Args:
        url: of the storage.
        name: of the training, no other's.
    """

    url: str
    name: str

    def put(self, path: Path) -> Shared:
        """Store a file.

        Raises:
            StorageError: it cannot be stored.
        """
        key = f"{self.name}/{path.name}"
        _opened(self.url).put_if_absent(key, path.read_bytes())
        return Shared(self.url, key)


@lru_cache(maxsize=1)
def _opened(url: str) -> Storage:
    return open_storage(url)  # for many parts, which this process reads one after the other


@contextmanager
def share(url: str, name: str) -> Iterator[Share]:
    """Give a place in a storage; what was put there is removed in the end, as far as the storage lets it."""
    try:
        yield Share(url, name)
    finally:
        with suppress(StorageError):
            for key in list(_opened(url).list(f"{name}/")):
                _opened(url).delete(key)

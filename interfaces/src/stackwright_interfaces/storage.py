"""Storage: a few conditional operations on a URL, enough for registry, journal and catalogue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONTRACT: Final = 1


@dataclass(frozen=True)
class Stored:
    """What is stored under a key: its bytes and the tag that names this state of it."""

    data: bytes
    tag: str


class Storage(ABC):
    """Objects under keys (``a/b/c.json``: relative, no ``..``), below one URL. A put is atomic and durable.

    Every operation raises ``UsageError`` for a key that is not usable.
    """

    @abstractmethod
    def get(self, key: str) -> Stored:
        """Return the object.

        Raises:
            ObjectNotFound: nothing is stored under the key.
            StorageError: it cannot be read.
        """

    def fetch(self, key: str, path: Path) -> str:
        """Write the object into a file, and return its tag. What is larger than memory is fetched a piece at a time.

        Raises:
            ObjectNotFound: nothing is stored under the key.
            StorageError: it cannot be read.
            OSError: the file cannot be written.
        """
        found = self.get(key)
        path.write_bytes(found.data)
        return found.tag

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> str:
        """Store an object where none is; return its tag.

        Raises:
            PreconditionFailed: one is there already.
        """

    @abstractmethod
    def put_if_match(self, key: str, data: bytes, tag: str) -> str:
        """Replace the object that has this tag; return the new tag.

        Raises:
            PreconditionFailed: it has another tag, or is gone.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Give the keys that start with a prefix, sorted."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where none is."""

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""

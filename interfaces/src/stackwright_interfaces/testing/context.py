"""A context for tests: a folder, a clock that is set by hand, and a storage only where a test gives one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.storage import Storage

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
"""When the clock of a test starts."""


class SettableClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now

    def advance(self, span: timedelta) -> datetime:
        """Move on, and return the new present."""
        self.now += span
        return self.now


def no_storage(url: str) -> Storage:
    """Refuse to open a storage: the test gave none.

    Raises:
        StorageError: always.
    """
    found = "this test's context has no storage"
    raise StorageError(url, found, "Give one: make_context(folder, storage=open_storage).")


def make_context(
    folder: Path,
    clock: Callable[[], datetime] | None = None,
    storage: Callable[[str], Storage] = no_storage,
) -> Context:
    """Return the context of an adapter under test.

    Args:
        folder: the project folder; the cache lies in it.
        clock: the present; without it a clock that stands at :data:`NOON`.
        storage: opens a storage by URL or path.
    """
    cache = folder / ".cache"
    cache.mkdir(parents=True, exist_ok=True)
    return Context(project=folder, cache=cache, storage=storage, clock=clock or SettableClock())

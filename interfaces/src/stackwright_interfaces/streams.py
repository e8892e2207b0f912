"""Events from a stream, which feed a view as they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CONTRACT: Final = 1


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event.

    Args:
        offset: its place in the stream, which only the source can read.
        text: a JSON object; the values of its members are those of fields, or texts that hold them.
    """

    offset: str
    text: str


class StreamSource(ABC):
    """Reads a stream in order, and remembers how far its events were taken.

    What was not committed is given again by a source that is opened later, so that nothing is lost when a process dies
    between a poll and its commit. Usable from one thread at a time.
    """

    @abstractmethod
    def poll(self, limit: int, timeout: float = 0.0) -> Sequence[StreamEvent]:
        """Return the events after those returned before, oldest first; of a new source, after the last committed.

        Args:
            limit: how many at most.
            timeout: seconds to wait for the first; 0 does not wait.

        Raises:
            StorageError: the stream cannot be reached.
        """

    @abstractmethod
    def commit(self, offset: str) -> None:
        """Remember that the events up to this one, inclusive, were taken. Durable when it returns.

        Raises:
            StorageError: the stream cannot be reached.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""

"""Jobs that are asked for over HTTP and done elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol


class JobRequests(Protocol):
    """Takes requests for jobs, and does them apart from whoever asks."""

    def start(self, key: str, job: str, at: datetime | None) -> tuple[Mapping[str, Any], bool]:
        """Take a request, unless it was taken before.

        Args:
            key: names the request, as no other does.
            job: which.
            at: as of when; ``None`` is the job's own choice.

        Returns:
            what became of it so far, and whether it was taken now.

        Raises:
            Refused: too many wait (503), or the key stands for something else (422).
            UsageError: there is no such job.
        """
        ...

    def status(self, request: str) -> Mapping[str, Any] | None:
        """Return what became of a request, by its id; ``None`` where it is none."""
        ...

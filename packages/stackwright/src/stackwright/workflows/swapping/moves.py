"""What was moved, and that it is the same where it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stackwright_interfaces.errors import StackwrightError


class Mismatch(StackwrightError):
    """What was moved is not the same in the new place."""

    def __init__(self, where: str, found: str, todo: str = "Give the new part an empty place of its own.") -> None:
        super().__init__(where, found, todo)


@dataclass(frozen=True)
class Move:
    """What was moved and verified.

    Args:
        things: what → how many.
        bytes: how much that is.
        digests: what → digest, equal in both places.
        notes: what was not moved, and what differs all the same.
    """

    things: Mapping[str, int]
    bytes: int
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        things = ", ".join(f"{count:,} {name}" for name, count in self.things.items() if count) or "nothing"
        return f"{things} ({self.bytes:,} bytes)"

"""Where lists and clicks go to be logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from stackwright_interfaces.recommender import Recommendations
from stackwright_interfaces.registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A list that was answered.

    Args:
        list_id: its id.
        version: what answered.
        found: the list.
        user: whose it is, or ``None``.
        asked: what was asked, as JSON values.
        flags: what is odd about it.
        at: when.
        request_id: of the request.
        blueprint: digest of the plan it was served by.
        arm: ``"live"``, ``"canary"``, ``"shadow"`` or ``"test"``.
        beside: of a shadow, the id of the list that was shown.
    """

    list_id: str
    version: ModelVersion
    found: Recommendations
    user: Any = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    flags: Sequence[str] = ()
    at: datetime
    request_id: str
    blueprint: str
    arm: str = "live"
    beside: str = ""


@dataclass(frozen=True, kw_only=True)
class Click:
    """What became of an item of a list.

    Args:
        list_id: the list.
        item: the item.
        value: what it earned: 1 for a click, 0 where that is withdrawn, any number that is not negative.
        observed: when.
    """

    list_id: str
    item: Any
    value: float
    observed: datetime


class ListSink(Protocol):
    """Takes lists and clicks without waiting."""

    @property
    def lost(self) -> int:
        """Lists and clicks that were taken and could not be written."""
        ...

    def append(self, listed: Listed, /) -> bool:
        """Take a list; return whether there was room for it."""
        ...

    def clicked(self, clicks: Sequence[Click], /) -> bool:
        """Take clicks; return whether there was room for them."""
        ...


class NoListSink:
    """Takes lists and clicks and forgets them."""

    lost = 0

    def append(self, _listed: Listed, /) -> bool:
        """Take a list."""
        return True

    def clicked(self, _clicks: Sequence[Click], /) -> bool:
        """Take clicks."""
        return True

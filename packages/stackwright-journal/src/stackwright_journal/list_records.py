"""What a log of lists holds: one JSON object a list, with all its places, and one an item that was clicked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson

from stackwright_journal.records import SCHEMA, Line, rfc3339

FOLDER: Final = "lists"
LIST: Final = "list"
CLICK: Final = "click"


@dataclass(frozen=True, kw_only=True)
class ListRecord:
    """A list as it was shown.

    Args:
        list_id: its id; clicks name it.
        predicted_at: when it was made.
        model: the recommender.
        version: its version.
        digest: its digest.
        items: identifiers, the first place first.
        scores: of each, NaN where there is none.
        propensities: probability with which each was put at its place.
        cold: which of them nobody took before.
        user: whose list it is, or ``None``.
        asked: what was asked, as JSON values: enough to ask another recommender for the same items.
        flags: what is odd about it.
        considered: candidates that were ranked.
        arm: as of predictions.
        beside: of a shadow, the id of the list that was shown; empty of others.
        request_id: of the request.
        blueprint: digest of the plan it was served by.
    """

    list_id: str
    predicted_at: datetime
    model: str
    version: int
    digest: str
    items: Sequence[Any]
    scores: Any
    propensities: Any
    cold: Any
    user: Any = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    flags: Sequence[str] = ()
    considered: int = 0
    arm: str = "live"
    beside: str = ""
    request_id: str = ""
    blueprint: str = ""

    def __len__(self) -> int:
        """Return 1: a list is a line."""
        return 1

    def lines(self) -> Iterator[Line]:
        """Give its line."""
        line = orjson.dumps(
            {
                "schema": SCHEMA,
                "kind": LIST,
                "list_id": self.list_id,
                "at": rfc3339(self.predicted_at),
                "model": self.model,
                "version": self.version,
                "digest": self.digest,
                "arm": self.arm,
                "beside": self.beside,
                "user": self.user,
                "items": list(self.items),
                "scores": np.asarray(self.scores, dtype=np.float64).tolist(),
                "propensities": np.asarray(self.propensities, dtype=np.float64).tolist(),
                "cold": np.asarray(self.cold, dtype=np.bool_).tolist(),
                "asked": dict(self.asked),
                "flags": list(self.flags),
                "considered": self.considered,
                "request_id": self.request_id,
                "blueprint": self.blueprint,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        yield Line(1, line)


@dataclass(frozen=True, kw_only=True)
class ClickRecord:
    """What became of an item of a list. Of several about one item the last observed counts; then the one told last.

    Args:
        list_id: the list.
        item: the item.
        value: what it earned: 1 for a click, 0 where that is withdrawn, any number that is not negative.
        observed: when.
        predicted_at: when it was told; the day it is kept under.
    """

    list_id: str
    item: Any
    value: float
    observed: datetime
    predicted_at: datetime

    def __len__(self) -> int:
        """Return 1: a click is a line."""
        return 1

    def lines(self) -> Iterator[Line]:
        """Give its line."""
        line = orjson.dumps(
            {
                "schema": SCHEMA,
                "kind": CLICK,
                "list_id": self.list_id,
                "item": self.item,
                "value": self.value,
                "observed": rfc3339(self.observed),
                "told": rfc3339(self.predicted_at),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        yield Line(1, line)

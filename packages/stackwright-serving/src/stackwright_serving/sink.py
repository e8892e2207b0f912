"""Where predictions go to be logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from stackwright_serving.model import LoadedModel
from stackwright_serving.scorer import Scored


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Rows that were answered in one go: of a request, or of several that came at the same moment.

    Args:
        ids: a prediction id a row.
        model: the model that answered.
        scored: its answers, and the features as read.
        columns: model columns where the caller brought them.
        keys: request key → values.
        request: request field → values.
        asked: the instant of the question.
        predicted: when it was answered.
        request_ids: of the request of each row.
        blueprint: digest of the plan it was served by.
        arm: ``"live"``, ``"canary"`` or ``"shadow"``.
    """

    ids: Sequence[str]
    model: LoadedModel
    scored: Scored
    columns: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    request: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    asked: datetime
    predicted: datetime
    request_ids: Sequence[str]
    blueprint: str
    arm: str = "live"


class PredictionSink(Protocol):
    """Takes answered requests without waiting."""

    @property
    def lost(self) -> int:
        """Rows that were taken and could not be written."""
        ...

    def append(self, answered: Answered, /) -> bool:
        """Take the rows of an answer; return whether there was room for them."""
        ...


class NoSink:
    """Takes answered requests and forgets them."""

    lost = 0

    def append(self, _answered: Answered, /) -> bool:
        """Forget a request."""
        return True

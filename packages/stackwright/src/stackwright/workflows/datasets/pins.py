"""Pins: how much was known when a model learned, so that the same rows can be built again, whatever has come since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self, runtime_checkable

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import RegistryError
from stackwright_interfaces.feature_store import Watermark


@runtime_checkable
class SupportsWatermarks(Protocol):
    """A feature store that tells how much it knows, as a composed one does."""

    def watermarks(self, service: str) -> Mapping[str, Watermark]:
        """Return view reference → how much of its history is known now, of each view of a service."""
        ...


@runtime_checkable
class SupportsServed(Protocol):
    """A feature store that tells what it brought online, as a composed one does."""

    def served(self, service: str) -> Mapping[str, Watermark | None]:
        """Return view reference → how much of it was brought online, ``None`` for nothing, of a service's views."""
        ...


@dataclass(frozen=True, kw_only=True)
class Pin:
    """How much a training set knows.

    Args:
        known_at: labels observed by then count.
        labels: position of the label log; what came to it later does not count. ``None`` counts all.
        views: view reference → how much of its history counts; ``None`` where the store cannot tell: then all does.
    """

    known_at: datetime
    labels: int | None = None
    views: Mapping[str, Watermark] | None = None

    @classmethod
    def now(cls, stack: Stack, service: FeatureService, target: Target, known_at: datetime) -> Self:
        """Return what is known now; of labels, what was observed by an instant."""
        store = stack.features
        views = store.watermarks(service.ref) if isinstance(store, SupportsWatermarks) else None
        return cls(known_at=known_at, labels=journal.labels(stack, target).position, views=views)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        views = None
        if self.views is not None:
            views = {ref: {"position": mark.position, "due": mark.due.isoformat()} for ref, mark in self.views.items()}
        return {"known_at": self.known_at.isoformat(), "labels": self.labels, "views": views}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            RegistryError: it is none.
        """
        try:
            views = document["views"]
            return cls(
                known_at=datetime.fromisoformat(document["known_at"]),
                labels=document["labels"],
                views=None if views is None else {ref: _watermark(mark) for ref, mark in views.items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryError("lineage", f"the pin is damaged ({error!r})", "Train the model again.") from error


def _watermark(document: Mapping[str, Any]) -> Watermark:
    return Watermark(int(document["position"]), datetime.fromisoformat(document["due"]))

"""Whole stores whose online path, or whose care for versions, is wrong in one way each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.errors import FeatureStoreError, VersionRequired
from stackwright_interfaces.feature_store import FeatureRows, MaterializeReport, Status, Watermark
from stackwright_interfaces.testing.faults import FaultyStore


@dataclass
class RefusesNewColumns(FaultyStore):
    """A view can gain no columns."""

    def apply(self, definitions: Definitions) -> None:
        """Compare the fields."""
        fields = {view.ref: view.fields for view in self.definitions.views}
        for view in definitions.views:
            if view.fields != fields.get(view.ref, view.fields):
                raise VersionRequired(f"view {view.ref!r}", "it has other columns")
        super().apply(definitions)


@dataclass
class TakesAnyChange(FaultyStore):
    """A change of meaning under one version is passed over in silence."""

    def apply(self, definitions: Definitions) -> None:
        """Say nothing."""
        try:
            super().apply(definitions)
        except VersionRequired:
            self.definitions = definitions


@dataclass
class StatusBlind(FaultyStore):
    """One status is reported as another.

    Args:
        status: the status that is not known.
        told: what is told instead.
    """

    status: Status = Status.EXPIRED
    told: Status = Status.NOT_FOUND

    def answered(self, rows: FeatureRows) -> FeatureRows:
        """Tell another."""
        statuses = {name: np.where(values == self.status, self.told, values) for name, values in rows.statuses.items()}
        return replace(rows, statuses=statuses)


@dataclass
class Rounded(FaultyStore):
    """Online numbers have half the precision."""

    def answered(self, rows: FeatureRows) -> FeatureRows:
        """Round."""
        with np.errstate(over="ignore"):
            columns = {
                name: values.astype(np.float32).astype(np.float64) if values.dtype == np.float64 else values
                for name, values in rows.columns.items()
            }
        return replace(rows, columns=columns)


@dataclass
class SortedColumns(FaultyStore):
    """Columns come in the order of their names."""

    def answered(self, rows: FeatureRows) -> FeatureRows:
        """Sort."""
        names = tuple(sorted(rows.names))
        return replace(rows, names=names, columns={name: rows.columns[name] for name in names})


@dataclass
class ClaimsToKnow(FaultyStore):
    """The watermarks of a read claim more than its rows know."""

    def answered(self, rows: FeatureRows) -> FeatureRows:
        """Claim."""
        known = {ref: Watermark(mark.position + 9, rows.at) for ref, mark in rows.watermarks.items()}
        return replace(rows, watermarks=known)


@dataclass
class Reading(FaultyStore):
    """The online read is asked something else; subclasses say what."""

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """Alter the request."""
        keys, request, at = self.asked(service, dict(keys), dict(request or {}), at)
        return self.inner.read(service, keys, request, at=at, timeout=timeout)

    def asked(
        self, service: str, keys: dict[str, Any], request: dict[str, Any], at: datetime | None
    ) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
        """Return what is asked instead."""
        return keys, request, at


@dataclass
class DistinctKeys(Reading):
    """A key that is asked for twice is answered once."""

    def asked(
        self, service: str, keys: dict[str, Any], request: dict[str, Any], at: datetime | None
    ) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
        """Keep each key once."""
        if len(keys) != 1 or request:
            return keys, request, at
        return {name: list(dict.fromkeys(values)) for name, values in keys.items()}, request, at


@dataclass
class RefusesNothing(Reading):
    """An empty request is an error."""

    def asked(
        self, service: str, keys: dict[str, Any], request: dict[str, Any], at: datetime | None
    ) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
        """Refuse it."""
        if not any(len(values) for values in keys.values()):
            raise FeatureStoreError("read", "no keys")
        return keys, request, at


@dataclass
class FillsRequest(Reading):
    """A key or request field that is missing is taken for null."""

    def asked(
        self, service: str, keys: dict[str, Any], request: dict[str, Any], at: datetime | None
    ) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
        """Fill."""
        rows = max((len(values) for values in (keys | request).values()), default=0)
        (found,) = (item for item in self.definitions.services if item.ref == service)
        filled = {item.name: [None] * rows for item in found.request_keys}
        return filled | keys, {item.name: [None] * rows for item in found.request} | request, at


@dataclass
class FrozenWindows(Reading):
    """Values are those of the instant they were materialised at."""

    materialised: datetime | None = None

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Take note of the instant."""
        self.materialised = at
        return super().materialize(views, at=at, progress=progress)

    def asked(
        self, service: str, keys: dict[str, Any], request: dict[str, Any], at: datetime | None
    ) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
        """Ask about that instant."""
        return keys, request, self.materialised or at


@dataclass
class OtherClock(Reading):
    """Transforms see another present online."""

    def asked(
        self, service: str, keys: dict[str, Any], request: dict[str, Any], at: datetime | None
    ) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
        """Ask a second later."""
        return keys, request, None if at is None else at + timedelta(seconds=1)


@dataclass
class Early(FaultyStore):
    """Rows of the future are brought online."""

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Materialise for tomorrow."""
        return super().materialize(views, at=at and at + timedelta(days=1), progress=progress)


@dataclass
class Presumptuous(FaultyStore):
    """A materialisation that broke off counts as done."""

    broken: bool = field(default=False)

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Do nothing after it."""
        if self.broken:
            return []
        self.broken = True
        reports = super().materialize(views, at=at, progress=progress)
        self.broken = False
        return reports


def without_age(definitions: Definitions) -> Definitions:
    """Views never expire."""
    return _viewed(definitions, lambda view: replace(view, max_age=None))


def longer_age(definitions: Definitions) -> Definitions:
    """Views expire a microsecond too late."""
    return _viewed(
        definitions,
        lambda view: replace(view, max_age=view.max_age and view.max_age + timedelta(microseconds=1)),
    )


def without_defaults(definitions: Definitions) -> Definitions:
    """Fields have no defaults."""
    return _viewed(
        definitions,
        lambda view: replace(view, fields=tuple(type(item)(item.name, item.type) for item in view.fields)),
    )


def longer_windows(definitions: Definitions) -> Definitions:
    """Windows are a microsecond longer."""
    return _viewed(
        definitions,
        lambda view: replace(
            view,
            windows=tuple(
                replace(item, length=item.length + timedelta(microseconds=1), slide=None) for item in view.windows
            ),
        ),
    )


def without_transforms(definitions: Definitions) -> Definitions:
    """Transforms give nothing."""
    services = tuple(
        replace(
            service,
            transforms=tuple(
                replace(step, call=lambda *arrays: np.full(len(arrays[0]), None, object)) for step in service.transforms
            ),
        )
        for service in definitions.services
    )
    return replace(definitions, services=services)


def _viewed(definitions: Definitions, alter: Callable[[FeatureView], FeatureView]) -> Definitions:
    views = {view.ref: alter(view) for view in definitions.views}
    services = tuple(
        replace(
            service,
            selections=tuple(replace(item, view=views[item.view.ref]) for item in service.selections),
        )
        for service in definitions.services
    )
    return replace(definitions, views=tuple(views.values()), services=services)

"""What the cases of a whole store share: definitions, and a fresh store for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest

from stackwright_interfaces.definitions import (
    AT,
    Aggregate,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    Transform,
    Window,
)
from stackwright_interfaces.feature_store import FeatureStore
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.testing.oracle import Fact, microseconds
from stackwright_interfaces.testing.trial import Trial
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

SOURCE: Final = Source(event_time="event_time", created_time="created_time")

LISTING: Final = Entity(name="listing", keys=(Field("listing_id", INT64),))
AREA: Final = Entity(name="area", keys=(Field("area_code", STRING),))
UNIT: Final = Entity(name="unit", keys=(Field("street", STRING), Field("number", STRING)))

DETAILS: Final = FeatureView(
    name="details",
    entity=LISTING,
    fields=(Field("price", FLOAT64), Field("rooms", INT64), Field("area", STRING)),
    source=SOURCE,
)
HOMES: Final = replace(
    DETAILS, name="homes", fields=(Field("price", FLOAT64), Field("rooms", INT64, default=2), Field("area", STRING))
)
OFFERS: Final = FeatureView(
    name="offers", entity=LISTING, fields=(Field("asking", FLOAT64),), max_age=2 * HOUR, source=SOURCE
)
AREAS: Final = FeatureView(name="areas", entity=AREA, fields=(Field("rate", FLOAT64),), source=SOURCE)
UNITS: Final = FeatureView(name="units", entity=UNIT, fields=(Field("floor", INT64),), source=SOURCE)
VISITS: Final = FeatureView(
    name="visits",
    entity=LISTING,
    fields=(Field("seconds", FLOAT64), Field("page", STRING), Field("visit", STRING)),
    event_id="visit",
    source=SOURCE,
    windows=(
        Window(name="visits_2h", aggregate=Aggregate.COUNT, length=2 * HOUR),
        Window(name="seconds_sum", aggregate=Aggregate.SUM, column="seconds", length=2 * HOUR),
        Window(name="seconds_mean", aggregate=Aggregate.MEAN, column="seconds", length=2 * HOUR),
        Window(name="seconds_std", aggregate=Aggregate.STD, column="seconds", length=3 * HOUR, slide=HOUR),
        Window(name="seconds_max", aggregate=Aggregate.MAX, column="seconds", length=3 * HOUR),
        Window(name="pages", aggregate=Aggregate.DISTINCT, column="page", length=2 * HOUR),
        Window(name="last_page", aggregate=Aggregate.LAST, column="page", length=HOUR),
        Window(name="last_pages", aggregate=Aggregate.LAST_N, column="page", length=2 * HOUR, n=2),
        Window(name="seconds_a_row", aggregate=Aggregate.RATIO, column="seconds", length=2 * HOUR),
    ),
)


def _per_room(price: Any, rooms: Any) -> Any:
    return price / (rooms + 1.0)


def _where(area: Any, channel: Any) -> Any:
    pairs = zip(area, channel, strict=True)
    return np.array([None if None in pair else "/".join(pair) for pair in pairs], object)


def _hours(at: Any) -> Any:
    return at.astype("datetime64[us]").astype(np.int64) / 3.6e9


def _discounted(per_room: Any, discount: Any) -> Any:
    return per_room * (1.0 - discount)


TRANSFORMS: Final = (
    Transform(name="per_room", inputs=("price", "rooms"), type=FLOAT64, call=_per_room),
    Transform(name="where", inputs=("area", "channel"), type=STRING, call=_where),
    Transform(name="hours", inputs=(AT,), type=FLOAT64, call=_hours),
    Transform(name="discounted", inputs=("per_room", "discount"), type=FLOAT64, call=_discounted),
)


def _missing(*values: Any) -> bool:
    return any(value is None or value != value for value in values)


ROW_BY_ROW: Final[Mapping[str, Any]] = {
    "per_room": lambda price, rooms: None if _missing(price, rooms) else price / (rooms + 1.0),
    "where": lambda area, channel: None if None in (area, channel) else f"{area}/{channel}",
    "hours": lambda at: microseconds(at) / 3.6e9,
    "discounted": lambda per_room, discount: None if _missing(per_room, discount) else per_room * (1.0 - discount),
}
"""The same transforms for the oracle."""

PLAIN: Final = FeatureService(name="plain", selections=(DETAILS.select(),))
OFFERED: Final = FeatureService(name="offered", selections=(OFFERS.select(),))
VISITED: Final = FeatureService(name="visited", selections=(VISITS.select(),))
UNIT_SERVICE: Final = FeatureService(name="unit", selections=(UNITS.select(),))
VALUATION: Final = FeatureService(
    name="valuation",
    selections=(
        HOMES.select(),
        OFFERS.select(),
        VISITS.select(*(window.name for window in VISITS.windows), "page"),
    ),
    request=(Field("discount", FLOAT64), Field("channel", STRING)),
    transforms=TRANSFORMS,
)
"""Everything at once: a default, an age, windows, request fields and transforms."""


def fact(key: Any, event: datetime, created: datetime | None = None, **values: Any) -> Fact:
    """Return a row; a key of one part may be given bare, and it was created when it became true."""
    parts = key if isinstance(key, tuple) else (key,)
    return Fact(parts, event, event if created is None else created, values)


def listing(number: int | None, at: datetime | None = None, **request: Any) -> dict[str, Any]:
    """Return what is asked about a listing: online without an instant, as a label with one."""
    return {"listing_id": number, **({} if at is None else {"asked_at": at}), **request}


def prices(answers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the column ``price`` of answers."""
    return [row["price"] for row in answers]


class StoreCases:
    """Base of the cases of a whole store.

    Attributes:
        durable: whether rows are there after the store was closed and opened again.
    """

    durable: ClassVar[bool] = True

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        """Build the store over a folder, running on a clock. Every adapter overrides this."""
        raise NotImplementedError(f"{type(self).__name__} must override open(folder, clock)")

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes] | None:
        """Return key → payload of a view's online rows without going through the store opened last, if possible."""
        return None

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]] | None:
        """Return the rows of a view's history without going through the store opened last, if possible."""
        return None

    @pytest.fixture
    def trial(self, tmp_path: Path) -> Iterator[Trial]:
        """A fresh store on a clock that stands at noon."""
        clock = SettableClock(NOON)
        store = self.open(tmp_path, clock)
        yield Trial(store, clock)
        store.close()

    @contextmanager
    def fresh(self) -> Iterator[Trial]:
        """Open a store that is thrown away after one example of a property."""
        with tempfile.TemporaryDirectory() as folder:
            clock = SettableClock(NOON)
            store = self.open(Path(folder), clock)
            try:
                yield Trial(store, clock)
            finally:
                store.close()

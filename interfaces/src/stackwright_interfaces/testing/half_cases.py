"""What the cases of the offline half share: views, and the handing over of rows and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.feature_store import EVENT, ROW, Asked, IngestReport, OfflineStore, Watermark
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.testing.oracle import Fact, Key
from stackwright_interfaces.testing.tables import OneStream, asked, normalised, ranked, rows_of
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

PLACE: Final = Entity(name="place", keys=(Field("place_id", INT64),))
BLOCK: Final = Entity(name="block", keys=(Field("street", STRING), Field("number", STRING)))

COLUMNS: Final = (Field("x", FLOAT64), Field("n", INT64), Field("s", STRING))
PLAIN: Final = FeatureView(name="plain", entity=PLACE, fields=COLUMNS)
AGEING: Final = FeatureView(name="ageing", entity=PLACE, fields=COLUMNS, max_age=2 * HOUR)
BLOCKS: Final = FeatureView(name="town/blocks", entity=BLOCK, fields=COLUMNS)

Answer = dict[str, Any]


def fact(key: Any, event: datetime, created: datetime | None = None, **values: Any) -> Fact:
    """Return a ranked row; a key of one part may be given bare, and it was created when it became true."""
    parts = key if isinstance(key, tuple) else (key,)
    return ranked(Fact(parts, event, event if created is None else created, values))


class HalfCases(AdapterCases):
    """Base of the cases of the offline half.

    Attributes:
        durable: whether history is there after the store was closed and built again.
    """

    durable: ClassVar[bool] = True

    def open(self, folder: Path, clock: SettableClock) -> OfflineStore:
        """Build the store over a folder."""
        store: OfflineStore = self.build(folder, clock)
        return store

    @pytest.fixture
    def clock(self) -> SettableClock:
        """A clock that stands at noon."""
        return SettableClock(NOON)

    @pytest.fixture
    def store(self, tmp_path: Path, clock: SettableClock) -> Iterator[OfflineStore]:
        """A fresh store."""
        store = self.open(tmp_path, clock)
        yield store
        store.close()

    def ingest(self, store: OfflineStore, view: FeatureView, *facts: Fact) -> IngestReport:
        """Hand rows over in one ingestion."""
        return store.ingest(view, OneStream(normalised(view, facts)))

    def given(self, store: OfflineStore, view: FeatureView, *facts: Fact) -> IngestReport:
        """Apply one view and hand rows over."""
        store.apply([view])
        return self.ingest(store, view, *facts)

    def ask(
        self,
        store: OfflineStore,
        view: FeatureView,
        *labels: tuple[Any, datetime],
        known_by: bool = False,
        as_of: Watermark | None = None,
    ) -> list[Answer]:
        """Return for each label (key, instant) every feature of the view, and the matched event time as ``"event"``."""
        rows = [(key if isinstance(key, tuple) else (key,), at) for key, at in labels]
        names = [feature.name for feature in view.features]
        wanted = Asked(
            view=view,
            keys={name: name for name in view.entity.key_names},
            features={name: f"the {name}" for name in names},
            as_of=as_of,
        )
        answers = self.join(store, asked(view.entity.keys, rows), wanted, known_by=known_by)
        return [{"event": row[f"{EVENT}_0"]} | {name: row[f"the {name}"] for name in names} for row in answers]

    def join(self, store: OfflineStore, labels: Any, *wanted: Asked, known_by: bool = False) -> list[Answer]:
        """Join, and check the form of the answer: a row a label, in order, with the columns that were asked for."""
        answers = rows_of(store.join(OneStream(labels), wanted, known_by=known_by))
        assert [row[ROW] for row in answers] == list(range(len(labels)))
        outputs = {output for item in wanted for output in item.features.values()}
        expected = {ROW, *outputs, *(f"{EVENT}_{number}" for number in range(len(wanted)))}
        assert all(set(row) == expected for row in answers)
        return answers

    def changed(self, store: OfflineStore, view: FeatureView, *args: Any, **options: Any) -> list[Answer]:
        """Return the rows of all chunks that ``changes`` gives."""
        return [row for chunk in store.changes(view, *args, **options) for row in rows_of(chunk)]


def x(answers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the column ``x`` of answers."""
    return [row["x"] for row in answers]


def keys_of(rows: Sequence[Mapping[str, Any]], view: FeatureView) -> list[Key]:
    """Return the key of each row."""
    return [tuple(row[name] for name in view.entity.key_names) for row in rows]

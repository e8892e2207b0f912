"""Windows of the offline half: which rows count, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import Aggregate, FeatureView, Window
from stackwright_interfaces.feature_store import Asked, OfflineStore, Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import BLOCK, PLACE, HalfCases, fact
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.tables import arrow_type, asked, bits
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Field, Type


def windowed(
    aggregate: Aggregate,
    type: Type | None = FLOAT64,
    *,
    length: timedelta = 2 * HOUR,
    slide: timedelta | None = None,
    event_id: str | None = "visit",
    max_age: timedelta | None = None,
    over: str | None = None,
) -> FeatureView:
    """Return a view of visits with one window ``w`` over the column ``x``, or over the rows if ``type`` is ``None``."""
    column = None if type is None else "x"
    n = 3 if aggregate is Aggregate.LAST_N else None
    window = Window(name="w", aggregate=aggregate, length=length, column=column, slide=slide, n=n, over=over)
    fields = (Field("x", type or FLOAT64), Field("y", FLOAT64), Field("visit", STRING))
    return FeatureView(
        name="visits", entity=PLACE, fields=fields, windows=(window,), event_id=event_id, max_age=max_age
    )


ROWS: Final = windowed(Aggregate.COUNT, None)


class HalfWindowCases(HalfCases):
    """Which rows a window holds at an asked instant, and what it says of them."""

    def w(self, store: OfflineStore, view: FeatureView, *labels: tuple[Any, datetime], **options: Any) -> list[Any]:
        """Return the window's value for each label."""
        return [row["w"] for row in self.ask(store, view, *labels, **options)]

    @pytest.mark.case(25)
    def test_an_event_at_the_asked_instant_is_outside_and_one_a_length_before_is_inside(
        self, store: OfflineStore
    ) -> None:
        self.given(store, ROWS, fact(1, NOON, visit="a"))
        instants = [NOON, NOON + US, NOON + 2 * HOUR, NOON + 2 * HOUR + US]
        assert self.w(store, ROWS, *((1, at) for at in instants)) == [0, 1, 1, 0]

    @pytest.mark.case(25)
    @pytest.mark.parametrize("aggregate", list(Aggregate), ids=str)
    def test_an_empty_window_counts_nothing_and_is_null_otherwise(
        self, store: OfflineStore, aggregate: Aggregate
    ) -> None:
        view = windowed(aggregate)
        self.given(store, view, fact(1, NOON, x=1.0, visit="a"))
        nothing = 0 if aggregate in {Aggregate.COUNT, Aggregate.DISTINCT} else None
        labels = [(1, NOON), (1, NOON + 9 * HOUR), (2, NOON + HOUR)]
        assert self.w(store, view, *labels) == [nothing] * 3

    @pytest.mark.case(13)
    @pytest.mark.parametrize("aggregate", [Aggregate.COUNT, Aggregate.SUM], ids=str)
    def test_a_window_of_a_null_key_is_null(self, store: OfflineStore, aggregate: Aggregate) -> None:
        view = windowed(aggregate)
        self.given(store, view, fact(0, NOON, x=1.0, visit="a"))
        assert self.w(store, view, (None, NOON + HOUR), (0, NOON + HOUR)) == [None, 1]

    @pytest.mark.case(25)
    @pytest.mark.parametrize(
        ("aggregate", "values", "expected"),
        [
            (Aggregate.COUNT, [1.0, None, math.nan], 2),
            (Aggregate.SUM, [1e16, 1.0, -1e16, None], 1.0),
            (Aggregate.SUM, [0.1] * 10, 1.0),
            (Aggregate.SUM, [1.0, math.nan], math.nan),
            (Aggregate.MEAN, [1.0, 2.0, None], 1.5),
            (Aggregate.STD, [1.0, 2.0, 3.0, 4.0, None], math.sqrt(5 / 3)),
            (Aggregate.STD, [1.0], None),
            (Aggregate.STD, [1.0, None], None),
            (Aggregate.MIN, [2.0, -1.0, None, 3.0], -1.0),
            (Aggregate.MAX, [2.0, -1.0, None, 3.0], 3.0),
            (Aggregate.MAX, [2.0, math.nan], math.nan),
            (Aggregate.DISTINCT, [1.0, 1.0, 2.0, None, math.nan, math.nan], 3),
            (Aggregate.LAST, [1.0, 2.0, 3.0], 3.0),
            (Aggregate.LAST, [1.0, 2.0, None], 2.0),
            (Aggregate.LAST, [None, None], None),
            (Aggregate.LAST_N, [1.0, 2.0, None, 3.0, 4.0], [2.0, 3.0, 4.0]),
            (Aggregate.LAST_N, [None, 1.0], [1.0]),
            (Aggregate.LAST_N, [None, None], None),
            (Aggregate.RATIO, [1.0, None, 2.0, 0.0], 0.75),
            (Aggregate.RATIO, [None], None),
        ],
    )
    def test_each_aggregate_of_numbers_passes_over_nulls(
        self, store: OfflineStore, aggregate: Aggregate, values: Sequence[float | None], expected: float | None
    ) -> None:
        view = windowed(aggregate)
        rows = [fact(1, NOON + step * US, x=value, visit=str(step)) for step, value in enumerate(values)]
        self.given(store, view, *rows)
        assert bits(self.w(store, view, (1, NOON + HOUR))) == bits([expected])

    @pytest.mark.case(25)
    @pytest.mark.parametrize(
        ("aggregate", "type", "values", "expected"),
        [
            (Aggregate.SUM, INT64, [2**53, 1, 1], 2.0**53 + 2),
            (Aggregate.MEAN, INT64, [1, 2], 1.5),
            (Aggregate.MAX, INT64, [2**62 + 1, 2**62], 2**62 + 1),
            (Aggregate.SUM, BOOL, [True, True, False], 2.0),
            (Aggregate.MEAN, BOOL, [True, False], 0.5),
            (Aggregate.MIN, BOOL, [True, False], False),
            (Aggregate.MAX, TIMESTAMP, [NOON, NOON + US], NOON + US),
            (Aggregate.DISTINCT, STRING, ["a", "A", "", "a", None], 3),
            (Aggregate.LAST, STRING, ["a", "", None], ""),
            (Aggregate.COUNT, STRING, ["a", None], 1),
            (Aggregate.LAST_N, STRING, ["a", "b", None, "", "d"], ["b", "", "d"]),
            (Aggregate.LAST_N, TIMESTAMP, [NOON, NOON + US], [NOON, NOON + US]),
            (Aggregate.LAST_N, INT64, [2**62 + 1, 1], [2**62 + 1, 1]),
            (Aggregate.RATIO, BOOL, [True, False, True, None], 0.5),
        ],
    )
    def test_aggregates_of_other_types_have_their_own_result_types(
        self, store: OfflineStore, aggregate: Aggregate, type: Type, values: Sequence[Any], expected: Any
    ) -> None:
        view = windowed(aggregate, type)
        rows = [fact(1, NOON + step * US, x=value, visit=str(step)) for step, value in enumerate(values)]
        self.given(store, view, *rows)
        wanted = Asked(view=view, keys={"place_id": "place_id"}, features={"w": "w"})
        answer = pa.table(store.join(asked(PLACE.keys, [((1,), NOON + HOUR)]), [wanted]))
        assert answer.schema.field("w").type == arrow_type(view.window_type(view.windows[0]))
        assert bits(self.w(store, view, (1, NOON + HOUR))) == bits([expected])

    @pytest.mark.case(25)
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ([(1.0, 2.0), (2.0, 4.0)], 0.5),
            ([(1.0, None), (None, 4.0)], 0.25),
            ([(1.0, 0.0)], None),
            ([(1.0, None)], None),
            ([(None, 1.0)], None),
            ([(0.0, -1.0)], 0.0),
            ([(1.0, 1e16), (0.0, 1.0), (0.0, -1e16)], 1.0),
            ([(1.0, math.nan)], math.nan),
        ],
    )
    def test_a_ratio_divides_two_sums_and_is_null_where_there_is_nothing_to_divide_by(
        self, store: OfflineStore, rows: Sequence[tuple[float | None, float | None]], expected: float | None
    ) -> None:
        view = windowed(Aggregate.RATIO, over="y")
        given = [fact(1, NOON + step * US, x=x, y=y, visit=str(step)) for step, (x, y) in enumerate(rows)]
        self.given(store, view, *given)
        assert bits(self.w(store, view, (1, NOON + HOUR))) == bits([expected])

    @pytest.mark.case(25)
    def test_slide_rounds_the_older_edge_down_to_a_tick(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.COUNT, None, slide=HOUR)
        self.given(store, view, fact(1, NOON, visit="a"))
        instants = [NOON + 2 * HOUR, NOON + 2 * HOUR + US, NOON + 3 * HOUR - US, NOON + 3 * HOUR]
        assert self.w(store, view, *((1, at) for at in instants)) == [1, 1, 1, 0]

    @pytest.mark.case(25)
    def test_slide_rounds_down_before_1970_as_well(self, store: OfflineStore) -> None:
        moon = datetime.fromisoformat("1969-07-20T20:00:00Z")
        view = windowed(Aggregate.COUNT, None, slide=HOUR)
        self.given(store, view, fact(1, moon, visit="a"))
        assert self.w(store, view, (1, moon + 3 * HOUR - US), (1, moon + 3 * HOUR)) == [1, 0]

    def test_of_the_revisions_of_an_event_the_one_created_last_counts(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.SUM)
        self.given(
            store,
            view,
            fact(1, NOON, NOON + HOUR, x=10.0, visit="a"),
            fact(1, NOON, NOON, x=1.0, visit="a"),
            fact(1, NOON, NOON, x=100.0, visit="b"),
            fact(1, NOON + US, NOON, x=1000.0, visit="a"),
            fact(1, NOON, NOON, x=10_000.0, visit=None),
            fact(1, NOON, NOON + HOUR, x=20_000.0, visit=None),
        )
        assert self.w(store, view, (1, NOON + 2 * HOUR)) == [21_110.0]

    def test_a_revision_to_null_takes_the_value_away(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.SUM)
        self.given(store, view, fact(1, NOON, x=1.0, visit="a"), fact(1, NOON, NOON + HOUR, x=None, visit="a"))
        assert self.w(store, view, (1, NOON + HOUR)) == [None]

    def test_without_event_ids_rows_of_one_instant_are_one_event(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.SUM, event_id=None)
        rows = [fact(1, NOON, NOON + hours * HOUR, x=float(hours), visit="a") for hours in (3, 1, 2)]
        self.given(store, view, *rows, fact(1, NOON + US, x=10.0, visit="b"))
        assert self.w(store, view, (1, NOON + HOUR)) == [13.0]

    @pytest.mark.case(23)
    def test_known_by_leaves_out_events_and_revisions_created_later(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.SUM)
        self.given(
            store,
            view,
            fact(1, NOON, NOON, x=1.0, visit="a"),
            fact(1, NOON, NOON + HOUR + US, x=2.0, visit="a"),
            fact(1, NOON, NOON + HOUR, x=10.0, visit="b"),
        )
        labels = [(1, NOON + US), (1, NOON + HOUR), (1, NOON + 2 * HOUR)]
        assert self.w(store, view, *labels, known_by=True) == [1.0, 11.0, 12.0]
        assert self.w(store, view, *labels) == [12.0, 12.0, 12.0]

    @pytest.mark.case(24)
    def test_as_of_leaves_out_events_and_revisions_ingested_later_or_not_due(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.SUM)
        first = self.given(store, view, fact(1, NOON, x=1.0, visit="a"), fact(1, NOON + HOUR, x=10.0, visit="b"))
        last = self.ingest(store, view, fact(1, NOON, NOON + HOUR, x=100.0, visit="a"))
        asked_at = (1, NOON + 2 * HOUR)
        for position, due, expected in (
            (last.position, NOON + HOUR, 110.0),
            (first.position, NOON + HOUR, 11.0),
            (first.position, NOON + HOUR - US, 1.0),
            (last.position, NOON, 100.0),
            (0, NOON + HOUR, None),
        ):
            assert self.w(store, view, asked_at, as_of=Watermark(position, due)) == [expected]

    def test_max_age_expires_the_newest_row_and_not_what_windows_count(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.COUNT, None, max_age=HOUR)
        self.given(store, view, fact(1, NOON, x=1.0, visit="a"))
        answers = self.ask(store, view, (1, NOON + HOUR), (1, NOON + HOUR + US), (1, NOON + 2 * HOUR))
        assert [(row["x"], row["w"]) for row in answers] == [(1.0, 1), (None, 1), (None, 1)]

    def test_the_newest_row_answers_plain_fields_at_the_asked_instant(self, store: OfflineStore) -> None:
        self.given(store, ROWS, fact(1, NOON, x=1.0, visit="a"), fact(1, NOON + HOUR, x=2.0, visit="b"))
        answers = self.ask(store, ROWS, (1, NOON), (1, NOON + HOUR), (1, NOON + 9 * HOUR))
        assert [(row["event"], row["x"], row["w"]) for row in answers] == [
            (NOON, 1.0, 0),
            (NOON + HOUR, 2.0, 1),
            (NOON + HOUR, 2.0, 0),
        ]

    def test_a_window_holds_the_rows_of_its_own_key_only(self, store: OfflineStore) -> None:
        view = replace(windowed(Aggregate.SUM), entity=BLOCK)
        keys = [("a", "bc"), ("ab", "c"), ("", "abc")]
        self.given(
            store,
            view,
            *(
                fact(key, NOON + step * US, x=10.0**place, visit=str(step))
                for place, key in enumerate(keys)
                for step in (0, 1)
            ),
        )
        labels = [(key, NOON + HOUR) for key in (*keys, ("a", "c"))]
        assert self.w(store, view, *labels) == [2.0, 20.0, 200.0, None]

    def test_neighbours_do_not_change_the_bits_of_a_sum(self, store: OfflineStore) -> None:
        view = windowed(Aggregate.SUM, length=5 * US)
        values = [0.1 * step - 1e12 * (step % 7) for step in range(400)]
        self.given(store, view, *(fact(1, NOON + step * US, x=value, visit="v") for step, value in enumerate(values)))
        expected = [math.fsum(values[step - 5 : step]) for step in range(5, 400)]
        assert bits(self.w(store, view, *((1, NOON + step * US) for step in range(5, 400)))) == bits(expected)

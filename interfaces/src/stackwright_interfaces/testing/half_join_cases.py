"""Point-in-time joins of the offline half: which row answers."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.feature_store import EVENT, ROW, Asked, OfflineStore, Watermark
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.half_cases import AGEING, BLOCKS, COLUMNS, PLACE, PLAIN, HalfCases, fact, x
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.tables import arrow_type, asked, bits, column, stamps
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    decimal,
    list_of,
    vector,
)

EVERY_TYPE: list[tuple[Type, list[Any]]] = [
    (BOOL, [True, False]),
    (INT64, [0, -1, 2**63 - 1, -(2**63)]),
    (FLOAT64, [0.0, -0.0, 0.1, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]),
    (STRING, ["", "a", "NULL", "ünï\N{SNOWMAN}", "with\nbreak", "\x00"]),
    (BYTES, [b"", b"\x00", b"\xff\xfe\x00"]),
    (TIMESTAMP, [NOON, datetime(1901, 1, 1, 0, 0, 0, 1, UTC), datetime(2200, 1, 1, 0, 0, 0, 999_999, UTC)]),
    (decimal(38, 10), [Decimal("0E-10"), Decimal("-12345678901234567890.0123456789")]),
    (list_of(INT64), [[], [1, None, -3]]),
    (list_of(STRING), [["a", "", None]]),
    (vector(3), [[0.5, -0.0, 1e300]]),
]


class HalfJoinCases(HalfCases):
    """Which row of a view answers a label."""

    @pytest.mark.case(1)
    def test_a_row_at_the_asked_instant_matches(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5, n=7, s="seven"))
        assert self.ask(store, PLAIN, (1, NOON)) == [{"event": NOON, "x": 1.5, "n": 7, "s": "seven"}]

    @pytest.mark.case(2)
    def test_a_row_one_microsecond_after_the_asked_instant_does_not_match(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON + US, x=1.5))
        assert self.ask(store, PLAIN, (1, NOON)) == [{"event": None, "x": None, "n": None, "s": None}]

    @pytest.mark.case(3)
    def test_a_row_exactly_as_old_as_max_age_matches(self, store: OfflineStore) -> None:
        self.given(store, AGEING, fact(1, NOON, x=1.5))
        assert x(self.ask(store, AGEING, (1, NOON + 2 * HOUR))) == [1.5]

    @pytest.mark.case(4)
    def test_a_row_one_microsecond_older_than_max_age_gives_null(self, store: OfflineStore) -> None:
        self.given(store, AGEING, fact(1, NOON, x=1.5))
        answers = self.ask(store, AGEING, (1, NOON + 2 * HOUR + US))
        assert answers == [{"event": None, "x": None, "n": None, "s": None}]

    @pytest.mark.case(5)
    def test_without_max_age_a_row_of_any_age_matches(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, datetime(1955, 1, 1, tzinfo=UTC), x=1.5))
        assert x(self.ask(store, PLAIN, (1, NOON))) == [1.5]

    @pytest.mark.case(6)
    def test_a_key_with_future_rows_only_gives_null(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON + HOUR, x=1.5), fact(1, NOON + 2 * HOUR, x=2.5))
        assert x(self.ask(store, PLAIN, (1, NOON))) == [None]

    @pytest.mark.case(7)
    def test_an_unknown_key_gives_null(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5))
        assert x(self.ask(store, PLAIN, (2, NOON), (1, NOON))) == [None, 1.5]

    @pytest.mark.case(8)
    def test_a_label_that_repeats_is_answered_each_time(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5))
        assert x(self.ask(store, PLAIN, (1, NOON), (1, NOON), (2, NOON), (1, NOON))) == [1.5, 1.5, None, 1.5]

    @pytest.mark.case(9)
    def test_answers_come_in_the_order_of_the_labels(self, store: OfflineStore) -> None:
        self.given(
            store, PLAIN, *(fact(key, NOON + hour * HOUR, x=key + hour / 10) for key in (1, 2) for hour in (0, 1))
        )
        labels = [(2, NOON + HOUR), (1, NOON), (3, NOON), (2, NOON), (1, NOON + 9 * HOUR), (1, NOON - US)]
        assert x(self.ask(store, PLAIN, *labels)) == [2.1, 1.0, None, 2.0, 1.1, None]

    @pytest.mark.case(9)
    def test_thousands_of_labels_come_back_in_order(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, *(fact(key, NOON, x=float(key)) for key in range(500)))
        labels = [(place * 7919 % 1000, NOON) for place in range(5_000)]
        assert x(self.ask(store, PLAIN, *labels)) == [float(key) if key < 500 else None for key, _ in labels]

    @pytest.mark.case(10)
    def test_of_rows_of_one_event_time_the_one_created_last_wins(self, store: OfflineStore) -> None:
        self.given(
            store,
            PLAIN,
            fact(1, NOON, NOON + HOUR, x=2.0),
            fact(1, NOON, NOON + 3 * HOUR, x=3.0),
            fact(1, NOON, NOON, x=1.0),
        )
        assert x(self.ask(store, PLAIN, (1, NOON))) == [3.0]

    @pytest.mark.case(10)
    def test_a_later_event_wins_over_a_later_creation(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, NOON + 9 * HOUR, x=1.0), fact(1, NOON + US, NOON + US, x=2.0))
        assert x(self.ask(store, PLAIN, (1, NOON + HOUR))) == [2.0]

    @pytest.mark.case(11)
    @pytest.mark.parametrize("order", list(permutations(range(3))))
    @pytest.mark.parametrize("calls", [1, 3])
    def test_a_full_tie_goes_to_the_greatest_token_however_the_rows_arrive(
        self, store: OfflineStore, order: tuple[int, ...], calls: int
    ) -> None:
        tied = [fact(1, NOON, x=float(place), s=f"row {place}") for place in order]
        store.apply([PLAIN])
        for call in [tied] if calls == 1 else [[row] for row in tied]:
            self.ingest(store, PLAIN, *call)
        winner = max(tied, key=lambda row: row.rank)
        assert x(self.ask(store, PLAIN, (1, NOON))) == [winner.values["x"]]

    @pytest.mark.case(12)
    def test_a_null_in_the_newest_row_is_not_filled_from_an_older_one(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5, n=1, s="a"), fact(1, NOON + HOUR, x=None, n=2, s=None))
        assert self.ask(store, PLAIN, (1, NOON + HOUR)) == [{"event": NOON + HOUR, "x": None, "n": 2, "s": None}]

    @pytest.mark.case(13)
    def test_a_null_key_joins_nothing(self, store: OfflineStore) -> None:
        store.apply([PLAIN, BLOCKS])
        self.ingest(store, PLAIN, fact(0, NOON, x=1.5))
        self.ingest(store, BLOCKS, fact(("", ""), NOON, x=2.5), fact(("None", "null"), NOON, x=3.5))
        assert x(self.ask(store, PLAIN, (None, NOON), (0, NOON))) == [None, 1.5]
        parts = [(None, None), (None, ""), ("", None), ("", "")]
        assert x(self.ask(store, BLOCKS, *((key, NOON) for key in parts))) == [None, None, None, 2.5]

    @pytest.mark.case(14)
    def test_all_parts_of_a_key_must_agree(self, store: OfflineStore) -> None:
        self.given(store, BLOCKS, fact(("1", "High"), NOON, x=1.5), fact(("2", "Low"), NOON, x=2.5))
        labels = [(("1", "High"), NOON), (("1", "Low"), NOON), (("2", "High"), NOON), (("High", "1"), NOON)]
        assert x(self.ask(store, BLOCKS, *labels)) == [1.5, None, None, None]

    @pytest.mark.case(15)
    def test_parts_of_a_key_do_not_run_into_each_other(self, store: OfflineStore) -> None:
        self.given(store, BLOCKS, fact(("a", "bc"), NOON, x=1.5), fact(("ab\x00", "c"), NOON, x=2.5))
        labels = [(("a", "bc"), NOON), (("ab", "c"), NOON), (("ab\x00", "c"), NOON), (("ab", "\x00c"), NOON)]
        assert x(self.ask(store, BLOCKS, *labels)) == [1.5, None, 2.5, None]

    @pytest.mark.case(18)
    def test_microseconds_count_everywhere(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, *(fact(1, NOON + step * US, x=float(step)) for step in (2, 0, 3, 1)))
        assert x(self.ask(store, PLAIN, *((1, NOON + step * US) for step in range(-1, 5)))) == [None, 0, 1, 2, 3, 3]

    @pytest.mark.case(19)
    def test_no_labels_give_no_rows_of_the_right_types(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5))
        wanted = Asked(view=PLAIN, keys={"place_id": "place_id"}, features={name: name for name in ("x", "n", "s")})
        answer = pa.table(store.join(asked(PLACE.keys, []), [wanted]))
        assert len(answer) == 0
        assert [answer.schema.field(item.name).type for item in COLUMNS] == [arrow_type(item.type) for item in COLUMNS]

    @pytest.mark.case(20)
    @pytest.mark.parametrize("type", [kind for kind, _ in EVERY_TYPE], ids=str)
    def test_a_view_without_rows_gives_nulls_of_its_types(self, store: OfflineStore, type: Type) -> None:
        view = FeatureView(name="typed", entity=PLACE, fields=(Field("value", type),))
        store.apply([view])
        wanted = Asked(view=view, keys={"place_id": "place_id"}, features={"value": "value"})
        answer = pa.table(store.join(asked(PLACE.keys, [((1,), NOON)]), [wanted]))
        assert answer.schema.field("value").type == arrow_type(type)
        assert answer["value"].to_pylist() == [None]

    @pytest.mark.parametrize(("type", "values"), EVERY_TYPE, ids=[str(kind) for kind, _ in EVERY_TYPE])
    def test_values_of_every_type_come_back_bit_for_bit(
        self, store: OfflineStore, type: Type, values: list[Any]
    ) -> None:
        view = FeatureView(name="typed", entity=PLACE, fields=(Field("value", type),))
        rows = [fact(key, NOON, value=value) for key, value in enumerate([*values, None])]
        self.given(store, view, *rows)
        answers = self.ask(store, view, *((key, NOON) for key in range(len(rows))))
        changed = self.changed(store, view, None, store.watermark(view))
        assert bits([row["value"] for row in answers]) == bits([*values, None])
        assert bits({row["place_id"]: row["value"] for row in changed}) == bits(dict(enumerate([*values, None])))

    @pytest.mark.parametrize(
        ("type", "keys"),
        [
            (INT64, [0, -1, 2**63 - 1]),
            (STRING, ["", "a", "A", "a ", "ä", "\x00"]),
            (BYTES, [b"", b"\x00", b"\xff"]),
            (BOOL, [True, False]),
        ],
        ids=str,
    )
    def test_keys_of_every_type_find_their_rows(self, store: OfflineStore, type: Type, keys: list[Any]) -> None:
        entity = Entity(name="thing", keys=(Field("thing_id", type),))
        view = FeatureView(name="things", entity=entity, fields=COLUMNS)
        self.given(store, view, *(fact(key, NOON, n=place) for place, key in enumerate(keys)))
        assert [row["n"] for row in self.ask(store, view, *((key, NOON) for key in keys))] == list(range(len(keys)))

    @pytest.mark.case(21)
    def test_views_of_other_ages_and_entities_are_joined_each_by_its_own_rules(self, store: OfflineStore) -> None:
        store.apply([PLAIN, AGEING, BLOCKS])
        self.ingest(store, PLAIN, fact(1, NOON, x=1.0))
        self.ingest(store, AGEING, fact(1, NOON, x=2.0))
        self.ingest(store, BLOCKS, fact(("9", "High"), NOON, x=3.0), fact(("9", "High"), NOON + 4 * HOUR, x=4.0))
        labels = pa.table(
            {
                ROW: pa.array([0, 1], pa.int64()),
                EVENT: stamps([NOON + HOUR, NOON + 5 * HOUR]),
                "place_id": column([1, 1], INT64),
                "street": column(["High", "High"], STRING),
                "number": column(["9", "9"], STRING),
            }
        )
        place = {"place_id": "place_id"}
        answers = self.join(
            store,
            labels,
            Asked(view=PLAIN, keys=place, features={"x": "plain"}),
            Asked(view=AGEING, keys=place, features={"x": "ageing"}),
            Asked(view=BLOCKS, keys={"street": "street", "number": "number"}, features={"x": "block", "n": "block_n"}),
        )
        assert [(row["plain"], row["ageing"], row["block"]) for row in answers] == [(1.0, 2.0, 3.0), (1.0, None, 4.0)]
        assert [row[f"{EVENT}_2"] for row in answers] == [NOON, NOON + 4 * HOUR]

    def test_one_view_is_joined_by_two_keys_of_the_label(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(2, NOON, x=2.0))
        labels = asked(
            (Field("origin", INT64), Field("goal", INT64)), [((1, 2), NOON), ((2, None), NOON), ((2, 2), NOON)]
        )
        answers = self.join(
            store,
            labels,
            Asked(view=PLAIN, keys={"place_id": "origin"}, features={"x": "origin_x"}),
            Asked(view=PLAIN, keys={"place_id": "goal"}, features={"x": "goal_x", "n": "goal_n"}),
        )
        assert [(row["origin_x"], row["goal_x"]) for row in answers] == [(1.0, 2.0), (2.0, None), (2.0, 2.0)]

    def test_a_feature_that_was_not_asked_for_is_not_given(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5, n=2))
        wanted = Asked(view=PLAIN, keys={"place_id": "place_id"}, features={"n": "x"})
        assert self.join(store, asked(PLACE.keys, [((1,), NOON)]), wanted) == [{ROW: 0, f"{EVENT}_0": NOON, "x": 2}]

    @pytest.mark.case(23)
    def test_known_by_passes_over_rows_created_after_the_asked_instant(self, store: OfflineStore) -> None:
        self.given(
            store,
            PLAIN,
            fact(1, NOON, NOON, x=1.0),
            fact(1, NOON + HOUR, NOON + 5 * HOUR, x=2.0),
            fact(1, NOON, NOON + 2 * HOUR, x=3.0),
        )
        labels = [(1, NOON + hours * HOUR) for hours in (0, 1, 2, 5)]
        assert x(self.ask(store, PLAIN, *labels)) == [3.0, 2.0, 2.0, 2.0]
        assert x(self.ask(store, PLAIN, *labels, known_by=True)) == [1.0, 1.0, 3.0, 2.0]

    @pytest.mark.case(23)
    def test_known_by_admits_a_row_created_at_the_asked_instant_and_not_a_microsecond_later(
        self, store: OfflineStore
    ) -> None:
        self.given(store, PLAIN, fact(1, NOON, NOON, x=1.0), fact(1, NOON, NOON + HOUR, x=2.0))
        labels = [(1, NOON + HOUR - US), (1, NOON + HOUR), (1, NOON - US)]
        assert x(self.ask(store, PLAIN, *labels, known_by=True)) == [1.0, 2.0, None]

    @pytest.mark.case(23)
    def test_known_by_ages_the_row_it_falls_back_to(self, store: OfflineStore) -> None:
        self.given(store, AGEING, fact(1, NOON, x=1.0), fact(1, NOON + 2 * HOUR, NOON + 9 * HOUR, x=2.0))
        labels = [(1, NOON + 2 * HOUR), (1, NOON + 2 * HOUR + US)]
        assert x(self.ask(store, AGEING, *labels, known_by=True)) == [1.0, None]

    @pytest.mark.case(24)
    def test_a_late_row_changes_the_answer_but_not_the_one_as_of_before(
        self, store: OfflineStore, clock: SettableClock
    ) -> None:
        self.given(store, PLAIN, fact(1, NOON - 2 * HOUR, x=1.0))
        before = store.watermark(PLAIN)
        clock.advance(HOUR)
        self.ingest(store, PLAIN, fact(1, NOON - HOUR, x=2.0))
        assert x(self.ask(store, PLAIN, (1, NOON))) == [2.0]
        assert x(self.ask(store, PLAIN, (1, NOON), as_of=before)) == [1.0]
        assert x(self.ask(store, PLAIN, (1, NOON), as_of=store.watermark(PLAIN))) == [2.0]
        assert x(self.ask(store, PLAIN, (1, NOON), as_of=Watermark(0, NOON))) == [None]

    @pytest.mark.case(24)
    def test_as_of_admits_event_times_up_to_its_due_instant(self, store: OfflineStore) -> None:
        report = self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(1, NOON + HOUR, x=2.0))
        for due, expected in ((NOON + HOUR, 2.0), (NOON + HOUR - US, 1.0), (NOON - US, None)):
            mark = Watermark(report.position, due)
            assert x(self.ask(store, PLAIN, (1, NOON + 9 * HOUR), as_of=mark)) == [expected]

    @pytest.mark.case(24)
    def test_each_asked_view_has_its_own_as_of(self, store: OfflineStore) -> None:
        store.apply([PLAIN, AGEING])
        first = self.ingest(store, PLAIN, fact(1, NOON, x=1.0)).position
        self.ingest(store, PLAIN, fact(1, NOON, NOON + HOUR, x=2.0))
        self.ingest(store, AGEING, fact(1, NOON, x=3.0))
        place = {"place_id": "place_id"}
        (answer,) = self.join(
            store,
            asked(PLACE.keys, [((1,), NOON)]),
            Asked(view=PLAIN, keys=place, features={"x": "then"}, as_of=Watermark(first, NOON)),
            Asked(view=PLAIN, keys=place, features={"x": "now"}),
            Asked(view=AGEING, keys=place, features={"x": "other"}, as_of=Watermark(0, NOON)),
        )
        assert (answer["then"], answer["now"], answer["other"]) == (1.0, 2.0, None)

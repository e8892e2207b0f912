from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features.answers import DEFAULTED, EXPIRED, NOT_FOUND, NULL, PRESENT, Answer
from stackwright_features.newest_rows import NewestRows
from stackwright_features.service_plan import ServicePlan
from stackwright_features.values import typed_columns
from stackwright_interfaces.definitions import Entity, FeatureService, FeatureView
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.testing.histories import quick
from stackwright_interfaces.testing.tables import bits
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    decimal,
    list_of,
    vector,
)
from stackwright_numerics.columns import NAT
from stackwright_numerics.rows import RowCodec

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
AREA = Entity(name="area", keys=(Field("code", STRING), Field("zone", INT64)))
NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)
VALUES: dict[Field, st.SearchStrategy[Any]] = {
    Field("price", FLOAT64): st.floats(),
    Field("rate", FLOAT64, default=0.5): st.floats(),
    Field("rooms", INT64): st.integers(-(2**63), 2**63 - 1),
    Field("floors", INT64, default=2): st.integers(-3, 3),
    Field("garden", BOOL): st.booleans(),
    Field("area", STRING): st.text(st.characters(exclude_categories=["Cs"])),
    Field("kind", STRING, default="house"): st.sampled_from(["", "flat"]),
    Field("photo", BYTES): st.binary(),
    Field("built", TIMESTAMP): st.datetimes(timezones=st.just(UTC)),
    Field("sold", TIMESTAMP, default=NOON): st.datetimes(timezones=st.just(UTC)),
    Field("tax", decimal(6, 2)): st.decimals(-9999, 9999, places=2),
    Field("tags", list_of(STRING)): st.lists(st.none() | st.sampled_from(["a", "b"])),
    Field("codes", list_of(INT64), default=[1]): st.lists(st.integers(-9, 9)),
    Field("point", vector(2)): st.lists(st.floats(), min_size=2, max_size=2),
}
HOMES = FeatureView(name="homes", entity=LISTING, fields=tuple(VALUES), max_age=timedelta(hours=1))
AREAS = FeatureView(name="areas", entity=AREA, fields=(Field("mean", FLOAT64),))
SERVICE = FeatureService(
    name="s",
    selections=(
        HOMES.select(),
        HOMES.select("price", "kind", prefix="again_"),
        AREAS.select(keys={"code": "homes.area", "zone": "homes.rooms"}),
    ),
)
ROWS = st.fixed_dictionaries({field.name: st.none() | values for field, values in VALUES.items()})


def reader(service: FeatureService = SERVICE) -> NewestRows:
    plan = ServicePlan(service)
    return NewestRows(plan.first[0], plan.defaults)


def payload(row: dict[str, Any], event_us: int = 0, fields: tuple[Field, ...] = HOMES.fields) -> bytes:
    columns = typed_columns(fields, {field.name: [row.get(field.name)] for field in fields}, where="row")
    times = np.array([event_us])
    return RowCodec(fields).encode(columns, event_us=times, created_us=times, position=3, due_us=7)[0]


def first_row(answer: Answer) -> Any:
    """All that an answer says of its first row, as values that compare bit for bit."""
    values = [bits(array[0].item() if isinstance(array[0], np.generic) else array[0]) for array in answer.values]
    held = {name: (bits(column.values.tolist()[0]), bool(column.valid[0])) for name, column in answer.held.items()}
    known = {name: value for name, (value, valid) in held.items() if valid}
    return values, [int(array[0]) for array in answer.statuses], answer.events[0].item(), answer.knows, known


@quick(60)
@given(row=ROWS, at_us=st.sampled_from([-1, 0, 1, 3_600_000_000, 3_600_000_001]))
def test_one_row_is_read_as_it_is_among_many(row: dict[str, Any], at_us: int) -> None:
    stored = payload(row)
    one, many = reader().answer([stored], at_us, None), reader().answer([stored, None], at_us, None)
    assert first_row(one) == first_row(many)
    assert [array.dtype for array in one.values] == [array.dtype for array in many.values]
    assert {len(array) for array in (*one.values, *one.statuses, one.events)} == {1}


@pytest.mark.parametrize("dropped", ["price", "kind", "area", "point"])
def test_a_row_from_before_a_field_was_added_holds_null_or_the_default(dropped: str) -> None:
    old = tuple(field for field in HOMES.fields if field.name != dropped)
    stored = payload({"price": 1.0, "area": "a", "kind": "flat"}, fields=old)
    for payloads in ([stored], [stored, stored]):
        answer = reader().answer(payloads, 1, None)
        place = [output.feature for output in reader().lookup.outputs].index(dropped)
        assert answer.statuses[place][0] == (DEFAULTED if dropped == "kind" else NULL)


def statuses(payloads: list[bytes | None], at_us: int) -> list[list[int]]:
    answer = reader(FeatureService(name="s", selections=(HOMES.select("price", "rooms", "kind"),))).answer(
        payloads, at_us, None
    )
    return [array.tolist() for array in answer.statuses]


def test_statuses_say_why_a_value_is_what_it_is() -> None:
    hour = 3_600_000_000
    full, nulls = payload({"price": 1.0, "rooms": 2, "kind": "flat"}), payload({})
    assert statuses([full, nulls, None], hour) == [
        [PRESENT, NULL, NOT_FOUND],
        [PRESENT, NULL, NOT_FOUND],
        [PRESENT, DEFAULTED, DEFAULTED],
    ]
    assert statuses([full], hour + 1) == [[EXPIRED], [EXPIRED], [DEFAULTED]]
    assert statuses([full], -1) == [[NOT_FOUND], [NOT_FOUND], [DEFAULTED]]
    assert statuses([None], 0) == [[NOT_FOUND], [NOT_FOUND], [DEFAULTED]]


def test_a_row_of_the_future_is_not_known_but_its_watermark_is() -> None:
    answer = reader().answer([payload({"price": 1.0}, event_us=5)], 4, None)
    assert np.isnat(answer.events).all()
    assert answer.knows == (3, 7)
    assert not answer.held["area"].valid[0]


def test_without_any_row_nothing_is_known() -> None:
    assert reader().answer([None], 4, None).knows == (0, NAT)


def test_shared_arrays_cannot_be_changed_through_an_answer() -> None:
    for array in reader().answer([payload({})], 1, None).statuses:
        assert not array.flags.writeable


def test_a_decimal_keeps_its_digits() -> None:
    answer = reader().answer([payload({"tax": Decimal("1.50")})], 1, None)
    assert str(answer.values[[field.name for field in HOMES.fields].index("tax")][0]) == "1.50"


@pytest.mark.parametrize("keep", [0, 7, 8, 40, -1])
def test_a_damaged_row_is_an_error_of_the_store(keep: int) -> None:
    stored = payload({"price": 1.0, "area": "north", "tags": ["a"]})
    with pytest.raises(FeatureStoreError, match="Materialise the view again"):
        reader().answer([stored[:keep]], 1, None)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 130])
def test_views_of_any_width_are_read(count: int) -> None:
    fields = tuple(Field(f"f{place}", FLOAT64) for place in range(count))
    view = FeatureView(name="wide", entity=LISTING, fields=fields)
    stored = payload(
        {field.name: None if place % 7 == 3 else place for place, field in enumerate(fields)}, fields=fields
    )
    wide = reader(FeatureService(name="s", selections=(view.select(),)))
    one, many = wide.answer([stored], 1, None), wide.answer([stored] * 2, 1, None)
    assert first_row(one) == first_row(many)
    assert [int(array[0]) for array in one.statuses] == [NULL if place % 7 == 3 else PRESENT for place in range(count)]

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stackwright_features.normalise import AssumedUtcWarning
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Transform
from stackwright_interfaces.errors import DataError, MissingColumn, UnknownName, WrongType
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.types import FLOAT64, INT64, STRING, TIMESTAMP, Field, list_of

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
AREA = Entity(name="area", keys=(Field("code", STRING),))
DETAILS = FeatureView(
    name="details",
    entity=LISTING,
    fields=(
        Field("price", FLOAT64, default=9.0),
        Field("area", STRING),
        Field("tags", list_of(STRING), default=["none"]),
    ),
)
AREAS = FeatureView(name="areas", entity=AREA, fields=(Field("rate", FLOAT64),))
SERVICE = FeatureService(
    name="s",
    selections=(DETAILS.select(), AREAS.select(keys={"code": "details.area"})),
    request=(Field("discount", FLOAT64, default=0.5), Field("seen", TIMESTAMP)),
    transforms=(
        Transform(
            name="net",
            inputs=("price", "discount"),
            type=FLOAT64,
            call=lambda price, discount: price * (1 - discount),
        ),
    ),
)


@pytest.fixture
def joined(halves: Any) -> Any:
    """Joins labels with the service; listing 1 is known an hour before noon."""
    store = halves.store
    store.apply(Definitions(views=(DETAILS, AREAS), services=(SERVICE,)))
    row = {"listing_id": [1], "price": [4.0], "area": ["north"], "tags": [["a"]], "event_time": [NOON - HOUR]}
    store.ingest("details@1", pa.table(row))
    store.ingest("areas@1", pa.table({"code": ["north"], "rate": [1.5], "event_time": [NOON - HOUR]}))

    def join(labels: pa.Table, **options: Any) -> pa.Table:
        return store.join("s@1", labels, **options)

    return join


def labels(**columns: Any) -> pa.Table:
    plain = {"listing_id": [1, 2], "discount": [0.25, None], "seen": [NOON, NOON], "event_time": [NOON, NOON]}
    return pa.table(plain | columns)


def test_outputs_stand_behind_the_label_columns(joined: Any) -> None:
    found = joined(labels(note=["x", "y"]))
    assert found.column_names == [
        *("listing_id", "discount", "seen", "event_time", "note"),
        *("price", "area", "tags", "rate", "net"),
    ]
    assert found["rate"].to_pylist() == [1.5, None]


def test_defaults_come_before_transforms(joined: Any) -> None:
    found = joined(labels())
    assert found["price"].to_pylist() == [4.0, 9.0]
    assert found["tags"].to_pylist() == [["a"], ["none"]]
    assert found["net"].to_pylist() == [3.0, 4.5]


def test_a_request_field_stays_in_its_place_with_its_declared_type_and_default(joined: Any) -> None:
    found = joined(labels(discount=pa.array([0, None], pa.int8()), seen=["2024-01-01", None]))
    assert found.column_names.index("discount") == 1
    assert found["discount"].type == pa.float64()
    assert found["discount"].to_pylist() == [0.0, 0.5]
    assert found["seen"].to_pylist() == [datetime(2024, 1, 1, tzinfo=UTC), None]


def test_label_columns_may_have_any_name_but_that_of_an_output(joined: Any) -> None:
    given = labels(__row=["a", "b"], key_0=[1, 2], value_0_0=[3, 4]).append_column("key_0", pa.array([5, 6]))
    found = joined(given)
    assert found.select(range(8)).to_pydict() == given.set_column(1, "discount", pa.array([0.25, 0.5])).to_pydict()


def test_a_label_column_with_the_name_of_an_output_is_refused(joined: Any) -> None:
    with pytest.raises(DataError, match="labels of s@1: 'price' is a column of the labels and an output"):
        joined(labels(price=[1.0, 2.0]))


@pytest.mark.parametrize("missing", ["listing_id", "discount", "event_time"])
def test_a_missing_label_column_is_named(joined: Any, missing: str) -> None:
    with pytest.raises(MissingColumn, match=f"labels of s@1: column '{missing}' is missing"):
        joined(labels().drop_columns([missing]))


@pytest.mark.parametrize(
    "columns", [{"listing_id": ["1", "2"]}, {"discount": ["a", "b"]}, {"event_time": [1, 2]}], ids=str
)
def test_a_label_column_of_another_type_is_refused(joined: Any, columns: dict[str, Any]) -> None:
    with pytest.raises(WrongType, match=next(iter(columns))):
        joined(labels(**columns))


def test_a_label_without_an_instant_is_refused_with_its_row(joined: Any) -> None:
    with pytest.raises(DataError, match="column 'event_time' is null in row 1"):
        joined(labels(event_time=[NOON, None]))


def test_naive_instants_are_utc_with_a_warning(joined: Any) -> None:
    naive = labels(event_time=[NOON.replace(tzinfo=None)] * 2)
    with pytest.warns(AssumedUtcWarning, match="the times of 2 rows have no zone") as caught:
        found = joined(naive)
    assert caught[0].filename == __file__
    assert found["price"].to_pylist() == [4.0, 9.0]
    assert found["event_time"].equals(naive["event_time"])


def test_the_time_column_may_have_another_name(joined: Any) -> None:
    given = labels().rename_columns(["listing_id", "discount", "seen", "asked"])
    assert joined(given, time="asked")["price"].to_pylist() == [4.0, 9.0]


def test_labels_may_be_a_stream_that_is_consumed_once(joined: Any) -> None:
    reader = pa.RecordBatchReader.from_batches(labels().schema, labels().to_batches(max_chunksize=1))
    assert joined(reader)["price"].to_pylist() == [4.0, 9.0]


def test_no_labels_give_typed_outputs(joined: Any) -> None:
    found = joined(labels().slice(0, 0))
    assert len(found) == 0
    assert found.schema.field("rate").type == pa.float64()
    assert found.schema.field("net").type == pa.float64()


def test_an_unknown_view_in_as_of_is_refused(joined: Any) -> None:
    with pytest.raises(UnknownName, match="no view named 'detail@1'"):
        joined(labels(), as_of={"detail@1": Watermark(1, NOON)})


def test_as_of_holds_for_the_views_it_names(joined: Any) -> None:
    found = joined(labels(), as_of={"areas@1": Watermark(0, NOON)})
    assert found["price"].to_pylist() == [4.0, 9.0]
    assert found["rate"].to_pylist() == [None, None]


def test_as_of_an_instant_knows_what_was_ingested_by_then(halves: Any, joined: Any) -> None:
    before = halves.clock()
    halves.clock.advance(HOUR)
    later = {"listing_id": [2], "price": [7.0], "area": ["south"], "tags": [["b"]], "event_time": [NOON - HOUR]}
    halves.store.ingest("details@1", pa.table(later))
    assert joined(labels())["price"].to_pylist() == [4.0, 7.0]
    assert joined(labels(), as_of=before)["price"].to_pylist() == [4.0, 9.0]
    assert joined(labels(), as_of=before.replace(tzinfo=None))["price"].to_pylist() == [4.0, 9.0]


def test_functions_get_the_asked_instant_of_each_label(halves: Any) -> None:
    hours = Transform(
        name="hours", inputs=("at",), type=INT64, call=lambda at: at.astype("datetime64[h]").astype(np.int64)
    )
    service = FeatureService(name="t", selections=(DETAILS.select("price"),), transforms=(hours,), outputs=("hours",))
    halves.store.apply(Definitions(views=(DETAILS,), services=(service,)))
    given = pa.table({"listing_id": [1, 1], "event_time": [NOON, NOON + HOUR]})
    first, second = halves.store.join("t@1", given)["hours"].to_pylist()
    assert second == first + 1

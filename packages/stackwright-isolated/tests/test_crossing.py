"""What crosses between two environments: values of the contracts, tables, arrays, errors; nothing that runs code."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces import errors
from stackwright_interfaces.definitions import Aggregate, Entity, FeatureView, Window
from stackwright_interfaces.errors import PluginError, StackwrightError
from stackwright_interfaces.feature_store import Asked, IngestReport, Watermark
from stackwright_interfaces.testing.tables import CutOff
from stackwright_interfaces.testing.trainer_rows import SIGNATURE
from stackwright_interfaces.trainer import Distribution, Task, TaskKind
from stackwright_interfaces.types import FLOAT64, STRING, Field, list_of
from stackwright_isolated import documents, tables
from stackwright_isolated.tables import PIECE, Outgoing, StreamFailed

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOME = Entity(name="home", keys=(Field("home_id", STRING),))
VIEW = FeatureView(
    name="visits",
    entity=HOME,
    fields=(Field("minutes", FLOAT64, default=1.5), Field("tags", list_of(STRING))),
    windows=(Window(name="n", aggregate=Aggregate.COUNT, length=timedelta(hours=2)),),
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.timedeltas()
    | st.datetimes(timezones=st.just(UTC)),
    lambda items: (
        st.lists(items)
        | st.lists(items).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(), items)
    ),
    max_leaves=10,
)


def there_and_back(value: Any) -> Any:
    return documents.read(json.loads(json.dumps(documents.write(value))))


@given(PLAIN)
def test_a_plain_value_comes_back_as_it_was(value: Any) -> None:
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        VIEW,
        Asked(view=VIEW, keys={"home_id": "home"}, features={"n": "visits"}, as_of=Watermark(3, NOON)),
        IngestReport(view="visits@1", rows=3, added=2, duplicates=1),
        Task(kind=TaskKind.REGRESSION, signature=SIGNATURE, options={"objective": "l1"}, quantiles=(0.1, 0.9)),
        Distribution(low=1.0, high=8.0, integer=True, default=3),
        Path("/tmp/model"),
        {"$": "not ours", 3: Decimal("1.50")},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_contracts_name_comes_back_as_it_was(value: Any) -> None:
    assert there_and_back(value) == value


def test_a_number_of_numpy_comes_back_as_a_number() -> None:
    assert there_and_back({"rmse": np.float64(1.5), "rows": np.int64(3)}) == {"rmse": 1.5, "rows": 3}
    assert math.isnan(there_and_back(float("nan")))


class Stranger:
    """No class of the contracts."""


@pytest.mark.parametrize("value", [Stranger(), print, object])
def test_what_the_contracts_do_not_name_is_refused(value: Any) -> None:
    with pytest.raises(PluginError, match="does not cross"):
        documents.write(value)


@pytest.mark.parametrize(
    "document",
    [
        {"$": "record", "class": "os:system", "of": {"command": "true"}},
        {"$": "record", "class": "subprocess:Popen", "of": {"args": ["true"]}},
        {"$": "record", "class": "stackwright_interfaces.errors:StackwrightError", "of": {}},
        {"$": "enum", "class": "stackwright_interfaces.plugin:Context", "of": 1},
        {"$": "code", "of": "print(1)"},
    ],
)
def test_a_document_can_name_data_of_the_contracts_alone(document: Any) -> None:
    with pytest.raises(PluginError):
        documents.read(document)


TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StackwrightError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_of_the_tree_crosses_as_itself(kind: type[StackwrightError]) -> None:
    document = json.loads(json.dumps(documents.write_error(kind("view 'v'", "it is gone", "Bring it back."))))
    found = documents.read_error(document, "here", Path("log"))
    assert type(found) is kind
    assert str(found) == "view 'v': it is gone. Bring it back."


def test_an_adapters_own_kind_of_error_crosses_as_the_one_it_is_of() -> None:
    class LockedOut(errors.StoreTimeout):
        pass

    found = documents.read_error(documents.write_error(LockedOut("a", "b", "c")), "here", Path("log"))
    assert (type(found), found.args) == (errors.StoreTimeout, ("a", "b", "c"))


def test_any_other_error_says_where_its_traceback_is() -> None:
    found = documents.read_error(documents.write_error(KeyError("x")), "blueprint.toml [offline]", Path("its.log"))
    assert isinstance(found, PluginError)
    assert str(found) == "blueprint.toml [offline]: the adapter failed: KeyError: 'x'. Its traceback is in its.log."


def sent(value: Any) -> tuple[Outgoing, Any]:
    """Write a value as a stream; return what was sent, and what is read."""
    outgoing = Outgoing.of(value)
    assert outgoing is not None
    wire = io.BytesIO()
    for _ in outgoing.write(wire):
        pass
    wire.write(b"what follows")
    wire.seek(0)
    schema, batches = tables.read(wire)
    found = (
        pa.Table.from_batches(batches, schema)
        if outgoing.about["form"] == "table"
        else tables.array_of(json.loads(json.dumps(outgoing.about)), schema, batches)
    )
    assert wire.read() == b"what follows"
    return outgoing, found


MATRIX = np.arange(30, dtype=np.float64).reshape(10, 3)
ARRAYS = {
    "numbers": np.array([1.5, np.nan, -0.0]),
    "whole": np.array([1, 2**62]),
    "truths": np.array([True, False]),
    "instants": np.array(["2026-03-14T12:00", "NaT"], dtype="datetime64[us]"),
    "texts": np.array(["a", None, "ä"], dtype=object),
    "instants with a zone": np.array([NOON, None], dtype=object),
    "of several types": np.array(["a", 1, None, 2.5, NOON], dtype=object),
    "lists": np.array([["a"], None, []], dtype=object),
    "none": np.array([], dtype=np.float64),
    "rows": MATRIX,
    "columns first": np.asfortranarray(MATRIX),
    "a part": MATRIX[::2],
    "no rows": np.empty((0, 3)),
    "no columns": np.empty((3, 0)),
    "single": MATRIX.astype(np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_bit_by_bit_and_can_be_written_to(name: str) -> None:
    array = ARRAYS[name]
    _, found = sent(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    if array.dtype == object:
        assert found.tolist() == array.tolist()
    else:
        assert found.tobytes() == array.tobytes()
        assert found.flags.f_contiguous == array.flags.f_contiguous or not array.flags.c_contiguous
    assert found.flags.writeable


def test_columns_come_back_under_their_names() -> None:
    columns = {"area": ARRAYS["numbers"], "kind": ARRAYS["texts"]}
    _, found = sent(columns)
    assert list(found) == ["area", "kind"]
    np.testing.assert_array_equal(found["area"], columns["area"])
    assert found["kind"].tolist() == ["a", None, "ä"]


def test_a_large_table_crosses_in_pieces() -> None:
    table = pa.table({"x": np.arange(3 * PIECE // 8)})
    outgoing, found = sent(table)
    assert found == table
    pieces = list(Outgoing.of(table).batches)  # type: ignore[union-attr]
    assert len(pieces) == 3
    assert max(piece.nbytes for piece in pieces) <= PIECE
    assert outgoing.about == {"form": "table"}


def test_dictionaries_nested_values_and_metadata_cross() -> None:
    table = pa.table(
        {"d": pa.array(["a", "b", "a"]).dictionary_encode(), "l": [[1], None, []], "s": [{"a": 1}, None, {"a": 2}]}
    ).replace_schema_metadata({"made": "here"})
    _, found = sent(table)
    assert found == table
    assert found.schema.metadata == table.schema.metadata


def test_rows_whose_making_fails_end_with_the_error() -> None:
    outgoing = Outgoing.of(CutOff(pa.table({"x": [1, 2, 3]})))
    assert outgoing is not None
    wire = io.BytesIO()
    with pytest.raises(Exception, match="went away"):
        for _ in outgoing.write(wire):
            pass
    wire.seek(0)
    with pytest.raises(StreamFailed, match="went away"):
        list(tables.read(wire)[1])

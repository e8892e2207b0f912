"""Files of interactions and items as people have them, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_interfaces.errors import DataError, MissingColumn, TrainingError, UsageError, WrongType
from stackwright_recommender import Columns, ItemColumns, train
from stackwright_recommender.reading import read_interactions, read_items

EVENTS: dict[str, Any] = {"user": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [3, 1, 2]}


def pairs(source: Any, **columns: Any) -> list[tuple[Any, Any, float, float]]:
    known, users, items = read_interactions(source, Columns(**columns))
    found = zip(users.names(known.user), items.names(known.item), known.time, known.weight, strict=True)
    return [(user, item, float(time), float(weight)) for user, item, time, weight in found]


def test_a_table_is_sorted_by_user_and_time() -> None:
    assert pairs(pa.table(EVENTS), time="time") == [("a", "y", 1, 1), ("a", "x", 3, 1), ("b", "x", 2, 1)]


def test_a_pair_counts_once_with_its_newest_time_and_greatest_weight() -> None:
    twice = pa.table({"user": [7, 7], "item": [1, 1], "time": [5, 9], "weight": [3, 1]})
    assert pairs(twice, time="time", weight="weight") == [(7, 1, 9, 3)]


def test_csv_may_lack_a_header_and_have_its_own_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("1\t10\t5\t100\n2\t10\t3\t50\n")
    found = pairs(path, names=("user", "item", "rating", "time"), delimiter="\t", time="time", rating="rating")
    assert found == [("1", "10", 100, 1), ("2", "10", 50, 1)]


def test_parquet_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table(EVENTS), tmp_path / "events.parquet")
    assert len(pairs(tmp_path / "events.parquet", time="time")) == 3


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1_700_000_000_000], "ms"),
        (["2023-11-14T22:13:20Z"], "s"),
        (["2023-11-14 22:13:20"], "s"),
        (["2023-11-14T23:13:20+01:00"], "s"),
        (pa.array([1_700_000_000_000_000_001], pa.timestamp("ns")), "s"),
        (pa.array([1_700_000_000], pa.timestamp("s")), "s"),
        (pa.array([1_700_000_000_000_000_000], pa.timestamp("ns", "Europe/Vienna")), "s"),
    ],
)
def test_times_are_numbers_texts_or_timestamps(values: Any, unit: str) -> None:
    ((_, _, time, _),) = pairs(pa.table({"user": ["a"], "item": ["x"], "when": values}), time="when", time_unit=unit)
    assert time == 1_700_000_000


def test_a_text_of_a_time_without_seconds_names_its_zone_too() -> None:
    texts = pa.table({"user": ["a"], "item": ["x"], "when": ["2023-11-14T23:13+01:00"]})
    assert pairs(texts, time="when") == [("a", "x", 1_699_999_980, 1)]


def test_what_is_rated_low_counts_as_seen_and_not_liked() -> None:
    rated = pa.table({"user": ["a", "a"], "item": ["x", "y"], "stars": [5, 2]})
    assert [row[3] for row in pairs(rated, rating="stars", relevant_from=4)] == [1, 0]


@pytest.mark.parametrize(
    ("change", "columns", "error", "message"),
    [
        ({}, {"user": "usr"}, MissingColumn, "usr"),
        ({"user": ["a", None, "b"]}, {}, DataError, "no value in row 2"),
        ({"item": [1.5, 2.0, 3.0]}, {}, WrongType, "no identifiers"),
        ({"time": [1, None, 2]}, {"time": "time"}, DataError, "no time in row 2"),
        ({"time": ["soon", "late", "now"]}, {"time": "time"}, WrongType, "no times"),
        ({"weight": [1, -1, 1]}, {"weight": "weight"}, DataError, "below 0 in row 2"),
        ({"weight": ["much", "1", "1"]}, {"weight": "weight"}, WrongType, "no numbers"),
        ({}, {"relevant_from": 4.0}, UsageError, "no rating"),
        ({}, {"time": "time", "time_unit": "weeks"}, UsageError, "weeks"),
    ],
)
def test_what_cannot_be_used_is_named(change: Any, columns: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_interactions(pa.table({**EVENTS, **change}), Columns(**columns))


def test_files_that_are_not_there_empty_or_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_interactions(tmp_path / "none.csv", Columns())
    (tmp_path / "empty.csv").write_text("user,item\n")
    with pytest.raises(DataError, match="no interactions"):
        read_interactions(tmp_path / "empty.csv", Columns())
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_interactions(tmp_path / "bad.parquet", Columns())


def test_items_keep_the_codes_of_the_interactions_and_new_ones_come_behind() -> None:
    _, _, known = read_interactions(pa.table(EVENTS), Columns())
    table = pa.table({"item": ["z", "y"], "tags": ["a|b", "b"], "price": [1.0, None]})
    items = read_items(table, ItemColumns(attributes=("tags",), price="price"), known)
    assert items.ids.names(range(3)) == ["x", "y", "z"]
    assert items.attribute_names == ("tags=a", "tags=b")
    assert items.attributes.toarray().tolist() == [[0, 0], [0, 1], [1, 1]]
    np.testing.assert_array_equal(items.price, [np.nan, np.nan, 1.0])


def test_na_is_the_name_of_an_item_and_a_missing_number_or_time(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,kind,price,since\nNA,null,NA,NA\nb,,2,2024-01-01\n")
    columns = ItemColumns(attributes=("kind",), price="price", since="since")
    items = read_items(tmp_path / "items.csv", columns)
    assert items.ids.names(range(2)) == ["NA", "b"]
    assert items.attribute_names == ("kind=null",)
    np.testing.assert_array_equal(items.price, [np.nan, 2.0])
    assert np.isnan(items.since).tolist() == [True, False]


def test_an_item_with_two_rows_is_refused() -> None:
    with pytest.raises(DataError, match="'x' has several rows"):
        read_items(pa.table({"item": ["x", "x"]}), ItemColumns())


def test_numbers_and_texts_do_not_mix() -> None:
    _, _, known = read_interactions(pa.table({"user": [1], "item": [5]}), Columns())
    assert read_items(pa.table({"item": ["5", "6"]}), ItemColumns(), known).ids.names([0, 1]) == [5, 6]
    with pytest.raises(WrongType, match="whole numbers"):
        read_items(pa.table({"item": ["five"]}), ItemColumns(), known)


def test_too_little_to_learn_from_is_said() -> None:
    with pytest.raises(TrainingError, match="leave none to hold out"):
        train(pa.table({"user": ["a", "b"], "item": ["x", "y"], "time": [1, 2]}), Columns(time="time"))

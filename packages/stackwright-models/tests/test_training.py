"""Training sets: what was known when each row was asked for, through the stack alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stackwright_models as sm
from stackwright_interfaces.errors import StackwrightError

UNSOLD = 58
"""Of the 400 homes."""


def test_a_model_gives_its_labels_with_the_features_of_its_service(stack: Any) -> None:
    found = sm.training_set(stack, "valuation")
    assert list(found.X.columns) == ["area", "kind", "rooms", "room_size"]
    assert [str(dtype) for dtype in found.X.dtypes] == ["float64", "object", "float64", "float64"]
    assert len(found.X) == len(found.y) == len(found.keys) == len(found.time) == 400 - UNSOLD
    assert np.isfinite(found.y).all()
    assert (found.service, found.target) == ("valuation@1", "sale_price")
    assert found.X["room_size"].to_numpy() == pytest.approx((found.X["area"] / found.X["rooms"]).to_numpy())


def test_references_say_where_each_column_comes_from(stack: Any) -> None:
    assert sm.training_set(stack, "valuation").features == {
        "area": "homes@1:area", "kind": "homes@1:kind", "rooms": "request:rooms", "room_size": "transform:room_size"
    }  # fmt: skip


def test_rows_are_those_that_the_engine_trains_on(stack: Any) -> None:
    found, table = sm.training_set(stack, "valuation"), stack.training_set("valuation").to_pandas()
    for name in found.X:
        assert found.X[name].tolist() == table[name].tolist()
    assert found.y.tolist() == table["sale_price"].tolist()


def test_features_are_as_of_the_instant_asked(stack: Any) -> None:
    late = pd.DataFrame({"home_id": ["0003"], "changed_at": [pd.Timestamp("2024-01-10", tz="UTC")], "area": [999.0]})
    late["kind"] = "house"
    late.to_parquet(stack.project.folder / "late.parquet", index=False)
    stack.ingest("homes", stack.project.folder / "late.parquet")
    labels = pd.DataFrame(
        {
            "home_id": ["0003", "0003"],
            "rooms": [3, 3],
            "event_time": pd.to_datetime(["2024-01-09", "2024-01-11"], utc=True),
        }
    )
    found = sm.training_set(stack, "valuation@1", labels)
    assert found.X["area"].tolist()[1] == 999.0
    assert found.X["area"].tolist()[0] != 999.0
    assert found.y is None


def test_labels_of_ones_own_come_as_a_frame_of_any_order_and_index(stack: Any) -> None:
    times = pd.to_datetime(["2024-03-01", "2024-02-01"], utc=True)
    labels = pd.DataFrame(
        {"home_id": ["0001", "0002"], "rooms": [2, 3], "when": times, "worth": [2.0, 1.0]}, index=[7, 3]
    )
    found = sm.training_set(stack, "valuation@1", labels, target="worth", time="when")
    assert found.y.tolist() == [1.0, 2.0]
    assert found.keys["home_id"].tolist() == ["0002", "0001"]
    assert list(found.X.index) == [0, 1]


def test_censored_labels_come_with_how_long_they_have_lasted(stack: Any) -> None:
    found = sm.training_set(stack, "valuation", censored=True)
    assert len(found.X) == 400
    assert found.y["event"].dtype == bool
    assert (~found.y["event"]).sum() == UNSOLD
    assert set(found.y.loc[found.y["event"], "duration"]) == {10.0}
    assert set(found.y.loc[~found.y["event"], "duration"]) == {20.0}
    fitted = sm.TimeToEvent(sm.tabular("classification", n_estimators=5, n_jobs=1), periods=[5.0, 15.0, 25.0])
    assert fitted.fit(found.X, found.y).predict(found.X).shape == (400,)


def test_what_was_observed_later_is_passed_over(stack: Any) -> None:
    found = sm.training_set(stack, "valuation", known_at=pd.Timestamp("2024-02-01", tz="UTC").to_pydatetime())
    assert found.observed.max() <= pd.Timestamp("2024-02-01", tz="UTC")
    assert 0 < len(found.X) < 30


def test_a_split_trains_on_what_was_known_at_the_cut(stack: Any) -> None:
    found = sm.training_set(stack, "valuation")
    old, new = found.split("2024-08-01")
    cut = pd.Timestamp("2024-08-01", tz="UTC")
    assert (old.observed <= cut).all()
    assert (new.time >= cut).all()
    assert len(old.X) + len(new.X) + ((found.time < cut) & (found.observed > cut)).sum() == len(found.X)
    assert list(old.y.index) == list(old.X.index) == list(old.keys.index)


def test_what_was_not_known_to_have_ended_at_the_cut_was_still_to_come(stack: Any) -> None:
    cut = pd.Timestamp("2024-08-01", tz="UTC")
    found = sm.training_set(stack, "valuation", censored=True)
    old, new = found.split(cut)
    assert len(old.X) + len(new.X) == len(found.X)
    assert (old.observed <= cut).all()
    late = found.observed[old.X.index] > cut
    assert late.sum() == 19
    assert not old.y.loc[late, "event"].any()
    waited = (cut - old.time[late]) / pd.Timedelta(days=1)
    assert old.y.loc[late, "duration"].tolist() == waited.tolist()
    pd.testing.assert_frame_equal(old.y[~late], found.y.loc[old.X.index][~late])


def test_a_list_is_left_out_of_the_older_rows_as_a_whole(stack: Any) -> None:
    found = sm.training_set(stack, "valuation")
    lists = pd.Series(np.arange(len(found.X)) // 4, name="group")
    old, _ = found._replace(group=lists).split("2024-08-01")
    assert set(old.group.value_counts()) == {4}
    assert (old.observed <= pd.Timestamp("2024-08-01", tz="UTC")).all()


def test_a_training_set_shows_itself(stack: Any) -> None:
    page = sm.training_set(stack, "valuation")._repr_html_()
    assert "homes@1:area" in page
    assert "342 rows of valuation@1 for sale_price" in page


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("valuation@2", {}, "no service named 'valuation@2'"),
        ("valuation@1", {}, "neither labels nor a target"),
        ("valuation@1", {"target": "price"}, "no target named 'price'"),
        ("valuation", {"labels": pd.DataFrame({"home_id": ["1"]})}, "column 'asked_at' is missing"),
    ],
)
def test_what_is_lacking_is_named(stack: Any, name: str, given: Any, message: str) -> None:
    with pytest.raises(StackwrightError, match=message):
        sm.training_set(stack, name, **given)

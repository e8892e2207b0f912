"""The encoder and the pipeline for tables."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_models import tabular
from stackwright_models.encoding import TabularEncoder
from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.pipelines import CURATED

QUICK = {"n_estimators": 60, "learning_rate": 0.2, "min_child_samples": 2, "n_jobs": 1}


@pytest.fixture
def homes() -> pd.DataFrame:
    random = np.random.default_rng(1)
    homes = pd.DataFrame({"area": random.uniform(30, 200, 120), "zip": random.choice(["a", "b", "c"], 120)})
    homes.loc[::7, "zip"] = None
    homes.loc[::5, "area"] = np.nan
    return homes


def prices(homes: pd.DataFrame) -> np.ndarray:
    return homes["area"].fillna(80).to_numpy() * homes["zip"].map({"a": 1.0, "b": 2.0, "c": 4.0}).fillna(0.5).to_numpy()


def test_texts_become_places_among_the_sorted_known_ones() -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"zip": ["b", "a", None, "c"]}))
    codes = encoder.to_matrix(pd.DataFrame({"zip": ["a", "b", "c", "unseen", None]}))
    np.testing.assert_array_equal(codes[:, 0], [0, 1, 2, 3, np.nan])


def test_numbers_booleans_decimals_and_times_become_numbers() -> None:
    rows = pd.DataFrame({
        "integer": [1, 2],
        "flag": [True, False],
        "decimal": pd.Series([Decimal("1.5"), None], dtype=object),
        "nullable": pd.array([3, None], dtype="Int64"),
        "time": [datetime(1970, 1, 2, tzinfo=UTC), None],
    })  # fmt: skip
    matrix = TabularEncoder().fit(rows).to_matrix(rows)
    np.testing.assert_array_equal(matrix, [[1, 1, 1.5, 3, 1], [2, 0, np.nan, np.nan, np.nan]])


def test_whole_numbers_as_categories_are_known_again_beside_a_missing_value() -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"rooms": pd.Categorical([1, 2, 3])}))
    rows = pd.DataFrame({"rooms": pd.Categorical([2.0, np.nan])})
    np.testing.assert_array_equal(encoder.to_matrix(rows)[:, 0], [1, np.nan])


@pytest.mark.parametrize("kind", ["object", "str", "category"])
def test_a_text_column_is_the_same_in_every_type_of_pandas(kind: str) -> None:
    texts = pd.DataFrame({"zip": pd.Series(["x", "y", "x"], dtype=kind)})
    np.testing.assert_array_equal(TabularEncoder().fit_transform(texts)["zip"].cat.codes, [0, 1, 0])


def test_categories_come_out_as_such_with_names_and_index(homes: pd.DataFrame) -> None:
    rows = homes.set_axis(np.arange(500, 620), axis=0)
    encoder = TabularEncoder().set_output(transform="pandas").fit(rows)
    encoded = encoder.transform(rows)
    assert list(encoded.columns) == list(encoder.get_feature_names_out()) == ["area", "zip"]
    assert encoded.index.equals(rows.index)
    assert isinstance(encoded["zip"].dtype, pd.CategoricalDtype)


def test_rare_categories_can_be_left_unknown() -> None:
    rows = pd.DataFrame({"zip": ["a", "a", "b", "c", "c", "c"]})
    assert TabularEncoder(min_count=2).fit(rows).categories_ == {0: ("a", "c")}
    assert TabularEncoder(limit=1).fit(rows).categories_ == {0: ("c",)}


def test_a_value_that_is_neither_number_nor_text_is_refused() -> None:
    with pytest.raises(TypeError, match="dict"):
        TabularEncoder().fit(pd.DataFrame({"a": [{"x": 1}, {}]}))


def test_a_text_where_there_were_numbers_is_named(homes: pd.DataFrame) -> None:
    encoder = TabularEncoder().fit(homes)
    with pytest.raises(InvalidData, match="column 'area': the text 'large', and no text at the fit"):
        encoder.transform(homes.assign(area="large"))


@pytest.mark.parametrize(
    ("fitted", "asked", "message"),
    [
        ([1.0, 2.0], pd.to_datetime(["2026-03-01"]), "the time 2026-03-01 00:00:00, and numbers at the fit. Give numb"),
        (pd.to_datetime(["2026-03-01"]), [20_513.0], "the number 20513.0, and times at the fit. Give times"),
        (pd.to_datetime(["2026-03-01"]), ["2026-03-01"], "the text '2026-03-01', and times at the fit. Read the times"),
    ],
)
def test_a_column_of_another_kind_than_at_the_fit_is_named(fitted: Any, asked: Any, message: str) -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"listed": fitted}))
    with pytest.raises(InvalidData, match=f"column 'listed': {message}"):
        encoder.transform(pd.DataFrame({"listed": asked}))


@pytest.mark.parametrize("fitted", [[1.0, 2.0], pd.to_datetime(["2026-03-01"])], ids=["numbers", "times"])
@pytest.mark.parametrize("missing", [[None], [np.nan], [pd.NaT]], ids=str)
def test_a_column_of_which_nothing_is_known_is_missing_whatever_its_kind(fitted: Any, missing: Any) -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"listed": fitted}))
    assert np.isnan(encoder.to_matrix(pd.DataFrame({"listed": missing}))).all()


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="Complex"):
        TabularEncoder().fit(pd.DataFrame({"a": [1j, 2.0]}))


def test_an_array_of_objects_is_read_by_column() -> None:
    rows = np.array([[1.5, "a"], [2.5, "b"], [None, None]], dtype=object)
    np.testing.assert_array_equal(TabularEncoder().fit(rows).to_matrix(rows), [[1.5, 0], [2.5, 1], [np.nan, np.nan]])


@settings(max_examples=30)
@given(
    known=st.lists(st.text(max_size=3), min_size=1, max_size=8),
    asked=st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=8),
)
def test_codes_lead_back_to_their_texts(known: list[str], asked: list[str | None]) -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"x": pd.Series(known, dtype=object)}))
    codes = encoder.to_matrix(pd.DataFrame({"x": pd.Series(asked, dtype=object)}))[:, 0]
    for text, code in zip(asked, codes, strict=True):
        if text is None:
            assert np.isnan(code)
        else:
            assert [*encoder.categories_[0], None][int(code)] == (text if text in known else None)


def test_a_regression_learns_from_texts_and_missing_values(homes: pd.DataFrame) -> None:
    model = tabular(**QUICK).fit(homes, prices(homes))
    assert model.score(homes, prices(homes)) > 0.9


def test_a_classification_takes_texts_for_classes(homes: pd.DataFrame) -> None:
    label = np.where(prices(homes) > 100, "dear", "cheap")
    model = tabular("classification", **QUICK).fit(homes, label)
    assert set(model.classes_) == {"dear", "cheap"}
    assert model.score(homes, label) > 0.95


def test_unknown_categories_and_a_single_row_get_a_finite_answer(homes: pd.DataFrame) -> None:
    model = tabular(**QUICK).fit(homes, prices(homes))
    assert np.isfinite(model.predict(pd.DataFrame({"area": [50.0], "zip": ["unseen"]}))).all()


def test_a_row_gets_the_same_answer_alone_and_among_others(homes: pd.DataFrame) -> None:
    model = tabular(**QUICK).fit(homes, prices(homes))
    alone = np.concatenate([model.predict(homes.iloc[[place]]) for place in range(10)])
    np.testing.assert_array_equal(alone, model.predict(homes)[:10])


def test_the_booster_reads_the_encoders_matrix(homes: pd.DataFrame) -> None:
    model = tabular(**QUICK).fit(homes, prices(homes))
    matrix = model.named_steps["encode"].to_matrix(homes)
    np.testing.assert_array_equal(model.named_steps["model"].booster_.predict(matrix), model.predict(homes))


def test_the_same_rows_give_the_same_model(homes: pd.DataFrame) -> None:
    texts = [tabular(**QUICK).fit(homes, prices(homes))[-1].booster_.model_to_string() for _ in range(2)]
    assert texts[0] == texts[1]


def test_parameters_have_curated_defaults_and_both_of_lightgbms_names() -> None:
    given = tabular(feature_fraction=0.3, bagging_fraction=0.7, num_leaves=63)[-1].get_params()
    assert (given["colsample_bytree"], given["subsample"], given["subsample_freq"], given["num_leaves"]) == (
        0.3,
        0.7,
        1,
        63,
    )
    assert given["n_estimators"] == CURATED["n_estimators"] == 800
    with pytest.raises(InvalidParameter, match="two names"):
        tabular(feature_fraction=0.3, colsample_bytree=0.4)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'ranking'"):
        tabular("ranking")  # type: ignore[arg-type]


@pytest.mark.parametrize("targets", [[1.0, np.inf], [1.0, np.nan], [1.0]], ids=["infinite", "missing", "too few"])
def test_targets_are_looked_at_beside_a_data_frame(targets: list[float]) -> None:
    with pytest.raises(ValueError, match=r"infinity|NaN|inconsistent"):
        tabular(**QUICK).fit(pd.DataFrame({"a": [1.0, 2.0]}), targets)

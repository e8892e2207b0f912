"""Models of scikit-learn, with what precedes them, written down for a program that has none of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright.portable import predict
from stackwright.portable.prepared import Prepared
from stackwright_interfaces.errors import PredictionError, UsageError
from stackwright_interfaces.model import Predictor, Signature, SupportsPortable
from stackwright_interfaces.types import FLOAT64, STRING, Field

pytest.importorskip("sklearn")
pytest.importorskip("stackwright_models")
pytest.importorskip("stackwright_sklearn")

from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

from stackwright_models import Ranker, tabular
from stackwright_models.encoding import TabularEncoder
from stackwright_sklearn.format import predictor_of
from stackwright_sklearn.frames import to_frame
from stackwright_sklearn.payload import Payload

NAMES = ("area", "kind", "rooms", "town")
TEXTS = {"kind": ("barn", "flat", "house"), "town": tuple(f"town {number:02}" for number in range(20))}
SIGNATURE = Signature(
    inputs=tuple(Field(name, STRING if name in TEXTS else FLOAT64) for name in NAMES),
    outputs=(Field("price", FLOAT64),),
    categories=TEXTS,
)
THIRD = 1 / 3


class Sample(NamedTuple):
    """Rows with gaps, as values, as a frame and as a matrix; what they are worth, and whether that is much."""

    values: list[list[Any]]
    frame: Any
    matrix: Any
    worth: Any
    much: Any

    @classmethod
    def make(cls, n: int = 240, *, seed: int = 3, gaps: float = 0.1) -> Sample:
        random = np.random.default_rng(seed)
        columns: dict[str, Any] = {
            "area": random.normal(80, 30, n).round(1),
            "kind": random.choice(TEXTS["kind"], n).astype(object),
            "rooms": random.integers(1, 7, n).astype(np.float64),
            "town": random.choice(TEXTS["town"], n).astype(object),
        }
        codes = {name: np.array([known.index(text) for text in columns[name]], float) for name, known in TEXTS.items()}
        worth = columns["area"] / 10 + columns["rooms"] * THIRD + codes["kind"] * 2 + (codes["town"] * 7 % 11) / 3
        for name, column in columns.items():
            lost = random.random(n) < gaps
            column[lost] = None if name in TEXTS else np.nan
            if name in codes:
                codes[name][lost] = np.nan
        matrix = np.column_stack([codes.get(name, columns[name]) for name in NAMES]).astype(np.float64)
        values = [[columns[name][row] for name in NAMES] for row in range(n)]
        worth = np.exp((worth - worth.min()) / 10) + random.normal(0, 0.05, n)
        return cls(values, to_frame(columns, NAMES, TEXTS), matrix, worth, (worth > np.median(worth)).astype(np.int64))


SAMPLE = Sample.make()
WHOLE = Sample.make(gaps=0.0)


def written(predictor: Predictor, folder: Path, signature: Signature = SIGNATURE) -> Prepared:
    assert isinstance(predictor, SupportsPortable)
    for name, content in predictor.portable(signature).items():
        (folder / name).write_bytes(content)
    return Prepared(folder, predict.Trees)


def of_frame(model: Any) -> Predictor:
    return predictor_of(Payload(NAMES, model, {name: known[0] for name, known in TEXTS.items()}))


def told(asked: Callable[[], Any]) -> float | None:
    """Return an answer; ``None`` where it is refused, or is none that a served model may give."""
    try:
        answer = float(asked())
    except (PredictionError, ValueError):
        return None
    return answer if math.isfinite(answer) else None


def same(mine: float | None, theirs: float | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return math.isclose(mine, theirs, rel_tol=1e-12, abs_tol=1e-12)


def check_frame(model: Any, folder: Path) -> None:
    """See that both answer alike: rows of the sample, and odd ones, of which some are refused."""
    theirs = of_frame(model)
    mine = written(theirs, folder)
    usual = SAMPLE.values[:60]
    for row, expected in zip(usual, theirs.predict(by_name(usual)), strict=True):
        assert same(told(lambda row=row: mine.predict(row)), told(lambda expected=expected: expected)), row
    for row in ODD:
        expected = told(lambda row=row: theirs.predict(by_name([row]))[0])
        assert same(told(lambda row=row: mine.predict(row)), expected), row


def by_name(rows: list[list[Any]]) -> dict[str, Any]:
    return {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}


ODD: list[list[Any]] = [
    [None, None, None, None],
    [70.0, "castle", 2.0, "town 03"],
    [1e30, "flat", -5.0, "nowhere"],
    [-1e300, "", 2.5, "town 19"],
    [1e39, "house", 0.0, None],
]
ODD = [[math.nan if value is None and NAMES[place] not in TEXTS else value for place, value in enumerate(row)]
       for row in ODD]  # fmt: skip


def encoded(**more: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore", **more), ["town", "kind"]),
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
             ["area", "rooms"]),
        ]
    )  # fmt: skip


PREPARING: dict[str, Callable[[], Any]] = {
    "one column a category": encoded,
    "dense columns, rare ones pooled": lambda: encoded(max_categories=6, sparse_output=False),
    "one category dropped": lambda: encoded(drop="first"),
    "codes": lambda: make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), [1, 3]),
        (make_pipeline(SimpleImputer(), MinMaxScaler(clip=True)), slice("rooms", "rooms")),
        remainder=SimpleImputer(strategy="constant", fill_value=-7.5),
    ),
    "what a category is worth": lambda: make_pipeline(
        make_column_transformer(
            (TargetEncoder(), ["kind", "town"]),
            (make_pipeline(SimpleImputer(), RobustScaler(), MaxAbsScaler()), ["rooms", "area"]),
        ),
        SelectKBest(k=3),
    ),
    "a number taken as a category": lambda: make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), ["rooms"]),
        (FeatureUnion([("same", "passthrough"), ("half", SimpleImputer())]), ["area"]),
        (make_pipeline(SimpleImputer(strategy="constant", missing_values=None, fill_value="?"), OrdinalEncoder()),
         ["kind"]),
        ("drop", ["town"]),
        sparse_threshold=0,
    ),
    "the encoder of stackwright-models": TabularEncoder,
}  # fmt: skip


@pytest.mark.parametrize("preparing", PREPARING.values(), ids=PREPARING)
def test_what_precedes_a_model_is_written_down(preparing: Callable[[], Any], tmp_path: Path) -> None:
    model = make_pipeline(preparing(), RandomForestRegressor(5, random_state=1)).fit(SAMPLE.frame, SAMPLE.worth)
    check_frame(model, tmp_path)


def boosted_of_numbers() -> Any:
    return HistGradientBoostingRegressor(max_iter=8, min_samples_leaf=5, categorical_features=["rooms"])


MODELS: dict[str, Callable[[], Any]] = {
    "tree": lambda: make_pipeline(encoded(sparse_output=False), DecisionTreeRegressor(max_depth=6)),
    "forest of classes": lambda: make_pipeline(TabularEncoder(), RandomForestClassifier(7, random_state=1)),
    "boosting": lambda: make_pipeline(encoded(), GradientBoostingRegressor(n_estimators=9, loss="huber")),
    "boosting of classes": lambda: make_pipeline(encoded(), GradientBoostingClassifier(n_estimators=9, init="zero")),
    "boosting of exponential loss": lambda: make_pipeline(
        encoded(), GradientBoostingClassifier(n_estimators=9, loss="exponential")
    ),
    "histograms of categories": lambda: make_pipeline(
        TabularEncoder(), HistGradientBoostingRegressor(max_iter=9, min_samples_leaf=5)
    ),
    "histograms of gamma loss": lambda: make_pipeline(
        TabularEncoder(limit=5), HistGradientBoostingRegressor(max_iter=9, min_samples_leaf=5, loss="gamma")
    ),
    "histograms of numbers taken as categories": lambda: make_pipeline(
        make_column_transformer(("passthrough", ["rooms", "area"]), verbose_feature_names_out=False).set_output(
            transform="pandas"
        ),
        boosted_of_numbers(),
    ),
    "histograms of classes": lambda: make_pipeline(
        TabularEncoder(), HistGradientBoostingClassifier(max_iter=9, min_samples_leaf=5)
    ),
    "trees of LightGBM": lambda: tabular(n_estimators=9, num_leaves=7),
    "trees of LightGBM of classes": lambda: tabular("classification", n_estimators=9, num_leaves=7),
    "trees of logarithms": lambda: TransformedTargetRegressor(
        tabular(n_estimators=9, num_leaves=7), func=np.log, inverse_func=np.exp
    ),
    "a tree of a scaled target": lambda: TransformedTargetRegressor(
        make_pipeline(TabularEncoder(), DecisionTreeRegressor(max_depth=4)), transformer=StandardScaler()
    ),
    "a line of a target that is scaled and not shifted": lambda: TransformedTargetRegressor(
        make_pipeline(encoded(), Ridge()), transformer=StandardScaler(with_mean=False)
    ),
    "a line": lambda: make_pipeline(encoded(), Ridge()),
    "a line of the logarithm": lambda: make_pipeline(encoded(), PoissonRegressor()),
    "a line of the odds": lambda: make_pipeline(encoded(), LogisticRegression()),
}  # fmt: skip


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_behind_its_steps_answers_alike(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    model.fit(SAMPLE.frame, SAMPLE.much if hasattr(model, "predict_proba") else SAMPLE.worth)
    check_frame(model, tmp_path)


def test_a_ranker_answers_alike(tmp_path: Path) -> None:
    group = np.arange(len(SAMPLE.worth)) // 12
    model = Ranker(n_estimators=9, num_leaves=7, min_child_samples=3).fit(SAMPLE.frame, SAMPLE.much, group=group)
    check_frame(model, tmp_path)


OF_MATRIX: dict[str, tuple[Callable[[int], Any], bool]] = {
    "tree": (lambda seed: DecisionTreeRegressor(random_state=seed, max_leaf_nodes=30), True),
    "random tree": (lambda seed: ExtraTreeRegressor(random_state=seed), True),
    "tree of classes": (lambda seed: DecisionTreeClassifier(random_state=seed, class_weight="balanced"), True),
    "tree of medians": (lambda seed: DecisionTreeRegressor(criterion="absolute_error", max_depth=5), False),
    "forest": (lambda seed: RandomForestRegressor(4, random_state=seed, max_features=0.5), True),
    "random forest of classes": (lambda seed: ExtraTreesClassifier(4, random_state=seed), True),
    "random forest": (lambda seed: ExtraTreesRegressor(4, random_state=seed), True),
    "boosting": (lambda seed: GradientBoostingRegressor(n_estimators=6, random_state=seed, subsample=0.7), False),
    "histograms": (
        lambda seed: HistGradientBoostingRegressor(
            max_iter=6, min_samples_leaf=4, categorical_features=[1, 3], random_state=seed
        ),
        True,
    ),
    "histograms of quantiles": (
        lambda seed: HistGradientBoostingRegressor(loss="quantile", quantile=0.7, max_iter=6, min_samples_leaf=4),
        True,
    ),
}

NUMBERS = st.one_of(
    st.floats(-50, 200),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([math.nan, 0.0, -0.0, 1.0, 1e-45, 3.4028235677973366e38, 1e-300]),
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], tuple[Predictor, Prepared, Any]]:
    made: dict[tuple[str, int], tuple[Predictor, Prepared, Any]] = {}

    def fit(name: str, seed: int) -> tuple[Predictor, Prepared, Any]:
        if (name, seed) not in made:
            make, gaps = OF_MATRIX[name]
            sample = Sample.make(120, seed=seed, gaps=0.1 if gaps else 0.0)
            model = make(seed)
            model.fit(sample.matrix, sample.much if hasattr(model, "predict_proba") else sample.worth)
            theirs = predictor_of(Payload(NAMES, model))
            made[name, seed] = theirs, written(theirs, tmp_path_factory.mktemp("written")), model
        return made[name, seed]

    return fit


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(OF_MATRIX)),
    seed=st.integers(0, 2),
    area=NUMBERS,
    rooms=NUMBERS,
    kind=st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan]),
    town=st.sampled_from([*map(float, range(21)), math.nan]),
    at=st.integers(0, 10_000),
)
def test_trees_split_each_number_as_scikit_learn_splits_it(
    fitted: Any, name: str, seed: int, area: float, rooms: float, kind: float, town: float, at: int
) -> None:
    theirs, mine, model = fitted(name, seed)
    edges = np.ravel(getattr(getattr(model, "tree_", None), "threshold", [area]))
    for number in (area, float(edges[at % len(edges)]), float(np.float32(edges[at % len(edges)]))):
        for near in (number, np.nextafter(number, np.inf), np.nextafter(number, -np.inf)):
            row = [float(near), kind, rooms, town]
            expected = told(lambda row=row: theirs.predict(np.array([row]))[0])
            given_ = told(lambda row=row: mine.predict(row))
            assert given_ == expected or (given_ is not None and expected is not None and same(given_, expected)), row


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "powers": (
        lambda: make_pipeline(make_column_transformer((PolynomialFeatures(), ["area", "rooms"])), Ridge()),
        "what PolynomialFeatures does to area, rooms cannot be written down",
    ),
    "a function": (
        lambda: make_pipeline(make_column_transformer((FunctionTransformer(np.abs), ["area"])), Ridge()),
        "what FunctionTransformer does to area cannot",
    ),
    "other ensembles": (
        lambda: make_pipeline(encoded(), BaggingRegressor(n_estimators=2)), "BaggingRegressor has no portable form"
    ),
    "a start of its own": (
        lambda: make_pipeline(encoded(), GradientBoostingRegressor(n_estimators=2, init=Ridge())),
        "GradientBoostingRegressor has no portable form",
    ),
    "codes scaled and encoded": (
        lambda: make_pipeline(
            make_column_transformer(
                (make_pipeline(StandardScaler(), OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
                 ["rooms"])
            ),
            DecisionTreeRegressor(max_depth=2),
        ),
        "what OrdinalEncoder does to rooms cannot",
    ),
    "a target of another kind": (
        lambda: TransformedTargetRegressor(
            make_pipeline(encoded(), Ridge()), func=np.sqrt, inverse_func=np.square
        ),
        "a target transformed by FunctionTransformer cannot",
    ),
    "a constant": (lambda: make_pipeline(encoded(), DummyRegressor()), "DummyRegressor has no portable form"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_down_is_refused_by_its_name(
    make: Callable[[], Any], words: str, tmp_path: Path
) -> None:
    predictor = of_frame(make().fit(WHOLE.frame, WHOLE.worth))
    with pytest.raises(UsageError, match=words):
        written(predictor, tmp_path)

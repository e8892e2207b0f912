"""What each input adds to a prediction. Contributions and base add up to the prediction, in the model's own scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from stackwright_models import charts
from stackwright_models.charts import show
from stackwright_models.errors import InvalidParameter
from stackwright_models.inputs import rows_at

Floats = NDArray[np.float64]

_BACKGROUND: Final = 50
_SHOWN: Final = 15
_BATCH: Final = 200_000
_LOGARITHMIC: Final = ("poisson", "gamma", "tweedie")
"""Objectives of LightGBM whose trees add up to a logarithm."""


@dataclass(frozen=True)
class Explanation:
    """What each input adds to each prediction.

    Args:
        values: contributions, n rows × inputs.
        base: what is predicted where nothing is known of the row, n.
        prediction: ``base`` and the contributions of a row added up, n.
        scale: of all three: ``prediction``, ``log-odds`` of a classifier, or a transform of the target.
        method: ``lightgbm`` (its own), ``linear`` (coefficients) or ``permutation`` (sampled).
        rows: the inputs, as they were given.
    """

    values: pd.DataFrame
    base: Floats
    prediction: Floats
    scale: str
    method: Literal["lightgbm", "linear", "permutation"]
    rows: pd.DataFrame

    @property
    def importance(self) -> pd.Series:
        """Mean absolute contribution of each input, the greatest first."""
        return self.values.abs().mean().sort_values(ascending=False, kind="stable")

    def row(self, place: int = 0) -> pd.DataFrame:
        """Return one row's inputs with their contributions, the greatest first."""
        found = pd.DataFrame(
            {
                "value": self.rows.iloc[place].astype(object).to_numpy(),
                "contribution": self.values.iloc[place].to_numpy(),
            },
            index=self.values.columns,
        )
        return found.reindex(found["contribution"].abs().sort_values(ascending=False, kind="stable").index)

    def __str__(self) -> str:
        lines = [f"{len(self.values):,} predictions by {self.method}, in the scale {self.scale}"]
        return "\n".join(lines + [f"{name}  {show(float(size))}" for name, size in self.importance.items()])

    def _repr_html_(self) -> str:
        overall = [(str(name), float(size), "") for name, size in self.importance.head(_SHOWN).items()]
        words = f"Mean absolute contribution over {len(self.values):,} rows, in the scale {self.scale}."
        first = self.row().head(_SHOWN)
        entries = [
            (f"{name} = {_text(value)}", float(size), "")
            for name, value, size in zip(first.index, first["value"], first["contribution"], strict=True)
        ]
        about = f"From {show(float(self.base[0]))} to {show(float(self.prediction[0]))}, in the scale {self.scale}."
        return (
            f"<div><p>Contributions ({escape(self.method)}) that add up to the prediction.</p>"
            + charts.bars("What matters", words, overall)
            + charts.bars("The first row", about, entries)
            + "</div>"
        )


def _text(value: Any) -> str:
    return show(float(value)) if isinstance(value, int | float | np.number) else str(value)


def explain(
    estimator: Any,
    X: Any,  # noqa: N803 (scikit-learn's name)
    *,
    background: Any = None,
    method: Literal["auto", "permutation"] = "auto",
    permutations: int = 8,
    random_state: int = 7,
) -> Explanation:
    """Say what each input adds to each prediction.

    LightGBM gives its trees' own contributions (Lundberg et al. 2018), a linear model its coefficients times the
    distance from the background's mean; in a pipeline, those of made columns are added up for the input they come from.
    Every other estimator is asked along random orders of the inputs, each of which goes from a row of the background to
    the row in question (Štrumbelj and Kononenko 2014): the steps of an order add up, whatever the model.

    Args:
        estimator: fitted.
        X: n × d rows, a data frame or array.
        background: rows that stand for nothing known; ``None`` takes X. LightGBM has its own.
        method: ``permutation`` asks any estimator as if it were unknown.
        permutations: orders a row, for that method; twice as many are asked, each also from back to front.
        random_state: seed of the orders.

    Raises:
        NotFittedError: the estimator is not fitted.
        InvalidParameter: it is a classifier of more than two classes.
    """
    check_is_fitted(estimator)
    if is_classifier(estimator) and len(estimator.classes_) != 2:
        found = f"a classifier of {len(estimator.classes_)} classes"
        raise InvalidParameter("explain", found, "Explain one class against the others.")
    rows = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X), columns=_names(X))
    behind = X if background is None else background
    if method == "auto":
        explained = _native(estimator, X, rows, behind)
        if explained is not None:
            return explained
    return _permuted(estimator, X, rows, behind, permutations, random_state)


def _names(X: Any) -> list[str]:  # noqa: N803
    return [f"x{place}" for place in range(np.asarray(X).shape[1])]


def _native(estimator: Any, X: Any, rows: pd.DataFrame, background: Any) -> Explanation | None:  # noqa: N803
    """Return the model's own contributions, or ``None`` where it has none."""
    core, transformers, scale = _core(estimator)
    kind = "log-odds" if is_classifier(core) else scale
    if getattr(core, "_objective", None) in _LOGARITHMIC:
        kind = f"log of the {kind}"
    if hasattr(core, "booster_") or hasattr(core, "_Booster"):
        contributions = np.asarray(_lightgbm(core, _transformed(transformers, X)), dtype=np.float64)
        values, base = contributions[:, :-1], contributions[:, -1]
        method: Literal["lightgbm", "linear"] = "lightgbm"
    elif getattr(core, "coef_", None) is not None and np.size(core.intercept_) == 1 and _is_linear(core):
        inputs, behind = (np.asarray(_transformed(transformers, part), dtype=np.float64) for part in (X, background))
        weights, middle = np.ravel(core.coef_), behind.mean(axis=0)
        values = (inputs - middle) * weights
        base = np.full(len(inputs), float(np.ravel(core.intercept_)[0] + middle @ weights))
        method = "linear"
    else:
        return None
    sources = _sources(transformers, list(rows.columns), values.shape[1])
    if sources is None:
        return None
    summed = np.zeros((len(rows), rows.shape[1]))
    np.add.at(summed.T, sources, values.T)
    frame = pd.DataFrame(summed, columns=rows.columns, index=rows.index)
    return Explanation(frame, base, base + summed.sum(axis=1), kind, method, rows)


def _core(estimator: Any) -> tuple[Any, list[Any], str]:
    """Return the model inside of pipelines and estimators around it, what precedes it, and the scale it answers in."""
    transformers: list[Any] = []
    scale = "prediction"
    while True:
        if hasattr(estimator, "steps"):
            transformers += [step for _, step in estimator.steps[:-1] if step not in (None, "passthrough")]
            estimator = estimator.steps[-1][1]
        elif getattr(estimator, "transformer_", None) is not None and hasattr(estimator, "regressor_"):
            function = getattr(estimator.transformer_, "func", None) or type(estimator.transformer_)
            scale = f"{getattr(function, '__name__', 'transformed')} of the target"
            estimator = estimator.regressor_
        elif hasattr(estimator, "table_") and getattr(estimator, "shift_", None) == 0.0:
            estimator = estimator.estimator_
        else:
            return estimator, transformers, scale


def _transformed(transformers: Sequence[Any], X: Any) -> Any:  # noqa: N803
    rows = X
    for step in transformers:
        rows = step.transform(rows)
    return rows.toarray() if hasattr(rows, "toarray") else rows


def _lightgbm(core: Any, inputs: Any) -> Any:
    if not hasattr(core, "_Booster"):  # a Ranker of ours
        return core.booster_.predict(core.encoder_.to_matrix(inputs), pred_contrib=True)
    found = core.predict(inputs, pred_contrib=True)
    return found.toarray() if hasattr(found, "toarray") else found


def _is_linear(core: Any) -> bool:
    """Return whether the prediction, or the log-odds, is the inputs times the coefficients."""
    return (
        type(core).__module__.startswith("sklearn.linear_model.")
        and (not is_classifier(core) or hasattr(core, "predict_proba"))
        and not type(core).__module__.endswith("._glm.glm")
    )


def _sources(transformers: Sequence[Any], names: list[Any], width: int) -> NDArray[np.int64] | None:
    """Return for each of the model's columns the input that it was made from; ``None`` where that is not told."""
    places = {str(name): place for place, name in enumerate(names)}
    made = [str(name) for name in names]
    for step in transformers:
        try:
            found = (
                step.get_feature_names_out() if hasattr(step, "feature_names_in_") else step.get_feature_names_out(made)
            )
        except (AttributeError, ValueError, TypeError):
            return None
        made = [str(name) for name in found]
    if len(made) != width:
        return None
    sources = [_source(name, places) for name in made]
    return None if None in sources else np.array(sources, dtype=np.int64)


def _source(made: str, places: dict[str, int]) -> int | None:
    """Return the input of a made column: its whole name, or the longest input that it begins with."""
    for name in (made, made.partition("__")[2]):
        if name in places:
            return places[name]
    plain = made.partition("__")[2] or made
    plain = plain.removeprefix("missingindicator_")
    begun = [name for name in places if plain == name or plain.startswith(f"{name}_")]
    return places[max(begun, key=len)] if begun else None


def _permuted(
    estimator: Any,
    X: Any,  # noqa: N803
    rows: pd.DataFrame,
    background: Any,
    permutations: int,
    random_state: int,
) -> Explanation:
    random = np.random.default_rng(random_state)
    ask, scale = _asked(estimator)
    count = min(_BACKGROUND, len(background))
    drawn = rows_at(background, np.sort(random.choice(len(background), count, replace=False)))
    behind = drawn if isinstance(drawn, pd.DataFrame) else pd.DataFrame(drawn, columns=rows.columns)
    width, plain = rows.shape[1], not isinstance(X, pd.DataFrame)
    values, base = np.zeros((len(rows), width)), np.zeros(len(rows))
    forth = [random.permutation(width) for _ in range(permutations)]
    begins = random.integers(0, count, (permutations, len(rows)))
    orders = [(order[::way], begin) for way in (1, -1) for order, begin in zip(forth, begins, strict=True)]
    size = max(1, _BATCH // (width + 1))
    for start in range(0, len(rows), size):
        here = slice(start, start + size)
        part = rows.iloc[here]
        for order, begin in orders:
            path = _path(part, behind.iloc[begin[here]], order)
            said = ask(path.to_numpy() if plain else path).reshape(width + 1, len(part))
            values[here, order] += np.diff(said, axis=0).T
            base[here] += said[0]
    values, base = values / len(orders), base / len(orders)
    frame = pd.DataFrame(values, columns=rows.columns, index=rows.index)
    return Explanation(frame, base, base + values.sum(axis=1), scale, "permutation", rows)


def _path(rows: pd.DataFrame, start: pd.DataFrame, order: NDArray[np.int64]) -> pd.DataFrame:
    """Return the rows of the background, then the same with one more input of the rows in question, until all are."""
    taken = np.zeros(rows.shape[1], dtype=np.int64)
    taken[order] = np.arange(1, rows.shape[1] + 1)
    steps = rows.shape[1] + 1
    columns = {}
    for place, name in enumerate(rows.columns):
        both = pd.concat([start.iloc[:, place], rows.iloc[:, place]], ignore_index=True)
        here = np.arange(steps)[:, None] >= taken[place]
        places = np.where(here, len(rows) + np.arange(len(rows)), np.arange(len(rows))).ravel()
        columns[name] = both.iloc[places].reset_index(drop=True)
    return pd.DataFrame(columns)


def _asked(estimator: Any) -> tuple[Any, str]:
    if not is_classifier(estimator):
        return lambda rows: np.asarray(estimator.predict(rows), dtype=np.float64).ravel(), "prediction"

    def log_odds(rows: Any) -> Floats:
        chance = np.clip(np.asarray(estimator.predict_proba(rows), dtype=np.float64)[:, 1], 1e-12, 1 - 1e-12)
        return np.log(chance / (1 - chance))

    return log_odds, "log-odds"

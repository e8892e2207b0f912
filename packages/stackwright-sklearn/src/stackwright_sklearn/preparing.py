"""What happens to the matrix before an estimator sees it. Each row is prepared by itself, whatever rows come with it.

* **Histogram gradient boosting** takes the matrix as it is and splits on categories as such. The code of an unknown
  category is one more category where training rows hold it; where none does, it is treated like a missing one.
* **Other estimators that take missing values** (trees, forests) take the matrix as it is, codes as numbers.
* **Estimators that refuse missing values** get each number imputed by its median, with a further column that tells
  which rows were imputed where there were any, and both scaled to mean 0 and deviation 1; and one column for each
  category and one for a missing one. An unknown category has none: all its columns are 0.

Of an input with more categories than :data:`MOST` the rarest are pooled into one, where codes are not taken as numbers;
with columns for each category an unknown one then counts among the pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from stackwright_interfaces.errors import TrainingError, did_you_mean
from stackwright_interfaces.model import Signature
from stackwright_sklearn.estimators import allows_missing, encodes_categories

MOST: Final = 255
"""Most categories of an input, the pooled one included. Histogram gradient boosting has no room for more."""


class Preparation(NamedTuple):
    """What precedes an estimator.

    Args:
        transformer: an unfitted transformer, or ``None`` where the matrix is taken as it is.
        arguments: constructor arguments that tell the estimator of the prepared columns.
    """

    transformer: Any
    arguments: Mapping[str, Any]


def prepare(estimator: Any, signature: Signature) -> Preparation:
    """Return what must precede an estimator.

    Raises:
        TrainingError: ``monotonic_cst`` names what is no numeric input.
    """
    names = [field.name for field in signature.inputs]
    categories = [place for place, name in enumerate(names) if name in signature.categories]
    if encodes_categories(estimator):
        return _with_codes(estimator, signature, names, categories)
    if allows_missing(estimator):
        return Preparation(None, {})
    numbers = [place for place in range(len(names)) if place not in categories]
    one_hot = _one_hot([len(signature.categories[names[place]]) for place in categories])
    return Preparation(_columns([("categories", one_hot, categories), ("numbers", _imputed_and_scaled(), numbers)]), {})


def _with_codes(estimator: Any, signature: Signature, names: Sequence[str], categories: Sequence[int]) -> Preparation:
    from sklearn.preprocessing import OrdinalEncoder

    arguments: dict[str, Any] = {"categorical_features": list(categories) or None}
    monotone = estimator.monotonic_cst
    if isinstance(monotone, Mapping):
        _check_monotone(monotone, [name for name in names if name not in signature.categories])
        arguments["monotonic_cst"] = [int(monotone.get(name, 0)) for name in names]
    most = min(MOST, estimator.max_bins) if isinstance(estimator.max_bins, int) else MOST
    wide = [place for place in categories if len(signature.categories[names[place]]) + 1 > most]
    if not wide:
        return Preparation(None, arguments)
    pooled = OrdinalEncoder(
        max_categories=most, handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    in_order = groupby(range(len(names)), key=lambda place: place in wide)
    steps = [(pooled if is_wide else "passthrough", list(places)) for is_wide, places in in_order]
    return Preparation(_columns([(f"from {places[0]}", step, places) for step, places in steps]), arguments)


def _check_monotone(monotone: Mapping[str, Any], numbers: Sequence[str]) -> None:
    for name, sign in monotone.items():
        if name not in numbers:
            todo = did_you_mean(name, numbers) or f"Numeric inputs are: {', '.join(numbers)}."
            raise TrainingError("parameter 'monotonic_cst'", f"{name!r} is no numeric input", todo)
        if sign not in (-1, 0, 1):
            todo = "Give 1 for rising, -1 for falling."
            raise TrainingError("parameter 'monotonic_cst'", f"{name!r} is {sign!r}", todo)


def _one_hot(known: Sequence[int]) -> Any:
    from sklearn.preprocessing import OneHotEncoder

    codes = [np.append(np.arange(count, dtype=np.float64), np.nan) for count in known]
    return OneHotEncoder(
        categories=codes, max_categories=MOST, handle_unknown="infrequent_if_exist", sparse_output=False
    )


def _imputed_and_scaled() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )


def _columns(steps: Sequence[tuple[str, Any, list[int]]]) -> Any:
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)

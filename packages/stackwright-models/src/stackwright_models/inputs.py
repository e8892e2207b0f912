"""Taking rows as scikit-learn does, but leaving data frames what they are."""

# ruff: noqa: N803, N806
# X is scikit-learn's name for rows

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from stackwright_models.errors import InvalidData


def take_rows(estimator: Any, X: Any, *, reset: bool) -> pd.DataFrame | NDArray[Any]:
    """Check rows against those of the fit, and return them as a data frame or as an array of any type.

    Args:
        estimator: gets ``n_features_in_``, and ``feature_names_in_`` where there are names.
        X: n × d: a pandas data frame, one of another library with ``to_pandas``, or anything array-like.
        reset: whether this is the fit.

    Raises:
        ValueError: no rows, other columns than at the fit, or another number of them; complex numbers.
        TypeError: sparse rows.
    """
    if not reset:
        check_is_fitted(estimator)
    if not isinstance(X, pd.DataFrame) and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    rows = X
    if not isinstance(X, pd.DataFrame):
        rows = check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator, input_name="X")
    elif X.empty:
        shape = f"{X.shape[0]} sample(s), {X.shape[1]} feature(s)"
        raise InvalidData(type(estimator).__name__, f"found an empty data frame: {shape}", "Give rows and columns.")
    validate_data(estimator, X if isinstance(X, pd.DataFrame) else rows, skip_check_array=True, reset=reset)
    return rows


def to_instants(values: Any, where: str, *, missing: bool = False) -> NDArray[np.datetime64]:
    """Return times as ``datetime64[us]`` in UTC; naive times are taken as UTC.

    Args:
        values: n times: ``datetime64``, ``datetime``, pandas timestamps with or without a zone, or ISO texts.
        where: what an error calls them.
        missing: whether one may be missing; it becomes ``NaT``.

    Raises:
        InvalidData: they are no times, or one is missing.
    """
    if pd.api.types.is_numeric_dtype(np.asarray(values).dtype):
        raise InvalidData(where, "times are numbers", "Give datetime64 values, say through pandas.to_datetime.")
    try:
        index = pd.DatetimeIndex(pd.to_datetime(values, utc=True, format="ISO8601"))
    except (ValueError, TypeError) as error:
        raise InvalidData(where, f"times cannot be read ({error})", "Give datetime64 values.") from error
    if index.hasnans and not missing:
        raise InvalidData(where, "rows without a time", "Leave them out.")
    return np.asarray(index.tz_localize(None), dtype="datetime64[us]")


def take_numbers(values: Any, name: str) -> NDArray[np.float64]:
    """Return n finite numbers as float64; a column of a single width is flattened with scikit-learn's warning.

    Raises:
        ValueError: texts, NaN, infinity or several columns.
    """
    flat = column_or_1d(values, warn=True)
    return np.asarray(check_array(flat, ensure_2d=False, dtype=np.float64, input_name=name))


def take_labels(values: Any) -> NDArray[Any]:
    """Return n classes, as they are.

    Raises:
        ValueError: NaN, infinity or several columns.
    """
    flat = column_or_1d(values, warn=True)
    return np.asarray(check_array(flat, ensure_2d=False, dtype=None, input_name="y"))


def rows_at(values: Any, where: NDArray[np.int64]) -> Any:
    """Return the named rows of a data frame, a series, an array or a list."""
    return values.iloc[where] if hasattr(values, "iloc") else np.asarray(values)[where]


def metadata_at(metadata: Mapping[str, Any], where: NDArray[np.int64], n: int) -> dict[str, Any]:
    """Return the named rows of all metadata that have a value for each of n rows, and others as they are."""
    by_row = {name for name, value in metadata.items() if hasattr(value, "__len__") and len(value) == n}
    return {name: rows_at(value, where) if name in by_row else value for name, value in metadata.items()}


def last_step(estimator: Any) -> tuple[str, Any]:
    """Return the last step of a pipeline, and what precedes the names of metadata for it; of others "" and itself.

    With scikit-learn's metadata routing nothing does: there each step says what it takes.
    """
    if not isinstance(estimator, Pipeline):
        return "", estimator
    name, last = estimator.steps[-1]
    return "" if get_config()["enable_metadata_routing"] else f"{name}__", last


def allows_missing(estimator: Any) -> bool:
    """Return whether an estimator says that it takes NaN; of a pipeline, whether all its steps do."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    return all(hasattr(step, "__sklearn_tags__") and bool(get_tags(step).input_tags.allow_nan) for step in steps)

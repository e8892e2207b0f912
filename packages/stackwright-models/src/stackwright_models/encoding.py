"""Columns of any kind as numbers, for models that split on categories."""

# ruff: noqa: N803, ARG002
# mypy: disallow_subclassing_any=False
# scikit-learn comes without types, and names rows X

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from stackwright_models.errors import InvalidData
from stackwright_models.inputs import take_rows
from stackwright_numerics.categories import encode, fit_categories

_NUMBERS: Final = (int, float, Decimal, np.number, np.bool_)
_DAY: Final = pd.Timedelta(days=1)


class TabularEncoder(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Encodes each column by its kind, which is learnt at the fit.

    Numbers and booleans become float64; times become days since 1970-01-01 (UTC); texts and pandas categories become
    the place of the value among the known ones, of an unknown one the number of known ones. Missing values are NaN.
    ``transform`` gives a data frame, in which categories have the dtype ``category``, so that LightGBM and histogram
    gradient boosting split on them as such; :meth:`to_matrix` gives the same numbers as an array.

    Args:
        min_count: categories of fewer rows are left unknown.
        limit: most categories of a column, the most frequent; ``None`` keeps all.

    Attributes:
        categories_: place of a column → its known categories, sorted; of columns of texts and categories alone.
        times_: places of the columns of times, ascending.
        n_features_in_: number of columns.
        feature_names_in_: their names, where there are such.
    """

    def __init__(self, *, min_count: int = 1, limit: int | None = None) -> None:
        self.min_count = min_count
        self.limit = limit

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the kind of each column, and its categories.

        Args:
            X: n × d rows.
            y: passed over.

        Raises:
            ValueError: no rows, or complex numbers.
            TypeError: a value that is neither number nor text nor time, or sparse rows.
        """
        rows = pd.DataFrame(take_rows(self, X, reset=True))
        self.categories_: dict[int, tuple[str, ...]] = {}
        self.times_: list[int] = []
        for place in range(rows.shape[1]):
            column = rows.iloc[:, place]
            if _is_category(column):
                self.categories_[place] = fit_categories(_texts(column), self.min_count, self.limit)
                continue
            _numbers(column)
            if _is_time(column):
                self.times_.append(place)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Return the numbers as a data frame with the index of the rows.

        Raises:
            ValueError: other columns than at the fit, or a column of another kind: texts or times where there were
                numbers, numbers or texts where there were times. Where nothing is known, the kind is passed over.
        """
        rows = take_rows(self, X, reset=False)
        matrix = self._encode(rows)
        index = rows.index if isinstance(rows, pd.DataFrame) else None
        frame = pd.DataFrame(matrix, columns=self.get_feature_names_out(), index=index)
        for place, known in self.categories_.items():
            codes = np.where(np.isnan(matrix[:, place]), -1, matrix[:, place]).astype(np.int64)
            frame.isetitem(place, pd.Categorical.from_codes(codes, categories=range(len(known) + 1)))
        return frame

    def to_matrix(self, X: Any) -> NDArray[np.float64]:
        """Return the numbers as float64 (n, d), NaN where missing."""
        return self._encode(take_rows(self, X, reset=False))

    def _encode(self, rows: Any) -> NDArray[np.float64]:
        frame = pd.DataFrame(rows)
        matrix = np.empty(frame.shape)
        for place in range(frame.shape[1]):
            known = self.categories_.get(place)
            column = frame.iloc[:, place]
            if known is not None:
                matrix[:, place] = encode(_texts(column), known)
                continue
            _check_kind(column, times=place in self.times_)
            matrix[:, place] = _numbers(column)
        return matrix

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "categories_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def categorical_places(encoder: TabularEncoder) -> list[int]:
    """Return the columns of a fitted encoder that hold categories, ascending."""
    check_is_fitted(encoder)
    return sorted(encoder.categories_)


def _is_category(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    if pd.api.types.is_numeric_dtype(column.dtype) or _is_time(column):
        return False
    return any(isinstance(value, str) for value in column.dropna())


def _is_time(column: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column.dtype))


def _check_kind(column: pd.Series, *, times: bool) -> None:
    """Hold a column that is no category to what it held at the fit."""
    if _is_time(column) == times or column.isna().all():
        return
    example = column.dropna().iloc[0]
    if isinstance(example, str):
        found, todo = f"the text {example!r}", "Read the times: pandas.to_datetime(..., utc=True)."
    elif times:
        found, todo = f"the number {example}", "Give times, as at the fit."
    else:
        found, todo = f"the time {example}", "Give numbers, as at the fit."
    raise InvalidData(f"column {column.name!r}", f"{found}, and {'times' if times else 'numbers'} at the fit", todo)


def _texts(column: pd.Series) -> NDArray[Any]:
    """Return texts, with None where missing."""
    values = column.astype(object)
    texts = np.array([_text(value) for value in values], dtype=object)
    texts[values.isna().to_numpy()] = None
    return texts


def _text(value: Any) -> str:
    if isinstance(value, dict | list | set | tuple):
        raise TypeError(f"argument must be a string or a number, found {type(value).__name__}")
    if isinstance(value, float | np.floating) and value == value and float(value).is_integer():
        return str(int(value))  # whole numbers turn into floats where a value is missing
    return str(value)


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    if _is_time(column):
        instants = pd.DatetimeIndex(pd.to_datetime(column, utc=True))
        return np.asarray((instants - pd.Timestamp(0, tz="UTC")) / _DAY, dtype=np.float64)
    if pd.api.types.is_complex_dtype(column.dtype):
        raise ValueError("Complex data not supported")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    values = column.astype(object)
    for value in values.dropna():
        if isinstance(value, str):
            todo = "Give numbers, or fit on rows in which it holds texts."
            raise InvalidData(f"column {column.name!r}", f"the text {value!r}, and no text at the fit", todo)
        if not isinstance(value, _NUMBERS):
            raise TypeError(f"argument must be a string or a number, found {type(value).__name__}")
    return np.asarray(values.where(column.notna(), np.nan), dtype=np.float64)

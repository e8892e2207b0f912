"""Which input each prepared column comes from, and for numbers by which arithmetic, read off fitted steps.

Steps are known here that make each column of one column. A number is followed step by step; of a text, or a number
that stands for a category, only where it goes: :mod:`stackwright_sklearn.portable` asks the steps what each becomes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils.validation import check_array

from stackwright_interfaces.errors import UsageError

_INVERSE: Final[Mapping[Any, tuple[tuple[Any, ...], ...]]] = {None: (), np.exp: (("exp",),), np.expm1: (("expm1",),)}
"""Function that a target was transformed back by → steps that do it."""

TODO: Final = "Serve it with stackwright, or train it with the trainer lightgbm."

Step = tuple[Any, ...]


class Number(NamedTuple):
    """A column of numbers.

    Args:
        place: of the input.
        steps: what is done to it.
    """

    place: int
    steps: tuple[Step, ...] = ()


class Keyed(NamedTuple):
    """A column that follows from which known value an input has.

    Args:
        place: of the input.
    """

    place: int


Column = Number | Keyed
Columns = list[Column]


class Walk:
    """Follows inputs through the steps before an estimator.

    Args:
        inputs: their names.
        keys: place → known values of inputs that are texts or codes; more are found on the way.

    Attributes:
        columns: what the steps so far make.
        keys: place → every value that a step tells apart.
    """

    def __init__(self, inputs: Sequence[str], keys: Mapping[int, Sequence[Any]]) -> None:
        self._inputs = inputs
        self.keys: dict[int, dict[Any, None]] = {place: dict.fromkeys(known) for place, known in keys.items()}
        self._texts = {place for place, known in keys.items() if all(isinstance(value, str) for value in known)}
        self.columns: Columns = [Keyed(place) if place in keys else Number(place) for place in range(len(inputs))]

        self._follow: Mapping[type, Callable[[Any, Columns], Columns]] = {
            Pipeline: self._pipeline,
            FeatureUnion: self._union,
            ColumnTransformer: self._by_column,
            SimpleImputer: self._imputer,
            StandardScaler: self._standard,
            RobustScaler: self._robust,
            MinMaxScaler: self._between,
            MaxAbsScaler: self._greatest,
            FunctionTransformer: self._function,
            OneHotEncoder: self._one_hot,
            OrdinalEncoder: self._encoded,
            TargetEncoder: self._target,
            SelectorMixin: self._selected,
        }

    def take(self, step: Any) -> None:
        """Take a further step.

        Raises:
            UsageError: it is not known here, or does what cannot be written down.
        """
        self.columns = self._after(step, self.columns)

    def _after(self, step: Any, columns: Columns) -> Columns:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            return columns
        if isinstance(step, str):
            return []
        for kind, follow in self._follow.items():
            if isinstance(step, kind):
                return follow(step, columns)
        if isinstance(getattr(step, "categories_", None), dict):  # the encoder of stackwright-models
            return self._tabular(step, columns)
        raise self._refused(step, columns)

    def _pipeline(self, step: Any, columns: Columns) -> Columns:
        for _, inner in step.steps:
            columns = self._after(inner, columns)
        return columns

    def _union(self, step: Any, columns: Columns) -> Columns:
        if step.transformer_weights:
            raise self._refused(step, columns)
        return [column for _, inner in step.transformer_list for column in self._after(inner, columns)]

    def _by_column(self, step: Any, columns: Columns) -> Columns:
        if step.transformer_weights:
            raise self._refused(step, columns)
        names = list(getattr(step, "feature_names_in_", ()))
        made: Columns = []
        for _, inner, chosen in step.transformers_:
            places = _places(chosen, names, len(columns))
            made += self._after(inner, [columns[place] for place in places]) if places else []
        return made

    def _imputer(self, step: Any, columns: Columns) -> Columns:
        fillers, found = step.statistics_, list[Column]()
        of_nan = isinstance(step.missing_values, float) and math.isnan(step.missing_values)
        for column, filler in zip(columns, fillers, strict=True):
            empty = isinstance(filler, float | np.floating) and math.isnan(filler)
            if isinstance(column, Keyed):
                self._know(column.place, [step.missing_values])
            elif not of_nan:
                raise self._refused(step, [column])
            if not empty or step.keep_empty_features or step.strategy == "constant":
                found.append(column if isinstance(column, Keyed) else _more(column, ("fill", float(filler))))
        if step.add_indicator:
            found += [_indicator(columns[place]) for place in step.indicator_.features_]
        return found

    def _standard(self, step: Any, columns: Columns) -> Columns:
        return _scaled(columns, subtract=step.mean_ if step.with_mean else None, divide=step.scale_)

    def _robust(self, step: Any, columns: Columns) -> Columns:
        return _scaled(
            columns,
            subtract=step.center_ if step.with_centering else None,
            divide=step.scale_ if step.with_scaling else None,
        )

    def _between(self, step: Any, columns: Columns) -> Columns:
        scaled = _scaled(columns, multiply=step.scale_, add=step.min_)
        return _clipped(scaled, *step.feature_range) if step.clip else scaled

    def _greatest(self, step: Any, columns: Columns) -> Columns:
        scaled = _scaled(columns, divide=step.scale_)
        return _clipped(scaled, -1, 1) if getattr(step, "clip", False) else scaled

    def _function(self, step: Any, columns: Columns) -> Columns:
        check = isinstance(step.func, partial) and step.func.func is check_array
        if step.func is not None and not check:
            raise self._refused(step, columns)
        return columns

    def _one_hot(self, step: Any, columns: Columns) -> Columns:
        rare = getattr(step, "infrequent_categories_", None) or [None] * len(columns)
        dropped = [None] * len(columns) if step.drop_idx_ is None else step.drop_idx_
        found: Columns = []
        for place, column in enumerate(self._encoded(step, columns)):
            pooled = 0 if rare[place] is None else len(rare[place]) - 1
            found += [column] * (len(step.categories_[place]) - pooled - (dropped[place] is not None))
        return found

    def _encoded(self, step: Any, columns: Columns) -> Columns:
        for column, known in zip(columns, step.categories_, strict=True):
            if isinstance(column, Number) and any(name != "fill" for name, *_ in column.steps):
                raise self._refused(step, [column])
            self._know(column.place, known.tolist())
        return [Keyed(column.place) for column in columns]

    def _target(self, step: Any, columns: Columns) -> Columns:
        if step.target_type_ == "multiclass":
            raise self._refused(step, columns)
        return self._encoded(step, columns)

    def _selected(self, step: Any, columns: Columns) -> Columns:
        return [columns[place] for place in step.get_support(indices=True)]

    def _tabular(self, step: Any, columns: Columns) -> Columns:
        for place, known in step.categories_.items():
            if isinstance(columns[place], Number):
                raise self._refused(step, [columns[place]])
            self._know(columns[place].place, known)
        return columns

    def _know(self, place: int, values: Sequence[Any]) -> None:
        """Note values that a step tells from others."""
        kind: Any = str if place in self._texts else int | float
        kept = [value for value in values if isinstance(value, kind) and value == value]
        self.keys.setdefault(place, {}).update(dict.fromkeys(kept))

    def _refused(self, step: Any, columns: Columns) -> UsageError:
        named = dict.fromkeys(self._inputs[column.place] for column in columns)
        told = ", ".join([*named][:3]) + (", ..." if len(named) > 3 else "")
        found = f"what {type(step).__name__} does to {told} cannot be written down"
        return UsageError("export", found, TODO)


def of_target(transformer: Any) -> list[Step]:
    """Return what turns the answer of a model, whose target was transformed, back into the unit of the target.

    Raises:
        UsageError: the way back is not known here.
    """
    if isinstance(transformer, FunctionTransformer) and transformer.inverse_func in _INVERSE:
        return list(_INVERSE[transformer.inverse_func])
    if isinstance(transformer, StandardScaler):
        mean = transformer.mean_ if transformer.with_mean else None
        (column,) = _scaled([Number(0)], multiply=transformer.scale_, add=mean)
        return list(column.steps) if isinstance(column, Number) else []
    name = type(transformer).__name__
    raise UsageError("export", f"the way back from a target transformed by {name} cannot be written down", TODO)


def _places(chosen: Any, names: Sequence[str], width: int) -> list[int]:
    """Return the places of columns that were chosen by name, place, slice or mask."""
    if isinstance(chosen, str):
        return [names.index(chosen)]
    if isinstance(chosen, slice) and isinstance(chosen.start or chosen.stop, str):
        first = names.index(chosen.start) if chosen.start is not None else 0
        return list(range(first, names.index(chosen.stop) + 1 if chosen.stop is not None else width))
    if not isinstance(chosen, slice | int) and any(isinstance(item, str) for item in chosen):
        return [names.index(item) for item in chosen]
    return [int(place) for place in np.atleast_1d(np.arange(width)[chosen])] if _any(chosen) else []


def _any(chosen: Any) -> bool:
    return isinstance(chosen, slice | int) or len(chosen) > 0


def _more(column: Number, *steps: Step) -> Number:
    return Number(column.place, (*column.steps, *steps))


def _indicator(column: Column) -> Column:
    return column if isinstance(column, Keyed) else _more(column, ("missing",))


def _scaled(columns: Columns, **operands: Any) -> Columns:
    """Add steps of arithmetic, in their order, to the columns that are numbers."""
    found: Columns = []
    for place, column in enumerate(columns):
        steps = [(name, float(values[place])) for name, values in operands.items() if values is not None]
        found.append(column if isinstance(column, Keyed) else _more(column, *steps))
    return found


def _clipped(columns: Columns, low: float, high: float) -> Columns:
    step = ("clip", float(low), float(high))
    return [column if isinstance(column, Keyed) else _more(column, step) for column in columns]

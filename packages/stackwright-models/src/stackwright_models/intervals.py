"""Prediction intervals round any regressor."""

# ruff: noqa: N803
# mypy: disallow_subclassing_any=False
# scikit-learn comes without types, and names rows X

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any, ClassVar, Self

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_consistent_length

from stackwright_interfaces.errors import DataError
from stackwright_models.encoding import TabularEncoder, categorical_places
from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.inputs import (
    allows_missing,
    last_step,
    metadata_at,
    rows_at,
    take_numbers,
    take_rows,
    to_instants,
)
from stackwright_models.pipelines import tabular
from stackwright_numerics import conformal
from stackwright_numerics.metrics import weighted_quantile

Floats = NDArray[np.float64]


class IntervalRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Cross-fitted, normalised conformal intervals round the predictions of a regressor.

    ``fit`` predicts each row by a clone that did not see it, learns from these residuals how wide intervals must be and
    which rows are hard, and then fits the regressor on all rows. The table of widths is described in
    :mod:`stackwright_numerics.conformal`.

    Args:
        estimator: the regressor; ``None`` takes :func:`~stackwright_models.tabular`.
        level: nominal coverage, between 0 and 1.
        cv: how residuals are made: a number of shuffled folds, or a splitter. With ``TemporalSplit`` they are those of
            predictions into the future; rows that no fold tests on are passed over.
        relative: widths in proportion to the prediction (log ratios), for targets that are positive.
        normalise: learn from the columns of X which rows are hard; else widths follow the prediction alone.
        half_life: a residual's weight halves with every such span of age; the fit then needs ``time``.
        recentre: move predictions by the (weighted) median residual, so that they follow the newest level.
        random_state: seed of the shuffle.

    Attributes:
        estimator_: the regressor, fitted on all rows.
        table_: the table of widths, an ``IntervalTable``.
        shift_: what ``recentre`` adds to a prediction; in relative tables to its logarithm.
        encoder_: the encoder of the columns, where ``normalise``.
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"time": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        level: float = 0.9,
        cv: Any = 5,
        relative: bool = False,
        normalise: bool = True,
        half_life: timedelta | None = None,
        recentre: bool = False,
        random_state: int | None = 7,
    ) -> None:
        self.estimator = estimator
        self.level = level
        self.cv = cv
        self.relative = relative
        self.normalise = normalise
        self.half_life = half_life
        self.recentre = recentre
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, time: Any = None, **params: Any) -> Self:
        """Fit the regressor and the widths of its intervals.

        Args:
            X: n × d rows, a data frame or array.
            y: n numbers.
            time: when each row was asked: for ``half_life``, and for a splitter that takes it. A splitter that names
                its time column does not need it.
            params: further metadata: ``groups`` for the splitter, others for the regressor; ``sample_weight`` counts
                for the widths too. With scikit-learn's metadata routing, each gets what it requests.

        Raises:
            InvalidData: too few rows for the level, or values that are not positive where ``relative``.
            InvalidParameter: ``half_life`` without ``time``, or no positive span.
            ValueError: what the regressor refuses.
        """
        rows, truth = take_rows(self, X, reset=True), take_numbers(y, "y")
        check_consistent_length(rows, truth)
        weight = self._recency(time, truth.size)
        if params.get("sample_weight") is not None:
            weight = weight * take_numbers(params["sample_weight"], "sample_weight")
        routed = self._routed(time, params)
        answer = self._out_of_fold(rows, truth, routed)
        self.encoder_ = TabularEncoder().fit(rows) if self.normalise else None
        try:
            self.shift_ = self._median_residual(answer, truth, weight) if self.recentre else 0.0
            self.table_ = conformal.fit(
                self._shifted(answer),
                truth,
                level=self.level,
                relative=self.relative,
                weight=weight,
                matrix=self._matrix(rows),
                categorical=categorical_places(self.encoder_) if self.encoder_ else (),
            )
        except DataError as error:
            raise InvalidData(f"{type(self).__name__}: {error.where}", error.found, error.todo) from error
        self.estimator_ = self._clone().fit(rows, truth, **routed.estimator.fit)
        return self

    def predict(self, X: Any) -> Floats:
        """Return n predictions.

        Raises:
            ValueError: other columns than at the fit.
        """
        return self._answer(take_rows(self, X, reset=False))

    def predict_interval(self, X: Any) -> Floats:
        """Return the lower and upper ends of n intervals, n × 2.

        Raises:
            ValueError: other columns than at the fit.
        """
        rows = take_rows(self, X, reset=False)
        return np.column_stack(self.table_.apply(self._answer(rows), matrix=self._matrix(rows)))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return who takes which metadata: this estimator, the regressor's fit, the splitter's split."""
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self._clone(), method_mapping=MethodMapping().add(caller="fit", callee="fit"))
            .add(splitter=self._splitter(), method_mapping=MethodMapping().add(caller="fit", callee="split"))
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._clone())
        tags.input_tags.allow_nan = allows_missing(self._clone())
        tags.target_tags.positive_only = inner.target_tags.positive_only or self.relative
        tags.regressor_tags.poor_score = bool(inner.regressor_tags and inner.regressor_tags.poor_score)
        return tags

    def _clone(self) -> Any:
        return tabular() if self.estimator is None else clone(self.estimator)

    def _splitter(self) -> Any:
        if isinstance(self.cv, int):
            return KFold(self.cv, shuffle=True, random_state=self.random_state)
        return check_cv(self.cv)

    def _routed(self, time: Any, params: dict[str, Any]) -> Bunch:
        """Say which metadata goes to the regressor and which to the splitter."""
        if sklearn.get_config()["enable_metadata_routing"]:
            routed: Bunch = process_routing(self, "fit", time=time, **params)
            return routed
        split = {"groups": params.pop("groups", None)}
        if "time" in inspect.signature(self._splitter().split).parameters:
            split["time"] = time
        weight = params.pop("sample_weight", None)
        if weight is not None:
            params[f"{last_step(self._clone())[0]}sample_weight"] = weight
        return Bunch(estimator=Bunch(fit=params), splitter=Bunch(split=split))

    def _out_of_fold(self, rows: Any, truth: Floats, routed: Bunch) -> Floats:
        """Return predictions by clones that did not see the row; NaN where no fold tests on it."""
        total, count = np.zeros(truth.size), np.zeros(truth.size)
        for train, test in self._splitter().split(rows, truth, **routed.splitter.split):
            metadata = metadata_at(routed.estimator.fit, train, truth.size)
            fitted = self._clone().fit(rows_at(rows, train), truth[train], **metadata)
            total[test] += _flat(fitted.predict(rows_at(rows, test)))
            count[test] += 1
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _recency(self, time: Any, n: int) -> Floats:
        if self.half_life is None:
            return np.ones(n)
        if time is None or self.half_life <= timedelta(0):
            found = "half_life without time" if time is None else f"half_life is {self.half_life}"
            raise InvalidParameter(type(self).__name__, found, "Pass time to fit, and a positive span.")
        instants = to_instants(time, type(self).__name__)
        check_consistent_length(np.empty(n), instants)
        return np.asarray(np.exp2((instants - instants.max()) / np.timedelta64(self.half_life)))

    def _median_residual(self, answer: Floats, truth: Floats, weight: Floats) -> float:
        known = np.isfinite(answer)
        if self.relative and ((answer[known] <= 0).any() or (truth <= 0).any()):
            todo = "Use absolute residuals, or leave these rows out."
            raise DataError("intervals", "predictions or targets that are not positive", todo)
        residual = np.log(truth[known] / answer[known]) if self.relative else truth[known] - answer[known]
        return weighted_quantile(residual, 0.5, weight[known] ** 2)

    def _shifted(self, answer: Floats) -> Floats:
        return np.asarray(answer * np.exp(self.shift_) if self.relative else answer + self.shift_)

    def _answer(self, rows: Any) -> Floats:
        return self._shifted(_flat(self.estimator_.predict(rows)))

    def _matrix(self, rows: Any) -> Floats | None:
        return None if self.encoder_ is None else self.encoder_.to_matrix(rows)


def _flat(answer: Any) -> Floats:
    return np.asarray(answer, dtype=np.float64).reshape(-1)

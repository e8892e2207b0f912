"""How long until something happens, learnt from rows where it did and rows where it has not yet."""

# ruff: noqa: N803
# mypy: disallow_subclassing_any=False
# scikit-learn comes without types, and names rows X

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.utils import Bunch, gen_batches
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_consistent_length

from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.inputs import allows_missing, metadata_at, take_numbers, take_rows, to_instants
from stackwright_models.metrics import concordance_index
from stackwright_models.pipelines import tabular
from stackwright_numerics import hazard as periods_of

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

ELAPSED = "elapsed"
_CELLS = 200_000
_SLOW = {"n_estimators": 150, "learning_rate": 0.03, "num_leaves": 8, "min_child_samples": 40}


class Outcomes(NamedTuple):
    """What is known of n rows.

    Args:
        event: whether the event was seen; else the row is censored at its duration.
        duration: time to the event or to the censoring, not negative.
    """

    event: NDArray[np.bool_]
    duration: Floats


class TimeToEvent(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """A hazard in discrete time, by any classifier with probabilities (Singer and Willett 1993).

    Time is cut into periods. Every row counts once for each period that it lived into, with its columns and the
    period's middle as one more, ``elapsed``; the classifier learns whether the event came in that period. Rows whose
    event is still to come so count at once. The chance to live through a period is 1 less its hazard; inside of a
    period survival falls by an exponential.

    Args:
        classifier: anything with ``predict_proba``; ``None`` takes a small :func:`~stackwright_models.tabular`.
        periods: how many, at equal shares of the events; or the ends of the periods, ascending.
        window: only what happened in this span before the newest known moment counts, in units of the durations; older
            rows still count for their later periods. The fit then needs ``start``. ``None`` counts all.
        unit: of durations where ``start`` holds times, as pandas writes it: ``"D"``, ``"h"``, ``"min"``, ``"s"``.
        predicts: ``"mean"``, the mean up to the last period's end, or ``"median"``, which is infinite where more than
            half live longer than that.

    Attributes:
        classifier_: the fitted classifier.
        edges_: the ends of the periods.
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"start": True}

    def __init__(
        self,
        classifier: Any = None,
        *,
        periods: int | ArrayLike = 20,
        window: float | None = None,
        unit: str = "D",
        predicts: Literal["mean", "median"] = "mean",
    ) -> None:
        self.classifier = classifier
        self.periods = periods
        self.window = window
        self.unit = unit
        self.predicts = predicts

    def fit(self, X: Any, y: Any, *, start: Any = None, **params: Any) -> Self:
        """Fit the hazard.

        Args:
            X: n × d rows, a data frame or array.
            y: outcomes, as :func:`read_outcomes` takes them.
            start: when each row's time began: times, or numbers in units of the durations.
            params: metadata of the rows for the classifier's fit, ``sample_weight`` say; a row's value counts in all of
                its periods.

        Raises:
            InvalidData: no event was seen (in the window), or a duration is negative.
            InvalidParameter: ``window`` without ``start``, or periods that make no sense.
            ValueError: what the classifier refuses.
        """
        rows = take_rows(self, X, reset=True)
        event, duration = outcomes = read_outcomes(y)
        check_consistent_length(rows, duration, start)
        if len(duration) < 2:
            raise InvalidData(type(self).__name__, "n_samples=1", "Give two rows at least.")
        if not event.any():
            raise InvalidData(type(self).__name__, "no event was seen in any row", "Give rows that had theirs.")
        self.edges_ = self._edges(duration[event])
        row, period, label = self._person_periods(outcomes, self._start(start, len(duration)))
        if not label.any():
            raise InvalidData(type(self).__name__, f"no event in a window of {self.window}", "Take a longer one.")
        metadata = metadata_at(self._routed(params), row, len(duration))
        inputs = self._inputs(rows, row, period)
        if label.all():
            self.classifier_ = DummyClassifier(strategy="prior").fit(inputs, label)
        else:
            self.classifier_ = self._clone().fit(inputs, label.astype(np.int64), **metadata)
        return self

    def predict(self, X: Any) -> Floats:
        """Return n expected durations, as ``predicts`` says."""
        return self._expected(self.predict_survival(X))

    def predict_outcomes(self, X: Any, horizons: ArrayLike) -> Floats:
        """Return n × (1 + m): the expected duration, and the chance that the event comes within each of m horizons.

        The same numbers as :meth:`predict` and one less :meth:`predict_survival` give, for the price of one of them.
        """
        survival = self.predict_survival(X)
        return np.column_stack([self._expected(survival), 1 - periods_of.at(survival, self.edges_, horizons)])

    def predict_survival(self, X: Any, times: ArrayLike | None = None) -> Floats:
        """Return the chance that the event is still to come at each time.

        Args:
            X: n rows.
            times: m times; ``None`` takes the ends of the periods. After the last of these, the chance stays.

        Returns:
            n × m, not rising from left to right for ascending times.
        """
        rows = take_rows(self, X, reset=False)
        n, periods = len(rows), self.edges_.size
        hazard = np.empty((n, periods))
        for batch in gen_batches(n, max(1, _CELLS // periods)):
            row = np.repeat(np.arange(batch.start, batch.stop), periods)
            period = np.tile(np.arange(periods), batch.stop - batch.start)
            hazard[batch] = self._hazard(self._inputs(rows, row, period)).reshape(-1, periods)
        survival = periods_of.survival(hazard)
        return survival if times is None else periods_of.at(survival, self.edges_, times)

    def score(self, X: Any, y: Any) -> float:
        """Return the C-index of the mean durations (:func:`~stackwright_models.metrics.concordance_index`)."""
        event, duration = read_outcomes(y)
        return concordance_index(event, duration, periods_of.mean(self.predict_survival(X), self.edges_))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return who takes which metadata: this estimator, and the classifier's fit."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add_self_request(self).add(classifier=self._clone(), method_mapping=mapping)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classifier_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = allows_missing(self._clone())
        tags.target_tags.positive_only = True
        return tags

    def _expected(self, survival: Floats) -> Floats:
        if self.predicts == "mean":
            return periods_of.mean(survival, self.edges_)
        if self.predicts == "median":
            return periods_of.median(survival, self.edges_)
        raise InvalidParameter(type(self).__name__, f"predicts is {self.predicts!r}", "Give 'mean' or 'median'.")

    def _clone(self) -> Any:
        return tabular("classification", **_SLOW) if self.classifier is None else clone(self.classifier)

    def _routed(self, params: dict[str, Any]) -> dict[str, Any]:
        if not sklearn.get_config()["enable_metadata_routing"]:
            return params
        routed: Bunch = process_routing(self, "fit", **params)
        return dict(routed.classifier.fit)

    def _edges(self, durations: Floats) -> Floats:
        """Return the ends of the periods, from the durations of events."""
        if isinstance(self.periods, int | np.integer):
            if self.periods < 1:
                raise InvalidParameter(type(self).__name__, f"periods is {self.periods}", "Give 1 or more.")
            return periods_of.period_ends(durations, int(self.periods))
        edges = np.asarray(self.periods, dtype=np.float64)
        if edges.ndim != 1 or not edges.size or edges[0] <= 0 or (np.diff(edges) <= 0).any():
            raise InvalidParameter(type(self).__name__, "periods do not ascend from above 0", "Give their ends.")
        return edges

    def _start(self, start: Any, n: int) -> Floats:
        """Return when each row's time began, in units of the durations."""
        if start is None:
            if self.window is not None:
                raise InvalidParameter(type(self).__name__, "window without start", "Pass start to fit.")
            return np.zeros(n)
        values = np.asarray(start)
        if pd.api.types.is_numeric_dtype(values.dtype):
            return values.astype(np.float64)
        instants = to_instants(start, type(self).__name__)
        return np.asarray((instants - instants.min()) / pd.Timedelta(1, self.unit).to_timedelta64(), dtype=np.float64)

    def _person_periods(self, outcomes: Outcomes, start: Floats) -> tuple[Places, Places, NDArray[np.bool_]]:
        """Return the row, the period and whether the event came in it, of every period that counts.

        Of those that :func:`~stackwright_numerics.hazard.person_periods` gives, the ones whose moment is in the window.
        """
        row, period, label = periods_of.person_periods(outcomes.event, outcomes.duration, self.edges_)
        if self.window is not None:
            moment = start[row] + np.where(label, outcomes.duration[row], periods_of.middles(self.edges_)[period])
            inside = moment > (start + outcomes.duration).max() - self.window
            row, period, label = row[inside], period[inside], label[inside]
        return row, period, label

    def _inputs(self, rows: Any, row: Places, period: Places) -> Any:
        elapsed = periods_of.middles(self.edges_)[period]
        if isinstance(rows, pd.DataFrame):
            frame = rows.iloc[row].reset_index(drop=True)
            if not hasattr(self, "feature_names_in_"):
                return pd.concat([frame, pd.Series(elapsed)], axis=1, ignore_index=True)
            if ELAPSED in frame:
                raise InvalidData(type(self).__name__, f"X has a column {ELAPSED!r}", "Rename it: it is ours.")
            return frame.assign(**{ELAPSED: elapsed})
        kind = np.float64 if rows.dtype.kind in "biuf" else object
        return np.column_stack([rows[row].astype(kind), elapsed.astype(kind)])

    def _hazard(self, inputs: Any) -> Floats:
        place = int(np.flatnonzero(np.asarray(self.classifier_.classes_) == 1)[0])
        return np.asarray(self.classifier_.predict_proba(inputs)[:, place], dtype=np.float64)


def read_outcomes(y: Any) -> Outcomes:
    """Read outcomes.

    Args:
        y: a structured array or a data frame with one column of booleans, whether the event was seen, and one of
            numbers, the durations; or plain durations, all of which ended in the event.

    Raises:
        ValueError: no such form, or a duration that is negative, NaN or infinite.
    """
    columns = _columns(y)
    if columns is None:
        duration = take_numbers(y, "y")
        event = np.ones(duration.size, dtype=bool)
    else:
        events = [values for values in columns.values() if values.dtype == bool]
        durations = [values for values in columns.values() if values.dtype.kind in "iuf"]
        if len(columns) != 2 or len(events) != 1 or len(durations) != 1:
            kinds = ", ".join(f"{name} ({values.dtype})" for name, values in columns.items())
            todo = "Give two: whether the event was seen (bool), and the duration (a number)."
            raise InvalidData("outcomes", f"columns are {kinds}", todo)
        event, duration = events[0], take_numbers(durations[0], "y")
    if (duration < 0).any():
        raise InvalidData("outcomes", "negative durations", "Leave these rows out.")
    return Outcomes(event, duration)


def _columns(y: Any) -> dict[str, NDArray[Any]] | None:
    if isinstance(y, pd.DataFrame):
        return {str(name): y[name].to_numpy() for name in y}
    names = getattr(getattr(y, "dtype", None), "names", None)
    return {name: np.asarray(y[name]) for name in names} if names else None

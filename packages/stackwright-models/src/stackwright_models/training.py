"""Training sets: labels with the features as they were when each was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stackwright_models import charts
from stackwright_models.frames import to_frame
from stackwright_models.inputs import to_instants

_DAY: Final = np.timedelta64(1, "D")


class TrainingSet(NamedTuple):
    """Rows in order of the time asked. The index of all its tables is the row's number.

    Args:
        X: the service's outputs: numbers as float64 with NaN, texts as objects with ``None``.
        y: the truths; with ``censored`` a frame of ``event`` and ``duration`` in days; ``None`` where labels have none.
        keys: what the service was asked with.
        time: when each row was asked for, UTC.
        observed: when its truth became known, UTC.
        features: column of X → ``view@version:feature``, ``request:field`` or ``transform:name``.
        service: ``name@version`` of the feature service.
        target: name of the target.
        group: the list that each row was shown in; ``None`` where the target names none.
        position: the place that each was shown at, NaN where it is not known; ``None`` where the target names none.
    """

    X: pd.DataFrame
    y: Any
    keys: pd.DataFrame
    time: pd.Series
    observed: pd.Series
    features: Mapping[str, str]
    service: str
    target: str
    group: pd.Series | None = None
    position: pd.Series | None = None

    def rows(self, places: Any) -> TrainingSet:
        """Return these rows: a mask, or positions. The index stays."""
        chosen = np.flatnonzero(places) if np.asarray(places).dtype == np.bool_ else np.asarray(places)
        return self._replace(
            X=self.X.iloc[chosen],
            y=None if self.y is None else self.y.iloc[chosen],
            keys=self.keys.iloc[chosen],
            time=self.time.iloc[chosen],
            observed=self.observed.iloc[chosen],
            group=None if self.group is None else self.group.iloc[chosen],
            position=None if self.position is None else self.position.iloc[chosen],
        )

    def split(self, cut: Any) -> tuple[TrainingSet, TrainingSet]:
        """Return what was asked before an instant, as it was known then, and what was asked from it on.

        A truth that was not known yet is left out; of a list, all of it. Where censored rows were kept, a row of which
        the end was not known is one whose truth was still to come: to leave it out would make every wait look short.
        """
        at = to_instants([cut], "split")[0]
        asked = to_instants(self.time, "split")
        older, newer = asked < at, self.rows(asked >= at)
        if isinstance(self.y, pd.DataFrame):
            return _still_waiting(self.rows(older), at), newer
        return self.rows(older & (self._known() <= at)), newer

    def _known(self) -> NDArray[np.datetime64]:
        """Return when each row's truth was known; of a list, when its last was."""
        known = to_instants(self.observed, "split")
        if self.group is None:
            return known
        return np.asarray(pd.Series(known).groupby(self.group.to_numpy()).transform("max"), dtype="datetime64[us]")

    def _repr_html_(self) -> str:
        first, last = (self.time.min(), self.time.max()) if len(self.time) else ("-", "-")
        title = f"{len(self.X):,} rows of {self.service} for {self.target or 'no target'}, {first} to {last}"
        rows = [
            (name, source, str(self.X[name].dtype), f"{self.X[name].isna().mean():.1%}")
            for name, source in self.features.items()
        ]
        return f"<div><p>{escape(title)}</p>{charts.table(('column', 'from', 'type', 'missing'), rows)}</div>"


def _still_waiting(rows: TrainingSet, at: np.datetime64) -> TrainingSet:
    """Return censored rows as they were known at an instant."""
    later = to_instants(rows.observed, "split") > at
    watched = (at - to_instants(rows.time, "split")) / _DAY
    event, duration = rows.y["event"].to_numpy(), rows.y["duration"].to_numpy()
    waited = np.where(event, watched, np.minimum(duration, watched))
    y = pd.DataFrame({"event": event & ~later, "duration": np.where(later, waited, duration)}, index=rows.y.index)
    return rows._replace(y=y, observed=rows.observed.where(~later, pd.Timestamp(at, tz="UTC")))


def training_set(
    stack: Any,
    name: str,
    labels: Any = None,
    *,
    target: str | None = None,
    time: str = "",
    censored: bool = False,
    known_at: datetime | None = None,
    as_of: datetime | None = None,
    known_by: bool = False,
) -> TrainingSet:
    """Join labels with features, each as of the instant at which it asks.

    Args:
        stack: of ``stackwright.load(folder)``.
        name: a model of the blueprint, whose service and target are taken; or ``name@version`` of a service.
        labels: a frame, or any Arrow table, of keys, request fields and times; ``None`` takes the target's label log.
        target: of the label log; or the column of ``labels`` that holds the truth.
        time: the column of ``labels`` that says when each row asks.
        censored: keep rows whose truth has not come to be, and say for each how long it took or has taken.
        known_at: of the label log, pass over what was observed later.
        as_of: pass over what was ingested after this instant.
        known_by: pass over rows created after the instant asked.

    Raises:
        UnknownName: the service or target is not applied.
        UsageError: neither labels nor a target are given.
        TrainingError: no label is known.
        MissingColumn: the labels lack a key, a request field or the time.
    """
    table = labels.reset_index(drop=True) if isinstance(labels, pd.DataFrame) else labels
    found = stack.rows(
        name,
        table,
        target=target,
        time=time,
        censored=censored,
        known_at=known_at,
        as_of=as_of,
        known_by=known_by,
    )
    asked, observed = (pd.Series(pd.DatetimeIndex(part, tz="UTC")) for part in (found.asked, found.observed))
    y: Any = None if found.value is None else pd.Series(found.value, name=found.target)
    if censored:
        end = np.where(found.censored, found.observed, found.happened)
        y = pd.DataFrame({"event": ~found.censored, "duration": (end - found.asked) / _DAY})
    return TrainingSet(
        X=to_frame(found.columns),
        y=y,
        keys=pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in found.keys.items()}),
        time=asked.rename("time"),
        observed=observed.rename("observed"),
        features=found.features,
        service=found.service,
        target=found.target,
        group=None if found.group is None else pd.Series(found.group, name="group"),
        position=None if found.position is None else pd.Series(found.position, name="position"),
    )

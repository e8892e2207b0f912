"""Predictions and the truths that came later: which label answers which prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT, microseconds
from stackwright_features.times import to_microseconds
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.errors import MissingColumn
from stackwright_journal.joined import (
    CENSORED,
    LAPSED,
    MATURED,
    PENDING,
    STATES,
    SUPERSEDED,
    Followed,
    Joined,
    Maturity,
    states,
)
from stackwright_journal.label_columns import LabelNames, Mask
from stackwright_journal.reading import KEY

__all__ = ["Followed", "Joined", "Maturity", "join", "states"]

Ints = NDArray[np.int64]

_DAY_US: Final = 86_400_000_000
_UNNAMED: Final = -1
_UNKNOWN: Final = -2
_NARROW: Final = 1 << 20
_GROUP: Final = ("model", "version", "arm")


def join(
    predictions: Any,
    labels: Any,
    target: Target,
    *,
    at: datetime,
    time: str = "predicted_at",
    keys: Mapping[str, str] | None = None,
) -> Joined:
    """Find the label of each prediction.

    A label answers, for each model, version and arm, one prediction: the one it names, if it names one there; else the
    latest of its entity strictly before it happened (before it was observed, for a censored label) and within the
    target's horizon. Of several labels of one prediction the one that names it counts, else the one that happened
    first.

    Args:
        predictions: table of :class:`~stackwright_journal.reading.Predictions` with the entity's keys.
        labels: table of :meth:`~stackwright_journal.labels.LabelLog.read`.
        target: the target of the labels.
        at: the instant of the report.
        time: column of the predictions that is their time, ``"predicted_at"`` or ``"asked_at"``.
        keys: key of the target's entity → name of the key in the predictions, where they differ.

    Raises:
        MissingColumn: a key is missing in one of the tables.
    """
    names = LabelNames.of(target)
    labels = labels.filter(pc.less_equal(labels.column(names.observed), pa.scalar(at, INSTANT)))
    # Of most predictions nothing was told yet: what they have in common is said of them without looking for labels.
    near = _near(predictions, labels, names, keys or {})
    match = _Match(predictions.filter(pa.array(near)), labels, names, time, keys or {}, target)
    found = match.labels()
    made = microseconds(predictions.column(time))
    label, status = np.full(len(near), -1, np.int64), _unlabelled(made, target.horizon, at)
    label[near], status[near] = found, match.status(found, at)
    table = _with_labels(predictions, labels, names, label, status, made)
    if target.group is not None:
        group = labels.column(target.group).combine_chunks().take(pa.array(label, mask=label < 0))
        table = table.append_column("group", group)
    return Joined(
        table=table,
        at=at,
        time=time,
        labels=len(labels),
        unmatched=match.unmatched,
        unknown=int((match.named == _UNKNOWN).sum()),
        early=int(match.early.sum()),
    )


def _near(predictions: Any, labels: Any, names: LabelNames, keys: Mapping[str, str]) -> Mask:
    """Return which predictions a label may be about: it names them, or every part of their entity's key."""
    near = np.ones(len(predictions), np.bool_)
    for name in names.keys:
        column = KEY + keys.get(name, name)
        if column not in predictions.column_names:
            raise MissingColumn.of("predictions", column, predictions.column_names)
        if name not in labels.column_names:
            raise MissingColumn.of("labels", name, labels.column_names)
        held = predictions.column(column)
        near &= _among(held, pc.unique(labels.column(name).cast(held.type)))
    ids = _ids(labels, names)
    if ids is not None:
        near |= pc.is_in(predictions.column("prediction_id"), value_set=ids.drop_null()).to_numpy()
        # A label that names a prediction is about its entity, whatever others were asked of that.
        for name in names.keys:
            held = predictions.column(KEY + keys.get(name, name))
            near |= pc.is_in(held, value_set=pc.unique(held.filter(pa.array(near))).drop_null()).to_numpy()
    return near


def _among(held: Any, wanted: Any) -> Mask:
    """Return which values are among those that are wanted; integers of a narrow range are looked up in a table."""
    if pa.types.is_integer(held.type) and len(wanted) > wanted.null_count and not held.null_count:
        numbers = wanted.drop_null().cast(pa.int64()).to_numpy()
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < max(len(held), _NARROW):
            there = np.zeros(high - low + 3, np.bool_)  # the first and the last stand for all beyond
            there[numbers - low + 1] = True
            values = held.cast(pa.int64()).to_numpy()
            found: Mask = there[np.clip(values, low - 1, high + 1) - (low - 1)]
            return found
    mask: Mask = pc.is_in(held, value_set=wanted).to_numpy()
    return mask


def _unlabelled(made: Ints, horizon: timedelta | None, at: datetime) -> NDArray[np.int8]:
    """Return for each prediction the place of its state among :data:`STATES`, were there no labels."""
    found = np.full(made.size, PENDING, np.int8)
    if horizon is not None:
        found[made + horizon // timedelta(microseconds=1) < to_microseconds(at)] = LAPSED
    return found


class _Match:
    """Predictions and labels as integers: entities, groups, times; and who answers whom."""

    def __init__(
        self,
        predictions: Any,
        labels: Any,
        names: LabelNames,
        time: str,
        keys: Mapping[str, str],
        target: Target,
    ) -> None:
        self._horizon = horizon = target.horizon
        self.made = microseconds(predictions.column(time))
        self.final: Mask = ~labels.column(names.censored).to_numpy().astype(np.bool_)
        happened, observed = (microseconds(labels.column(name)) for name in (names.happened, names.observed))
        self.event: Ints = np.where(self.final, happened, observed)
        self.horizon = None if horizon is None else horizon // timedelta(microseconds=1)
        self.group: Ints = _codes([predictions.column(name) for name in _GROUP]) + 1
        self.named = _named(predictions, labels, names)
        self.early: Mask = (self.named >= 0) & (self.event <= _at(self.made, self.named))
        self.who, whose = _entities(predictions, labels, names, keys, target.group)
        whose = np.where(whose < 0, _at(self.who, self.named), whose)
        self.whose: Ints = np.where(self.early | (self.named == _UNKNOWN), -1, whose)
        self.unmatched = 0
        times = np.sort(np.concatenate([self.made, self.event]))
        self._place_made = self.who * times.size + np.searchsorted(times, self.made)
        self._place_event = self.whose * times.size + np.searchsorted(times, self.event)

    def labels(self) -> Ints:
        """Return the label of each prediction, -1 for none."""
        direct = np.flatnonzero((self.named >= 0) & ~self.early)
        pairs = [(self.named[direct], direct)]
        pairs += [self._latest(group) for group in range(int(self.group.max(initial=-1)) + 1)]
        prediction = np.concatenate([pair[0] for pair in pairs])
        label = np.concatenate([pair[1] for pair in pairs])
        rank = np.arange(label.size) >= direct.size
        left_out = (self.named != _UNKNOWN) & ~self.early
        left_out[label] = False
        self.unmatched = int(left_out.sum())
        order = np.lexsort((self.event[label], rank, prediction))
        first = np.append(True, prediction[order][1:] != prediction[order][:-1])[: order.size]
        found = np.full(self.made.size, -1, np.int64)
        found[prediction[order][first]] = label[order][first]
        return found

    def _latest(self, group: int) -> tuple[Ints, Ints]:
        """Return, for the labels that name no prediction of this group, the latest prediction before each."""
        inside = np.flatnonzero((self.group == group) & (self.who >= 0))
        asking = np.flatnonzero((self.whose >= 0) & (_at(self.group, self.named) != group))
        if not inside.size:
            return inside, inside
        inside = inside[np.argsort(self._place_made[inside], kind="stable")]
        place = np.searchsorted(self._place_made[inside], self._place_event[asking], side="left") - 1
        found = inside[np.maximum(place, 0)]
        fits = (place >= 0) & (self.who[found] == self.whose[asking])
        if self.horizon is not None:
            fits &= ~self.final[asking] | (self.event[asking] - self.made[found] <= self.horizon)
        return found[fits], asking[fits]

    def status(self, label: Ints, at: datetime) -> NDArray[np.int8]:
        """Return for each prediction the place of its state among :data:`STATES`."""
        found = _unlabelled(self.made, self._horizon, at)
        found[self._happened_after()] = SUPERSEDED
        labelled = np.flatnonzero(label >= 0)
        found[labelled] = np.where(self.final[label[labelled]], MATURED, CENSORED)
        return found

    def _happened_after(self) -> Mask:
        """Return for which predictions the truth of the entity came after them, within the horizon."""
        events = np.flatnonzero(self.final & (self.whose >= 0))
        if not events.size:
            return np.zeros(self.made.size, np.bool_)
        events = events[np.argsort(self._place_event[events], kind="stable")]
        place = np.searchsorted(self._place_event[events], self._place_made, side="right")
        after = events[np.minimum(place, events.size - 1)]
        found: Mask = (place < events.size) & (self.who >= 0) & (self.whose[after] == self.who)
        if self.horizon is not None:
            found &= self.event[after] - self.made <= self.horizon
        return found


def _at(values: Ints, places: Ints) -> Ints:
    """Return the values at these places, -1 for a place below 0."""
    found = np.full(places.size, -1, np.int64)
    inside = places >= 0
    found[inside] = values[places[inside]]
    return found


def _ids(labels: Any, names: LabelNames) -> Any:
    """Return the ids that labels name, ``None`` where none does."""
    ids = None if names.prediction_id is None else labels.column(names.prediction_id)
    return None if ids is None or ids.null_count == len(ids) else ids


def _named(predictions: Any, labels: Any, names: LabelNames) -> Ints:
    """Return the prediction that each label names: its row, ``_UNKNOWN``, or ``_UNNAMED``."""
    ids = _ids(labels, names)
    if ids is None:
        return np.full(len(labels), _UNNAMED, np.int64)
    ids = ids.combine_chunks()
    row = pc.index_in(ids, value_set=predictions.column("prediction_id").combine_chunks(), skip_nulls=True)
    known = row.fill_null(_UNKNOWN).cast(pa.int64()).to_numpy()
    return np.where(ids.is_valid().to_numpy(zero_copy_only=False), known, _UNNAMED)


def _entities(
    predictions: Any, labels: Any, names: LabelNames, keys: Mapping[str, str], group: str | None
) -> tuple[Ints, Ints]:
    """Return one number an entity for both tables; -1 where a part of the key is null.

    The list that a row was shown in is a part of it where predictions tell theirs.
    """
    pairs = []
    for name in dict.fromkeys([*names.keys, *([group] if group else [])]):
        column = KEY + keys.get(name, name)
        if column not in predictions.column_names:
            if name == group:
                continue
            raise MissingColumn.of("predictions", column, predictions.column_names)
        if name not in labels.column_names:
            raise MissingColumn.of("labels", name, labels.column_names)
        one, two = predictions.column(column), labels.column(name)
        pairs.append(pa.chunked_array([*one.chunks, *two.cast(one.type).chunks], one.type))
    codes = _codes(pairs)
    return codes[: len(predictions)], codes[len(predictions) :]


def _codes(columns: Sequence[Any]) -> Ints:
    """Return one number a distinct combination of values, 0 and on; -1 where any is null."""
    codes: Any = None
    null = np.zeros(len(columns[0]), np.bool_)
    for column in columns:
        encoded = _encoded(column)
        null |= ~np.asarray(encoded.indices.is_valid())
        part = encoded.indices.fill_null(0).cast(pa.int64()).to_numpy()
        if codes is None:
            codes = part
        else:
            both = pa.array(codes * max(len(encoded.dictionary), 1) + part).dictionary_encode()
            codes = both.indices.cast(pa.int64()).to_numpy()
    return np.where(null, -1, codes)


def _encoded(column: Any) -> Any:
    chunk = column.combine_chunks()
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.chunk(0) if chunk.num_chunks else pa.array([], chunk.type)
    return chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()


def _with_labels(
    predictions: Any, labels: Any, names: LabelNames, label: Ints, status: NDArray[np.int8], made: Ints
) -> Any:
    known = _Known.of(label)
    place = pa.array(label, mask=label < 0)
    observed = labels.column(names.observed)
    delay = np.zeros(label.size, np.float64)
    delay[known.rows] = (microseconds(observed)[label[known.rows]] - made[known.rows]) / _DAY_US
    ids = None if names.label_id is None else labels.column(names.label_id).combine_chunks()
    columns = {
        "status": pa.DictionaryArray.from_arrays(pa.array(status), STATES),
        "label_id": pa.nulls(len(place), pa.string()) if ids is None else pa.DictionaryArray.from_arrays(place, ids),
        "target": known.take(labels.column(names.value)),
        "happened_at": known.take(labels.column(names.happened)),
        "observed_at": known.take(observed),
        "delay_days": known.array(delay),
    }
    for name, column in columns.items():
        predictions = predictions.append_column(name, column)
    return predictions


@dataclass(frozen=True)
class _Known:
    """The label of each prediction: few of millions have one, and all columns of labels are null in the same rows.

    Args:
        label: of each prediction, -1 for none.
        rows: the predictions that have one.
        bits: the same as a bitmap.
    """

    label: Ints
    rows: Ints
    bits: Any

    @classmethod
    def of(cls, label: Ints) -> _Known:
        has = label >= 0
        return cls(label, np.flatnonzero(has), pa.py_buffer(np.packbits(has, bitorder="little")))

    def array(self, values: NDArray[Any], kind: Any = None) -> Any:
        """Return values of all predictions as an array that is null where there is no label."""
        found = pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [self.bits, pa.py_buffer(values)])
        return found if kind is None else found.view(kind)

    def take(self, column: Any) -> Any:
        """Return the values of labels for each prediction; numbers and times by a copy into place."""
        values, kind = column.combine_chunks(), column.type
        if pa.types.is_timestamp(kind):
            values = values.cast(pa.int64())
        elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            return values.take(pa.array(self.label, mask=self.label < 0))
        if values.null_count:
            return values.take(pa.array(self.label, mask=self.label < 0)).cast(kind)
        found = np.zeros(self.label.size, values.type.to_pandas_dtype())
        found[self.rows] = values.to_numpy()[self.label[self.rows]]
        return self.array(found, kind)

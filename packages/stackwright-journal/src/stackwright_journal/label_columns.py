"""The columns of label tables: their names, and their values cast with the misfits marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT, arrow_type
from stackwright_features.casts import cast, plain
from stackwright_features.times import Clock, to_utc
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.errors import MissingColumn, WrongType
from stackwright_interfaces.types import BOOL, INT64, STRING, Type

KEY: Final = "key_"
REQUEST: Final = "request_"

Mask = NDArray[np.bool_]

_MISFITS: Final = 1000


@dataclass(frozen=True)
class LabelNames:
    """The columns of a label table, by what they mean. A name that a target uses itself is not used twice: ``None``.

    Args:
        keys: the entity's keys.
        asked: when a prediction would have been asked for.
        happened: when the truth came to be.
        observed: when it became known.
        value: the truth.
        censored: the truth had not come by ``observed``.
        request: request fields.
        label_id: what identifies a label, as text.
        prediction_id: the prediction that the label answers.
        source: who said so.
        revision: number of the revision, where the source counts them.
        retracted: the label is withdrawn.
    """

    keys: tuple[str, ...]
    asked: str
    happened: str
    observed: str
    value: str
    censored: str
    request: tuple[str, ...]
    label_id: str | None
    prediction_id: str | None
    source: str | None
    revision: str | None
    retracted: str | None

    @classmethod
    def of(cls, target: Target) -> LabelNames:
        """The names of a target's labels."""
        own = [*target.entity.key_names, target.asked, target.happened, target.value.name]
        own += [item.name for item in target.request]
        own += [name for name in (target.observed, target.censored) if name]

        def free(name: str) -> str | None:
            return None if name in own else name

        return cls(
            keys=target.entity.key_names,
            asked=target.asked,
            happened=target.happened,
            observed=target.observed or free("observed_at") or "__observed",
            value=target.value.name,
            censored=target.censored or free("censored") or "__censored",
            request=tuple(item.name for item in target.request),
            label_id=free("label_id"),
            prediction_id=free("prediction_id"),
            source=free("source"),
            revision=free("revision"),
            retracted=free("retracted"),
        )


@dataclass
class Incoming:
    """The columns of a table by what they mean, cast; rows with a value that does not fit are marked."""

    table: Any
    target: Target
    names: LabelNames
    misfits: dict[str, Mask] = field(default_factory=dict)
    naive: dict[str, int] = field(default_factory=dict)

    @property
    def assumed_utc(self) -> int:
        """Naive times that were taken as UTC."""
        return sum(self.naive.values())

    @property
    def where(self) -> str:
        """The place that errors name."""
        return f"labels of {self.target.name!r}"

    def columns(self, source: str, observed_at: datetime | None) -> dict[str, Any]:
        """Return the columns of the log that come from outside."""
        target, names = self.target, self.names
        by_id = self._find(names.prediction_id) is not None
        stated = self._find(names.retracted) is None
        found = {"prediction_id": self._optional(names.prediction_id, STRING)}
        for item in target.entity.keys:
            found[KEY + item.name] = self._typed(item.name, item.type, needed=not by_id)
        found["asked"] = self._time(target.asked, needed=not by_id)
        found["happened"] = self._time(target.happened, needed=stated)
        found["observed"] = self._observed(found["happened"], observed_at)
        found["value"] = self._typed(target.value.name, target.value.type, needed=stated)
        censored = self._typed(names.censored, BOOL, needed=target.censored is not None and stated and not by_id)
        found["censored"] = censored.fill_null(fill_value=False)
        found["source"] = pc.coalesce(self._optional(names.source, STRING), pa.scalar(source))
        found["revision"] = self._optional(names.revision, INT64)
        found["retracted"] = self._optional(names.retracted, BOOL).fill_null(fill_value=False)
        for item in target.request:
            found[REQUEST + item.name] = self._typed(item.name, item.type, needed=False)
        if target.label_id is not None:
            found["label_id"] = self._needed(target.label_id, needed=not by_id).cast(pa.string())
        return found

    def _find(self, name: str | None) -> Any:
        """The column of a name, in the file or as renamed; ``None`` where there is none."""
        if name is None:
            return None
        given = [column for column, renamed in self.target.source.rename.items() if renamed == name]
        for candidate in (*given, name):
            if candidate in self.table.column_names:
                return plain(self.table.column(candidate))
        return None

    def _needed(self, name: str, *, needed: bool) -> Any:
        column = self._find(name)
        if column is None and needed:
            raise MissingColumn.of(self.where, name, self.table.column_names)
        return pa.nulls(len(self.table)) if column is None else column

    def _typed(self, name: str, type_: Type, *, needed: bool) -> Any:
        column = self._needed(name, needed=needed)
        return self._fitted(
            name,
            column,
            lambda part: cast(part, type_, where=self.where, name=name, clock=Clock.of(self.target.source)),
        )

    def _optional(self, name: str | None, type_: Type) -> Any:
        if name is None:
            return pa.nulls(len(self.table), arrow_type(type_))
        return self._typed(name, type_, needed=False)

    def _time(self, name: str, *, needed: bool) -> Any:
        column = self._needed(name, needed=needed)
        if pa.types.is_null(column.type):
            return column.cast(INSTANT)
        clock = Clock.of(self.target.source)

        def read(part: Any) -> Any:
            instants = to_utc(part, clock, where=self.where, name=name)
            self.naive[name] = int(np.count_nonzero(instants.assumed))
            return instants.times

        return self._fitted(name, column, read)

    def _observed(self, happened: Any, observed_at: datetime | None) -> Any:
        declared = self.target.observed is not None
        found = self._time(self.names.observed, needed=declared and observed_at is None)
        if observed_at is not None:
            return pc.coalesce(found, pa.scalar(observed_at, INSTANT))
        return found if declared else pc.coalesce(found, happened)

    def _fitted(self, name: str, column: Any, read: Callable[[Any], Any]) -> Any:
        """Cast a column; values that do not fit become null and are marked, unless there are a great many."""
        try:
            return read(column)
        except WrongType as error:
            read(column.slice(0, 0))
            bad = _misfits(column, read, error)
        self.misfits[name] = bad
        return read(pc.if_else(pa.array(~bad), column, None))


def _misfits(column: Any, read: Callable[[Any], Any], error: WrongType) -> Mask:
    """Find, by halving, the values that a cast refuses.

    Raises:
        WrongType: they are too many to be accidents.
    """
    bad = np.zeros(len(column), np.bool_)
    parts = [(0, len(column))]
    while parts:
        begin, end = parts.pop()
        try:
            read(column.slice(begin, end - begin))
        except WrongType:
            if end - begin > 1:
                middle = (begin + end) // 2
                parts += [(begin, middle), (middle, end)]
                continue
            bad[begin] = True
            if np.count_nonzero(bad) > _MISFITS or bad.all():
                raise error from None
    return bad

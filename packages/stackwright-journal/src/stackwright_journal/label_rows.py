"""Rows of labels as they come, made into rows of the label log; what cannot be one is set apart with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT, arrow_type, read_table, to_column, to_columns
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.types import BOOL, INT64, STRING, TIMESTAMP, Field, Kind
from stackwright_journal.label_columns import KEY, REQUEST, Incoming, LabelNames, Mask
from stackwright_numerics.columns import Column
from stackwright_numerics.order import content_hash

_ESCAPED: Final = (("\\", "\\\\"), ("|", "\\|"))
_SOURCE: Final = "source"
_TEXT: Final = Field("label_id", STRING)


def fields(target: Target) -> tuple[Field, ...]:
    """Return what a label says: two rows with the same of all this but the source are duplicates."""
    return (
        _TEXT,
        Field("prediction_id", STRING),
        *(Field(KEY + item.name, item.type) for item in target.entity.keys),
        Field("asked", TIMESTAMP),
        Field("happened", TIMESTAMP),
        Field("observed", TIMESTAMP),
        Field("value", target.value.type),
        Field("censored", BOOL),
        Field(_SOURCE, STRING),
        Field("revision", INT64),
        Field("retracted", BOOL),
        *(Field(REQUEST + item.name, item.type) for item in target.request),
    )


def schema(target: Target) -> Any:
    """Return the Arrow schema of a target's log.

    Behind what labels say come: ``reason`` and ``row`` (JSON text) of rows set apart, hashes of label id, content, and
    label id with revision number (0 without one), when the row was recorded, and with which position of the log.
    """
    return pa.schema(
        [
            *((item.name, arrow_type(item.type)) for item in fields(target)),
            ("reason", pa.string()),
            ("row", pa.string()),
            ("identity", pa.uint64()),
            ("content", pa.uint64()),
            ("version", pa.uint64()),
            ("recorded_at", INSTANT),
            ("position", pa.int64()),
        ]
    )


@dataclass(frozen=True)
class LabelRows:
    """Incoming rows in the log's schema, each with a reason where it is set apart.

    Args:
        rows: ``pyarrow.Table`` of n rows, in the order they came.
        original: the same rows as they came.
        assumed_utc: naive times taken as UTC.
    """

    rows: Any
    original: Any
    assumed_utc: int

    @property
    def accepted(self) -> Mask:
        """Which rows have no reason."""
        return accepted(self.rows)

    def set_apart(self, wanted: Mask, reasons: NDArray[Any] | str) -> LabelRows:
        """Give accepted rows a reason; their content is now their text, so that mending it makes another row."""
        wanted = wanted & self.accepted
        if not wanted.any():
            return self
        places = np.flatnonzero(wanted)
        chosen = np.broadcast_to(np.asarray(reasons, dtype=object), wanted.shape)
        texts, notes = np.full(len(wanted), None, dtype=object), np.full(len(wanted), None, dtype=object)
        for place, row in zip(places.tolist(), self.original.take(pa.array(places)).to_pylist(), strict=True):
            texts[place] = orjson.dumps(row, default=str, option=orjson.OPT_SORT_KEYS).decode()
            notes[place] = chosen[place]
        written = {
            "reason": pc.coalesce(pa.array(notes, pa.string()), self.rows.column("reason")),
            "row": pc.coalesce(pa.array(texts, pa.string()), self.rows.column("row")),
        }
        content = content_hash(to_columns(pa.table(written), [Field("reason", STRING), Field("row", STRING)]))
        written["content"] = pc.if_else(pa.array(wanted), pa.array(content), self.rows.column("content"))
        rows = self.rows
        for name, column in written.items():
            rows = rows.set_column(rows.column_names.index(name), name, column)
        return LabelRows(rows, self.original, self.assumed_utc)


def accepted(rows: Any) -> Mask:
    """Return which rows of the log's schema have no reason."""
    mask: Mask = rows.column("reason").is_null().to_numpy()
    return mask


def normalise(
    table: object, target: Target, *, source: str, observed_at: datetime | None, recorded_at: datetime
) -> LabelRows:
    """Normalise and judge rows.

    Raises:
        MissingColumn: a column that every label needs is not there.
        WrongType: a column cannot be what it is declared to be.
        DataError: the table cannot be read.
    """
    original = read_table(table, f"labels of {target.name!r}")
    incoming = Incoming(original, target, LabelNames.of(target))
    columns = incoming.columns(source, observed_at)
    columns["label_id"] = _label_ids(columns, target)
    says = fields(target)
    rows = pa.table({item.name: columns[item.name] for item in says})
    hashed = {item.name: _hashable(rows.column(item.name), item) for item in says}
    numbered = rows.column("revision").is_valid().to_numpy()
    version = content_hash({name: hashed[name] for name in ("label_id", "revision")})
    more = {
        "reason": pa.nulls(len(rows), pa.string()),
        "row": pa.nulls(len(rows), pa.string()),
        "identity": hashed["label_id"].values.view(np.uint64),
        "content": content_hash({name: column for name, column in hashed.items() if name != _SOURCE}),
        "version": np.where(numbered, version, np.uint64(0)),
        "recorded_at": pa.repeat(pa.scalar(recorded_at, INSTANT), len(rows)),
        "position": pa.repeat(pa.scalar(0, pa.int64()), len(rows)),
    }
    for name, column in more.items():
        rows = rows.append_column(name, pa.array(column) if isinstance(column, np.ndarray) else column)
    found = LabelRows(rows.cast(schema(target)), original, incoming.assumed_utc)
    reasons = _judge(columns, incoming.misfits, target)
    found = found.set_apart(np.array([reason is not None for reason in reasons], np.bool_), reasons)
    return found.set_apart(_contradict(found), "contradicts another row of its table")


def _hashable(array: Any, item: Field) -> Column:
    """Return a column to hash; texts as 64 bits each, computed once for equal ones."""
    if array.null_count == len(array):
        return Column(np.zeros(len(array), np.int64), np.zeros(len(array), np.bool_))
    if item.type.kind not in {Kind.STRING, Kind.BYTES}:
        return to_column(array, item.type)
    coded = array.combine_chunks().dictionary_encode()
    texts = content_hash({"": to_column(coded.dictionary, item.type)}, rows=len(coded.dictionary))
    codes = coded.indices.fill_null(0).to_numpy()
    return Column(texts[codes].view(np.int64), array.is_valid().to_numpy())


def _label_ids(columns: Mapping[str, Any], target: Target) -> Any:
    """Return the id of each label: the declared one, else keys, list and asked time, else the prediction's id."""
    by_prediction = pc.binary_join_element_wise("prediction", columns["prediction_id"], "|")
    if target.label_id is not None:
        return pc.coalesce(columns["label_id"], by_prediction)
    parts = [_escaped(columns[KEY + item.name]) for item in target.entity.keys]
    if target.group is not None and target.group not in target.entity.key_names:
        parts.append(_escaped(columns[REQUEST + target.group]))
    asked = columns["asked"].cast(pa.int64()).cast(pa.string())
    return pc.coalesce(pc.binary_join_element_wise(*parts, asked, "|"), by_prediction)


def _escaped(column: Any) -> Any:
    """Return keys as texts without a bar, so that two keys never look like one."""
    if pa.types.is_binary(column.type):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.string())
    texts = column.cast(pa.string())
    for found, escaped in _ESCAPED if pa.types.is_string(column.type) else ():
        texts = pc.replace_substring(texts, found, escaped)
    return texts


def _judge(columns: Mapping[str, Any], misfits: Mapping[str, Mask], target: Target) -> NDArray[Any]:
    """Return the reason to refuse each row, ``None`` where there is none. The first that applies is given."""

    def null(name: str) -> Mask:
        mask: Mask = columns[name].is_null().to_numpy(zero_copy_only=False)
        return mask

    def before(one: str, two: str) -> Mask:
        mask: Mask = pc.less(columns[one], columns[two]).fill_null(fill_value=False).to_numpy(zero_copy_only=False)
        return mask

    censored = columns["censored"].to_numpy(zero_copy_only=False)
    final = ~censored & ~columns["retracted"].to_numpy(zero_copy_only=False)
    alone = null("prediction_id")
    keyless = np.logical_or.reduce([null(KEY + item.name) for item in target.entity.keys])
    listless = np.zeros(len(censored), np.bool_)
    if target.group is not None and target.group not in target.entity.key_names:
        listless = null(REQUEST + target.group)
    no_value = null("value")
    if pa.types.is_floating(columns["value"].type):
        no_value |= ~np.isfinite(columns["value"].fill_null(np.nan).to_numpy())
    reasons: Sequence[tuple[str, Mask]] = [
        *((f"{name} does not fit its declared type", bad) for name, bad in misfits.items()),
        ("neither an entity key nor a prediction id", keyless & alone),
        ("neither an asked time nor a prediction id", null("asked") & alone),
        ("no list that it was shown in", final & alone & listless),
        ("no label id", null("label_id")),
        ("no value", final & no_value),
        ("censored, and yet with a value", censored & ~null("value")),
        ("no time at which it happened", final & null("happened")),
        ("no time at which it was observed", null("observed")),
        ("happened before it was asked", final & before("happened", "asked")),
        ("observed before it happened", final & before("observed", "happened")),
        ("observed before it was asked", before("observed", "asked")),
    ]
    found = np.full(len(censored), None, dtype=object)
    for reason, applies in reversed(reasons):
        found[applies] = reason
    return found


def _contradict(found: LabelRows) -> Mask:
    """Return which rows say different things of one label at one time: the order of the table would decide."""
    rows, kept = found.rows, np.flatnonzero(found.accepted)
    same_time = [
        rows.column("identity").to_numpy()[kept],
        rows.column("version").to_numpy()[kept],
        np.where(
            rows.column("version").to_numpy() == 0, rows.column("observed").cast(pa.int64()).fill_null(0).to_numpy(), 0
        )[kept],
    ]
    content = rows.column("content").to_numpy()[kept]
    order = np.lexsort((content, *same_time))
    same = np.logical_and.reduce([values[order[1:]] == values[order[:-1]] for values in same_time])
    differs = same & (content[order[1:]] != content[order[:-1]])
    group = np.r_[0, np.cumsum(~same)][: order.size]
    bad = np.zeros(len(rows), np.bool_)
    bad[kept[order]] = np.isin(group, group[1:][differs])
    return bad

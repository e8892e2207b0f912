"""Several predictions in one line of the log, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any, Final

from stackwright_journal.records import SCHEMA

BLOCK: Final = 2
"""What a block has as its ``schema``."""

_SHARED: Final = ("model", "version", "digest", "blueprint", "arm", "asked_at", "predicted_at", "watermarks")
_NAMED: Final = ("keys", "request", "features", "ages")
_ANSWERS: Final = ("prediction", "lower", "upper")


def records_of_block(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of the predictions that a block holds: what each would have been as a line of its own.

    A block names what its predictions share, as a record does. ``prediction_id``, the answers, and each column of
    ``keys``, ``request``, ``features``, ``ages`` and ``outputs`` have a value a prediction; ``request_id`` has, unless
    it is shared. ``statuses`` and ``fallbacks`` tell by its number, as a text, of a row that has any.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is not a block.
    """
    ids = block["prediction_id"]
    n = len(ids)
    requests = block["request_id"]
    record = {"schema": SCHEMA} | {name: block[name] for name in _SHARED}
    columns: dict[str, Iterator[Any]] = {
        "prediction_id": iter(ids),
        "request_id": repeat(requests, n) if isinstance(requests, str) else iter(requests),
        **{name: _rows_of(block[name], n) for name in _NAMED},
        "statuses": (block["statuses"].get(str(row), {}) for row in range(n)),
        **{name: iter(block[name]) for name in _ANSWERS if name in block},
        **({"outputs": _rows_of(block["outputs"], n)} if "outputs" in block else {}),
        "fallbacks": (block["fallbacks"].get(str(row), []) for row in range(n)),
    }
    return [{**record, **dict(zip(columns, values, strict=True))} for values in zip(*columns.values(), strict=True)]


def _rows_of(columns: Mapping[str, Any], n: int) -> Iterator[dict[str, Any]]:
    if columns == {}:
        return ({} for _ in range(n))
    return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))

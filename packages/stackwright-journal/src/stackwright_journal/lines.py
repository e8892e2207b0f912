"""Segments of the prediction log as bytes and as records: whole lines only, from an offset on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson

from stackwright_interfaces.errors import ObjectNotFound
from stackwright_interfaces.storage import Storage
from stackwright_journal.blocks import BLOCK, records_of_block
from stackwright_journal.records import SCHEMA
from stackwright_storage import FileStorage

PIECE: Final = 4_000_000
"""Bytes of lines whose records are held at once: from a few thousand predictions to some ten thousand."""

_NEEDED: Final = ("prediction_id", "predicted_at", "model")


@dataclass
class ReadCounts:
    """What was passed over while reading.

    Args:
        segments: segments read.
        torn: last lines without an end, as a killed writer leaves them.
        damaged: other lines that hold no record; what they held cannot be known.
        unknown_schema: lines of another layout.
        duplicates: records whose prediction id came before.
    """

    segments: int = 0
    torn: int = 0
    damaged: int = 0
    unknown_schema: int = 0
    duplicates: int = 0


def size_of(storage: Storage, key: str) -> int | None:
    """Return the bytes of a segment where it may still grow, as in a folder; ``None`` where objects are whole."""
    if not isinstance(storage, FileStorage):
        return None
    with suppress(FileNotFoundError):
        return (storage.folder / key).stat().st_size
    return 0


def content_of(places: Sequence[Storage], key: str, begin: int = 0) -> bytes:
    """Return a segment from an offset on, of the first place that has it; nothing where none has."""
    for place in places:
        with suppress(ObjectNotFound, FileNotFoundError):
            if not isinstance(place, FileStorage):
                return place.get(key).data[begin:]
            with (place.folder / key).open("rb") as stream:
                stream.seek(begin)
                return stream.read()
    return b""


def pieces(data: bytes, size: int = PIECE) -> Iterator[bytes]:
    """Give a segment in pieces that end with a line, of about so many bytes; the last may be torn."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + size - 1) + 1 or len(data)
        yield data[begin:end]
        begin = end


def records_of(
    data: bytes, counts: ReadCounts, needed: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: _NEEDED
) -> Iterator[Mapping[str, Any]]:
    """Give the records that whole lines hold, and note what is passed over.

    Args:
        needed: names what a record must have; of predictions where it is not given.
    """
    lines = data.split(b"\n")
    counts.torn += bool(lines.pop())
    for line in lines:
        try:
            found = orjson.loads(line)
            if found["schema"] == BLOCK:
                yield from records_of_block(found)
                continue
            schema, *_ = (found[name] for name in ("schema", *needed(found)))
        except (ValueError, KeyError, TypeError, AttributeError):
            counts.damaged += 1
            continue
        if schema == SCHEMA:
            yield found
        else:
            counts.unknown_schema += 1

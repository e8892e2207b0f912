"""Rows on their way into a view: sifted by its expectations, ingested, and described for the next time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa

from stackwright.assembly.project import write_atomically
from stackwright.assembly.stack import Stack
from stackwright.workflows.features import quarantine, source_log
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.csv_rows import File
from stackwright.workflows.rows.fingerprint import Fingerprint
from stackwright_features.expectations import Sieve
from stackwright_features.normalise import AssumedUtcWarning
from stackwright_features.statistics import Description, changes
from stackwright_features.streams import Lazy, in_pieces
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import ProjectError

_KEPT = 20


def add_rows(
    stack: Stack,
    view: FeatureView,
    rows: object,
    *,
    origin: str,
    place: str = "",
    files: Sequence[File] = (),
    notes: Sequence[str] = (),
    described: bool = True,
) -> Outcome:
    """Add rows to a view. Those of which an expectation does not hold are set aside, with the reason; none is lost.

    They pass through a piece at a time; of an ingestion all rows come to be visible at once, or none.

    Args:
        rows: anything with ``__arrow_c_stream__``.
        origin: where they come from, for messages and the quarantine.
        place: the same in full, for whoever traces a prediction; without it, ``origin``.
        files: the files they come from.
        notes: what is to be told beside.
        described: keep what the rows hold, for the next time; of a few events that says nothing.

    Raises:
        DataError: a column is missing or cannot be what it is declared to be, or too many values are missing.
        FeatureStoreError: the store cannot be written.
    """
    with quarantine.Aside(stack, view, origin) as aside:
        passing = _Passing(view, rows, aside, hashed=not files, described=described)
        with warnings.catch_warnings(), passing.kept.consumed():
            warnings.simplefilter("ignore", AssumedUtcWarning)  # the outcome tells it
            done = stack.features.ingest(view.ref, passing.kept)
    sieve = passing.sieve
    source_log.note(stack, view, done, sieve.rows, origin=place or origin, digest=passing.digest, files=files)
    told = [*notes, *(_note_statistics(stack, view, sieve.rows, passing.description.columns) if described else ())]
    if files and not sieve.rows:
        told.append(f"{origin} holds no rows.")
    if sieve.set_aside:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sieve.reasons.items())
        told.append(f"{sieve.set_aside:,} rows were set aside: {reasons}. See: stackwright quarantine {view.ref}")
    if done.assumed_utc:
        told.append(f"{done.assumed_utc} times without a zone were taken as UTC; declare Source(time_zone=...).")
    if done.refused:
        told.append(f"{done.refused} rows were refused: they are of a deleted key.")
    if done.future:
        told.append(f"{done.future} rows lie in the future and are held back until they are due.")
    data = {name: getattr(done, name) for name in done.__dataclass_fields__}
    data |= {"rows": sieve.rows, "set_aside": sieve.set_aside, "quarantine": aside.path}
    title = (
        f"Ingested {done.added:,} new rows into {done.view} ({sieve.rows:,} read, {done.duplicates:,} known already)"
    )
    return Outcome(title, data, notes=tuple(told))


class _Passing:
    """The rows of one ingestion on their way into the store, a piece at a time.

    What is set aside is kept when the last row has passed: before the store makes the others visible, and after it is
    known that not too many values are missing.

    Args:
        view: the view.
        rows: anything with ``__arrow_c_stream__``.
        aside: takes the rows of which an expectation does not hold.
        hashed: find the digest of the rows.
        described: find what they hold.
    """

    def __init__(
        self, view: FeatureView, rows: object, aside: quarantine.Aside, *, hashed: bool, described: bool
    ) -> None:
        pieces = in_pieces(rows, f"view {view.ref!r}")
        self.sieve = Sieve(view)
        self.description = Description(pieces.schema if described else pa.schema([]))
        self.digest = ""
        self.kept = Lazy(pieces.schema, self._sifted(pieces.tables))
        self._aside = aside
        self._fingerprint = Fingerprint(pieces.schema) if hashed else None

    def _sifted(self, tables: Iterator[Any]) -> Iterator[Any]:
        for table in tables:
            self.description.add(table)
            if self._fingerprint is not None:
                self._fingerprint.add(table)
            sifted = self.sieve.part(table)
            self._aside.add(sifted.set_aside)
            yield from sifted.kept.to_batches()
        self.sieve.finish()
        self._aside.keep(self.sieve.reasons)
        if self._fingerprint is not None:
            self.digest = self._fingerprint.finish()


def _note_statistics(stack: Stack, view: FeatureView, rows: int, columns: Mapping[str, Any]) -> list[str]:
    """Keep what the ingestion held; return how its columns differ from those of the last one."""
    if not rows:
        return []
    known = _read_statistics(stack, view)
    found: dict[str, Any] = {"at": stack.clock().isoformat(), "rows": rows, "columns": columns}
    path = stack.project.state / "statistics" / f"{view.ref}.json"
    write_atomically(path, json.dumps([*known, found][-_KEPT:], indent=1).encode())
    return (
        [f"{change[0].upper()}{change[1:]}." for change in changes(known[-1]["columns"], found["columns"])]
        if known
        else []
    )


def _read_statistics(stack: Stack, view: FeatureView) -> list[Any]:
    path = stack.project.state / "statistics" / f"{view.ref}.json"
    try:
        known: list[Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (OSError, ValueError) as error:
        raise ProjectError(
            str(path), f"cannot be read ({error})", "Delete it; the next ingestion starts anew."
        ) from error
    return known


def statistics(stack: Stack, view: FeatureView) -> Outcome:
    """Tell what the last ingestion into a view held, column by column, and what changed over the ones before."""
    known = _read_statistics(stack, view)
    if not known:
        return Outcome(f"Nothing was ingested into {view.ref} yet", {"view": view.ref, "ingestions": []})
    last = known[-1]
    headings = ("column", "type", "missing", "distinct", "low", "mean", "high")
    rows = [(name, *(item.get(key) for key in headings[1:])) for name, item in last["columns"].items()]
    told = []
    for before, after in pairwise(known):
        told += [f"{after['at']}: {change}" for change in changes(before["columns"], after["columns"])]
    title = f"{view.ref}: {last['rows']:,} rows at {last['at']}, {len(known)} ingestions kept"
    return Outcome(title, {"view": view.ref, "ingestions": known}, (Table(headings, rows),), tuple(told))

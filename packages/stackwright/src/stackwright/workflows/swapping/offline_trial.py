"""Offline stores on trial: the project's history ingested, joined as labels and requests ask, and given out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from stackwright.assembly.plan import Choice
from stackwright.assembly.stack import Stack
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.questions import ASKED, Questions
from stackwright.workflows.swapping.recording import FOREVER, History, asked, history, sampled
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.swapping.trial import Workload, timed
from stackwright_features.arrow import read_table
from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.catalogue import from_json, to_json
from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, OfflineStore, Watermark
from stackwright_interfaces.plugin import Progress

_PARTS: Final = 3
_REPEATS: Final = 3


@dataclass(frozen=True)
class OfflineWorkload(Workload):
    """History and questions.

    Args:
        definitions: those in force, as JSON.
        code: the folder that transforms are loaded from.
        history: rows of each view.
        questions: requests of services, and of each view by itself.
        at: the instant of the recording.
        origin: where all this comes from, for people.
    """

    definitions: Mapping[str, Any]
    code: Path
    history: Sequence[History]
    questions: Sequence[Questions]
    at: datetime
    origin: str

    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Ingest, ingest again, join, join as of before, and read what changed."""
        store: OfflineStore = scratch.build(choice, lambda: self.at)
        try:
            definitions = from_json(dict(self.definitions))
            store.apply(definitions.views)
            steps: list[Callable[[], None]] = [
                lambda: self._join(store, definitions, answers, self._ingest(store, answers)),
                lambda: self._changes(store, answers),
            ]
            for done, step in enumerate(steps):
                progress(f"trial of {choice.spec.name}", done, len(steps))
                step()
        finally:
            store.close()
        progress(f"trial of {choice.spec.name}", 1, 1)

    def _ingest(self, store: OfflineStore, answers: Answers) -> dict[str, Watermark]:
        """Ingest in parts, the first of them twice; return how much was known after the first part."""
        known = {}
        for item in self.history:
            ref = item.view.ref
            parts = _parts(item.rows)
            for number, part in enumerate([*parts, parts[0]], 1):
                report = timed(answers, "ingest", store.ingest, item.view, part)
                counts = {name: getattr(report, name) for name in ("rows", "added", "duplicates", "refused")}
                answers.add(f"ingest, {ref}", f"part {number}", **counts)
                answers.told["rows ingested"] = answers.told.get("rows ingested", 0.0) + report.rows
                if number == 1:
                    known[ref] = Watermark(report.position, FOREVER)
        return known

    def _join(
        self, store: OfflineStore, definitions: Definitions, answers: Answers, early: Mapping[str, Watermark]
    ) -> None:
        services = {item.service.ref: item.service for item in self.questions}
        everything = Definitions(
            entities=definitions.entities,
            views=definitions.views,
            services=tuple({**services, **{item.ref: item for item in definitions.services}}.values()),
        )
        features = ComposedFeatureStore(store, None, definitions=everything, project=self.code, clock=lambda: self.at)
        for question in self.questions:
            service, names = question.service, question.keys()
            for repeat in range(_REPEATS):
                joined = timed(answers, f"join {service.ref}", features.join, service.ref, question.rows, time=ASKED)
                found = pa.table(joined)
                case = f"join {service.ref}" if not repeat else f"join {service.ref} again"
                outputs = [field.name for field in service.output_fields]
                answers.add_columns(case, names, {name: found.column(name).to_pylist() for name in outputs})
            read = {item.view.ref for item in service.selections}
            known = {ref: mark for ref, mark in early.items() if ref in read}
            before = pa.table(features.join(service.ref, question.rows, time=ASKED, as_of=known))
            columns = {name: before.column(name).to_pylist() for name in outputs}
            answers.add_columns(f"join {service.ref} as of an earlier ingestion", names, columns)

    def _changes(self, store: OfflineStore, answers: Answers) -> None:
        """Read the whole history again: every row that was ingested, with its values."""
        for item in self.history:
            parts = timed(answers, "read the whole history", _whole, store, item.view)
            keys = list(item.view.entity.key_names)
            for part in parts:
                for row in part.to_pylist():
                    name = " ".join(f"{key}={row[key]}" for key in keys)
                    values = {key: value for key, value in row.items() if key not in (*keys, ORDER)}
                    case = f"history of {item.view.ref}"
                    answers.add(case, f"{name} token {row[ORDER].hex()}", **_digested(values))


def _whole(store: OfflineStore, view: FeatureView) -> list[Any]:
    until = Watermark(store.watermark(view).position, FOREVER)
    return [read_table(part, "offline store") for part in store.changes(view, None, until)]


def _digested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with long ones as a digest: a difference is seen, and names its column all the same."""
    return {
        name: blake2b(repr(value).encode(), digest_size=8).hexdigest() if isinstance(value, list) else value
        for name, value in values.items()
    }


def _parts(rows: Any) -> list[Any]:
    """Return the rows in parts as they might have come: by created time, those of one time in one order or another."""
    order = pc.sort_indices(rows, sort_keys=[(CREATED, "ascending"), (EVENT, "descending"), (ORDER, "descending")])
    rows = rows.take(order)
    size = -(-len(rows) // _PARTS)
    return [rows.slice(start, size) for start in range(0, len(rows), size)]


def record(stack: Stack, folder: Path) -> OfflineWorkload:
    """Take down what the project's offline store holds and was asked; of the sample market where it holds nothing.

    Args:
        folder: where the sample goes.
    """
    found = _of(stack, "the project")
    if found.history:
        return found
    with sampled(stack, folder) as other:
        return _of(other, "the sample market")


def _of(stack: Stack, origin: str) -> OfflineWorkload:
    offline = stack.offline
    assert offline is not None
    kept = history(stack, offline)
    return OfflineWorkload(
        definitions=to_json(stack.definitions),
        code=stack.project.folder,
        history=kept,
        questions=list(asked(stack, kept)),
        at=stack.clock(),
        origin=origin,
    )

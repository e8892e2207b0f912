"""Online stores on trial: the project's rows written, read as they were asked for, scanned and dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.plan import Choice, plain
from stackwright.assembly.stack import Stack
from stackwright.workflows.swapping import answers as cells
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.questions import ASKED, Questions, of_view, recorded
from stackwright.workflows.swapping.recording import sampled
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.swapping.trial import Workload, now, timed
from stackwright_features.store import ComposedFeatureStore
from stackwright_features.watermarks import VIEW
from stackwright_interfaces.catalogue import from_json, to_json
from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore, Payloads
from stackwright_interfaces.plugin import Progress
from stackwright_numerics.keys import decode_key

ROWS: Final = 20_000
"""Rows of a view that a trial takes."""

_BATCH: Final = 1000
_KEYS: Final = 500
_AT_ONCE: Final = 100


@dataclass(frozen=True)
class OnlineWorkload(Workload):
    """Rows and requests.

    Args:
        definitions: those in force, as JSON.
        code: the folder that transforms are loaded from.
        rows: view → its rows.
        questions: requests of services, and of each view by itself.
        at: the instant of the recording.
        origin: where all this comes from, for people.
    """

    definitions: Mapping[str, Any]
    code: Path
    rows: Mapping[str, Sequence[OnlineRow]]
    questions: Sequence[Questions]
    at: datetime
    origin: str

    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Write, write again, read, scan, drop, and read once more."""
        store: OnlineStore = scratch.build(choice, now)
        online = ViewsApart(store, f"{scratch.name}/")
        views = [online.name(view) for view in self.rows]
        scratch.note(adapter=choice.spec.name, options=plain(choice.part.options), views=views)
        try:
            steps: list[Callable[[], None]] = [
                lambda: self._write(online, answers),
                lambda: self._read(online, answers),
                lambda: _scan(online, self.rows, answers),
                lambda: self._drop(online, answers),
            ]
            for done, step in enumerate(steps):
                progress(f"trial of {choice.spec.name}", done, len(steps))
                step()
        finally:
            for view in self.rows:
                online.drop(view)
            store.close()
        progress(f"trial of {choice.spec.name}", 1, 1)

    def _write(self, online: OnlineStore, answers: Answers) -> None:
        """Write every row; then again with the same token, and with an older one: neither may be taken."""
        for view, rows in self.rows.items():
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                again = [OnlineRow(row.key, row.order, b"same token") for row in batch]
                older = [OnlineRow(row.key, bytes(len(row.order)), b"older token") for row in batch if any(row.order)]
                took = timed(answers, f"write {_BATCH:,} rows", online.write, view, batch)
                for case, given, stored in (
                    ("write", batch, took),
                    ("write with the same token", again, online.write(view, again)),
                    ("write with an older token", older, online.write(view, older)),
                ):
                    for row, was in zip(given, stored, strict=True):
                        answers.add(f"{case}, {view}", row.key.hex(), stored=bool(was))

    def _read(self, online: OnlineStore, answers: Answers) -> None:
        """Ask as the project was asked: one row at a time, and many at once."""
        definitions = from_json(dict(self.definitions))
        services = {item.service.ref: item.service for item in self.questions}
        known = {service.ref: service for service in definitions.services}
        everything = Definitions(
            entities=definitions.entities, views=definitions.views, services=tuple({**services, **known}.values())
        )
        features = ComposedFeatureStore(None, online, definitions=everything, project=self.code, clock=lambda: self.at)
        for question in self.questions:
            one_by_one = question.service.ref in known
            self._ask(features, question, answers, 1 if one_by_one else _AT_ONCE)

    def _ask(self, features: Any, question: Questions, answers: Answers, size: int) -> None:
        service, names = question.service, question.keys()
        times = question.rows.column(ASKED).to_pylist()
        for start in range(0, len(names), size):
            stop = min(start + size, len(names))
            keys = question.given(service.request_keys, start, stop)
            request = question.given(service.request, start, stop)
            operation = "read" if size == 1 else f"read {size} keys"
            found = timed(answers, operation, features.read, service.ref, keys, request or None, at=times[start])
            case = f"read {service.ref}"
            for name in found.names:
                values = {name: [cells.plain(value) for value in found.columns[name]]}
                statuses = {f"status of {name}": [int(status) for status in found.statuses[name]]}
                answers.add_columns(case, names[start:stop], {**values, **statuses})
            for view, mark in found.watermarks.items():
                answers.add(case, names[start], **{f"watermark of {view}": [mark.position, mark.due.isoformat()]})

    def _drop(self, online: OnlineStore, answers: Answers) -> None:
        """Remove some keys of each view; they are gone and the others are there."""
        for view, rows in self.rows.items():
            gone, kept = [row.key for row in rows[::7]], [row.key for row in rows[1::7]]
            answers.add(f"drop, {view}", "some keys", removed=online.drop(view, gone))
            for key, payload in zip([*gone, *kept], online.read([view], [[*gone, *kept]])[0], strict=True):
                answers.add(f"read after a drop, {view}", key.hex(), payload=payload)


class ViewsApart(OnlineStore):
    """An online store whose views have other names than they are called by."""

    def __init__(self, store: OnlineStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def name(self, view: str) -> str:
        """Return a view's name in the store."""
        return self._prefix + view

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Write rows."""
        return self._store.write(self.name(view), rows)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Read payloads."""
        return self._store.read([self.name(view) for view in views], keys, timeout=timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view."""
        return self._store.scan(self.name(view))

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove keys, or a whole view."""
        return self._store.drop(self.name(view), keys)

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def record(stack: Stack, folder: Path) -> OnlineWorkload:
    """Take down what the project's online store holds and was asked; of the sample market where it holds nothing.

    Args:
        folder: where the sample goes.
    """
    found = _of(stack, "the project")
    if any(found.rows.values()):
        return found
    with sampled(stack, folder) as other:
        return _of(other, "the sample market")


def _of(stack: Stack, origin: str) -> OnlineWorkload:
    online = stack.online
    assert online is not None
    rows: dict[str, list[OnlineRow]] = {}
    views = stack.definitions.views
    for done, name in enumerate([*(view.ref for view in views), VIEW]):
        stack.progress("recording", done, len(views) + 1)
        rows[name] = _some(online.scan(name))
    stack.progress("recording", 1, 1)
    by_itself = [_keys_of(view, rows[view.ref], stack.clock()) for view in views if rows[view.ref]]
    return OnlineWorkload(
        definitions=to_json(stack.definitions),
        code=stack.project.folder,
        rows={view: found for view, found in rows.items() if found},
        questions=[*recorded(stack), *by_itself],
        at=stack.clock(),
        origin=origin,
    )


def _some(rows: Iterator[OnlineRow]) -> list[OnlineRow]:
    found = []
    for row in rows:
        found.append(row)
        if len(found) >= ROWS:
            break
    return found


def _keys_of(view: FeatureView, rows: Sequence[OnlineRow], at: datetime) -> Questions:
    """Return requests of a view for some keys that are there, one of them twice."""
    types = [key.type for key in view.entity.keys]
    parts = [decode_key(row.key, types) for row in rows[:: max(1, len(rows) // _KEYS)]]
    parts.append(parts[0])
    keys = {key.name: [part[place] for part in parts] for place, key in enumerate(view.entity.keys)}
    return of_view(view, keys, [at] * len(parts), f"keys of {view.ref}")


def _scan(online: OnlineStore, rows: Mapping[str, Sequence[OnlineRow]], answers: Answers) -> None:
    for view in rows:
        found = timed(answers, "scan a view", lambda name: list(online.scan(name)), view)
        for row in sorted(found, key=lambda row: row.key):
            payload = blake2b(row.payload, digest_size=8).hexdigest()
            answers.add(f"scan, {view}", row.key.hex(), order=row.order, payload=payload)

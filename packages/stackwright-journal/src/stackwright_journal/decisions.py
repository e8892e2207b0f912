"""What was found, decided and done about a model, in one order that all watchers agree on, and kept.

Each event is an object under the next free number, so of two watchers that decide at once one comes first; the other
reads what it wrote, and decides again. Everything else is worked out from the events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.errors import PreconditionFailed, StorageError
from stackwright_interfaces.storage import Storage
from stackwright_journal.records import rfc3339

FOLDER: Final = "decisions"
FORMAT: Final = 1

Kind = Literal["window", "opened", "closed", "action", "result", "notice"]

_NAME: Final = re.compile(r"(\d{12})\.json")
_ATTEMPTS: Final = 50


@dataclass(frozen=True)
class Event:
    """One line of the log.

    Args:
        number: its place, 1 and on.
        at: when, by the clock of who wrote it.
        kind: ``"window"``: a window was judged; ``"opened"``, ``"closed"``: an alert; ``"action"``: something is being
            done; ``"result"``: what came of it; ``"notice"``: somebody was told.
        who: who wrote it.
        data: what it is about, JSON values.
    """

    number: int
    at: datetime
    kind: Kind
    who: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Forestalled(Exception):
    """Another event came first."""


class DecisionLog:
    """The events of one model.

    Args:
        storage: of the journal.
        model: name of the model.
        clock: the present, in UTC.
        who: who writes.
    """

    def __init__(
        self,
        storage: Storage,
        model: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        who: str = "",
    ) -> None:
        self.model = model
        self._storage = storage
        self._prefix = f"{FOLDER}/{model}/"
        self._clock = clock
        self._who = who
        self._read: list[Event] = []

    def events(self) -> list[Event]:
        """Return all events in their order.

        Raises:
            StorageError: one is damaged, or they cannot be read.
        """
        known = len(self._read)
        for key in self._storage.list(self._prefix):
            name = _NAME.fullmatch(key.removeprefix(self._prefix))
            if name is not None and int(name[1]) > known:
                self._read.append(self._event(int(name[1]), key))
        return list(self._read)

    def append(self, kind: Kind, data: Mapping[str, Any], *, after: int) -> Event:
        """Write the event that follows number ``after``.

        Raises:
            Forestalled: another was written meanwhile; nothing was changed.
            StorageError: it cannot be written.
        """
        at = self._clock()
        document = {"format": FORMAT, "at": rfc3339(at), "kind": kind, "who": self._who, "data": data}
        try:
            self._storage.put_if_absent(self._key(after + 1), canonical(document))
        except PreconditionFailed as error:
            raise Forestalled(self.model) from error
        return Event(after + 1, at, kind, self._who, data)

    def add(self, kind: Kind, data: Mapping[str, Any]) -> Event:
        """Write an event whatever others were written meanwhile.

        Raises:
            StorageError: it cannot be written.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self.append(kind, data, after=len(self.events()))
            except Forestalled:
                continue
        raise StorageError(f"decisions on {self.model!r}", f"{_ATTEMPTS} attempts were each forestalled by another")

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:012d}.json"

    def _event(self, number: int, key: str) -> Event:
        try:
            document = json.loads(self._storage.get(key).data)
            at = datetime.fromisoformat(document["at"])
            return Event(number, at, document["kind"], document["who"], document["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(key, f"no event can be read ({error!r})", "Restore it from a backup.") from error

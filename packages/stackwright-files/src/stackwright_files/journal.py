"""The journal, which is also where aliases live.

Every line is one object with a number of its own, stored only if that number is free, and holds beside its event what
every alias points to after it. So moving an alias *is* storing its line, one atomic step: a crash can neither lose a
line nor invent one, the line with the greatest number is the state, and whoever comes second finds the number taken,
looks again, and decides again. Nothing is ever replaced. Looking for news costs one request, for an object that is
mostly not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from stackwright_files.layout import JOURNAL, line_key, line_number
from stackwright_files.records import Line, encode, line_to_json, read_line
from stackwright_interfaces.errors import AliasConflict, ModelNotFound, ObjectNotFound, PreconditionFailed
from stackwright_interfaces.registry import Event
from stackwright_interfaces.storage import Storage


class Journal:
    """Numbered lines in a storage; usable from many threads and processes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._newest: Line | None = None

    def newest(self) -> Line:
        """Return the newest line, number 0 if there is none."""
        line = self._newest or self._last_listed()
        while (following := self._read(line.number + 1)) is not None:
            line = following
        self._newest = line
        return line

    def lines(self) -> Iterator[Line]:
        """Give all lines, oldest first."""
        for number in self._numbers():
            line = self._read(number)
            if line is not None:
                yield line

    def append(self, event: Event) -> None:
        """Add a line that moves nothing."""
        self._append(event, lambda newest: replace(newest, number=newest.number + 1, event=event))

    def move(self, event: Event, expected: int | None) -> None:
        """Add a line that moves an alias, if that points to the expected version.

        Raises:
            AliasConflict: it points elsewhere.
            ModelNotFound: it is to be removed and is not there.
        """
        self._append(event, lambda newest: _moved(newest, event, expected))

    def _append(self, event: Event, following: Callable[[Line], Line]) -> None:
        where = f"journal line of {event.name!r}"
        while True:
            line = following(self.newest())
            try:
                self._storage.put_if_absent(line_key(line.number), encode(where, line_to_json(line)))
            except PreconditionFailed:
                continue
            return

    def _last_listed(self) -> Line:
        numbers = self._numbers()
        last = self._read(numbers[-1]) if numbers else None
        return last or Line()

    def _numbers(self) -> list[int]:
        return [number for number in map(line_number, self._storage.list(JOURNAL)) if number]

    def _read(self, number: int) -> Line | None:
        key = line_key(number)
        try:
            return read_line(key, number, self._storage.get(key).data)
        except ObjectNotFound:
            return None


def _moved(newest: Line, event: Event, expected: int | None) -> Line:
    """Return the line that follows the newest and moves an alias."""
    where = f"{event.name}@{event.alias}"
    of_model = dict(newest.aliases.get(event.name, {}))
    alias = event.alias or ""
    before = of_model.pop(alias, None)
    if before != expected:
        shown = "nothing" if before is None else f"version {before}"
        believed = "nothing" if expected is None else f"version {expected}"
        raise AliasConflict(where, f"the alias points to {shown}, not to {believed}", "Look again, and decide again.")
    if event.after is not None:
        of_model[alias] = event.after
    elif before is None:
        raise ModelNotFound(where, "there is no such alias to remove")
    return Line(
        number=newest.number + 1,
        event=replace(event, before=before),
        aliases={**newest.aliases, event.name: of_model},
        moves=newest.moves + 1,
    )

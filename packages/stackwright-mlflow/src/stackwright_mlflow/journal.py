"""The journal, which is where publications and aliases are decided.

Every line is a parameter of an MLflow run, named by its number. MLflow's database lets a parameter be set once, by
whoever comes first, and takes the same value again: so storing a line is one atomic step that can be repeated when an
answer was lost, and whoever comes second is refused, reads on, and decides again. The journal is an experiment; each of
its runs holds a fixed number of lines, and names the run that follows in its parameter ``next``. The experiment gets
its name, which MLflow lets one have, only when its tag names the first run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from threading import RLock
from typing import Any, Final

from stackwright_interfaces.errors import AliasConflict, ModelNotFound, RegistryError
from stackwright_interfaces.registry import Event
from stackwright_mlflow.documents import Line, bring_back, encode, put_aside, read_line, utc, write_line
from stackwright_mlflow.names import KIND, STARTED
from stackwright_mlflow.server import Refused, Server
from stackwright_mlflow.tracking import Experiment, TrackedRun, Tracking

LINES: Final = 50
"""Lines of one run."""

ABANDONED: Final = timedelta(days=1)
"""Age after which what was never finished is removed."""

_HEAD: Final = "stackwright.head"
_OF: Final = "stackwright.journal_of"
_NEXT: Final = "next"
_DIGITS: Final = 10
_LINE: Final = re.compile(rf"[0-9]{{{_DIGITS}}}")


@dataclass(frozen=True, kw_only=True)
class State:
    """What the lines up to one of them say.

    Args:
        number: of the newest line, 0 before the first.
        moves: how many of them moved an alias.
        aliases: model → alias → version.
        published: model → version → the line that published it.
        known: model → every alias that was ever set.
    """

    number: int = 0
    moves: int = 0
    aliases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    published: Mapping[str, Mapping[int, Line]] = field(default_factory=dict)
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def aliases_of(self, name: str, version: int) -> tuple[str, ...]:
        """Return the aliases that point to a version."""
        return tuple(sorted(alias for alias, number in self.aliases.get(name, {}).items() if number == version))

    def after(self, line: Line) -> State:
        """Return the state that a line leads to."""
        event = line.event
        state = replace(self, number=line.number)
        if event.kind == "published" and event.version is not None:
            of_model = {**self.published.get(event.name, {}), event.version: line}
            return replace(state, published={**self.published, event.name: of_model})
        if event.kind == "alias" and event.alias:
            aliases = {**self.aliases.get(event.name, {})}
            aliases.pop(event.alias, None)
            if event.after is not None:
                aliases[event.alias] = event.after
            return replace(
                state,
                moves=self.moves + 1,
                aliases={**self.aliases, event.name: aliases},
                known={**self.known, event.name: self.known.get(event.name, frozenset()) | {event.alias}},
            )
        return state


class Journal:
    """Numbered lines on an MLflow server; usable from many threads and processes."""

    def __init__(self, server: Server, tracking: Tracking, experiment: str, clock: Callable[[], datetime]) -> None:
        self._server = server
        self._tracking = tracking
        self._of = experiment
        self._name = f"{experiment} journal"
        self._clock = clock
        self._lock = RLock()
        self._experiment = ""
        self._segment: TrackedRun | None = None
        self._part = 1
        self._is_clean = False
        self._lines: list[Line] = []
        self._state = State()

    @property
    def known(self) -> State:
        """The newest state that was read; asks nothing."""
        return self._state

    def state(self) -> State:
        """Read on, and return the newest state; costs one request while nothing is new.

        Raises:
            RegistryError: the journal cannot be read, or was deleted, renamed or damaged in MLflow.
        """
        with self._lock:
            self._read_on()
            return self._state

    def lines(self) -> list[Line]:
        """Return all lines that were read, oldest first; asks nothing."""
        with self._lock:
            return list(self._lines)

    def event(self, line: Line) -> Event:
        """Return the whole event of a line."""
        rest = self.rest(line)
        names = ("who", "why", "evidence")
        return replace(line.event, **{name: rest[name] for name in names if name in rest})

    def rest(self, line: Line) -> Mapping[str, Any]:
        """Return what a line says beside what it does."""
        return bring_back(self._server, line.rest)

    def append(self, decide: Callable[[State], Event], rest: Mapping[str, Any], **files: str) -> Line:
        """Add the line that is decided upon the newest state that was read; where another was faster, read on and
        decide again.

        Raises:
            UsageError: ``rest`` has no JSON form.
        """
        text = encode("journal", rest)
        nonce = token_hex(8)
        with self._lock:
            decide(self._state)  # what is refused anyway makes nothing
            home = self._open()
            rest = put_aside(self._server, text, f"{home.artifacts(self._server.where)}/lines/{nonce}.json")
            while True:
                segment = self._open()
                number = self._state.number + 1
                event = decide(self._state)
                if self._stored(segment, number, write_line(event, nonce, rest, **files)):
                    return self._lines[number - 1]

    def move(self, event: Event, expected: int | None, rest: Mapping[str, Any]) -> Line:
        """Add a line that moves an alias, if that points to the expected version.

        Raises:
            AliasConflict: it points elsewhere.
            ModelNotFound: it is to be removed and is not there.
        """
        return self.append(lambda state: _moved(state, event, expected), rest)

    def clean(self) -> None:
        """Remove, once a process, journals that were never finished because their process died."""
        if self._is_clean:
            return
        self._is_clean = True
        for found in self._tracking.experiments(f"tags.`{_OF}` = '{self._of}'"):
            started = found.tags.get(STARTED, "")
            if found.name.startswith(f"{self._name} ") and started and self._is_old(started):
                self._tracking.delete_experiment(found.id)

    def _is_old(self, started: str) -> bool:
        return self._clock() - datetime.fromisoformat(started) > ABANDONED

    def _read_on(self) -> None:
        segment = self._first() if self._segment is None else self._tracking.run(self._segment.id)
        while segment is not None:
            if segment.is_deleted:
                todo = f"Restore it: mlflow.MlflowClient().restore_run({segment.id!r})"
                raise RegistryError(self._server.where, f"a run of the {self._name!r} was deleted in MLflow", todo)
            self._segment = segment
            for number in sorted(int(key) for key in segment.parameters if _LINE.fullmatch(key)):
                if number > self._state.number:
                    self._take(number, segment.parameters[_key(number)])
            following = segment.parameters.get(_NEXT)
            segment = None if following is None else self._tracking.run(following)
            self._part += segment is not None

    def _take(self, number: int, text: str) -> None:
        where = f"{self._name} line {number}"
        if number != self._state.number + 1:
            found = f"line {self._state.number + 1} is missing"
            raise RegistryError(where, found, "Restore MLflow's database from a backup.")
        line = read_line(where, number, text)
        self._lines.append(line)
        self._state = self._state.after(line)

    def _first(self) -> TrackedRun | None:
        found = self._tracking.experiment(self._name) or self._under_another_name()
        if found is None:
            return None
        if _HEAD not in found.tags:
            what = f"the experiment {self._name!r} is not a journal of this registry"
            raise RegistryError(self._server.where, what, "Set `experiment` to another name.")
        self._experiment = found.id
        return self._tracking.run(found.tags[_HEAD])

    def _under_another_name(self) -> Experiment | None:
        """See that the journal was not renamed; return it where it got its name this very moment."""
        for other in self._tracking.experiments(f"tags.`{_OF}` = '{self._of}'"):
            if other.name == self._name:
                return other
            if not other.name.startswith(f"{self._name} "):
                found = f"the journal was renamed to {other.name!r} in MLflow"
                raise RegistryError(self._server.where, found, f"Give it back the name {self._name!r}.")
        return None

    def _open(self) -> TrackedRun:
        """Return the run that takes the next line; begin the journal, or a run of it, where none does."""
        if self._segment is None:
            self._begin()
        while self._segment is not None and self._state.number >= self._part * LINES:
            made = self._new_segment(self._experiment, self._part + 1)
            try:
                self._tracking.set_parameter(self._segment.id, _NEXT, made.id)
            except Refused:
                self._tracking.delete_run(made.id)
            self._read_on()
        assert self._segment is not None
        return self._segment

    def _new_segment(self, experiment: str, part: int) -> TrackedRun:
        tags = {KIND: "journal"}
        return self._tracking.create_run(experiment, f"journal {part:06d}", self._clock(), tags)

    def _begin(self) -> None:
        """Make the journal under a name of its own, and give it its name when it is whole, if none has it by then."""
        tags = {_OF: self._of, STARTED: utc("journal", self._clock())}
        made = self._tracking.create_experiment(f"{self._name} {token_hex(6)}", tags)
        first = self._new_segment(made, 1)
        self._tracking.tag_experiment(made, _HEAD, first.id)
        try:
            self._tracking.rename_experiment(made, self._name)
        except RegistryError:
            found = self._tracking.experiment(self._name)
            if found is None:
                raise
            if found.id != made:
                with suppress(RegistryError):
                    self._tracking.delete_experiment(made)
        self._read_on()

    def _stored(self, segment: TrackedRun, number: int, text: str) -> bool:
        """Tell whether a line became the one with its number; what another stored there is read by then."""
        try:
            self._tracking.set_parameter(segment.id, _key(number), text)
        except Refused:
            self._read_on()
            if self._state.number < number:  # it was not refused because another line is there
                raise
        else:
            self._take(number, text)
        return self._lines[number - 1].text == text


def _key(number: int) -> str:
    return f"{number:0{_DIGITS}d}"


def _moved(state: State, event: Event, expected: int | None) -> Event:
    """Return the event with the version that its alias points to now."""
    where = f"{event.name}@{event.alias}"
    before = state.aliases.get(event.name, {}).get(event.alias or "")
    if before != expected:
        shown = "nothing" if before is None else f"version {before}"
        believed = "nothing" if expected is None else f"version {expected}"
        raise AliasConflict(where, f"the alias points to {shown}, not to {believed}", "Look again, and decide again.")
    if event.after is None and before is None:
        raise ModelNotFound(where, "there is no such alias to remove")
    return replace(event, before=before)

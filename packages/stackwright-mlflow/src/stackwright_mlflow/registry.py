"""The registry on an MLflow server."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import ArtifactError, ModelNotFound, RegistryError, UsageError, did_you_mean
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.registry import Event, ModelVersion, Registry, Run
from stackwright_mlflow.aliases import Picture
from stackwright_mlflow.copies import Copies
from stackwright_mlflow.documents import Line, damaged, encode, utc
from stackwright_mlflow.journal import Journal, State
from stackwright_mlflow.names import DIGEST, check_alias, check_name
from stackwright_mlflow.plugin import MlflowConfig
from stackwright_mlflow.runs import Runs
from stackwright_mlflow.server import Refused, Server
from stackwright_mlflow.shelf import Shelf, Shelved
from stackwright_mlflow.tracking import Tracking
from stackwright_mlflow.versions import Versions

_log = logging.getLogger("stackwright_mlflow")

KINDS: Final = ("alias", "evidence", "deleted")
"""Kinds of journal lines that can be recorded; ``"published"`` lines come from publishing."""


class MlflowRegistry(Registry):
    """Keeps models and runs on an MLflow server; usable from many threads and processes."""

    def __init__(self, config: MlflowConfig, context: Context) -> None:
        server = Server(config)
        self._where = server.where
        self._name = config.experiment
        self._experiment = ""
        self._told: set[int] = set()
        self._tracking = Tracking(server)
        self._shelf = Shelf(server, config.prefix)
        self._journal = Journal(server, self._tracking, config.experiment, context.clock)
        self._copies = Copies(context.cache / "models", server)
        self._picture = Picture(self._journal, self._shelf)
        self._runs = Runs(server, self._tracking, self._home)
        self._versions = Versions(
            self._journal, self._shelf, self._tracking, self._copies, self._home, context.clock, server.where
        )

    def publish(self, name: str, folder: Path, record: Mapping[str, Any], *, who: str = "") -> ModelVersion:
        """Copy a folder in as the next version; the same digest again gives the version that has it."""
        check_name(name)
        line = self._versions.publish(name, folder, record, who)
        self._picture.look(name)
        self._picture.paint(name)
        return self._version(line, self._journal.known)

    def resolve(self, ref: ModelRef) -> ModelVersion:
        """Find a version by number or alias; a bare name is its newest version."""
        check_name(ref.name)
        state = self._journal.state()
        line = self._line(ref, state)
        self._see(line)
        self._picture.look(ref.name)
        return self._version(line, state)

    def fetch(self, version: ModelVersion) -> Path:
        """Return a local copy, every file of which was hashed once in this process."""
        check_name(version.name)
        line = self._line(ModelRef(version.name, version=version.version), self._journal.state())
        if line.digest != version.digest:
            found = f"published was {line.digest}, asked for is {version.digest}"
            raise ArtifactError(version.ref, found, "Resolve the version again.")
        return self._copies.fetch(line.digest, line.root)

    def record(self, event: Event, *, expected: int | None = None) -> None:
        """Add a line to the journal; an ``"alias"`` line moves the alias in the same step."""
        check_name(event.name)
        if event.kind not in KINDS:
            raise UsageError("journal", f"kind {event.kind!r} cannot be recorded", f"Use one of: {', '.join(KINDS)}.")
        utc("journal", event.at)
        rest = {"who": event.who, "why": event.why, "evidence": event.evidence}
        encode("journal", rest)
        state = self._journal.state()
        if not state.published.get(event.name):
            raise _missing(state, event.name, "version")
        for number in (event.version, event.after):
            if number is not None:
                line = self._line(ModelRef(event.name, version=number), state)
                if event.kind == "alias":
                    self._see(line)
        if event.kind == "alias":
            check_alias(event.alias)
            self._picture.look(event.name)
            self._journal.move(event, expected, rest)
            self._picture.paint(event.name)
        else:
            self._journal.append(lambda _newest: event, rest)

    def history(self, name: str | None = None) -> tuple[Sequence[ModelVersion], Sequence[Event]]:
        """Return all versions that MLflow still has, and all journal lines, oldest first, of one model or of all."""
        if name is not None:
            check_name(name)
        state = self._journal.state()
        lines = [line for line in self._journal.lines() if name in {None, line.event.name}]
        shelved = {model: self._shelf.versions(model) for model in {line.event.name for line in lines}}
        published = [line for line in lines if line.event.kind == "published"]
        left = [line for line in published if line.event.version in shelved[line.event.name]]
        for line in published:
            if line not in left and line.number not in self._told:
                self._told.add(line.number)
                _log.warning("%s", self._deleted(line))
        versions = [self._version(line, state) for line in left]
        return versions, [self._journal.event(line) for line in lines]

    def generation(self) -> str:
        """Return how many times an alias was moved; costs one request."""
        return str(self._journal.state().moves)

    def save_run(self, run: Run) -> None:
        """Store or replace a run by its id."""
        self._runs.save(run)

    def runs(self, name: str | None = None) -> Sequence[Run]:
        """Return runs, newest first."""
        found = self._tracking.experiment(self._name)
        return self._runs.all(name, None if found is None else found.id)

    def close(self) -> None:
        """Nothing is held open."""

    def _home(self) -> str:
        """Return the id of the experiment of the runs; make it where it is not there yet."""
        if not self._experiment:
            found = self._tracking.experiment(self._name)
            if found is None:
                with suppress(Refused):  # another process was faster
                    self._tracking.create_experiment(self._name, {})
                found = self._tracking.experiment(self._name)
            if found is None:
                raise RegistryError(self._where, f"the experiment {self._name!r} cannot be made")
            self._experiment = found.id
        return self._experiment

    def _line(self, ref: ModelRef, state: State) -> Line:
        """Return the line that published what a reference names."""
        lines = state.published.get(ref.name, {})
        if not lines:
            raise _missing(state, ref.name, "version")
        if ref.version is None and ref.alias is None:
            on_shelf = self._shelf.versions(ref.name)
            left = [number for number in lines if number in on_shelf]
            if not left:
                raise self._deleted(lines[max(lines)])
            return lines[max(left)]
        aliases = state.aliases.get(ref.name, {})
        number = ref.version if ref.version is not None else aliases.get(ref.alias or "")
        if number is None or number not in lines:
            what = f"version {number}" if ref.alias is None else f"alias {ref.alias!r}"
            near = did_you_mean(ref.alias, aliases) if ref.alias else ""
            raise _missing(state, ref.name, what, near)
        return lines[number]

    def _see(self, line: Line) -> Shelved:
        """See that MLflow still has a version, and as it was published.

        Raises:
            ModelNotFound: it was deleted.
            RegistryError: it was altered.
        """
        event = line.event
        shelved = self._shelf.version(event.name, event.version or 0)
        if shelved is None:
            raise self._deleted(line)
        if shelved.tags.get(DIGEST) != line.digest or shelved.run != line.run:
            found = "MLflow holds another digest or run for this version than was published"
            raise RegistryError(f"{event.name}@{event.version}", found, "Publish the model again, and promote that.")
        return shelved

    @staticmethod
    def _deleted(line: Line) -> ModelNotFound:
        found = "the version was published, and was deleted in MLflow past this registry"
        todo = "Publish the model again, or promote another version."
        return ModelNotFound(f"{line.event.name}@{line.event.version}", found, todo)

    def _version(self, line: Line, state: State) -> ModelVersion:
        event = line.event
        assert event.version is not None
        try:
            record = self._journal.rest(line)["record"]
        except (KeyError, TypeError) as error:
            raise damaged(f"{event.name}@{event.version}", error) from error
        return ModelVersion(
            name=event.name,
            version=event.version,
            digest=line.digest,
            created=event.at,
            record=record,
            aliases=state.aliases_of(event.name, event.version),
        )


def _missing(state: State, name: str, what: str, near: str = "") -> ModelNotFound:
    """Return the error for a version or alias that is not there, or for a model that has no version at all."""
    numbers = sorted(state.published.get(name, {}))
    if numbers:
        shown = ", ".join(map(str, numbers)) if len(numbers) < 10 else f"{numbers[0]} to {numbers[-1]}"
        return ModelNotFound(f"model {name!r}", f"no {what}; versions: {shown}", near)
    names = sorted(state.published)
    found = f"nothing is published under this name. Published: {', '.join(names) or 'nothing'}"
    return ModelNotFound(f"model {name!r}", found, did_you_mean(name, names))

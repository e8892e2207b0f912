"""Publishing: files, then a version of MLflow's, then the journal line that makes it ours.

A version that no line names is invisible. What a killed publication left behind is taken over by a later one of the
same digest, and removed by a later one of the same model after a day. A publication that took so long gives up, so that
what is removed can no longer become published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import ArtifactError, RegistryError, StackwrightError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import Event
from stackwright_mlflow.copies import Copies
from stackwright_mlflow.documents import Line, encode, utc
from stackwright_mlflow.journal import ABANDONED, Journal, State
from stackwright_mlflow.names import DIGEST, KIND, LINE, MODEL, STARTED
from stackwright_mlflow.runs import flat, measures
from stackwright_mlflow.server import Refused
from stackwright_mlflow.shelf import Shelf, Shelved
from stackwright_mlflow.tracking import Tracking, millis

TOO_LONG: Final = ABANDONED / 2
"""Age at which a publication gives up; half, so that clocks may differ by hours."""

FOLDER: Final = "model"
"""Folder of a run's artifacts that holds the model."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A publication under way: what is published, when it began, and by whom."""

    name: str
    manifest: Manifest
    started: datetime
    who: str

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return self.manifest.digest


class _AlreadyPublished(Exception):
    """Another publication of the same digest was faster."""

    def __init__(self, line: Line) -> None:
        self.line = line
        super().__init__(line.number)


class Versions:
    """Published versions; usable from many threads and processes."""

    def __init__(
        self,
        journal: Journal,
        shelf: Shelf,
        tracking: Tracking,
        copies: Copies,
        home: Callable[[], str],
        clock: Callable[[], datetime],
        where: str,
    ) -> None:
        self._journal = journal
        self._shelf = shelf
        self._tracking = tracking
        self._copies = copies
        self._home = home
        self._clock = clock
        self._where = where

    def publish(self, name: str, folder: Path, record: Mapping[str, Any], who: str) -> Line:
        """Copy a folder in as the next version, or find the version that has its digest.

        Raises:
            ArtifactError: the folder is not what its manifest says.
            UsageError: the record is not JSON.
        """
        manifest = Manifest.read(folder)
        encode(f"record of {name!r}", record)
        draft = Draft(name=name, manifest=manifest, started=self._clock(), who=who)
        state = self._journal.state()
        shelved = self._shelf.versions(name)  # read second: what has a line by now is on the shelf by then
        known = _with_digest(state, draft, shelved)
        if known is not None:
            return known
        own = None
        line = self._commit(draft, own, record, state, shelved)
        if line is None:
            own = self._make(draft, folder, is_first=not shelved)
            shelved = self._shelf.versions(name)
            line = self._commit(draft, own, record, state, shelved)
        line = line or _published_since(self._journal.state(), draft, state)
        if line is None:
            found = "the version that was just made is gone: somebody deletes versions in MLflow"
            raise RegistryError(f"model {name!r}", found, "Publish again.")
        with suppress(StackwrightError):
            self._show(draft, line, record)
            self._clean(draft, own, shelved)
        return line

    def _make(self, draft: Draft, folder: Path, *, is_first: bool) -> int:
        """Store the files, read them back, and make a version of them; return its number."""
        tags = {
            KIND: "publication",
            MODEL: draft.name,
            DIGEST: draft.digest,
            STARTED: utc("publication", draft.started),
            "mlflow.user": draft.who[:250],
        }
        run = self._tracking.create_run(self._home(), f"publish {draft.name}", draft.started, tags)
        try:
            root = f"{run.artifacts(self._where)}/{FOLDER}"
            self._copies.upload(folder, draft.manifest, root)
            self._copies.bring(draft.digest, root)
            if is_first:
                self._shelf.ensure(draft.name)
        except BaseException:
            with suppress(RegistryError):
                self._tracking.delete_run(run.id)
            raise
        self._in_time(draft)
        return self._shelf.create(
            draft.name, f"{run.uri}/{FOLDER}", run.id, {name: tags[name] for name in (MODEL, DIGEST, STARTED)}
        )

    def _commit(
        self, draft: Draft, own: int | None, record: Mapping[str, Any], since: State, shelved: Mapping[int, Shelved]
    ) -> Line | None:
        """Write the line for the lowest version with this digest whose files are whole: all publishers choose it.

        Returns:
            The line, perhaps of another publication of this digest; ``None`` if there is no such version.
        """
        rest = {"who": draft.who, "record": record}
        for chosen in self._left_behind(draft, since, shelved):
            root = f"{self._tracking.run(chosen.run).artifacts(self._where)}/{FOLDER}"
            if chosen.number != own and not self._is_whole(draft, root):
                continue
            event = Event(at=self._in_time(draft), kind="published", name=draft.name, version=chosen.number)

            def decide(newest: State, event: Event = event) -> Event:
                faster = _published_since(newest, draft, since)
                if faster is not None:
                    raise _AlreadyPublished(faster)
                return event

            try:
                return self._journal.append(decide, rest, digest=draft.digest, run=chosen.run, root=root)
            except _AlreadyPublished as other:
                return other.line
        return None

    def _is_whole(self, draft: Draft, root: str) -> bool:
        try:
            self._copies.bring(draft.digest, root)
        except ArtifactError:
            return False
        return True

    def _left_behind(self, draft: Draft, state: State, shelved: Mapping[int, Shelved]) -> list[Shelved]:
        """Return versions with this digest that no line names and that nobody is about to remove, lowest first."""
        lines = state.published.get(draft.name, {})
        return [
            found
            for number, found in shelved.items()
            if number not in lines
            and (found.tags.get(DIGEST), found.tags.get(MODEL)) == (draft.digest, draft.name)
            and _age(draft.started, found.tags) <= TOO_LONG
        ]

    def _in_time(self, draft: Draft) -> datetime:
        now = self._clock()
        if now - draft.started > TOO_LONG:
            raise RegistryError(f"model {draft.name!r}", f"publishing took more than {TOO_LONG}", "Publish again.")
        return now

    def _show(self, draft: Draft, line: Line, record: Mapping[str, Any]) -> None:
        """Tell MLflow's own pages what was published."""
        self._shelf.tag(draft.name, line.event.version or 0, LINE, str(line.number))
        parameters = flat(draft.manifest.parameters)
        metrics = record.get("metrics")
        now = self._clock()
        with suppress(Refused):  # shown by another publication of the same digest
            self._tracking.show(line.run, parameters, measures(metrics if isinstance(metrics, Mapping) else {}, now))
        self._tracking.update_run(line.run, status="FINISHED", end_time=millis(now))

    def _clean(self, draft: Draft, own: int | None, shelved: Mapping[int, Shelved]) -> None:
        """Remove what this publication does not need, and what others that never ended left behind."""
        published = self._journal.known.published.get(draft.name, {})
        now = self._clock()
        for number, found in shelved.items():
            is_ours = MODEL in found.tags and number not in published
            if is_ours and (number == own or _age(now, found.tags) > ABANDONED):
                self._shelf.delete(draft.name, number)
                self._tracking.delete_run(found.run)
        kept = {line.run for line in published.values()}
        asked = f"tags.`{KIND}` = 'publication' and tags.`{MODEL}` = '{draft.name}' and attributes.status = 'RUNNING'"
        for run in self._tracking.runs(self._home(), asked):
            if run.id in kept:
                self._tracking.update_run(run.id, status="FINISHED")
            elif _age(now, run.tags) > ABANDONED:
                self._tracking.delete_run(run.id)
        self._journal.clean()


def _published_since(newest: State, draft: Draft, since: State) -> Line | None:
    """Return the line of another publication of the same digest that was written after a state."""
    for line in newest.published.get(draft.name, {}).values():
        if line.digest == draft.digest and line.number > since.number:
            return line
    return None


def _with_digest(state: State, draft: Draft, shelved: Mapping[int, Shelved]) -> Line | None:
    """Return the line of the version that has this digest, unless that was deleted in MLflow."""
    for number, line in state.published.get(draft.name, {}).items():
        if line.digest == draft.digest and number in shelved:
            return line
    return None


def _age(now: datetime, tags: Mapping[str, str]) -> timedelta:
    try:
        return now - datetime.fromisoformat(tags[STARTED])
    except (KeyError, ValueError, TypeError):
        return timedelta.max

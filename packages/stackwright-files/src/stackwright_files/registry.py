"""The registry on plain files, or whatever else the storage keeps objects in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from stackwright_files.journal import Journal
from stackwright_files.layout import RUNS, files_prefix, run_key
from stackwright_files.local import copy_files
from stackwright_files.plugin import FilesConfig
from stackwright_files.records import Line, Publication, encode, read_run, run_to_json
from stackwright_files.versions import Versions
from stackwright_interfaces.copies import LocalCopies
from stackwright_interfaces.errors import (
    ArtifactError,
    ObjectNotFound,
    PreconditionFailed,
    RegistryError,
    StorageError,
    UsageError,
    did_you_mean,
)
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.registry import Event, ModelVersion, Registry, Run
from stackwright_interfaces.registry_names import check_alias, check_model_name
from stackwright_interfaces.storage import Storage

KINDS: Final = ("alias", "evidence", "deleted")
"""Kinds of journal lines that can be recorded; ``"published"`` lines come from publishing."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@contextmanager
def _in_words_of_a_registry() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise RegistryError(error.where, error.found, error.todo) from error


class FilesRegistry(Registry):
    """Keeps models in a storage; usable from many threads and processes. Also keeps runs."""

    def __init__(self, config: FilesConfig, context: Context) -> None:
        url = config.url if _URL.match(config.url) else str(context.project / config.url)
        self._storage: Storage = context.storage(url)
        self._versions = Versions(self._storage, context.clock)
        self._journal = Journal(self._storage)
        self._copies = LocalCopies(context.cache / "models")

    @_in_words_of_a_registry()
    def publish(self, name: str, folder: Path, record: Mapping[str, Any], *, who: str = "") -> ModelVersion:
        """Copy a folder in as the next version; the same digest again gives the version that has it."""
        check_model_name(name)
        return _with_aliases(self._versions.publish(name, folder, record, who), self._journal.newest())

    @_in_words_of_a_registry()
    def resolve(self, ref: ModelRef) -> ModelVersion:
        """Find a version by number or alias; a bare name is its newest version."""
        check_model_name(ref.name)
        newest = self._journal.newest()
        return _with_aliases(self._versions.get(ref.name, self._number(ref, newest)).version, newest)

    def _number(self, ref: ModelRef, newest: Line) -> int:
        if ref.version is not None:
            return ref.version
        if ref.alias is None:
            numbers = self._versions.numbers(ref.name)
            if not numbers:
                raise self._versions.missing(ref.name, "version")
            return numbers[-1]
        aliases = newest.aliases.get(ref.name, {})
        if ref.alias not in aliases:
            error = self._versions.missing(ref.name, f"alias {ref.alias!r}")
            raise type(error)(error.where, error.found, did_you_mean(ref.alias, aliases) or error.todo)
        return aliases[ref.alias]

    @_in_words_of_a_registry()
    def fetch(self, version: ModelVersion) -> Path:
        """Return a local copy, every file of which was hashed once in this process."""
        check_model_name(version.name)
        stored = self._versions.get(version.name, version.version)
        if stored.version.digest != version.digest:
            found = f"published was {stored.version.digest}, asked for is {version.digest}"
            raise ArtifactError(version.ref, found, "Resolve the version again.")
        prefix = files_prefix(version.name, stored.stage)
        return self._copies.fetch(version.digest, partial(copy_files, self._storage, prefix, version.digest))

    @_in_words_of_a_registry()
    def record(self, event: Event, *, expected: int | None = None) -> None:
        """Add a line to the journal; an ``"alias"`` line moves the alias in the same step."""
        check_model_name(event.name)
        if event.kind not in KINDS:
            raise UsageError("journal", f"kind {event.kind!r} cannot be recorded", f"Use one of: {', '.join(KINDS)}.")
        if not self._versions.numbers(event.name):
            raise self._versions.missing(event.name, "version")
        for number in (event.version, event.after):
            if number is not None:
                self._versions.get(event.name, number)
        if event.kind == "alias":
            check_alias(event.alias)
            self._journal.move(event, expected)
        else:
            self._journal.append(event)

    @_in_words_of_a_registry()
    def history(self, name: str | None = None) -> tuple[Sequence[ModelVersion], Sequence[Event]]:
        """Return all versions and all journal lines, oldest first, of one model or of all."""
        if name is not None:
            check_model_name(name)
        publications = self._versions.all(name)
        lines = [line.event for line in self._journal.lines() if line.event and name in {None, line.event.name}]
        newest = self._journal.newest()
        times = _times(publications)
        publications.sort(key=lambda item: times[item.version.ref])
        versions = [_with_aliases(item.version, newest) for item in publications]
        return versions, _merged(publications, lines, times)

    @_in_words_of_a_registry()
    def generation(self) -> str:
        """Return how many times an alias was moved; costs one request."""
        return str(self._journal.newest().moves)

    @_in_words_of_a_registry()
    def save_run(self, run: Run) -> None:
        """Store or replace a run by its id."""
        key = run_key(run.id)
        data = encode(f"run {run.id!r}", run_to_json(run))
        while True:
            with suppress(PreconditionFailed):  # another process was faster: once more, the last one stays
                try:
                    tag = self._storage.get(key).tag
                except ObjectNotFound:
                    self._storage.put_if_absent(key, data)
                else:
                    self._storage.put_if_match(key, data, tag)
                return

    @_in_words_of_a_registry()
    def runs(self, name: str | None = None) -> Sequence[Run]:
        """Return runs, newest first."""
        found = [read_run(key, self._storage.get(key).data) for key in self._storage.list(RUNS)]
        chosen = [run for run in found if name in {None, run.name}]
        return sorted(chosen, key=lambda run: (run.started, run.id), reverse=True)

    def close(self) -> None:
        """Close the storage."""
        self._storage.close()


def _with_aliases(version: ModelVersion, newest: Line) -> ModelVersion:
    return replace(version, aliases=newest.aliases_of(version.name, version.version))


def _times(publications: Sequence[Publication]) -> dict[str, datetime]:
    """Return reference → when it was published; a clock that was set back does not reorder a model's versions."""
    times: dict[str, datetime] = {}
    latest: dict[str, datetime] = {}
    for item in publications:
        version = item.version
        latest[version.name] = times[version.ref] = max(version.created, latest.get(version.name, version.created))
    return times


def _merged(publications: Sequence[Publication], lines: Sequence[Event], times: Mapping[str, datetime]) -> list[Event]:
    """Merge by time; lines stay in their order, and none comes before the publication of a version it names."""
    timed = [(times[item.version.ref], item.event) for item in publications]
    latest: datetime | None = None
    for event in lines:
        named = (times.get(f"{event.name}@{number}") for number in (event.version, event.after))
        latest = max(time for time in (event.at, latest, *named) if time is not None)
        timed.append((latest, event))
    return [event for _, event in sorted(timed, key=lambda pair: pair[0])]

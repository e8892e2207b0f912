"""Registries on trial: the project's versions published again, its aliases moved, its journal read, files fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.plan import Choice
from stackwright.assembly.stack import Stack
from stackwright.workflows.swapping.answers import Answers, shown
from stackwright.workflows.swapping.replaying import Clock, Life, live_on
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.swapping.trial import Workload, timed
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.model import GOLDEN, Manifest, ModelRef, Signature, describe_files
from stackwright_interfaces.plugin import Progress
from stackwright_interfaces.registry import Event, ModelVersion, Registry, Run, SupportsRuns
from stackwright_interfaces.types import FLOAT64, Field

LIVED: Final = "live the whole life once more"
VERSIONS: Final = 30
"""Versions that a trial takes, the oldest."""

_START: Final = datetime(2024, 1, 1, tzinfo=UTC)
_NOBODY: Final = 10**6


@dataclass(frozen=True)
class RegistryWorkload(Workload):
    """A registry's life.

    Args:
        life: versions and journal.
        folders: reference → the folder of its files.
        runs: its runs.
        origin: where all this comes from, for people.
    """

    life: Life
    folders: dict[str, Path]
    runs: Sequence[Run]
    origin: str

    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Publish, move, resolve, fetch, refuse what must be refused, and read the journal."""
        clock = Clock()
        registry: Registry = scratch.build(choice, clock)
        lines = len(self.life.events)

        def done(number: int) -> None:
            progress(f"trial of {choice.spec.name}", min(number, lines - 1), lines)

        try:
            timed(answers, LIVED, live_on, self.life, self._folder, registry, clock, done)
            answers.told["lines lived"] = float(lines)
            self._resolve(registry, answers)
            self._refuse(registry, answers)
            self._history(registry, answers)
            if isinstance(registry, SupportsRuns):
                self._runs(registry, answers)
        finally:
            registry.close()
        progress(f"trial of {choice.spec.name}", 1, 1)

    def _folder(self, version: ModelVersion) -> Path:
        return self.folders[version.ref]

    def _resolve(self, registry: Registry, answers: Answers) -> None:
        """Find every version by number, alias and bare name, and hash its files."""
        for version in self.life.versions.values():
            refs = [ModelRef(version.name), ModelRef(version.name, version=version.version)]
            refs += [ModelRef(version.name, alias=alias) for alias in version.aliases]
            for ref in refs:
                found = timed(answers, "resolve", registry.resolve, ref)
                answers.add(f"resolve {ref}", found.ref, **_fields(found))
            folder = timed(answers, "fetch", registry.fetch, found)
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()
                    answers.add(f"fetch {found.ref}", str(path.relative_to(folder)), sha256=digest)
            timed(answers, "generation", registry.generation)

    def _refuse(self, registry: Registry, answers: Answers) -> None:
        """Ask for what must not be given; the kind of refusal counts."""
        for name in dict.fromkeys(version.name for version in self.life.versions.values()):
            moved = Event(at=_START, kind="alias", name=name, alias="trial")
            refused: dict[str, Callable[[], Any]] = {
                "an unknown version": partial(registry.resolve, ModelRef(name, version=_NOBODY)),
                "an unknown alias": partial(registry.resolve, ModelRef(name, alias="nobody")),
                "a move from where it is not": partial(registry.record, replace(moved, after=1), expected=_NOBODY),
                "a move to an unknown version": partial(registry.record, replace(moved, after=_NOBODY)),
            }
            for case, ask in refused.items():
                answers.add(f"refusal of {case}", name, error=_refusal(ask))
        for version in self.life.versions.values():
            again = registry.publish(version.name, self.folders[version.ref], {"again": True})
            answers.add(
                "publish again", version.ref, version=again.version, digest=again.digest, record=dict(again.record)
            )

    def _history(self, registry: Registry, answers: Answers) -> None:
        versions, events = timed(answers, "history", registry.history)
        for version in versions:
            answers.add("versions in the history", version.ref, **_fields(version))
        for number, event in enumerate(events, 1):
            answers.add("journal", f"line {number}", **_fields(event))

    def _runs(self, registry: Any, answers: Answers) -> None:
        for run in self.runs:
            timed(answers, "save a run", registry.save_run, run)
        for place, run in enumerate(timed(answers, "list runs", registry.runs), 1):
            answers.add("runs", f"place {place}", **_fields(run))


def record(stack: Stack, folder: Path) -> RegistryWorkload:
    """Take down the life of the project's registry; one of two little models where it holds none.

    Args:
        folder: where these models go.
    """
    registry = stack.registry
    whole = Life.of(registry)
    if not whole.versions:
        return _invented(folder)
    kept = dict(list(whole.versions.items())[:VERSIONS])
    events = [event for event in whole.events if _within(event, kept)]
    folders = {}
    for done, (ref, version) in enumerate(kept.items()):
        stack.progress("recording", done, len(kept))
        folders[ref] = registry.fetch(version)
    stack.progress("recording", 1, 1)
    runs = registry.runs() if isinstance(registry, SupportsRuns) else ()
    return RegistryWorkload(_unbroken(kept, events), folders, list(runs), "the project")


def _within(event: Event, versions: dict[str, ModelVersion]) -> bool:
    numbers = [number for number in (event.version, event.after, event.before) if number is not None]
    return all(f"{event.name}@{number}" in versions for number in numbers)


def _unbroken(versions: dict[str, ModelVersion], events: Sequence[Event]) -> Life:
    """Return a life without moves of aliases from where, of these events, none brought them."""
    at: dict[tuple[str, str], int | None] = {}
    kept = []
    for event in events:
        if event.kind == "alias" and event.alias is not None:
            if at.get((event.name, event.alias)) != event.before:
                continue
            at[event.name, event.alias] = event.after
        kept.append(event)
    aliases: dict[str, list[str]] = {}
    for (name, alias), number in at.items():
        aliases.setdefault(f"{name}@{number}", []).append(alias)
    return Life(
        {ref: replace(item, aliases=tuple(sorted(aliases.get(ref, ())))) for ref, item in versions.items()}, kept
    )


def _invented(folder: Path) -> RegistryWorkload:
    """Return the life of two little models with two versions each."""
    minutes = [_START.replace(minute=minute) for minute in range(20)]
    versions: dict[str, ModelVersion] = {}
    folders: dict[str, Path] = {}
    events: list[Event] = []
    for name in ("first", "second"):
        for number in (1, 2):
            at = minutes[len(events)]
            place = _write_model(folder / name / str(number), f"{name} {number}".encode())
            digest = Manifest.read(place).digest
            version = ModelVersion(
                name=name, version=number, digest=digest, created=at, record={"metrics": {"mae": 1.5}}
            )
            versions[version.ref], folders[version.ref] = version, place
            events.append(Event(at=at, kind="published", name=name, version=number, who="trial"))
            evidence = {"gates": [{"name": "quality", "passed": True, "value": 0.25}]}
            events.append(Event(at=minutes[len(events)], kind="evidence", name=name, version=number, evidence=evidence))
    for before, after in pairwise((None, 1, 2, 1)):
        at = minutes[len(events)]
        events.append(
            Event(at=at, kind="alias", name="first", alias="champion", before=before, after=after, who="trial")
        )
    versions["first@1"] = replace(versions["first@1"], aliases=("champion",))
    run = Run(id="run-1", name="first", status="finished", started=_START, ended=minutes[1], metrics={"mae": 1.5})
    return RegistryWorkload(Life(versions, events), folders, [run], "two little models")


def _write_model(folder: Path, payload: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(payload)
    (folder / GOLDEN).write_text('{"inputs": {"area": 70.0}, "outputs": {"price": 1.0}}\n', encoding="utf-8")
    signature = Signature(inputs=(Field("area", FLOAT64),), outputs=(Field("price", FLOAT64),))
    Manifest(flavour="none", files=describe_files(folder), signature=signature, task="regression").write(folder)
    return folder


def _refusal(ask: Callable[[], Any]) -> str:
    try:
        return f"none: {ask()!r}"
    except StackwrightError as error:
        return type(error).__name__


def _fields(item: Any) -> dict[str, Any]:
    """Return what a version, event or run says; names of cells must not be those of a cell."""
    return {f"its {name}": shown(value) for name, value in vars(item).items()}

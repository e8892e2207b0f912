"""Two runs, or two published versions, side by side: what differs first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions import provenance
from stackwright.workflows.versions.resolving import find
from stackwright.workflows.versions.run_states import runs_of
from stackwright_interfaces.errors import ModelNotFound, RegistryError, UsageError
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.registry import ModelVersion, Run

SECTIONS: Final = ("run", "parameters", "metrics", "data", "code", "settings", "definitions")
"""What is compared, in this order."""

_SHORTEST: Final = 4


def compare(stack: Stack, first: str, second: str) -> Outcome:
    """Put parameters, metrics, data, code, settings and definitions of two runs side by side.

    Args:
        first: the beginning of a run's id, or a published version.
        second: another.

    Raises:
        RegistryError: there is no such run, or several.
        ModelNotFound: there is no such version.
        UsageError: it is neither.
    """
    sides = [_flat(_side(stack, name)) for name in (first, second)]
    keys = sorted({*sides[0], *sides[1]}, key=_place)
    rows = [(key, sides[0].get(key), sides[1].get(key)) for key in keys]
    different = [row for row in rows if row[1] != row[2]]
    same = [row[0] for row in rows if row[1] == row[2]]
    data = {
        "first": first,
        "second": second,
        "different": _named(different),
        "same": {row: sides[0][row] for row in same},
    }
    title = f"{first} and {second} differ in {len(different)} of {len(rows)} things"
    table = Table(("what", first, second), [(key, _shown(old), _shown(new)) for key, old, new in different])
    counts = Counter(key.partition(".")[0] for key in same)
    notes = (f"The same: {', '.join(f'{count} of {section}' for section, count in counts.items())}",) if same else ()
    return Outcome(title, data, (table,), notes)


def _named(rows: Sequence[tuple[str, Any, Any]]) -> dict[str, list[Any]]:
    return {key: [old, new] for key, old, new in rows}


def _side(stack: Stack, name: str) -> dict[str, Any]:
    """Return what is known of a run or a version, by section."""
    run = run_named(stack, name)
    published = name if run is None else run.model
    version = find(stack, published) if published else None
    if run is None and version is not None:
        run = run_of(stack, version)
    return {**_of_run(run), **_of_version(stack, version, run)}


def run_of(stack: Stack, version: ModelVersion) -> Run | None:
    """Return the newest run that published a version; ``None`` where none was kept."""
    return next((item for item in runs_of(stack, version.name) if item.model == version.ref), None)


def run_named(stack: Stack, name: str) -> Run | None:
    """Return the run whose id begins so; ``None`` where it is a published version instead.

    Raises:
        RegistryError: several begin so.
        ModelNotFound: it is neither.
    """
    found = [run for run in runs_of(stack) if len(name) >= _SHORTEST and run.id.startswith(name)]
    if len(found) > 1:
        raise RegistryError(f"run {name!r}", f"{len(found)} runs begin so", "Give more of its id.")
    if found:
        return found[0]
    try:
        published = ModelRef.parse(name).name in {version.name for version in stack.registry.history()[0]}
    except UsageError:
        published = False
    if not published:
        raise ModelNotFound(f"run {name!r}", "neither a run nor a published model", "See: stackwright runs")
    return None


def _of_run(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {}
    ended = None if run.ended is None else (run.ended - run.started).total_seconds()
    about = {"status": run.status, "model": run.model, "seconds": ended, "owner": run.record.get("owner")}
    failure = run.record.get("error")
    return {
        "run": {**about, **({"error": failure} if failure else {})},
        "parameters": dict(run.parameters),
        "metrics": dict(run.metrics),
        "code": {"python": run.record.get("python"), **_commit(run.record)},
    }


def _of_version(stack: Stack, version: ModelVersion | None, run: Run | None) -> dict[str, Any]:
    if version is None:
        return {}
    manifest, record = Manifest.read(stack.registry.fetch(version)), version.record
    of_run = _of_run(run).get("code", {})
    found = {
        "parameters": dict(manifest.parameters),
        "metrics": dict(record.get("metrics", {})),
        "data": {**record.get("data", {"train": dict(manifest.data)}), "pin": provenance.of(version).get("pin")},
        "code": {"python": record.get("python"), **_commit(record), **of_run, **manifest.code},
        "settings": provenance.of(version).get("settings") or {},
        "definitions": {**manifest.definitions, **manifest.transforms},
    }
    return found if run is not None else {"run": {"model": version.ref, "owner": record.get("owner")}, **found}


def _commit(record: Mapping[str, Any]) -> dict[str, Any]:
    code = record.get("code")
    return dict(code) if isinstance(code, Mapping) else {}


def _flat(document: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    return dict(_leaves(document, before))


def _leaves(document: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        name = f"{before}.{key}" if before else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        elif value is not None:
            yield name, value


def _place(key: str) -> tuple[int, str]:
    section = key.partition(".")[0]
    return SECTIONS.index(section) if section in SECTIONS else len(SECTIONS), key


def _shown(value: Any) -> Any:
    return value[:12] if isinstance(value, str) and len(value) == 64 else value

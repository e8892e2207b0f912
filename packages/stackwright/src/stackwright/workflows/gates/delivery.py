"""Gates on whether a model can be delivered: its folder, the features it reads, and how soon it answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright.assembly.model_part import is_data_service
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates.base import Candidate, gate, newest, relative_difference, some, spread
from stackwright.workflows.gates.champions import columns_for
from stackwright.workflows.gates.joining import differing, joined
from stackwright_features.times import to_microseconds
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import FeatureStoreError, PromotionRefused, StackwrightError
from stackwright_interfaces.feature_store import FeatureRows, Status
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.model import Manifest
from stackwright_serving.model import LoadedModel
from stackwright_serving.probe import probe

ALLOWED: Final = frozenset(
    {".arrow", ".cbm", ".csv", ".json", ".jsonl", ".npy", ".npz", ".onnx", ".parquet", ".safetensors", ".skops",
     ".toml", ".txt", ".ubj"}
)  # fmt: skip
"""Suffixes of files that hold data and no code."""

_PICKLES: Final = tuple(bytes([0x80, version]) for version in range(2, 6))
_ROUNDS: Final = 5
_FEWEST: Final = 20
_AT_MOST: Final = 1.0
_SLACK_MS: Final = 1.0


@gate(behaviour=True)
def artifact(candidate: Candidate, max_mb: float, seconds: float, allow: list[str]) -> Verdict:
    """The folder holds data alone, is not too large, loads in a process of its own and gives its golden predictions."""
    files = candidate.model.manifest.files
    size = sum(entry.size for entry in files.values()) / 1e6
    odd = _not_allowed(candidate.folder, files, {*ALLOWED, *allow})
    if odd:
        return Verdict(passed=False, detail=f"not allowed in a model: {', '.join(odd)}", evidence={"not_allowed": odd})
    factory, config = candidate.stack.format_alone(candidate.model.manifest.flavour)
    project = candidate.stack.project.folder
    answer = probe(candidate.folder, factory, project=project, timeout=seconds, config=config)
    detail = f"{size:.1f} MB; loads alone; golden predictions differ by {answer['difference']:.1g}"
    return Verdict(size <= max_mb, detail, {"megabytes": size, "files": len(files), **answer})


def _not_allowed(folder: Path, files: Mapping[str, Any], allowed: set[str]) -> list[str]:
    """Return the files whose suffix is not allowed, and those that begin like a pickle whatever they are called."""
    odd = []
    for name in files:
        suffix = Path(name).suffix.lower()
        if suffix not in allowed:
            odd.append(name)
        elif (folder / name).exists():
            with (folder / name).open("rb") as stream:
                if stream.read(2) in _PICKLES:
                    odd.append(f"{name} (a pickle)")
    return odd


@gate()
def servable(candidate: Candidate, rows: int, found: float) -> Verdict:
    """The features it reads are defined as it learned them, and are being served."""
    check_definitions(candidate.stack, candidate.model.manifest)
    if not _reads_online(candidate.stack):
        return Verdict.inapplicable("no online store in this stack; features are read offline")
    few = newest(candidate.holdout, rows)
    service = candidate.stack.service(candidate.part.service)
    read = _read(candidate.stack, service, few)
    absent = {
        view: float(np.isnat(events).mean())
        for view, events in read.events.items()
        if np.isnat(events).mean() > 1 - found
    }
    shares = {
        name: float(np.isin(statuses, (Status.NOT_FOUND, Status.EXPIRED)).mean())
        for name, statuses in read.statuses.items()
    }
    if absent:
        shown = ", ".join(f"{view} ({share:.0%} of keys absent)" for view, share in absent.items())
        detail = f"not online: {shown}. Run: stackwright materialize"
        return Verdict(passed=False, detail=detail, evidence={"not_found": shares})
    detail = f"all {len(read.events)} views answer for the newest {len(few)} keys"
    return Verdict(passed=True, detail=detail, evidence={"not_found": shares})


def _reads_online(stack: Stack) -> bool:
    return "online" in stack.plan.choices or "feature_store" in stack.plan.choices


def _read(stack: Stack, service: FeatureService, rows: Dataset, at: Any = None) -> FeatureRows:
    keys = {field.name: rows.keys[field.name].tolist() for field in service.request_keys}
    request = {field.name: rows.keys[field.name].tolist() for field in service.request}
    return stack.features.read(service.ref, keys, request, at=at)


def check_definitions(stack: Stack, manifest: Manifest) -> None:
    """Compare the applied service, with what it uses of its views, to the one a model learned from.

    Raises:
        UnknownName: it is not applied.
        PromotionRefused: it means something else now.
    """
    if is_data_service(manifest.service):
        return  # every input comes with the request
    service = stack.service(manifest.service)
    if manifest.definitions.get(service.ref) != meaning(service):
        found = f"{service.ref} means something else now than when the model learned from it"
        raise PromotionRefused(f"model of {manifest.service}", found, "Train again, or give the change a new version.")


@gate(behaviour=True)
def parity(candidate: Candidate, rows: int, tolerance: float) -> Verdict:
    """Features read online equal those joined from history, to the last bit, and so do the answers.

    Both are asked at one instant, that up to which the online rows are brought; the join passes over what was ingested
    since, by the watermarks that came with the read.
    """
    stack = candidate.stack
    if not _reads_online(stack):
        return Verdict.inapplicable("no online store in this stack; features are read offline")
    service = stack.service(candidate.part.service)
    if not service.selections:
        return Verdict.inapplicable("every feature comes with the request")
    few = _distinct(Dataset.together([candidate.train, candidate.holdout]), service, rows)
    known = _read(stack, service, few.take(np.arange(min(1, len(few))))).watermarks
    at = max([mark.due for mark in known.values()], default=stack.clock())
    read = _read(stack, service, few, at)
    asked = np.full(len(few), np.datetime64(to_microseconds(at), "us"))
    replayed = True
    try:
        history = joined(stack, service, few.keys, asked, as_of=dict(read.watermarks))
    except FeatureStoreError:  # a store that cannot replay is held to what it knows now
        history, replayed = joined(stack, service, few.keys, asked), False
    online = {name: read.columns[name] for name in history}
    unlike = {name: int(places.sum()) for name, places in differing(history, online).items()}
    worst = relative_difference(*(candidate.model.predict(columns).value for columns in (history, online)))
    found = int(np.sum([~np.isnat(events) for events in read.events.values()], axis=0).astype(bool).sum())
    evidence = {"rows": len(few), "found": found, "at": at.isoformat(), "replayed": replayed, "differing": unlike,
                "prediction_difference": worst}  # fmt: skip
    if not found:
        return Verdict.inapplicable(f"none of {len(few):,} rows is online; the gate servable tells of that", evidence)
    if unlike:
        shown = ", ".join(f"{name} in {count:,}" for name, count in list(unlike.items())[:3])
        detail = f"of {len(few):,} rows read online, other values than joined from history: {shown}"
        return Verdict(passed=False, detail=detail, evidence=evidence)
    detail = f"{len(few):,} rows read online equal the join from history; answers differ by {worst:.1g}"
    return Verdict(worst <= tolerance, detail, evidence)


def _distinct(rows: Dataset, service: FeatureService, number: int) -> Dataset:
    """Return rows of so many different keys, spread over the time; of rows with one key the newest."""
    names = [field.name for field in (*service.request_keys, *service.request)]
    places = {key: place for place, key in enumerate(zip(*(rows.keys[name].tolist() for name in names), strict=True))}
    return spread(rows.take(np.array(sorted(places.values()), dtype=np.int64)), number)


@gate(behaviour=True)
def latency(candidate: Candidate, p99_ms: float, ratio: float, rows: int) -> Verdict:
    """One row is answered in time, in this process, and not much later than by the champion; of a ranking one list.

    CPU time is measured, which other processes do not disturb: the 99th percentile of a round, and of the rounds the
    median. Rounds of the model and of the champion alternate.
    """
    few = candidate.holdout
    few = spread(few, rows) if few.group is None else some(few, round(rows * float(few.sizes.mean())))
    rounds = [_timed(candidate.model, few, few.columns)]
    held, name = candidate.champion, ""
    if held is not None and held.model is not None and held.model.digest != candidate.model.digest:
        try:
            columns = columns_for(candidate.stack, held.model, few, candidate.part.service)
            rounds, name = [*rounds, _timed(held.model, few, columns)], held.version.ref
            next(rounds[1])
        except StackwrightError:  # the gate of that name tells why
            rounds, name = rounds[:1], ""
    p99, *of_champion = (float(np.median(found)) for found in zip(*_while_time(rounds), strict=True))
    evidence = {
        "p99_ms": p99,
        "rows": len(few),
        **({} if few.group is None else {"lists": few.starts.size}),
        **({"champion": name, "champion_p99_ms": of_champion[0]} if name else {}),
    }
    allowed = min([p99_ms, *(max(ratio * other, other + _SLACK_MS) for other in of_champion)])
    unit = "row" if few.group is None else f"list of {few.sizes.mean():.0f}"
    detail = f"p99 {p99:.2f} ms of CPU for one {unit}, allowed are {allowed:.3g} ms"
    if name:
        detail += f"; {name} needs {of_champion[0]:.2f} ms"
    return Verdict(p99 <= allowed, detail, evidence)


def _while_time(rounds: list[Iterator[float]]) -> list[tuple[float, ...]]:
    """Take rounds in turn, five times or for a second each."""
    found: list[tuple[float, ...]] = []
    started = time.monotonic()
    while len(found) < _ROUNDS and (not found or time.monotonic() - started < _AT_MOST * len(rounds)):
        found.append(tuple(next(item) for item in rounds))
    return found


def _timed(model: LoadedModel, rows: Dataset, columns: Mapping[str, Any]) -> Iterator[float]:
    """Give the 99th percentile of the milliseconds of one row, or one list, round after round."""
    ends = np.append(rows.starts[1:], len(rows))
    singles = [
        {name: column[start:end] for name, column in columns.items()}
        for start, end in zip(rows.starts.tolist(), ends.tolist(), strict=True)
    ]
    while True:
        took, started = [], time.monotonic()
        for one in singles:
            before = time.process_time_ns()
            model.predict(one)
            took.append((time.process_time_ns() - before) / 1e6)
            if len(took) >= _FEWEST and time.monotonic() - started > _AT_MOST:
                break
        yield float(np.percentile(took, 99))

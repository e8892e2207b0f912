"""What features cost and what they are for, from what was measured; what was not is told as unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.features.catalogue import search
from stackwright.workflows.features.computation import seconds_of
from stackwright.workflows.lineage.ablation import features_of, known
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.resolving import find
from stackwright_interfaces.errors import ModelNotFound, StackwrightError
from stackwright_interfaces.model import Manifest
from stackwright_journal.reading import Span
from stackwright_journal.tabulating import Wanted

DAYS: Final = 30.0


def worth(stack: Stack, words: Sequence[str] = (), *, days: float = DAYS) -> Outcome:
    """Show who reads features and how often, what they hold and take, and what they are worth to models.

    Args:
        words: every word must be found, as in ``features``.
        days: reads are counted of so many days back.

    Returns:
        ``features``: each with ``reads`` (logged answers, and lists, of versions whose service gives it), ``consumers``
        (services, views, models and recommenders), ``online_bytes`` (keys, order and payload of its view's online rows,
        of all its features together), ``compute_seconds`` (of its view's intervals, since they were timed) and
        ``ablation`` (model → ``value``, ``low``, ``high``). ``None`` is unknown.
    """
    found = search(stack, words).data["features"]
    reads, notes = _reads(stack, days)
    models = {name: part.service for name, part in stack.blueprint.models.items() if part.data is None}
    ablations = {name: known(stack, name) for name in models}
    sessions = {name: part.session for name, part in stack.blueprint.recommenders.items() if part.session is not None}
    sizes: dict[str, int | None] = {}
    features = []
    for entry in found:
        feature, view = entry["feature"], entry["feature"].partition(":")[0]
        stored = view in {item.ref for item in stack.definitions.views}
        if stored and view not in sizes:
            sizes[view] = _online_bytes(stack, view)
        asked = [f"model {name}" for name, service in models.items() if service in entry["used by"]]
        asked += [f"recommender {name}" for name, part in sessions.items() if part.service in entry["used by"]]
        features.append(
            {
                "feature": feature,
                "owner": entry["owner"],
                "reads": None if reads is None else reads[feature],
                "consumers": [*entry["used by"], *asked],
                "online_bytes": sizes[view] if stored else 0,
                "compute_seconds": seconds_of(stack, view) if stored else None,
                "ablation": {name: _of(item, feature) for name, item in ablations.items() if _of(item, feature)},
            }
        )
    missing = [name for name, item in ablations.items() if not item]
    notes += [f"Of {name} no feature was left out yet: stackwright ablate {name}" for name in missing]
    notes += [f"Worth to {name} is of {item['model']}." for name, item in ablations.items() if item]
    headings = ("feature", "reads", "consumers", "view online, bytes", "view computed, s", "worth")
    rows = [
        (*(item[key] for key in ("feature", "reads", "consumers", "online_bytes", "compute_seconds")), _worth(item))
        for item in features
    ]
    title = f"{len(features)} features, reads of the last {days:g} days"
    return Outcome(title, {"features": features, "days": days}, (Table(headings, rows),), tuple(notes))


def _of(ablation: Mapping[str, Any], feature: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = ablation.get("features", {}).get(feature, {})
    return value


def _worth(item: Mapping[str, Any]) -> str:
    told = [(model, value["value"]) for model, value in item["ablation"].items() if value["value"] is not None]
    return ", ".join(f"{value:+.1%} {model}" for model, value in told)


def _reads(stack: Stack, days: float) -> tuple[Counter[str] | None, list[str]]:
    """Return feature → logged answers that it was read for; ``None`` where the log cannot be read."""
    services = {service.ref: service for service in stack.definitions.services}
    span = Span(stack.clock() - timedelta(days=days), None)
    found: Counter[str] = Counter()
    lost = 0
    kept = {name: part.session.service for name, part in stack.blueprint.recommenders.items() if part.session}
    try:
        answers = {name: _answers(stack, name, span) for name in stack.blueprint.models}
        sessions = {name: _sessions(stack, name, span) for name, service in kept.items() if service in services}
    except StackwrightError as error:
        return None, [f"The log of predictions cannot be read: {error}"]
    for name, number in sessions.items():
        for feature in set(features_of(services[kept[name]]).values()):
            found[feature] += number
    for name, versions in answers.items():
        for version, number in versions.items():
            service = _service(stack, name, version)
            if service not in services:
                lost += number
                continue
            for feature in set(features_of(services[service]).values()):
                found[feature] += number
    return found, [f"{lost:,} answers are of versions whose service is gone: they are not counted."] if lost else []


def _sessions(stack: Stack, name: str, span: Span) -> int:
    """Return logged lists of a recommender for which the session of a user was read."""
    with closing(journal.lists(stack)) as reader:
        shown = reader.read(name, start=span.start)
    asked = [one for one in shown.lists if not one.get("beside")]  # a shadow reads nothing of its own
    return sum(one.get("user") is not None and not one.get("asked", {}).get("like") for one in asked)


def _answers(stack: Stack, name: str, span: Span) -> Counter[int]:
    """Return version → logged answers."""
    found: Counter[int] = Counter()
    reader = journal.predictions(stack)
    try:
        for batch in reader.batches(Wanted((), (), ("version",), compact=True), model=name, span=span):
            for item in batch.table.column("version").value_counts().to_pylist():
                found[item["values"]] += item["counts"]
    finally:
        reader.close()
    return found


def _service(stack: Stack, name: str, version: int) -> str:
    """Return the service that a version reads; empty where the version is gone."""
    with suppress(ModelNotFound):
        return Manifest.read(stack.registry.fetch(find(stack, f"{name}@{version}"))).service
    return ""


def _online_bytes(stack: Stack, view: str) -> int | None:
    """Return the bytes of a view's online rows; ``None`` where a whole store keeps them, or nothing is online."""
    online = stack.online
    if online is None:
        return None
    return sum(len(row.key) + len(row.order) + len(row.payload) for row in online.scan(view))

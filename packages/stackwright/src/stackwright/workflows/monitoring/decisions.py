"""What was decided about models, and why: read from the log, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.champions import trained_names
from stackwright_interfaces.errors import UsageError
from stackwright_journal.decisions import Event
from stackwright_journal.records import rfc3339


def decisions(stack: Stack, name: str | None = None, *, number: int | None = None) -> Outcome:
    """List what was found, decided and done; of one event, with all its evidence.

    Args:
        name: the model or recommender; all of the blueprint without it.
        number: of an event of the model.

    Raises:
        UsageError: there is no such event, or nothing says of which model.
        StorageError: the log cannot be read.
    """
    if number is not None:
        return _one(stack, name or stack.trained(None).name, number)
    found = [
        {"model": model, "number": event.number, "at": rfc3339(event.at), "kind": event.kind, "who": event.who,
         "words": said(event)}
        for model in ([name] if name else trained_names(stack))
        for event in journal.decisions(stack, model).events()
        if event.kind != "notice"
    ]  # fmt: skip
    rows = [(item["number"], str(item["at"])[:19], item["model"], item["kind"], item["words"]) for item in found]
    table = Table(("number", "at", "model", "event", "about"), rows)
    notes = ("One of them in full: stackwright decisions MODEL --number N",) if found else ()
    return Outcome(f"{len(found)} decisions", {"decisions": found}, (table,), notes)


def _one(stack: Stack, model: str, number: int) -> Outcome:
    events = {event.number: event for event in journal.decisions(stack, model).events()}
    if number not in events:
        raise UsageError("--number", f"{model} has {len(events)} events", "Run: stackwright decisions")
    event = events[number]
    related = [item for item in events.values() if item.data.get("of") == number]
    data = {"model": model, "number": number, "at": rfc3339(event.at), "kind": event.kind, "who": event.who,
            "data": dict(event.data), "related": [{"number": item.number, "kind": item.kind, **item.data}
                                                  for item in related]}  # fmt: skip
    rows = [(place, part["state"], part["words"]) for place, part in _parts(event.data)]
    tables = (
        Table(("judged by", "state", "found"), rows),
        Table(("event", "about"), [(item.kind, said(item)) for item in related]),
    )
    return Outcome(f"{model} {event.kind}: {said(event)}", data, tables)


def _parts(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for rule, verdict in data.get("verdicts", {}).items():
        yield from ((rule, part) for part in verdict["parts"])
    yield from ((data["rule"], part) for part in data.get("evidence", {}).get("parts", []))


def said(event: Event) -> str:
    """Return an event in one line."""
    data = event.data
    if event.kind == "window":
        states = ", ".join(f"{rule} {verdict['state']}" for rule, verdict in data["verdicts"].items())
        return f"version {data['version']}, {data['start'][:10]} to {data['end'][:10]}: {states}"
    if event.kind == "notice":
        return f"{data['to']}: {data['state']}"
    if event.kind == "action":
        return f"{data['action']}, because {data.get('words', '')}"
    return str(data.get("words", ""))

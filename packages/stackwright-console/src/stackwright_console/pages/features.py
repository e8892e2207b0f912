"""The catalogue: features found by words, and a view with its owner, freshness, statistics and users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.pins import SupportsServed
from stackwright.workflows.features import source_log
from stackwright.workflows.features.catalogue import find_view, search
from stackwright.workflows.features.ingestion import statistics
from stackwright.workflows.lineage.impact import impact
from stackwright.workflows.lineage.worth import worth
from stackwright.workflows.outcome import Table
from stackwright_console.desk import Desk
from stackwright_console.page import Asked, Field, Form, Link, Page, Section, paged, to, turning, with_cells
from stackwright_interfaces.definitions import FeatureView
from stackwright_models import charts

_ROWS = 100
_KEPT = 30
"""Ingestions drawn."""


def features(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return the features that fit the words asked for."""
    words = asked.get("words", "")
    outcome = search(stack, words.split())
    (table,) = outcome.tables[:1]
    rows, number, pages = paged(table.rows, asked, _ROWS)
    shown = with_cells(Table(table.headings, rows), feature=_to_view(stack))
    form = Form(to("features"), "Search", (Field("words", "Words", words, hint="name, tag, owner, entity or text"),))
    links = turning(asked, "features", number, pages)
    heading = outcome.title if pages == 1 else f"{outcome.title}, page {number} of {pages}"
    links.append(Link("What they are worth", to("worth", words=words)))
    sections = (Section("Search", forms=(form,)), Section(heading, tables=(shown,), links=links))
    return Page(title="Features", here="Features", lead="What is defined once and read everywhere.", sections=sections)


def _to_view(stack: Stack) -> Any:
    known = {view.ref for view in stack.definitions.views}

    def link(feature: str) -> Link | str:
        home = feature.partition(":")[0]
        return Link(feature, to("features", home)) if home in known else feature

    return link


def worths(stack: Stack, desk: Desk, asked: Asked) -> Page:
    """Return what the features that fit the words asked for are read for, hold, take and are worth."""
    words = asked.get("words", "")
    outcome = desk.recent(f"worth {words}", lambda: worth(stack, words.split()))
    (table,) = outcome.tables
    rows, number, pages = paged(table.rows, asked, _ROWS)
    shown = with_cells(Table(table.headings, rows), feature=_to_view(stack))
    section = Section(outcome.title, lines=outcome.notes, tables=(shown,), links=turning(asked, "worth", number, pages))
    return Page(title="What features are worth", here="Features", lead="A dash is unknown.", sections=(section,))


def view(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return a view with all that is known of it."""
    found = find_view(stack.definitions, asked["name"])
    told = statistics(stack, found)
    reached = impact(stack, found.ref)
    return Page(
        title=found.ref,
        here="Features",
        lead=found.description,
        sections=(
            Section("About", tables=(Table(("", "value"), [*_about(found), *_fresh(stack, found)]),)),
            Section("Columns", tables=(Table(("name", "type", "description"), list(_columns(found))),)),
            Section(told.title, lines=told.notes, tables=told.tables, pictures=_growth(told.data["ingestions"])),
            Section(
                "Who would feel a change",
                tables=reached.tables,
                links=(
                    Link("As a drawing", to("lineage", kind="view", name=found.ref)),
                    Link("What it is worth", to("worth", words=found.ref)),
                ),
            ),
        ),
    )


def _about(found: FeatureView) -> Iterator[tuple[str, Any]]:
    yield "entity", f"{found.entity.name} ({', '.join(key.name for key in found.entity.keys)})"
    yield "owner", found.owner
    yield "age at most", found.max_age
    if found.schedule:
        yield "schedule", found.schedule.every
        yield "freshness objective", found.schedule.freshness
    if found.computed:
        yield "computed from", [needed.ref for needed in found.computed.inputs]
    yield from (("tag " + name, value) for name, value in found.tags.items())


def _fresh(stack: Stack, found: FeatureView) -> Iterator[tuple[str, Any]]:
    """Give how much of a view was ingested, and how much of that was brought online where the store tells."""
    log = source_log.read(stack, found.ref)
    if log:
        yield "last ingested", log[-1]["at"]
        yield "ingestions", log[-1]["position"]
    services = [
        service.ref
        for service in stack.definitions.services
        if found.ref in {selection.view.ref for selection in service.selections}
    ]
    if services and isinstance(stack.features, SupportsServed):
        served = stack.features.served(services[0])[found.ref]
        yield "of these online", 0 if served is None else served.position
        yield "online up to", None if served is None else served.due.isoformat(timespec="seconds")


def _columns(found: FeatureView) -> Iterator[tuple[str, str, str]]:
    yield from ((field.name, str(field.type), field.description) for field in found.features)


def _growth(ingestions: list[dict[str, Any]]) -> tuple[str, ...]:
    last = ingestions[-_KEPT:]
    if len(last) < 2:
        return ()
    rows = {"rows": [float(item["rows"]) for item in last]}
    return (charts.lines("Rows of each ingestion", [item["at"][:10] for item in last], rows, "rows"),)

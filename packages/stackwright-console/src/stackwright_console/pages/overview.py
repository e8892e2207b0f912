"""The first page: the stack as its blueprint draws it, its models, and what was last decided."""

from __future__ import annotations

from collections.abc import Iterator

from stackwright.assembly.blueprint import RecommenderPart, Trained
from stackwright.assembly.stack import Stack
from stackwright.workflows.monitoring.decisions import decisions
from stackwright.workflows.outcome import Table
from stackwright.workflows.versions.models import models
from stackwright_console import pictures
from stackwright_console.desk import Desk
from stackwright_console.page import Asked, Link, Page, Section, State, to, with_cells
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.recommender import TASK

_LAST = 5


def overview(stack: Stack, _desk: Desk, _asked: Asked) -> Page:
    """Return the page of the whole stack."""
    blueprint = stack.blueprint
    env = f", environment {blueprint.env}" if blueprint.env else ""
    return Page(
        title=blueprint.name,
        here="Stack",
        lead=f"{stack.project.folder}{env}",
        sections=(
            Section("Parts", pictures=(pictures.stack(dict(_parts(stack))),)),
            Section("Models", tables=(_models(stack),), links=(Link("All versions", to("models")),)),
            _decided(stack),
        ),
    )


def _parts(stack: Stack) -> Iterator[tuple[str, str]]:
    """Give each slot that is filled, with the names of its adapters."""
    names: dict[str, list[str]] = {}
    for slot, choice in stack.plan.choices.items():
        found = names.setdefault({"model": "trainer"}.get(slot.partition(":")[0], slot.partition(":")[0]), [])
        if choice.spec.name not in found:
            found.append(choice.spec.name)
    yield from ((slot, ", ".join(found)) for slot, found in names.items())
    if stack.blueprint.catalogue:
        yield "catalogue", "shared"
    if "server" in names:
        yield "journal", str(stack.blueprint.journal)


def _models(stack: Stack) -> Table:
    published = models(stack).data["models"] if "registry" in stack.plan.choices else ()
    rows = []
    for name, part in stack.blueprint.trained.items():
        own = [item for item in published if item["model"].rpartition("@")[0] == name]
        live = next((item for item in own if stack.champion in item["aliases"]), None)
        ref = live["model"] if live else ""
        rows.append((
            Link(name, to("models", model=name)), *_about(part), part.trainer.adapter if part.trainer else "",
            Link(ref, to("models", ref)) if ref else "", State(live["gates"]) if live else "", len(own),
        ))  # fmt: skip
    return Table(("model", "task", "target or source", "trainer", stack.champion, "gates", "versions"), rows)


def _about(part: Trained) -> tuple[str, str]:
    """Return the task and the target of a model; of a recommender, what it learns from."""
    if isinstance(part, RecommenderPart):
        return TASK, part.interactions.source
    return part.task, part.target


def _decided(stack: Stack) -> Section:
    try:
        outcome = decisions(stack)
    except StackwrightError as error:
        return Section("Decisions", lines=(str(error),))
    (table,) = outcome.tables
    last = Table(table.headings, list(table.rows)[-_LAST:][::-1])
    shown = with_cells(last, model=lambda name: Link(name, to("monitors", name)))
    lines = () if last.rows else ("None yet.",)
    return Section("Last decisions", lines=lines, tables=(shown,), links=(Link("Monitors", to("monitors")),))

"""Published versions: listed, and one in full with its gates, evidence, card, aliases and lineage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Table
from stackwright.workflows.versions.champions import trained_names
from stackwright.workflows.versions.models import models as listed
from stackwright.workflows.versions.models import promote, rollback
from stackwright.workflows.versions.resolving import find
from stackwright.workflows.versions.showing import card_of, page_of
from stackwright_console.desk import Desk
from stackwright_console.page import Asked, Field, Form, Link, Page, Section, State, paged, to, turning
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.recommender import TASK

_ROWS = 50


def models(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return the versions of a model or of all, newest first."""
    name = asked.get("model", "")
    outcome = listed(stack, name or None)
    rows, number, pages = paged(outcome.data["models"], asked, _ROWS)
    metrics = sorted({metric for item in rows for metric in item["metrics"]})[:4]
    cells = [
        (
            Link(item["model"], to("models", item["model"])),
            "retired" if item["retired"] else item["aliases"],
            State(item["gates"]),
            *(item["metrics"].get(metric) for metric in metrics),
            item["created"],
        )
        for item in rows
    ]
    table = Table(("version", "aliases", "gates", *metrics, "published"), cells)
    choose = Form(to("models"), "Show", (Field("model", "Model", name, ("", *stack.blueprint.trained)),))
    sections = (
        Section("Choose", forms=(choose,)),
        Section(outcome.title, tables=(table,), links=turning(asked, "models", number, pages)),
    )
    return Page(title="Models", here="Models", lead="What was published, past which gates.", sections=sections)


def model(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return a version in full."""
    version = find(stack, asked["name"])
    card = card_of(stack, version)
    told = page_of(card)
    sections = [Section(part.heading, part.lines, tuple(part.tables)) for part in told.sections]
    watched = version.name in trained_names(stack)
    links = (
        Link("Lineage", to("lineage", kind="model", name=version.ref)),
        Link("Recommend with it" if card["task"] == TASK else "Predict with it", to("playground", model=version.name)),
        *((Link("How it does", to("monitors", version.name)),) if watched else ()),
    )
    return Page(
        title=told.title,
        here="Models",
        lead=told.lead,
        sections=(
            Section("Go on", links=links),
            Section("Gates", tables=(_gates(card), _evidence(card))),
            *(section for section in sections if section.heading.casefold() != "gates"),
            Section("Change", forms=_changes(stack, version.ref, version.name)),
        ),
    )


def _gates(card: Mapping[str, Any]) -> Table:
    rows = [
        (gate["name"], State(gate.get("state") or ("green" if gate["passed"] else "red")), gate.get("detail", ""))
        for gate in card["gates"]
    ]
    return Table(("gate", "state", "found"), rows)


def _evidence(card: Mapping[str, Any]) -> Table:
    """Return the numbers that the gates went by."""
    rows = [
        (gate["name"], name.replace("_", " "), value)
        for gate in card["gates"]
        for name, value in gate.get("evidence", {}).items()
        if isinstance(value, int | float | str)
    ]
    return Table(("gate", "evidence", "value"), rows)


def _changes(stack: Stack, ref: str, name: str) -> tuple[Form, ...]:
    why = Field("reason", "Why", required=True)
    return (
        Form(to("promote"), f"Promote {ref} to {stack.champion}", (why,), changes=True, hidden={"ref": ref}),
        Form(to("rollback"), f"Roll {name} back", (why,), changes=True, hidden={"model": name}),
    )


def promoted(stack: Stack, desk: Desk, asked: Asked) -> str:
    """Promote a version past its gates; return the path of its page."""
    ref = asked.get("ref", "")
    promote(stack, ref, reason=asked.get("reason", ""))
    desk.forget()
    return to("models", find(stack, ref).ref)


def rolled_back(stack: Stack, desk: Desk, asked: Asked) -> str:
    """Point the champion back to where it was; return the path of the version's page."""
    name = asked.get("model", "")
    rollback(stack, name, reason=asked.get("reason", ""))
    desk.forget()
    return to("models", stack.registry.resolve(ModelRef(name, alias=stack.champion)).ref)

"""Lineage: what something comes from and who would feel a change, and a prediction traced to its rows."""

from __future__ import annotations

from stackwright.assembly.stack import Stack
from stackwright.lineage import KINDS, Graph, Node
from stackwright.workflows.lineage.impact import graph_of_stack
from stackwright.workflows.lineage.trace import trace
from stackwright.workflows.outcome import Table
from stackwright_console import pictures
from stackwright_console.desk import Desk
from stackwright_console.page import Asked, Field, Form, Link, Page, Section, to, with_cells
from stackwright_interfaces.errors import UnknownName


def lineage(stack: Stack, desk: Desk, asked: Asked) -> Page:
    """Return what a name comes from and what depends on it; without a name, all there is to ask for."""
    graph = desk.recent("lineage", lambda: graph_of_stack(stack))
    name = asked.get("name", "").strip()
    forms = (
        Form(to("lineage"), "Show", (Field("name", "Name", name, hint="a source, view, feature, service or model"),)),
        Form(to("trace"), "Trace", (Field("prediction", "Prediction", hint="the id that came with an answer"),)),
    )
    found = _shown(graph, name, asked.get("kind", "")) if name else (_all(graph),)
    lead = "Forwards from a source to those who answer, and back."
    return Page(title="Lineage", here="Lineage", lead=lead, sections=(Section("Ask", forms=forms), *found))


def _shown(graph: Graph, name: str, kind: str) -> tuple[Section, ...]:
    chosen = [node for node in graph.named(name) if kind in ("", node.kind)]
    if not chosen:
        raise UnknownName.of("name", name, sorted({node.name for node in graph.dependents}))
    forwards = [node for node in graph.affected(chosen) if node not in chosen]
    needed = turned(graph)
    back = [node for node in needed.affected(chosen) if node not in chosen]
    return (
        Section("Drawn", pictures=(pictures.lineage(graph, [*chosen, *back, *forwards]),)),
        Section("It comes from", tables=(_table(graph, back),)),
        Section("Who would feel a change", tables=(_table(graph, forwards),)),
    )


def turned(graph: Graph) -> Graph:
    """Return the graph with every dependence the other way round."""
    found = Graph()
    for node, dependents in graph.dependents.items():
        found.add(node)
        for dependent in dependents:
            found.add(node, dependent)
    return found


def _table(graph: Graph, nodes: list[Node]) -> Table:
    ordered = sorted(nodes, key=lambda node: (KINDS.index(node.kind), node.name))
    rows = [(node.kind, Link(node.name, pictures.page_of(node)), graph.owners.get(node, "")) for node in ordered]
    return Table(("kind", "name", "owner"), rows)


def _all(graph: Graph) -> Section:
    nodes = [node for node in graph.dependents if node.kind in ("source", "view", "service", "target", "model")]
    return Section("What there is", tables=(_table(graph, nodes),))


def traced(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return a prediction with its model, training rows, features and files."""
    outcome = trace(stack, asked.get("prediction", "").strip())
    ref = outcome.data["model"]["ref"]
    tables = tuple(
        with_cells(table, model=lambda cell: Link(str(cell), to("models", str(cell)))) for table in outcome.tables
    )
    return Page(
        title="A prediction and where it came from",
        here="Lineage",
        lead=outcome.title,
        sections=(
            Section("Traced", lines=outcome.notes, tables=tables),
            Section(
                "Go on",
                links=(Link(ref, to("models", ref)), Link("Its lineage", to("lineage", kind="model", name=ref))),
            ),
        ),
    )

"""Impact: what a change of a source, entity, view, feature, service or target would reach, and who owns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.lineage import KINDS, Graph, Node, Published, graph_of
from stackwright.workflows.features import sharing, source_log
from stackwright.workflows.features.edits import Edit, edits
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions import provenance
from stackwright_interfaces.errors import UnknownName, UsageError, did_you_mean

LIVE: Final = frozenset({"alias", "endpoint", "import"})
"""Kinds of node that answer somebody now."""

Ways = Mapping[Node, tuple[Node, ...]]
"""What is affected → a shortest way there, from what changed."""


def impact(stack: Stack, name: str | None = None, *, diff: Path | None = None) -> Outcome:
    """Tell what depends on something, or on what an edited feature file changes.

    Args:
        name: a source, entity, view, feature, service, target or model, in full or without version, view or folder.
        diff: an edited ``features.py``, compared with the definitions in force instead.

    Returns:
        With ``diff``, an outcome that is not ok where something live is affected.

    Raises:
        UsageError: both are given, or neither.
        UnknownName: nothing has this name.
        DefinitionError: the edited file fails.
    """
    if (name is None) == (diff is None):
        raise UsageError("impact", "give a name, or --diff with an edited feature file", "See: stackwright features")
    graph = graph_of_stack(stack)
    if diff is not None:
        return _of_edits(stack, graph, diff)
    assert name is not None
    changed = graph.named(name)
    if not changed:
        close = did_you_mean(name, sorted({node.name for node in graph.dependents}))
        raise UnknownName("impact", f"no source, view or feature named {name!r}", close or "See: stackwright features")
    found = _affected(graph, _ways_from_each(graph, changed))
    title = f"{', '.join(map(str, changed))}: {_counted(found)}"
    return Outcome(title, {"changed": [str(node) for node in changed], **_json(found)}, (_table(found),))


def graph_of_stack(stack: Stack) -> Graph:
    """Return what depends on what in a project: its definitions, models, ingested files, and other teams' imports."""
    sources = {view.ref: source_log.places(source_log.read(stack, view.ref)) for view in stack.definitions.views}
    return graph_of(stack.definitions, published(stack), sources, sharing.imports_elsewhere(stack))


def published(stack: Stack) -> list[Published]:
    """Return the published versions; none where the stack has no registry."""
    if "registry" not in stack.plan.choices:
        return []
    found = []
    for version in stack.registry.history()[0]:
        owner = provenance.owner_of(stack, version)
        service, target = provenance.read_by(stack, version)
        sources = provenance.sources_of(version)
        found.append(Published(version.ref, service, target, version.aliases, owner, stack.champion, sources))
    return found


def _ways_from_each(graph: Graph, named: Sequence[Node]) -> Ways:
    """Return what depends on any of several nodes, one of the others too, where a name means several."""
    ways: dict[Node, tuple[Node, ...]] = {}
    for node in named:
        for reached, way in graph.affected([node]).items():
            if len(way) > 1 and (reached not in ways or len(way) < len(ways[reached])):
                ways[reached] = way
    return ways


def _affected(graph: Graph, ways: Ways) -> list[dict[str, Any]]:
    reached = [(node, way) for node, way in ways.items() if len(way) > 1]
    return [
        {
            "kind": node.kind,
            "name": node.name,
            "owner": graph.owners.get(node, ""),
            "live": node.kind in LIVE,
            "through": [str(step) for step in way[:-1]],
        }
        for node, way in sorted(reached, key=lambda pair: (KINDS.index(pair[0].kind), pair[0].name))
    ]


def _json(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    owners = sorted({item["owner"] for item in found if item["owner"]})
    return {"affected": list(found), "owners": owners, "live": [item["name"] for item in found if item["live"]]}


def _counted(found: Sequence[Mapping[str, Any]]) -> str:
    counts = [(kind, sum(item["kind"] == kind for item in found)) for kind in KINDS]
    told = [f"{count} {kind if count == 1 else _PLURALS.get(kind, kind + 's')}" for kind, count in counts if count]
    return f"affects {', '.join(told)}" if told else "nothing depends on it"


_PLURALS: Final = {"entity": "entities", "alias": "aliases"}


def _table(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [(item["kind"], item["name"], item["owner"], item["through"][-1]) for item in found]
    return Table(("kind", "affected", "owner", "through"), rows)


def _of_edits(stack: Stack, graph: Graph, path: Path) -> Outcome:
    from stackwright_features.code import collect_in_child

    if not path.is_file():
        raise UsageError(str(path), "no such file", "Give an edited feature file.")
    made = edits(stack.definitions, collect_in_child(path))
    found = _affected(graph, graph.affected([edit.node for edit in made]))
    direct = [str(edit.node) for edit in made]
    live = [item["name"] for item in found if item["live"]]
    data = {"changed": direct, "edits": [_edit(edit) for edit in made], **_json(found)}
    things = "1 thing" if len(made) == 1 else f"{len(made)} things"
    title = f"{path} changes nothing that is in force" if not made else f"{path} changes {things}: "
    title += _counted(found) if made else ""
    tables = (Table(("changed", "how"), [(str(edit.node), edit.how) for edit in made]), _table(found))
    notes = (f"Live: {', '.join(live)}. Give the change a new version instead.",) if live else ()
    return Outcome(title, data, tables, notes, ok=not live)


def _edit(edit: Edit) -> dict[str, str]:
    return {"kind": edit.node.kind, "name": edit.node.name, "how": edit.how}

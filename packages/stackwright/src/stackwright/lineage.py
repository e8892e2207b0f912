"""Lineage: what depends on what, from the files that rows came from to the endpoints that answer.

::

    source ─► view ─► feature ─► service ─► model ─► alias ─► endpoint
    entity ─► view, target          target ─► model
    source ─► model (of a recommender, which learns from interactions)
              view ─► computed view         view ─► import (another team's project)

A window depends on the columns it reads, a transform on its inputs, a computed view on every column of its inputs, and
an import on every feature of its view, since the catalogue does not say which are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stackwright_interfaces.definitions import Definitions, FeatureService, FeatureView, Selection

KINDS: Final = (
    "source", "entity", "view", "feature", "service", "target", "model", "alias", "endpoint", "import",
)  # fmt: skip
"""Kinds of node, in the order of the flow."""

CHAMPION: Final = "champion"


class Node(NamedTuple):
    """Something that others depend on.

    Args:
        kind: one of :data:`KINDS`.
        name: ``homes@1``, ``homes@1:area``, ``valuation@3``, ``valuation@champion``, ``POST /predict/valuation``, ...
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Published(NamedTuple):
    """A version of a model, as far as lineage goes.

    Args:
        ref: ``name@version``.
        service: the service it reads, ``name@version``; of a recommender that of its sessions, empty where it has none.
        target: the target it learned from; empty of a recommender.
        aliases: the aliases that point to it.
        owner: who owns it.
        live: the alias that is served.
        sources: where the interactions and items of a recommender lie; empty of any other model.
    """

    ref: str
    service: str
    target: str
    aliases: tuple[str, ...] = ()
    owner: str = ""
    live: str = CHAMPION
    sources: tuple[str, ...] = ()


@dataclass
class Graph:
    """What depends on what.

    Args:
        dependents: node → those that depend on it at once, in the order they were added.
        owners: node → who owns it.
    """

    dependents: dict[Node, dict[Node, None]] = field(default_factory=dict)
    owners: dict[Node, str] = field(default_factory=dict)

    def add(self, node: Node, *needs: Node, owner: str = "") -> None:
        """Take note of a node and what it depends on."""
        self.dependents.setdefault(node, {})
        if owner:
            self.owners[node] = owner
        for need in needs:
            self.dependents.setdefault(need, {})[node] = None

    def affected(self, changed: Iterable[Node]) -> dict[Node, tuple[Node, ...]]:
        """Return what depends on these, directly or not, with a shortest way there; they themselves first."""
        ways: dict[Node, tuple[Node, ...]] = {node: (node,) for node in changed if node in self.dependents}
        waiting = list(ways)
        for node in waiting:
            for dependent in self.dependents[node]:
                if dependent not in ways:
                    ways[dependent] = (*ways[node], dependent)
                    waiting.append(dependent)
        return ways

    def named(self, name: str) -> list[Node]:
        """Return the nodes that a name can mean: in full, or without its version, view or service."""
        full = [node for node in self.dependents if node.name == name]
        return full or [node for node in self.dependents if node.kind in _SHORT and name in _shorter(node)]


_SHORT: Final = frozenset({"source", "view", "feature", "service", "model", "import"})


def _shorter(node: Node) -> set[str]:
    """Return the shorter names of a node."""
    match node.kind:
        case "feature":
            home, _, feature = node.name.partition(":")
            return {feature, f"{_bare(home)}:{feature}"}
        case "source":
            return {node.name.rpartition("/")[2]}
    return {_bare(node.name)}


def _bare(ref: str) -> str:
    return ref.rpartition("@")[0] or ref


def graph_of(
    definitions: Definitions,
    models: Sequence[Published] = (),
    sources: Mapping[str, Iterable[str]] | None = None,
    imports: Mapping[str, Iterable[tuple[str, str]]] | None = None,
) -> Graph:
    """Return what depends on what.

    Args:
        definitions: the applied definitions.
        models: published versions.
        sources: view reference → files, tables and URLs its rows came from, beside its declared location.
        imports: view reference → (project, owner) of other teams that read it.
    """
    graph = Graph()
    for entity in definitions.entities:
        graph.add(Node("entity", entity.name), owner=entity.owner)
    for view in definitions.views:
        _add_view(graph, view, (sources or {}).get(view.ref, ()))
        for project, owner in (imports or {}).get(view.ref, ()):
            read = (feature_of(view, item.name) for item in view.features)
            graph.add(Node("import", project), Node("view", view.ref), *read, owner=owner)
    for target in definitions.targets:
        graph.add(Node("target", target.name), Node("entity", target.entity.name), owner=target.owner)
    for service in definitions.services:
        _add_service(graph, service)
    for model in models:
        _add_model(graph, model)
    return graph


def _add_view(graph: Graph, view: FeatureView, sources: Iterable[str]) -> None:
    node = Node("view", view.ref)
    graph.add(node, Node("entity", view.entity.name), owner=view.owner)
    for source in dict.fromkeys([*([view.source.location] if view.source.location else []), *sources]):
        graph.add(Node("source", source))
        graph.add(node, Node("source", source))
    for needed in view.computed.inputs if view.computed else ():
        graph.add(node, *(feature_of(needed, column.name) for column in needed.fields))
    for column in view.fields:
        graph.add(feature_of(view, column.name), node, owner=view.owner)
    for window in view.windows:
        read = [feature_of(view, name) for name in window.columns] or [node]
        graph.add(feature_of(view, window.name), *read, owner=view.owner)


def feature_of(view: FeatureView, name: str) -> Node:
    """Return the node of a column or window of a view."""
    return Node("feature", f"{view.ref}:{name}")


def _add_service(graph: Graph, service: FeatureService) -> None:
    node = Node("service", service.ref)
    graph.add(node, *used_by(service), owner=service.owner)
    given = {
        selection.prefix + name: feature_of(selection.view, name)
        for selection in service.selections
        for name in selection.features
    }
    for step in service.transforms:
        computed = Node("feature", f"{service.ref}:{step.name}")
        graph.add(computed, *(given[name] for name in step.inputs if name in given), owner=step.owner or service.owner)
        graph.add(node, computed)
        given[step.name] = computed


def used_by(service: FeatureService) -> tuple[Node, ...]:
    """Return the features of views that a service reads: those it selects, and those it derives keys from."""
    chosen = [feature_of(item.view, name) for item in service.selections for name in item.features]
    return tuple(dict.fromkeys([*chosen, *_derived_keys(service.selections)]))


def _derived_keys(selections: Sequence[Selection]) -> Iterator[Node]:
    views = {selection.view.name: selection.view for selection in selections}
    for selection in selections:
        for source in selection.key_sources:
            view, dot, name = source.partition(".")
            if dot and view in views:
                yield feature_of(views[view], name)


def _add_model(graph: Graph, model: Published) -> None:
    node, name = Node("model", model.ref), _bare(model.ref)
    read = {"service": (model.service,), "target": (model.target,), "source": model.sources}
    graph.add(node, *(Node(kind, name) for kind, names in read.items() for name in names if name), owner=model.owner)
    paths = (f"/recommend/{name}",) if model.sources else (f"/predict/{name}", f"/v2/models/{name}/infer")
    for alias in model.aliases:
        graph.add(Node("alias", f"{name}@{alias}"), node)
        if alias == model.live:
            for path in paths:
                graph.add(Node("endpoint", f"POST {path}"), Node("alias", f"{name}@{alias}"))

"""Drawings of a stack and of what depends on what, as SVG with words beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from stackwright.lineage import KINDS, Graph, Node
from stackwright_console.page import to
from stackwright_models.charts import figure, table

_BOX_WIDTH: Final = 150
_BOX_HEIGHT: Final = 46
_ACROSS: Final = 190
_DOWN: Final = 78
_MOST: Final = 14
"""Nodes drawn of a kind: more could not be read."""
_LONGEST: Final = 22
_SHAPE: Final = 'rx="6" fill="none" stroke="currentColor" stroke-opacity=".55"'


class Part(NamedTuple):
    """A part of the stack: where it is drawn, in columns and lines, and what it gives to which slots."""

    column: int
    line: int
    gives: Mapping[str, str]


_PARTS: Final[Mapping[str, Part]] = {
    "stream": Part(0, 0, {"offline": "events", "feature_store": "events"}),
    "catalogue": Part(0, 2, {"offline": "definitions", "feature_store": "definitions"}),
    "offline": Part(1, 1, {"online": "rows", "trainer": "history"}),
    "feature_store": Part(1, 1, {"trainer": "history", "server": "features"}),
    "online": Part(2, 0, {"server": "features"}),
    "trainer": Part(2, 2, {"registry": "versions"}),
    "compute": Part(1, 3, {"trainer": "workers"}),
    "registry": Part(3, 2, {"server": "champions"}),
    "server": Part(4, 1, {"journal": "answers"}),
    "journal": Part(5, 1, {"monitor": "answers and truths"}),
    "monitor": Part(5, 2, {}),
}


def stack(parts: Mapping[str, str]) -> str:
    """Return a stack as its blueprint draws it.

    Args:
        parts: slot → names of adapters, as text.
    """
    drawn = {slot: _PARTS[slot] for slot in parts if slot in _PARTS}
    if not drawn:
        return ""
    links = [
        (slot, other, said) for slot, part in drawn.items() for other, said in part.gives.items() if other in drawn
    ]
    left, top = (min(edge) for edge in zip(*((part.column, part.line) for part in drawn.values()), strict=True))
    places = {
        slot: (10 + (part.column - left) * _ACROSS, 10 + (part.line - top) * _DOWN) for slot, part in drawn.items()
    }
    arrows = "".join(_arrow(places[start], places[end]) for start, end, _ in links)
    boxes = "".join(_box(places[slot], slot.replace("_", " "), parts[slot]) for slot in drawn)
    described = "; ".join(f"{start} gives {said} to {end}" for start, end, said in links)
    width = max(across for across, _ in places.values()) + _BOX_WIDTH + 10
    height = max(down for _, down in places.values()) + _BOX_HEIGHT + 20
    numbers = table(("slot", "adapter"), list(parts.items()))
    return figure("The stack", f"{described}.", _TIP + arrows + boxes, numbers, width=width, height=height)


_TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" fill="currentColor" fill-opacity=".6"/></marker></defs>'
)


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        down = end[1] > start[1]
        across = start[0] + _BOX_WIDTH / 2
        points: tuple[float, ...] = (
            across,
            start[1] + (_BOX_HEIGHT if down else 0),
            across,
            end[1] + (0 if down else _BOX_HEIGHT),
        )
    else:
        right = end[0] > start[0]
        points = (
            start[0] + (_BOX_WIDTH if right else 0),
            start[1] + _BOX_HEIGHT / 2,
            end[0] + (0 if right else _BOX_WIDTH),
            end[1] + _BOX_HEIGHT / 2,
        )
    places = 'x1="{}" y1="{}" x2="{}" y2="{}"'.format(*points)
    return f'<line {places} stroke="currentColor" stroke-opacity=".6" marker-end="url(#tip)"/>'


def _box(place: tuple[int, int], above: str, name: str) -> str:
    left, top = place
    return (
        f'<rect x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" {_SHAPE}/>'
        f'<text x="{left + 10}" y="{top + 18}" fill-opacity=".75">{escape(above)}</text>'
        f'<text x="{left + 10}" y="{top + 35}" font-size="13" font-weight="600">{escape(_short(name))}</text>'
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def page_of(node: Node) -> str:
    """Return the path of the page that a node leads to."""
    return to("lineage", kind=node.kind, name=node.name)


def lineage(graph: Graph, nodes: Sequence[Node]) -> str:
    """Return nodes in columns by kind, with lines between those that depend on each other; each leads to its own page.

    Args:
        nodes: what is drawn; the first is what was asked for.
    """
    columns = [(kind, [node for node in nodes if node.kind == kind]) for kind in KINDS]
    columns = [(kind, found) for kind, found in columns if found]
    places: dict[Node, tuple[int, int]] = {}
    more = []
    for column, (kind, found) in enumerate(columns):
        kept = sorted(found, key=lambda node: node != nodes[0])[:_MOST]
        places |= {node: (10 + column * _ACROSS, 34 + line * 40) for line, node in enumerate(kept)}
        if len(found) > _MOST:
            more.append(f"{len(found) - _MOST} more of kind {kind} are not drawn")
    lines = "".join(
        _thread(places[node], places[other])
        for node in places
        for other in graph.dependents.get(node, ())
        if other in places
    )
    heads = "".join(
        f'<text x="{10 + column * _ACROSS}" y="18" fill-opacity=".75">{kind}</text>'
        for column, (kind, _) in enumerate(columns)
    )
    boxes = "".join(_node(node, place, chosen=node == nodes[0]) for node, place in places.items())
    width = 10 + max(len(columns), 1) * _ACROSS
    height = max((top for _, top in places.values()), default=0) + 50
    described = f"What {nodes[0]} comes from stands left of it, what depends on it right. " + ". ".join(more)
    numbers = table(("kind", "name", "owner"), [(*node, graph.owners.get(node, "")) for node in nodes])
    title = f"Lineage of {nodes[0]}"
    drawing = lines + heads + boxes
    return figure(title, described.strip(), drawing, numbers, width=width, height=height, role="group")


def _thread(start: tuple[int, int], end: tuple[int, int]) -> str:
    left, right = start[0] + _BOX_WIDTH, end[0]
    top, bottom = start[1] + 14, end[1] + 14
    bend = (left + right) / 2
    path = f"M{left} {top} C{bend} {top} {bend} {bottom} {right} {bottom}"
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".35"/>'


def _node(node: Node, place: tuple[int, int], *, chosen: bool) -> str:
    left, top = place
    weight = "700" if chosen else "400"
    return (
        f'<a href="{escape(page_of(node))}"><title>{escape(str(node))}</title>'
        f'<rect x="{left}" y="{top}" width="{_BOX_WIDTH}" height="28" {_SHAPE}/>'
        f'<text x="{left + 8}" y="{top + 18}" font-weight="{weight}">{escape(_short(node.name))}</text></a>'
    )

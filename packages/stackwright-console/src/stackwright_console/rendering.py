"""Pages as HTML."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stackwright.workflows.outcome import Table, show
from stackwright_console.page import Link, Page, State

NAVIGATION: Final = (
    Link("Stack", "/"), Link("Features", "/features"), Link("Runs", "/runs"), Link("Models", "/models"),
    Link("Lineage", "/lineage"), Link("Monitors", "/monitors"), Link("Playground", "/playground"),
)  # fmt: skip

_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)")
_GOOD: Final = frozenset({"ok", "green", "finished", "succeeded"})
_BAD: Final = frozenset({"alarm", "red", "failed"})


def render(page: Page, *, unlocked: bool, can_unlock: bool) -> str:
    """Return a page as an HTML document."""
    template = _environment().get_template("page.html")
    return template.render(page=page, navigation=NAVIGATION, unlocked=unlocked, can_unlock=can_unlock)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stackwright_console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"shown": shown, "tone": tone, "drawn": Markup, "figures": figures}
    environment.tests |= {"link": lambda cell: isinstance(cell, Link), "state": lambda cell: isinstance(cell, State)}
    return environment


def tone(state: str) -> str:
    """Return how a state is coloured: ``good``, ``bad``, or neither."""
    word = state.partition(":")[0]
    return "good" if word in _GOOD else "bad" if word in _BAD else "plain"


def shown(cell: Any) -> str:
    """Return a cell as it is written; an instant without the letters that only machines need."""
    text = show(cell)
    found = _INSTANT.fullmatch(text)
    return f"{found[1]} {found[2]} UTC" if found else text


def figures(table: Table) -> list[bool]:
    """Return which columns hold nothing but numbers, so that they are set under one another."""
    columns = zip(*table.rows, strict=True)
    return [any(map(_is_number, column)) and all(map(_is_number_or_none, column)) for column in columns]


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _is_number_or_none(cell: Any) -> bool:
    return cell is None or _is_number(cell)

"""Pages as HTML."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stackwright.workflows.outcome import show
from stackwright_console.page import Link, Page, State

NAVIGATION: Final = (
    Link("Stack", "/"), Link("Features", "/features"), Link("Runs", "/runs"), Link("Models", "/models"),
    Link("Lineage", "/lineage"), Link("Monitors", "/monitors"), Link("Playground", "/playground"),
)  # fmt: skip

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
    environment.filters |= {"show": show, "tone": tone, "drawn": Markup}
    environment.tests |= {"link": lambda cell: isinstance(cell, Link), "state": lambda cell: isinstance(cell, State),
                          "figure": _is_number}  # fmt: skip
    return environment


def tone(state: str) -> str:
    """Return how a state is coloured: ``good``, ``bad``, or neither."""
    word = state.partition(":")[0]
    return "good" if word in _GOOD else "bad" if word in _BAD else "plain"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)

"""Every verb with its usage, arguments and options, from the parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any

from pages.cells import cell, table
from stackwright.cli.verbs import VERBS


def verbs(guide: str) -> Iterator[str]:
    """Give the page of all verbs.

    Args:
        guide: the text of ``docs/verbs.md``, whose sections are linked to.
    """
    explained = set(re.findall(r"^## `(.+)`$", guide, re.MULTILINE))
    yield "# Verbs and their options\n"
    yield (
        "What `stackwright VERB --help` says. Every verb takes `--json`, which prints the result as JSON. Verbs "
        "on a project take `--project DIR` (default: here) and `--env NAME`, which lays `[env.NAME]` over the "
        "blueprint (default: the environment variable `STACKWRIGHT_ENV`). Exit codes: 0 done, 1 a problem was "
        "found, 2 usage, 130 interrupted.\n"
    )
    for verb in VERBS:
        yield f"## `{verb.name}`\n"
        more = f" [More](../verbs.md#{verb.name.replace(' ', '-')})" if verb.name in explained else ""
        text = verb.description or f"{verb.summary[0].upper()}{verb.summary[1:]}."
        yield f"{text}{more}\n"
        recorded = _Recorder()
        verb.configure(recorded)
        if recorded.own:
            rows = [(f"`{cell(_written(action))}`", cell(action.help)) for action in recorded.own]
            yield from table(("argument", "what it says"), rows)


class _Recorder(argparse.ArgumentParser):
    """Keeps what is added to it."""

    def __init__(self) -> None:
        self.own: list[argparse.Action] = []
        super().__init__(add_help=False)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self.own.append(super().add_argument(*names, **options))
        return self.own[-1]


def _written(action: argparse.Action) -> str:
    """Return an argument as one writes it."""
    name = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"[{name}]" if action.nargs == "?" else f"[{name} ...]" if action.nargs == "*" else f"{name}"
    return action.option_strings[0] if action.nargs == 0 else f"{action.option_strings[0]} {name}"

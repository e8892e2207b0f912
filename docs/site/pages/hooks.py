"""What a plugin may implement, what an adapter may declare, and the contracts with their versions."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from concurrent.futures import Executor
from types import FunctionType

from pages.cells import prose, table
from stackwright.assembly.plan import SLOTS
from stackwright_interfaces import compute, plugin
from stackwright_interfaces.contracts import in_force
from stackwright_interfaces.plugin import Capability


def hooks() -> Iterator[str]:
    """Give the page of hooks, contracts and capabilities."""
    yield "# Hooks, contracts and capabilities\n"
    yield "What a plugin's module may implement. [How to write one](../plugins.md).\n"
    yield "## Hooks\n"
    found = [
        (name, item)
        for name, item in vars(plugin).items()
        if name.startswith("stackwright_") and inspect.isfunction(item)
    ]
    yield from table(("hook", "gives", "what it does, and when"), [_hook(name, item) for name, item in found])
    yield "## Contracts\n"
    yield (
        "What an adapter of each slot implements, a class of `stackwright_interfaces`, and the version in force;"
        " [how a contract changes](../contracts.md).\n"
    )
    rows = [
        (
            f"`{slot}`",
            f"`{contract.__module__.removeprefix('stackwright_interfaces.').removesuffix('._base')}.{contract.__name__}`",
            str(in_force(contract)),
            _first(compute if contract is Executor else contract),
        )
        for slot, contract in SLOTS.items()
    ]
    yield from table(("slot", "contract", "version", "what it is"), rows)
    yield "## Capabilities\n"
    yield "What an adapter may declare beyond its contract; the kit tests a declaration in both directions.\n"
    yield from table(("capability", "what the adapter does", "protocol"), _capabilities())


def _hook(name: str, function: FunctionType) -> tuple[str, str, str]:
    given = re.sub(r"^Iterable\[(\w+)\]$", r"`\1`s", inspect.get_annotations(function)["return"])
    return f"`{name}`", given, prose(inspect.getdoc(function) or "")


def _first(of: object) -> str:
    return prose((inspect.getdoc(of) or "").partition("\n\n")[0])


def _capabilities() -> Iterator[tuple[str, str, str]]:
    """Give each capability with the text that stands beneath it, which no object keeps."""
    (body,) = [node.body for node in ast.parse(inspect.getsource(Capability)).body if isinstance(node, ast.ClassDef)]
    for name, text in zip(body[1::2], body[2::2], strict=True):
        assert isinstance(name, ast.Assign)
        assert isinstance(text, ast.Expr)
        says, _, protocol = ast.literal_eval(text.value).removesuffix(".").rpartition(" (")
        yield f"`{Capability[name.targets[0].id].value}`", says, prose(protocol.removesuffix(")"))

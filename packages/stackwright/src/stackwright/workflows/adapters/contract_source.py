"""A contract's class, read for those who implement it: what is abstract, how it is written, what it names."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Method:
    """A method of a contract.

    Args:
        name: of the method.
        header: ``def ...:`` as the contract writes it, without indentation.
        summary: the first paragraph of its docstring.
    """

    name: str
    header: str
    summary: str


class ContractSource:
    """What a contract's class says to those who implement it.

    Args:
        contract: a class of a module that is written in Python.
    """

    def __init__(self, contract: type) -> None:
        self.contract = contract
        module = import_module(contract.__module__)
        self._text = inspect.getsource(module).splitlines()
        self._tree = ast.parse(inspect.getsource(module))
        self._class = next(
            node for node in self._tree.body if isinstance(node, ast.ClassDef) and node.name == contract.__name__
        )

    def methods(self) -> Iterator[Method]:
        """Give what must be implemented, in order; where nothing is abstract, every public method."""
        for node in self._functions():
            header = "\n".join(self._text[node.lineno - 1 : node.body[0].lineno - 1])
            summary = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
            yield Method(node.name, textwrap.dedent(header), summary)

    def imports(self) -> Mapping[str, str]:
        """Return the names that the headers of the methods use → the modules to import them from."""
        origins = {
            (alias.asname or alias.name): node.module or ""
            for node in self._tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        used = {
            name.id
            for node in self._functions()
            for part in (node.args, node.returns)
            if part is not None
            for name in ast.walk(part)
            if isinstance(name, ast.Name) and not hasattr(builtins, name.id)
        }
        return {name: origins.get(name, self.contract.__module__) for name in sorted(used)}

    def _functions(self) -> Iterator[ast.FunctionDef]:
        abstract: frozenset[str] = getattr(self.contract, "__abstractmethods__", frozenset())
        for node in self._class.body:
            if isinstance(node, ast.FunctionDef) and (node.name in abstract or not (abstract or node.name[0] == "_")):
                yield node

"""The source of functions and classes, without what changes no result."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeAlias, cast

from stackwright_interfaces.definitions import computed, transform
from stackwright_interfaces.project.source import drop_docstring

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda

_OURS = (computed, transform)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class SourceFiles:
    """The syntax trees of files, each parsed once."""

    def __init__(self) -> None:
        self._trees: dict[str, ast.Module] = {}

    def function(self, function: FunctionType) -> Definition | None:
        """The definition of a function; ``None`` if it is not found, or two lambdas share its line."""
        code = function.__code__
        found = [
            node
            for node in ast.walk(self._tree(code.co_filename))
            if _is_called(node, code.co_name) and _first_line(node) == code.co_firstlineno
        ]
        return cast("Definition", found[0]) if len(found) == 1 else None

    def class_(self, file: str, class_: type) -> Definition | None:
        """The definition of a class; ``None`` if it is not found at the top of the file."""
        nodes: list[ast.stmt] = self._tree(file).body
        found: ast.ClassDef | None = None
        for part in class_.__qualname__.split("."):
            found = next((node for node in nodes if isinstance(node, ast.ClassDef) and node.name == part), None)
            if found is None:
                return None
            nodes = found.body
        return found

    def _tree(self, file: str) -> ast.Module:
        if file not in self._trees:
            self._trees[file] = ast.parse(Path(file).read_bytes())
        return self._trees[file]


def bare(definition: Definition, names: Mapping[str, Any]) -> ast.AST:
    """Return a definition without docstrings, the annotations of functions, and our decorators.

    Args:
        definition: the definition.
        names: its globals, which say what a decorator is.
    """
    tree: ast.AST = ast.fix_missing_locations(_Bare(names).visit(deepcopy(definition)))
    return tree


def names_read(node: ast.AST, code: CodeType | None) -> set[str]:
    """Return the names that may be globals.

    Args:
        node: a definition.
        code: its code, if it is a function's: a name that is only local is left out.
    """
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    if code is None:
        return names
    decorators = {
        part.id
        for decorator in getattr(node, "decorator_list", [])
        for part in ast.walk(decorator)
        if isinstance(part, ast.Name)
    }
    return names & (_code_names(code) | set(code.co_freevars) | decorators)


def attributes_read(node: ast.AST) -> frozenset[str]:
    """Return the names of all attributes."""
    return frozenset(part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute))


def modules_imported(node: ast.AST) -> set[str]:
    """Return the top names of the modules that are imported inside."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in part.names}
        elif isinstance(part, ast.ImportFrom):
            found.add((part.module or "").partition(".")[0])
    return found


def _is_called(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Lambda) if name == "<lambda>" else isinstance(node, _FUNCTIONS) and node.name == name


def _first_line(node: Any) -> int:
    lines: list[int] = [node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]
    return min(lines)


def _code_names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_code_names(part) for part in inner))


class _Bare(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        drop_docstring(node)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if not self._depth:
            return self.generic_visit(node)
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def _function(self, node: Any) -> ast.AST:
        node.returns = None
        node.decorator_list = [item for item in node.decorator_list if not self._is_ours(item)]
        drop_docstring(node)
        self._depth += 1
        visited = self.generic_visit(node)
        self._depth -= 1
        return visited

    def _is_ours(self, decorator: ast.expr) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute):
            return called.attr in {decorate.__name__ for decorate in _OURS}
        return isinstance(called, ast.Name) and any(self._names.get(called.id) is decorate for decorate in _OURS)

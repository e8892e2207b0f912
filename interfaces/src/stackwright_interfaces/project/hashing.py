"""The hash of a module of the project and of the project's code that it imports. Nothing is run for it.

It covers the source of the module, of every module of the project that it imports, and of those that these import:
without comments, layout and docstrings, in one wording on every version of Python. Installed code counts by its name
alone. So code that is not the code a model was trained with is refused before its first line.
"""

from __future__ import annotations

import ast
from hashlib import sha256
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import ProjectError
from stackwright_interfaces.project.modules import Project
from stackwright_interfaces.project.source import drop_docstring, source_of

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def module_hash(project: Project, module: str, *, late: bool = False) -> str:
    """Return the SHA-256 (hex) of a module and of the project's code that it imports.

    Args:
        project: where the modules lie.
        module: its dotted name.
        late: whether functions may import modules of the project. They may not where they are called when the
            project's folder is no longer on the path.

    Raises:
        ProjectError: there is no such module, a file cannot be parsed, or a function imports one of the project.
    """
    project.file_of(module)
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        for name in _with_parents(waiting.pop()):
            path = project.find(name)
            if path is not None and name not in sources:
                tree = _parse(project, path)
                waiting += _imports(project, tree, path, name, late=late)
                sources[name] = _without_docstrings(tree)
    return digest(*(part for item in sorted(sources.items()) for part in item))


def digest(*parts: str) -> str:
    """Return the SHA-256 (hex) of texts, told apart by their lengths."""
    hashed = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


def _parse(project: Project, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        where = f"{project.shown(path)}:{getattr(error, 'lineno', 1)}"
        failure = project.failure(error, where)
        raise ProjectError(where, failure.found, failure.todo) from error


def _imports(project: Project, tree: ast.Module, path: Path, module: str, *, late: bool) -> list[str]:
    inside = {
        id(node) for function in ast.walk(tree) if isinstance(function, _FUNCTIONS) for node in ast.walk(function)
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(tree):
        names = [name for name in _imported(node, package) if project.find(name) is not None]
        if names and id(node) in inside and not late:
            where = f"{project.shown(path)}:{getattr(node, 'lineno', 1)}"
            todo = "Import it at the top of the file."
            raise ProjectError(where, f"a function imports {names[0]!r} of the project", todo)
        found += names
    return found


def _imported(node: ast.AST, package: str) -> list[str]:
    """Return the modules that an import may name: of ``from a import b`` both ``a`` and ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])]).strip(".")
    return [name for name in (base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)) if name]


def _with_parents(module: str) -> list[str]:
    """Return a module and the packages that are imported with it."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            drop_docstring(node)
    return source_of(tree)

"""The project's own modules: found, hashed without being run, and imported.

The hash of a module covers its source and that of every module of the project that it imports, and that these import:
without comments, layout and docstrings. Installed code counts by its name alone. Nothing is run for it, so code that is
not the code a model was trained with is refused before its first line.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module, invalidate_caches
from pathlib import Path
from threading import RLock
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final

from stackwright_interfaces.errors import ProjectError, did_you_mean

_IMPORTING: Final = RLock()
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Project:
    """The modules of a project folder.

    Args:
        folder: the folder; ``my_model`` is ``my_model.py`` or ``my_model/__init__.py`` in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._loaded: dict[str, ModuleType] = {}

    def code(self, module: str) -> str:
        """Return the SHA-256 (hex) of a module and of the project's code that it imports.

        Raises:
            ProjectError: there is no such module, a file cannot be parsed, or a function imports one of the project.
        """
        files: dict[str, str] = {}
        waiting = [module]
        self._file_of(module)
        while waiting:
            for name in _with_parents(waiting.pop()):
                path = self._find(name)
                if path is not None and name not in files:
                    tree = self._parse(path)
                    waiting += self._imports(tree, path, name)
                    files[name] = _source(tree)
        hashed = sha256()
        for name, source in sorted(files.items()):
            for part in (name, source):
                data = part.encode("utf-8", "surrogatepass")
                hashed.update(len(data).to_bytes(8, "big") + data)
        return hashed.hexdigest()

    def load(self, reference: str) -> Any:
        """Import a module of the project anew, and return what ``module:name`` names in it.

        Raises:
            ProjectError: the reference is none, the module is not there or fails, or has no such name.
        """
        module, _, name = reference.partition(":")
        if not module or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
            raise ProjectError(f"class {reference!r}", "not of the form module:Class", 'Write "my_model:MyModel".')
        self._file_of(module)
        self._loaded = {}
        with self.importable():
            invalidate_caches()
            try:
                found: Any = import_module(module)
            except (Exception, SystemExit) as error:
                raise ProjectError(self.place(error, module), _what(error), _todo(error)) from error
        for part in name.split("."):
            if not hasattr(found, part):
                known = [key for key, value in vars(found).items() if isinstance(value, type)]
                todo = did_you_mean(part, known) or f"Classes there: {', '.join(known) or 'none'}."
                raise ProjectError(self._shown(self._file_of(module)), f"there is no {part!r}", todo)
            found = getattr(found, part)
        return found

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let the project's modules be imported, as this object loaded them; others are put back afterwards."""
        with _IMPORTING:
            kept = self._own_modules()
            written = sys.dont_write_bytecode
            for name in kept:
                del sys.modules[name]
            sys.modules.update(self._loaded)
            sys.path.insert(0, str(self.folder))
            sys.dont_write_bytecode = True
            try:
                yield
            finally:
                sys.dont_write_bytecode = written
                sys.path.remove(str(self.folder))
                self._loaded = self._own_modules()
                for name in self._loaded:
                    del sys.modules[name]
                sys.modules.update(kept)

    def loaded(self, reference: str) -> Any:
        """Return what ``module:name`` names among the modules that this object has imported, or ``None``."""
        module, _, name = reference.partition(":")
        found: Any = self._loaded.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return found

    def place(self, error: BaseException, otherwise: str) -> str:
        """Return file and line of the project's code where an error came up, or a text where none of it did."""
        if isinstance(error, SyntaxError) and error.filename:
            return f"{self._shown(Path(error.filename))}:{error.lineno}"
        frames = [frame for frame in extract_tb(error.__traceback__) if self._is_own(frame.filename)]
        return f"{self._shown(Path(frames[-1].filename))}:{frames[-1].lineno}" if frames else otherwise

    def _own_modules(self) -> dict[str, ModuleType]:
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            ours = name == "__main__" or name.startswith("stackwright")
            if not ours and isinstance(file, str) and self._is_own(file):
                found[name] = module
        return found

    def _is_own(self, file: str) -> bool:
        if not file.startswith(str(self.folder)) or not Path(file).is_relative_to(self.folder):
            return False
        parts = Path(file).relative_to(self.folder).parts
        return not any(part in ("site-packages", "dist-packages") or part.startswith(".") for part in parts)

    def _find(self, module: str) -> Path | None:
        place = self.folder.joinpath(*module.split("."))
        return next(
            (path for path in (place.with_name(f"{place.name}.py"), place / "__init__.py") if path.is_file()), None
        )

    def _file_of(self, module: str) -> Path:
        path = self._find(module)
        if path is None:
            known = sorted(path.stem for path in self.folder.glob("*.py"))
            todo = did_you_mean(module, known) or f"Write it as {module.replace('.', '/')}.py in {self.folder}."
            raise ProjectError(f"module {module!r}", f"the project {self.folder.name!r} has no such module", todo)
        return path

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)

    def _parse(self, path: Path) -> ast.Module:
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", 1)
            raise ProjectError(f"{self._shown(path)}:{line}", _what(error), "Correct the line.") from error

    def _imports(self, tree: ast.Module, path: Path, module: str) -> list[str]:
        inside = {
            id(node) for function in ast.walk(tree) if isinstance(function, _FUNCTIONS) for node in ast.walk(function)
        }
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found = []
        for node in ast.walk(tree):
            names = [name for name in _imported(node, package) if self._find(name) is not None]
            if names and id(node) in inside:
                where = f"{self._shown(path)}:{getattr(node, 'lineno', 1)}"
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


def _source(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.body and _is_text(node.body[0]):
            node.body[:1] = [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _what(error: BaseException) -> str:
    said = error.msg if isinstance(error, SyntaxError) else error  # its place is told already
    return f"{type(error).__name__}: {said}"


def _todo(error: BaseException) -> str:
    return "Install it, or correct the import." if isinstance(error, ModuleNotFoundError) else "Correct the line."

"""Running a project's own files, and telling them from installed code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import RLock
from traceback import extract_tb
from types import ModuleType
from typing import Final

from stackwright_interfaces.errors import DefinitionError, StackwrightError

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_RUNNING: Final = RLock()
_NAME: Final = "_stackwright_project_"
_NUMBERS: Final = count(1)


def is_project_file(file: str | None, project: Path) -> bool:
    """Whether a file is a project's own: below its folder, and of no environment that lies there as well."""
    if file is None or not file.startswith(str(project)):
        return False
    path = Path(file)
    if not path.is_relative_to(project):
        return False
    parts = path.relative_to(project).parts
    if any(part in _INSTALLED or part.startswith(".") for part in parts):
        return False
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
    return not any(prefix.is_relative_to(project) and path.is_relative_to(prefix) for prefix in prefixes)


@contextmanager
def running(path: Path, project: Path) -> Iterator[ModuleType]:
    """Run a file of a project under a module name of its own.

    It imports the project's other files anew; they are among the imported modules while the context lasts.

    Raises:
        DefinitionError: it cannot be read, or fails; names file and line.
    """
    module = ModuleType(f"{_NAME}{next(_NUMBERS)}")
    module.__file__ = str(path)
    with _importable(project):
        sys.modules[module.__name__] = module
        try:
            code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 -- running the user's definitions is what this is for
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise _failure(error, path, project) from error
        yield module


def shown(path: Path, project: Path) -> str:
    """Return a path as messages have it: relative to the project."""
    return str(path.relative_to(project)) if path.is_relative_to(project) else str(path)


@contextmanager
def _importable(project: Path) -> Iterator[None]:
    with _RUNNING:
        kept = {name: module for name, module in sys.modules.items() if _is_own(module, project)}
        written = sys.dont_write_bytecode
        for name in kept:
            del sys.modules[name]
        sys.path.insert(0, str(project))
        sys.dont_write_bytecode = True
        try:
            yield
        finally:
            sys.dont_write_bytecode = written
            sys.path.remove(str(project))
            for name, module in list(sys.modules.items()):
                if _is_own(module, project):
                    del sys.modules[name]
            sys.modules.update(kept)


def _is_own(module: ModuleType, project: Path) -> bool:
    name = getattr(module, "__name__", "")
    if name == "__main__" or name.startswith(("stackwright", _NAME)):
        return False
    return is_project_file(getattr(module, "__file__", None), project)


def _failure(error: BaseException, path: Path, project: Path) -> DefinitionError:
    where = shown(path, project)
    if isinstance(error, OSError) and error.__traceback__ is not None and not path.is_file():
        return DefinitionError(where, "the file is not there", "Name the file that holds the definitions.")
    if isinstance(error, SyntaxError) and error.filename is not None:
        return DefinitionError(f"{shown(Path(error.filename), project)}:{error.lineno}", error.msg, "Correct the line.")
    lines = [frame for frame in extract_tb(error.__traceback__) if is_project_file(frame.filename, project)]
    if lines:
        where = f"{shown(Path(lines[-1].filename), project)}:{lines[-1].lineno}"
    if isinstance(error, StackwrightError):
        return DefinitionError(f"{where}: {error.where}", error.found, error.todo)
    todo = "Install it, or correct the import." if isinstance(error, ModuleNotFoundError) else "Correct the line."
    return DefinitionError(where, f"{error.__class__.__name__}: {error}", todo)

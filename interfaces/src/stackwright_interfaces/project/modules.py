"""A project's own modules: told from installed code, and imported from its folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from threading import RLock
from traceback import extract_tb, walk_tb
from types import ModuleType
from typing import Final

from stackwright_interfaces.errors import ProjectError, did_you_mean

_IMPORTING: Final = RLock()
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_NOT_OWN: Final = ("stackwright", "_stackwright")


class Project:
    """The modules of a project folder.

    Args:
        folder: the folder; ``my_model`` is ``my_model.py`` or ``my_model/__init__.py`` in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._loaded: dict[str, ModuleType] = {}

    def owns(self, file: str | None) -> bool:
        """Return whether a file is the project's own: below its folder, and of no environment that lies there too."""
        if file is None or not file.startswith(str(self.folder)):
            return False
        path = Path(file)
        if not path.is_relative_to(self.folder):
            return False
        if any(part in _INSTALLED or part.startswith(".") for part in path.relative_to(self.folder).parts):
            return False
        prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
        return not any(prefix.is_relative_to(self.folder) and path.is_relative_to(prefix) for prefix in prefixes)

    def shown(self, path: Path) -> str:
        """Return a path as messages have it: relative to the project."""
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)

    def find(self, module: str) -> Path | None:
        """Return the file of a module of the project; ``None`` where it has none of that name."""
        place = self.folder.joinpath(*module.split("."))
        files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
        return next((path for path in files if path.is_file()), None)

    def file_of(self, module: str) -> Path:
        """Return the file of a module of the project.

        Raises:
            ProjectError: it has none of that name; names the nearest.
        """
        path = self.find(module)
        if path is None:
            known = sorted(path.stem for path in self.folder.glob("*.py"))
            todo = did_you_mean(module, known) or f"Write it as {module.replace('.', '/')}.py in {self.folder}."
            raise ProjectError(f"module {module!r}", f"the project {self.folder.name!r} has no such module", todo)
        return path

    def load(self, module: str) -> ModuleType:
        """Import a module of the project anew, with those of the project that it imports.

        Raises:
            ProjectError: it is not there, or it fails; names file and line.
        """
        self.file_of(module)
        self._loaded = {}
        with self.importable():
            try:
                return import_module(module)
            except (Exception, SystemExit) as error:
                raise self.failure(error, module) from error

    def loaded(self, module: str) -> ModuleType | None:
        """Return a module of the project that this object has imported, or ``None``."""
        return self._loaded.get(module)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let the project's modules be imported, as this object loaded them; others are put back afterwards."""
        with _IMPORTING:
            kept, written = self._imported(), sys.dont_write_bytecode
            for name in kept:
                del sys.modules[name]
            sys.modules.update(self._loaded)
            sys.path.insert(0, str(self.folder))
            sys.dont_write_bytecode = True
            invalidate_caches()
            try:
                yield
            finally:
                sys.dont_write_bytecode = written
                sys.path.remove(str(self.folder))
                self._loaded = self._imported()
                for name in self._loaded:
                    del sys.modules[name]
                sys.modules.update(kept)

    def failure(self, error: BaseException, otherwise: str) -> ProjectError:
        """Return what the project's code raised as an error that names its file and line.

        Args:
            error: what it raised.
            otherwise: the place to name where none of the project's code is to blame.
        """
        said = error.msg if isinstance(error, SyntaxError) else error  # its place is told already
        todo = "Install it, or correct the import." if isinstance(error, ModuleNotFoundError) else "Correct the line."
        return ProjectError(self.place(error, otherwise), f"{type(error).__name__}: {said}", _near(error) or todo)

    def place(self, error: BaseException, otherwise: str) -> str:
        """Return file and line of the project's code where an error came up, or a text where none of it did."""
        if isinstance(error, SyntaxError) and error.filename:
            return f"{self.shown(Path(error.filename))}:{error.lineno}"
        frames = [frame for frame in extract_tb(error.__traceback__) if self.owns(frame.filename)]
        return f"{self.shown(Path(frames[-1].filename))}:{frames[-1].lineno}" if frames else otherwise

    def _imported(self) -> dict[str, ModuleType]:
        return {
            name: module
            for name, module in list(sys.modules.items())
            if name != "__main__" and not name.startswith(_NOT_OWN) and self.owns(_file_of(module))
        }


def _near(error: BaseException) -> str:
    """Return the name that an unknown one was probably meant to be; nothing where none is near."""
    if not isinstance(error, NameError) or error.name is None or error.__traceback__ is None:
        return ""
    *_, (frame, _line) = walk_tb(error.__traceback__)
    return did_you_mean(
        error.name, [name for name in {**frame.f_globals, **frame.f_locals} if not name.startswith("__")]
    )


def _file_of(module: ModuleType) -> str | None:
    """Return a module's file; of a folder without ``__init__.py``, the folder."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    try:
        return next((str(folder) for folder in vars(module).get("__path__", ())), None)
    except (TypeError, KeyError):  # not a module at all, or one whose parent is gone
        return None

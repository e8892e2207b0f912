"""A function of the project, imported from its folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module, invalidate_caches
from pathlib import Path
from threading import RLock
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final

from stackwright_interfaces.errors import TrainingError, did_you_mean

_IMPORTING: Final = RLock()
_OPTION: Final = "option 'pipeline'"


class ProjectFunction:
    """A function of a module in the project folder, imported anew.

    Args:
        reference: ``module:function``.
        project: the folder.

    Raises:
        TrainingError: it is not there, or its module fails; names file and line.
    """

    def __init__(self, reference: str, project: Path) -> None:
        self.reference = reference
        self._project = project.resolve()
        module, _, name = reference.partition(":")
        if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise TrainingError(_OPTION, f"{reference!r} is not of the form module:function", "Write my_model:build.")
        place = self._project.joinpath(*module.split("."))
        if not place.with_suffix(".py").is_file() and not (place / "__init__.py").is_file():
            todo = did_you_mean(module, [path.stem for path in self._project.glob("*.py")])
            found = f"the project {self._project.name!r} has no module {module!r}"
            raise TrainingError(_OPTION, found, todo or f"Write {module.replace('.', '/')}.py.")
        self._modules: dict[str, ModuleType] = {}
        with self.errors(), self._importable():
            found_module = import_module(module)
        self._function: Any = getattr(found_module, name, None)
        if not callable(self._function):
            known = [key for key, value in vars(found_module).items() if callable(value)]
            todo = did_you_mean(name, known) or "Correct the name."
            raise TrainingError(_OPTION, f"{module!r} has no function {name!r}", todo)

    @property
    def code(self) -> str:
        """SHA-256 (hex) of its module and of those of the project that came along."""
        hashed = sha256()
        for name, module in sorted(self._modules.items()):
            source = Path(str(module.__file__)).read_bytes()
            hashed.update(f"{name}:{len(source)}:".encode() + source)
        return hashed.hexdigest()

    def __call__(self, call: Callable[[Any], Any]) -> Any:
        """Return what a call of the function gives.

        Raises:
            TrainingError: it fails; names file and line.
        """
        with self.errors(), self._importable():
            return call(self._function)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the project's code raises into an error that names its file and line."""
        try:
            yield
        except TrainingError:
            raise
        except (Exception, SystemExit) as error:
            lines = [f for f in extract_tb(error.__traceback__) if f.filename.startswith(f"{self._project}/")]
            where = f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else self.reference
            said = str(error)
            if isinstance(error, SyntaxError) and error.filename:
                where, said = f"{Path(error.filename).name}:{error.lineno}", error.msg
            raise TrainingError(where, f"{type(error).__name__}: {said}", "Correct the line.") from error

    @contextmanager
    def _importable(self) -> Iterator[None]:
        with _IMPORTING:
            kept, written = self._own(), sys.dont_write_bytecode
            for name in kept:
                del sys.modules[name]
            sys.modules.update(self._modules)
            sys.path.insert(0, str(self._project))
            sys.dont_write_bytecode = True
            invalidate_caches()
            try:
                yield
            finally:
                sys.dont_write_bytecode = written
                sys.path.remove(str(self._project))
                self._modules = dict(self._own())
                for name in self._modules:
                    del sys.modules[name]
                sys.modules.update(kept)

    def _own(self) -> Mapping[str, ModuleType]:
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(str(self._project)) and name != "__main__":
                parts = Path(file).relative_to(self._project).parts if Path(file).is_relative_to(self._project) else ()
                if parts and "site-packages" not in parts and not any(part.startswith(".") for part in parts):
                    found[name] = module
        return found

"""A function of the project, by ``module:function``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import ProjectError, TrainingError, did_you_mean
from stackwright_interfaces.project.hashing import module_hash
from stackwright_interfaces.project.modules import Project

_OPTION: Final = "option 'pipeline'"


class ProjectFunction:
    """A function of a module in the project folder.

    Args:
        reference: ``module:function``.
        project: the folder.

    Raises:
        TrainingError: the reference is none, or the project has no such module.
    """

    def __init__(self, reference: str, project: Path) -> None:
        self.reference = reference
        self._project = Project(project)
        self._module, _, self._name = reference.partition(":")
        if not self._name.isidentifier() or not all(part.isidentifier() for part in self._module.split(".")):
            raise TrainingError(_OPTION, f"{reference!r} is not of the form module:function", "Write my_model:build.")
        with self._errors():
            self._project.file_of(self._module)

    def code(self) -> str:
        """Return the SHA-256 (hex) of its module and of the project's code that this imports. Nothing is run for it.

        Raises:
            TrainingError: a file cannot be parsed.
        """
        with self._errors():
            return module_hash(self._project, self._module, late=True)

    def __call__(self, call: Callable[[Any], Any]) -> Any:
        """Import the function anew, and return what a call of it gives.

        Raises:
            TrainingError: it is not there, or its module or the call fails; names file and line.
        """
        with self._errors():
            module = self._project.load(self._module)
        function: Any = getattr(module, self._name, None)
        if not callable(function):
            known = [key for key, value in vars(module).items() if callable(value)]
            todo = did_you_mean(self._name, known) or "Correct the name."
            raise TrainingError(_OPTION, f"{self._module!r} has no function {self._name!r}", todo)
        with self._errors(), self._project.importable():
            return call(function)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the project's code raises into an error that names its file and line."""
        try:
            yield
        except TrainingError:
            raise
        except ProjectError as error:
            raise TrainingError(error.where, error.found, error.todo) from error
        except (Exception, SystemExit) as error:
            failure = self._project.failure(error, self.reference)
            raise TrainingError(failure.where, failure.found, failure.todo) from error

"""A user's class: what it must have, and how its methods are called.

A method asks for what it needs by the names of its parameters; rows and targets come first, under any name.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from stackwright_interfaces.errors import (
    ArtifactError,
    PredictionError,
    StackwrightError,
    TrainingError,
    did_you_mean,
)
from stackwright_interfaces.project.modules import Project
from stackwright_python.parameters import Parameters
from stackwright_python.project import load

_NEEDED: Final = ("train", "get_parameters")
_FORMS: Final = ("pandas", "numpy")
_CONFIG: Final = "config"
_EXAMPLE: Final = "def train(self, inputs, target, params, logger): ..."
_KINDS: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Hooks:
    """A class of the project, and an instance of it.

    Args:
        project: where it is found.
        reference: ``module:Class``.
        config: handed to its methods, where they ask for it.

    Raises:
        ProjectError: it is not there, or its module fails.
        TrainingError: it lacks a hook, or cannot be made.
    """

    def __init__(self, project: Project, reference: str, config: Mapping[str, Any]) -> None:
        self.project = project
        self.reference = reference
        self.config = dict(config)
        found = load(project, reference)
        if not isinstance(found, type):
            raise TrainingError(reference, f"a {type(found).__name__}, not a class", "Name the class.")
        self.kind: type = found
        self._check()
        with self.errors("__init__", TrainingError):
            self.instance = _call(self._where("__init__"), found, (), {_CONFIG: dict(config)})

    @property
    def form(self) -> Literal["pandas", "numpy"]:
        """What it takes: a DataFrame and a Series, or arrays."""
        return "numpy" if getattr(self.kind, "takes", "pandas") == "numpy" else "pandas"

    @property
    def logger(self) -> logging.Logger:
        """Where it tells what it does."""
        return logging.getLogger(self.reference.replace(":", "."))

    def has(self, hook: str) -> bool:
        """Return whether the class has a hook."""
        return callable(getattr(self.kind, hook, None))

    def parameters(self) -> Parameters:
        """Return its parameters."""
        with self.errors("get_parameters", TrainingError):
            given = self.call("get_parameters", (), {_CONFIG: self.config})
        return Parameters(given, self.config, self.reference)

    def call(self, hook: str, rows: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Call a hook with rows first and then what it asks for by name."""
        return _call(self._where(hook), getattr(self.instance, hook), rows, named)

    def takes(self, hook: str, name: str) -> bool:
        """Return whether a hook has a parameter of a name."""
        return name in inspect.signature(getattr(self.instance, hook)).parameters

    def bound(self, hook: str, model: Any) -> Callable[[Any], Any] | None:
        """Return a hook that belongs to a model, as a function of one argument.

        That is the model's own method where ``train`` returned an instance of the class, else the class's, which then
        takes the model first; ``None`` where the class has none.

        Raises:
            TrainingError: the class's method does not take the model.
        """
        if isinstance(model, self.kind):
            own: Callable[[Any], Any] | None = getattr(model, hook, None)
            return own
        if not self.has(hook):
            return None
        method: Callable[..., Any] = getattr(self.instance, hook)
        if _positional(method) < 2:
            found = f"takes no model, but train returned a {type(model).__name__}"
            raise TrainingError(self._where(hook), found, f"Write {hook}(self, model, ...), or return self from train.")
        return lambda argument: method(model, argument)

    @contextmanager
    def errors(self, hook: str, kind: type[StackwrightError]) -> Iterator[None]:
        """Turn what the class raises into an error that names its file and line."""
        try:
            yield
        except StackwrightError:
            raise
        except (Exception, SystemExit) as error:
            where = self.project.place(error, self._where(hook))
            raise kind(where, f"{type(error).__name__}: {error}", _TODO[kind]) from error

    def read(self, folder: Path) -> Any:
        """Return the model that the hook ``load`` reads from a folder: what it returns, or the instance itself.

        Raises:
            ArtifactError: it fails.
        """
        with self.errors("load", ArtifactError), self.project.importable():
            found = self.call("load", (folder,), {_CONFIG: self.config})
        return self.instance if found is None else found

    def _where(self, hook: str) -> str:
        return f"{self.reference}.{hook}"

    def _check(self) -> None:
        own = [name for name, value in inspect.getmembers(self.kind, callable) if not name.startswith("__")]
        for hook in _NEEDED:
            if not self.has(hook):
                todo = did_you_mean(hook, own) or f"Add it{f': {_EXAMPLE}' if hook == 'train' else ''}."
                raise TrainingError(self.reference, f"the class has no method {hook!r}", todo)
        for hook, other in (("save", "load"), ("load", "save")):
            if self.has(hook) and not self.has(other):
                raise TrainingError(self.reference, f"it has {hook!r} and no {other!r}", f"Add {other!r}.")
        form = getattr(self.kind, "takes", "pandas")
        if form not in _FORMS:
            raise TrainingError(f"{self.reference}.takes", f"{form!r}", f"Choose one of: {', '.join(_FORMS)}.")


_TODO: Final[Mapping[type[StackwrightError], str]] = {
    TrainingError: "Correct the line, or the data and parameters that lead there.",
    PredictionError: "Correct the line, and train again; or look at the inputs.",
    ArtifactError: "Correct load so that it reads what save wrote, and train again.",
}


def _positional(method: Callable[..., Any]) -> int:
    """Return how many arguments a method takes by position; very many where it takes any number."""
    found = inspect.signature(method).parameters.values()
    return 99 if any(item.kind is item.VAR_POSITIONAL for item in found) else sum(item.kind in _KINDS for item in found)


def _call(where: str, method: Callable[..., Any], rows: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Call a method with rows by position, and those of the named values that it has parameters for."""
    try:
        found = dict(inspect.signature(method).parameters)
    except ValueError:  # a class without __init__ of some vendors
        return method(*rows)
    names = list(found)
    if any(item.kind is item.VAR_POSITIONAL for item in found.values()):
        names = [name for name in names if found[name].kind is not inspect.Parameter.VAR_POSITIONAL]
    elif _positional(method) < len(rows):
        raise TrainingError(where, f"takes {', '.join(names) or 'nothing'}", f"Let it take {len(rows)} of rows first.")
    else:
        names = names[len(rows) :]
    anything = any(item.kind is item.VAR_KEYWORD for item in found.values())
    for name in names:
        item = found[name]
        needed = item.default is item.empty and item.kind is not item.VAR_KEYWORD
        if needed and name not in named:
            todo = did_you_mean(name, named) or f"It may ask for: {', '.join(named) or 'nothing'}."
            raise TrainingError(where, f"asks for {name!r}, which there is not", todo)
    return method(*rows, **{name: value for name, value in named.items() if anything or name in names})

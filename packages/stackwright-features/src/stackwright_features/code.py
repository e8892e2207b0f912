"""Definitions in a user's ``features.py``, and the functions of their transforms and computations.

``collect`` runs the file, so only ``apply`` does it, in a child process (:func:`collect_in_child`); whoever only needs
to know a feature reads the catalogue. :func:`load_transforms` and :func:`load_computation` run it again where the
functions are called, and refuse code that is not what was applied.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from stackwright_features.code_hash import code_hash
from stackwright_features.project_code import running
from stackwright_interfaces.catalogue import canonical, from_json, to_json
from stackwright_interfaces.definitions import (
    Computation,
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Target,
    Transform,
)
from stackwright_interfaces.errors import DefinitionError

_Named = TypeVar("_Named", Entity, FeatureView, FeatureService, Target)
_Kept = TypeVar("_Kept", Transform, Computation)


def collect(path: Path) -> Definitions:
    """Run a file, and gather the definitions at its top, also in lists, tuples and dictionaries.

    What these refer to is gathered too. Transforms get their ``function`` and ``code``, and keep their ``call``.

    Args:
        path: the file; its folder is the project's.

    Raises:
        DefinitionError: the file fails, or its definitions do not hold together; names file and line.
    """
    path = path.resolve()
    project = path.parent
    with running(path, project) as module:
        values = list(_top_values(module))
        services = [_with_code(item, module, path) for item in values if isinstance(item, FeatureService)]
        views = [item for item in values if isinstance(item, FeatureView)]
        views += [selection.view for service in services for selection in service.selections]
        views = _computed([*views, *(needed for view in views for needed in _inputs(view))], module, path)
    targets = [item for item in values if isinstance(item, Target)]
    entities = [item for item in values if isinstance(item, Entity)]
    entities += [view.entity for view in views] + [target.entity for target in targets]
    definitions = Definitions(
        entities=_distinct(path.name, "entities", entities, lambda item: item.name),
        views=_distinct(path.name, "views", views, lambda item: item.ref),
        services=_distinct(path.name, "services", services, lambda item: item.ref),
        targets=_distinct(path.name, "targets", targets, lambda item: item.name),
    )
    try:
        canonical(to_json(definitions))
    except (TypeError, ValueError) as error:
        todo = "Give defaults and tags as numbers, texts, booleans or lists."
        raise DefinitionError(path.name, f"a definition has no JSON form ({error})", todo) from error
    return definitions


def collect_in_child(path: Path) -> Definitions:
    """Gather the definitions of a file in a child process; what it prints goes to standard error.

    Raises:
        DefinitionError: as :func:`collect`, or the process ended without an answer.
    """
    path = path.resolve()
    child = subprocess.run(
        [sys.executable, "-P", "-m", "stackwright_features.definitions_file", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=path.parent if path.parent.is_dir() else None,
        check=False,
    )
    try:
        answer = json.loads(child.stdout)
    except ValueError as error:
        found = f"the process that ran it ended with code {child.returncode}"
        raise DefinitionError(path.name, found, "See what it printed.") from error
    if "error" in answer:
        raise DefinitionError(**answer["error"])
    return from_json(answer)


def load_transforms(service: FeatureService, project: Path | None) -> dict[str, Callable[..., Any]]:
    """Return the functions of a service's transforms by name.

    A transform defined in this process has its function already. Others are loaded from the project, by running the
    file that each names. The functions of computations are found alike, by :func:`load_computation`.

    Args:
        service: the service.
        project: the project's folder; ``None`` where there is none.

    Raises:
        DefinitionError: a function is not there, or its code is not what was applied.
    """
    functions = {step.name: step.call for step in service.transforms if step.call is not None}
    kept = [step for step in service.transforms if step.call is None]
    if not kept:
        return functions
    folder = _folder(project, f"service {service.ref!r}", kept[0])
    by_file: dict[Path, list[Transform]] = {}
    for step in kept:
        by_file.setdefault(_inside(folder, step), []).append(step)
    for path, steps in by_file.items():
        with running(path, folder) as module:
            functions |= {step.name: _checked(step, module, folder) for step in steps}
    return functions


def load_computation(view: FeatureView, project: Path | None) -> Callable[..., Any] | None:
    """Return the function that computes a view, or ``None`` where SQL does.

    Args:
        view: a computed view.
        project: the project's folder; ``None`` where there is none.

    Raises:
        DefinitionError: the function is not there, or its code is not what was applied.
    """
    step = view.computed
    if step is None or step.sql or step.call is not None:
        return None if step is None else step.call
    folder = _folder(project, f"view {view.ref!r}", step)
    with running(_inside(folder, step), folder) as module:
        return _checked(step, module, folder)


def _folder(project: Path | None, where: str, step: Transform | Computation) -> Path:
    if project is None:
        found = f"{_what(step)} is kept in {step.function!r}, and no project is given"
        raise DefinitionError(where, found, "Build the store with its project's folder.")
    return project.resolve()


def _what(step: Transform | Computation) -> str:
    return f"{'transform' if isinstance(step, Transform) else 'computation'} {step.name!r}"


def _inputs(view: FeatureView) -> Iterator[FeatureView]:
    """Give the views that a view is computed from, and those that these are computed from."""
    for needed in view.computed.inputs if view.computed is not None else ():
        yield needed
        yield from _inputs(needed)


def _computed(views: Iterable[FeatureView], module: ModuleType, path: Path) -> list[FeatureView]:
    """Return views with the code of their computations filled in, and of those of their inputs."""
    filled: dict[int, FeatureView] = {}

    def fill(view: FeatureView) -> FeatureView:
        if view.computed is None:
            return view
        if id(view) not in filled:
            step = replace(view.computed, inputs=tuple(fill(needed) for needed in view.computed.inputs))
            filled[id(view)] = replace(view, computed=step if step.sql else _filled(step, module, path))
        return filled[id(view)]

    return [fill(view) for view in views]


def _top_values(module: ModuleType) -> Iterator[Any]:
    for value in list(vars(module).values()):
        match value:
            case list() | tuple():
                yield from value
            case dict():
                yield from value.values()
            case _:
                yield value


def _with_code(service: FeatureService, module: ModuleType, path: Path) -> FeatureService:
    return replace(service, transforms=tuple(_filled(step, module, path) for step in service.transforms))


def _filled(step: _Kept, module: ModuleType, path: Path) -> _Kept:
    project = path.parent
    if step.call is not None:
        function = f"{path.name}:{_name_of(step, module, path)}"
        return replace(step, function=function, code=code_hash(step.call, project))
    with running(_inside(project, step), project) as other:
        call = _function(step, other)
        return replace(step, call=call, code=code_hash(call, project))


def _name_of(step: Transform | Computation, module: ModuleType, path: Path) -> str:
    for name, value in vars(module).items():
        if value is step.call or (isinstance(value, Transform | Computation) and value.call is step.call):
            return name
    todo = f"Give it one: {step.name} = ..."
    raise DefinitionError(f"{path.name}: {_what(step)}", "it has no name at the top of the file", todo)


def _inside(project: Path, step: Transform | Computation) -> Path:
    file, _, name = step.function.partition(":")
    path = (project / file).resolve()
    if not file or not name or not path.is_relative_to(project):
        found = f"its function is {step.function!r}" if step.function else "it has no function"
        raise DefinitionError(_what(step), found, "Name one of the project as 'file.py:name'.")
    return path


def _function(step: Transform | Computation, module: ModuleType) -> Callable[..., Any]:
    value = getattr(module, step.function.partition(":")[2], None)
    if isinstance(value, Transform | Computation):
        value = value.call
    if not callable(value):
        found = f"there is no function {step.function!r}"
        raise DefinitionError(_what(step), found, "Correct the name, or run: stackwright apply")
    function: Callable[..., Any] = value
    return function


def _checked(step: Transform | Computation, module: ModuleType, project: Path) -> Callable[..., Any]:
    function = _function(step, module)
    if code_hash(function, project) != step.code:
        found = f"the code of {step.function!r} is not the code that was applied"
        owner = "service" if isinstance(step, Transform) else "view"
        todo = f"Restore it, or give the {owner} a new version and run: stackwright apply"
        raise DefinitionError(_what(step), found, todo)
    return function


def _distinct(file: str, kind: str, found: Iterable[_Named], key: Callable[[_Named], str]) -> tuple[_Named, ...]:
    distinct: dict[str, _Named] = {}
    for item in found:
        if distinct.setdefault(key(item), item) != item:
            todo = "Give one of them another name or version."
            raise DefinitionError(file, f"two different {kind} are named {key(item)!r}", todo)
    return tuple(distinct.values())

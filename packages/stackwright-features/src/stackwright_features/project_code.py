"""Running a file of a project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Final

from stackwright_interfaces.errors import DefinitionError, StackwrightError
from stackwright_interfaces.project.modules import Project

_NAME: Final = "_stackwright_project_"
_NUMBERS: Final = count(1)


@contextmanager
def running(path: Path, project: Path) -> Iterator[ModuleType]:
    """Run a file of a project under a module name of its own.

    It imports the project's other files anew; they are among the imported modules while the context lasts.

    Raises:
        DefinitionError: it cannot be read, or fails; names file and line.
    """
    module = ModuleType(f"{_NAME}{next(_NUMBERS)}")
    module.__file__ = str(path)
    modules = Project(project)
    with modules.importable():
        sys.modules[module.__name__] = module
        try:
            code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 -- running the user's definitions is what this is for
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise _failure(error, path, modules) from error
        yield module


def _failure(error: BaseException, path: Path, project: Project) -> DefinitionError:
    where = project.shown(path)
    if isinstance(error, OSError) and error.__traceback__ is not None and not path.is_file():
        return DefinitionError(
            where,
            "the file is not there",
            "Write the definitions there; a new project of stackwright new DIR --blueprint realtime shows how.",
        )
    failure = project.failure(error, where)
    if isinstance(error, StackwrightError):
        return DefinitionError(f"{failure.where}: {error.where}", error.found, error.todo)
    found = error.msg if isinstance(error, SyntaxError) else failure.found
    return DefinitionError(failure.where, found, failure.todo)

"""The hash of a function and of all it depends on in its project.

It covers the function's source without comments, layout, docstrings and annotations and, name by name, the project's
functions, classes and constants that it reaches through globals, closure and defaults. Installed code counts by its
name alone. So the hash changes when a result may change, and not when a file is reformatted or a definition moves.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from types import CodeType, EllipsisType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any, Final

import numpy as np

from stackwright_features.source_text import SourceFiles, attributes_read, bare, modules_imported, names_read
from stackwright_interfaces.definitions import Computation, Transform
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.project.hashing import digest
from stackwright_interfaces.project.modules import Project
from stackwright_interfaces.project.source import repr_of, source_of

_BY_REPR: Final = (
    bool, int, float, complex, str, bytes, NoneType, EllipsisType, range, slice,
    date, time, timedelta, tzinfo, Decimal, Fraction, PurePath,
)  # fmt: skip
_NO_ATTRIBUTES: Final[frozenset[str]] = frozenset()


def code_hash(function: Any, project: Path) -> str:
    """Return the SHA-256 (hex) of a function and of the project's code it uses.

    Args:
        function: the function of a transform or computation.
        project: the project's folder.

    Raises:
        DefinitionError: it uses something whose content cannot be hashed, or whose source is not found.
    """
    return _Hasher(Project(project)).of(function)


class _Hasher:
    """Hashes values; where one leads back to itself, its name stands for it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._sources = SourceFiles()
        self._known: dict[int, str] = {}
        self._path: list[str] = []

    def of(self, value: Any, attributes: frozenset[str] = _NO_ATTRIBUTES) -> str:
        """The hash of anything; of a module, of these attributes."""
        if isinstance(value, Transform | Computation):
            value = value.call
        if isinstance(value, ModuleType):
            return self._module(value, attributes)
        if isinstance(value, FunctionType):
            return self._once(value, self._function)
        if isinstance(value, type):
            return self._once(value, self._class)
        if isinstance(value, MethodType):
            return digest("method", self.of(value.__func__), self.of(value.__self__))
        if hasattr(value, "__wrapped__"):
            return digest("wrapped", self.of(type(value)), self.of(value.__wrapped__))
        return self._constant(value)

    def _once(self, value: Any, compute: Any) -> str:
        if id(value) not in self._known:
            self._known[id(value)] = digest("again", value.__name__)
            self._known[id(value)] = compute(value)
        return self._known[id(value)]

    def _module(self, module: ModuleType, attributes: frozenset[str]) -> str:
        file = module.__file__ or next(iter(getattr(module, "__path__", ())), None)
        if not self._project.owns(file):
            return digest("module", module.__name__)
        names = sorted(name for name in attributes if hasattr(module, name))
        remaining = attributes - set(names)
        return digest("module", *(part for name in names for part in (name, self.of(getattr(module, name), remaining))))

    def _function(self, function: FunctionType) -> str:
        code = function.__code__
        if not self._project.owns(code.co_filename):
            return digest("outside", function.__module__, function.__qualname__)
        self._path.append(f"{self._project.shown(Path(code.co_filename))}:{code.co_firstlineno}")
        node = self._sources.function(function)
        if node is None:
            raise self._refused(f"the source of {code.co_name!r} is not found", "Define it with 'def'.")
        names = dict(function.__globals__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            names[name] = cell.cell_contents
        defaults = self.of((function.__defaults__, function.__kwdefaults__))
        hashed = digest("function", defaults, self._source(bare(node, names), names, code))
        self._path.pop()
        return hashed

    def _class(self, class_: type) -> str:
        module = sys.modules.get(class_.__module__)
        file = getattr(module, "__file__", None)
        if module is None or file is None or not self._project.owns(file):
            return digest("outside", class_.__module__, class_.__qualname__)
        node = self._sources.class_(file, class_)
        if node is None:
            raise self._refused(f"the source of class {class_.__name__!r} is not found", "Define it at the top.")
        names = {name: value for name, value in vars(module).items() if value is not class_}
        return digest("class", self._source(bare(node, names), names, None))

    def _source(self, node: ast.AST, names: dict[str, Any], code: CodeType | None) -> str:
        for module in sorted(modules_imported(node)):
            if self._project.find(module) is not None or (self._project.folder / module).is_dir():
                raise self._refused(f"it imports {module!r} of the project inside", "Import it at the top of the file.")
        attributes = attributes_read(node)
        read = sorted(names_read(node, code) & names.keys())
        return digest(
            source_of(node), *(part for name in read for part in (name, self._named(name, names, attributes)))
        )

    def _named(self, name: str, names: dict[str, Any], attributes: frozenset[str]) -> str:
        self._path.append(name)
        hashed = self.of(names[name], attributes)
        self._path.pop()
        return hashed

    def _constant(self, value: Any) -> str:
        kind = value.__class__.__name__
        if isinstance(value, Enum):
            return digest("member", self.of(value.__class__), value.name)
        if isinstance(value, _BY_REPR):
            return digest(kind, repr_of(value))
        return digest(kind, *self._parts(value))

    def _parts(self, value: Any) -> Iterator[str]:
        match value:
            case tuple() | list():
                yield from map(self.of, value)
            case set() | frozenset():
                yield from sorted(map(self.of, value))
            case dict():
                yield from (part for item in value.items() for part in map(self.of, item))
            case np.ndarray() if value.dtype.hasobject:
                yield from (str(value.shape), *map(self.of, value.ravel().tolist()))
            case np.ndarray() | np.generic():
                yield from (value.dtype.str, str(value.shape), value.tobytes().hex())
            case re.Pattern():
                yield from (self.of(value.pattern), str(value.flags))
            case functools.partial():
                yield from map(self.of, (value.func, value.args, value.keywords))
            case _:
                yield from self._object_parts(value)

    def _object_parts(self, value: Any) -> Iterator[str]:
        if is_dataclass(value):
            yield self.of(value.__class__)
            yield from (part for item in fields(value) for part in (item.name, self.of(getattr(value, item.name))))
        elif callable(value) and hasattr(value, "__name__") and not self._project.owns(_file_of(value)):
            yield from (str(getattr(value, "__module__", "")), value.__name__)
        else:
            found = f"it uses a {value.__class__.__name__}, whose content cannot be hashed"
            raise self._refused(found, "Use numbers, texts, arrays, dataclasses or functions.")

    def _refused(self, found: str, todo: str) -> DefinitionError:
        return DefinitionError(" → ".join(self._path) or "transform", found, todo)


def _file_of(value: Any) -> str | None:
    module = sys.modules.get(str(getattr(value, "__module__", "")))
    return getattr(module, "__file__", None)

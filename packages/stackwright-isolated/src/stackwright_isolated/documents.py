"""Values as JSON documents: what both sides know by the contracts crosses as itself, and nothing else does.

A document can name classes of ``stackwright_interfaces`` alone, dataclasses and enumerations, so that reading one runs
no code but theirs; it is no pickle. Tables and arrays are not in the document, which holds their place among the
streams that follow it.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces import errors
from stackwright_interfaces.errors import PluginError, StackwrightError
from stackwright_interfaces.trainer import StopFit
from stackwright_interfaces.types import NO_DEFAULT

CONTRACTS: Final = "stackwright_interfaces."

Outside = Callable[[Any], dict[str, Any] | None]
"""Returns the place of a value that stays outside the document; ``None`` for one that belongs in it."""

_MARK: Final = "$"


def _nothing(_value: Any) -> None:
    return None


def write(value: Any, outside: Outside = _nothing) -> Any:
    """Return a value as JSON holds it.

    Raises:
        PluginError: it is of a kind that does not cross.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    place = outside(value)
    if place is not None:
        return place
    if isinstance(value, Mapping):
        return _mapping(value, outside)
    if isinstance(value, list):
        return [write(item, outside) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        of = {item.name: _member(value, item.name, outside) for item in dataclasses.fields(value) if item.init}
        return _marked("record", of, class_=_named(type(value)))
    return _scalar(value, outside)


def _member(record: Any, name: str, outside: Outside) -> Any:
    """Return a member as JSON holds it; a function of the project stays at home, its reference and hash go along."""
    value = getattr(record, name)
    return None if name == "call" and callable(value) else write(value, outside)


def _mapping(value: Mapping[Any, Any], outside: Outside) -> Any:
    if _MARK not in value and all(isinstance(key, str) for key in value):
        return {str(key): write(item, outside) for key, item in value.items()}
    return _marked("mapping", [[write(key, outside), write(item, outside)] for key, item in value.items()])


def _scalar(value: Any, outside: Outside) -> Any:
    if value is NO_DEFAULT:
        return _marked("no default", None)
    if isinstance(value, Enum):
        return _marked("enum", value.value, class_=_named(type(value)))
    for plain in (str, int, float):  # subclasses: a revealed secret, a number of numpy
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, tuple | set | frozenset):
        items = [write(item, outside) for item in value]
        return _marked("tuple" if isinstance(value, tuple) else "set", items)
    for scalar, (kind, written) in _WRITERS.items():
        if isinstance(value, scalar):
            return _marked(kind, written(value))
    if callable(getattr(value, "item", None)):  # another scalar of numpy
        return write(value.item(), outside)
    raise _unknown(type(value))


_WRITERS: Final[Mapping[type, tuple[str, Callable[[Any], Any]]]] = {
    datetime: ("datetime", datetime.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    Decimal: ("decimal", str),
    Path: ("path", str),
}


def read(document: Any, inside: Callable[[Mapping[str, Any]], Any] | None = None) -> Any:
    """Return the value of a document.

    Args:
        inside: gives what stands at a place that :func:`write` left outside.

    Raises:
        PluginError: it is no document of :func:`write`.
    """
    if isinstance(document, list):
        return [read(item, inside) for item in document]
    if not isinstance(document, dict):
        return document
    if _MARK not in document:
        return {key: read(item, inside) for key, item in document.items()}
    kind: str = document[_MARK]
    of: Any = document.get("of")
    if kind in _READERS:
        return _READERS[kind](of)
    if kind == "record":
        members = {name: read(item, inside) for name, item in of.items()}
        return _class(document["class"], dataclasses.is_dataclass)(**members)
    if kind == "enum":
        return _class(document["class"], lambda found: issubclass(found, Enum))(of)
    if kind == "mapping":
        return {read(key, inside): read(item, inside) for key, item in of}
    if kind in ("tuple", "set"):
        items = [read(item, inside) for item in of]
        return tuple(items) if kind == "tuple" else frozenset(items)
    if inside is None:
        raise PluginError("isolated", f"a document holds {kind!r}, which is not known here")
    return inside(document)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "no default": lambda _of: NO_DEFAULT,
    "datetime": datetime.fromisoformat,
    "timedelta": lambda of: timedelta(*of),
    "bytes": base64.b64decode,
    "decimal": Decimal,
    "path": Path,
}


def write_error(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON holds it: one of our tree by its nearest class, any other by its text."""
    if isinstance(error, StackwrightError):
        known = next(kind for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
        return {"class": known.__name__, "of": [str(error.where), str(error.found), str(error.todo)]}
    if isinstance(error, StopFit):
        return {"class": "StopFit", "of": [str(item) for item in error.args]}
    return {"class": "", "of": [type(error).__name__, str(error)]}


def read_error(document: Mapping[str, Any], where: str, log: Path) -> Exception:
    """Return the error of a document.

    Args:
        where: names the adapter, for an error that is not of our tree.
        log: where the adapter's traceback is.
    """
    name, of = document["class"], document["of"]
    if name == "StopFit":
        return StopFit(*of)
    if name:
        kind: type[StackwrightError] = getattr(errors, name)
        error = kind.__new__(kind)
        StackwrightError.__init__(error, *of)
        return error
    return PluginError(where, f"the adapter failed: {of[0]}: {of[1]}", f"Its traceback is in {log}.")


def _marked(kind: str, of: Any, *, class_: str | None = None) -> dict[str, Any]:
    return {_MARK: kind, "of": of} if class_ is None else {_MARK: kind, "class": class_, "of": of}


def _named(kind: type) -> str:
    if not kind.__module__.startswith(CONTRACTS):
        raise _unknown(kind)
    return f"{kind.__module__}:{kind.__qualname__}"


def _unknown(kind: type) -> PluginError:
    found = f"a {kind.__module__}.{kind.__qualname__} does not cross to another environment"
    return PluginError("isolated", found, "Give values that the contract names, or take out isolated.")


def _class(name: str, fits: Callable[[type], bool]) -> Any:
    module, _, attribute = name.partition(":")
    found = getattr(import_module(module), attribute, None) if module.startswith(CONTRACTS) else None
    if not isinstance(found, type) or not fits(found):
        raise PluginError("isolated", f"a document names {name!r}, which the contracts do not have")
    return found

"""The body of ``POST /recommend``, checked: what it names, of which type, within which limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from stackwright_serving.refused import Refused
from stackwright_serving.values import InvalidValue

_INT64: Final = 2**63
_LONGEST: Final = 1_000
"""Characters of an identifier; items of a session; places of a list."""

_WHERE: Final = "request"
_LOOSE: Final = re.compile(rb'"[ \t\r\n]+:')


def quick(body: bytes) -> dict[str, Any] | None:
    """Return the object of a body by a parser that is many times faster, where it surely says what a strict one would.

    It does where each key's colon follows its quote at once and there are as many of them as keys: then none stands
    twice. What else a strict parser refuses, :class:`ListForm` refuses by type and range. ``None`` leaves it to that.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict or _LOOSE.search(body) is not None:
        return None
    live = found.get("live")
    keys = len(found) + (len(live) if type(live) is dict else 0)
    return found if body.count(b'":') == keys else None


class ListForm:
    """Reads bodies.

    Args:
        candidates: most candidates of a request.
    """

    def __init__(self, candidates: int) -> None:
        self._most = candidates
        self._fields: Mapping[str, Callable[[str, Any], Any]] = {
            "user": identifier,
            "session": _session,
            "like": identifier,
            "n": _places,
            "candidates": self._candidates,
            "exclude_seen": _flag,
            "area": identifier,
            "place": _place,
            "budget": number,
            "diversity": _share,
            "live": _live,
        }

    def __call__(self, body: Any) -> dict[str, Any]:
        """Return field → value of those fields of a request that the body holds; null is as if left out.

        Raises:
            Refused: it is no object (400), or there are too many candidates (413).
            InvalidValue: a field is unknown, of another type, or out of range.
        """
        if not isinstance(body, dict):
            raise Refused(400, "the body is no object", 'Send {"user": "U", "n": 10}, say.')
        unknown = next((name for name in body if name not in self._fields), None)
        if unknown is not None:
            known = ", ".join(sorted(self._fields))
            raise InvalidValue(_WHERE, f"unknown field {unknown[:100]!r}", f"Known: {known}.")
        found = {name: self._fields[name](name, value) for name, value in body.items() if value is not None}
        live, candidates = found.get("live", {}), found.get("candidates")
        for name, values in live.items():
            if candidates is None or len(values) != len(candidates):
                count = 0 if candidates is None else len(candidates)
                told = f"live holds {len(values)} values of {name[:100]!r} for {count} candidates"
                raise InvalidValue(_WHERE, told, "Send one for each candidate.")
        return found

    def _candidates(self, name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, list) and len(value) > self._most:
            raise Refused(413, f"{len(value)} candidates", f"Send at most {self._most} a request.")
        return _identifiers(name, value)


def identifier(name: str, value: Any, *, where: str = _WHERE) -> Any:
    """Return an identifier.

    Raises:
        InvalidValue: it is none, or too long; ``where`` says in which part of the body.
    """
    if type(value) is str and len(value) <= _LONGEST:
        return value
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    raise _wrong(name, "an identifier: a text or a whole number", where)


def _identifiers(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(name, "a list of identifiers")
    if set(map(type, value)) == {str} and max(map(len, value)) <= _LONGEST:
        return tuple(value)
    return tuple(identifier(name, one) for one in value)


def _session(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, list) and len(value) > _LONGEST:
        raise Refused(413, f"{len(value)} items of a session", f"Send the newest {_LONGEST}.")
    return _identifiers(name, value)


def _places(name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _LONGEST:
        raise _wrong(name, f"a whole number from 1 to {_LONGEST}")
    return value


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(name, "true or false")
    return value


def number(name: str, value: Any, *, where: str = _WHERE) -> float:
    """Return a number as a float64.

    Raises:
        InvalidValue: it is none; ``where`` says in which part of the body.
    """
    if type(value) not in (int, float) or not math.isfinite(found := _float(name, value, where)):
        raise _wrong(name, "a number", where)
    return found


def _float(name: str, value: float, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise _wrong(name, "a float64", where) from error


def _share(name: str, value: Any) -> float:
    found = number(name, value)
    if not 0 <= found <= 1:
        raise _wrong(name, "a number from 0 to 1")
    return found


def _place(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(name, "a latitude and a longitude")
    latitude, longitude = (number(name, one) for one in value)
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise _wrong(name, "a latitude and a longitude in degrees")
    return latitude, longitude


def _live(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, "an object of lists of numbers")
    return {column: _numbers(f"{name} {column[:100]!r}", values) for column, values in value.items()}


def _numbers(name: str, values: Any) -> Any:
    if not isinstance(values, list) or not set(map(type, values)) <= {int, float, type(None)}:
        raise _wrong(name, "a list of numbers")
    try:
        found = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise _wrong(name, "a list of float64") from error
    if np.isinf(found).any():
        raise _wrong(name, "a list of float64")
    return found


def _wrong(name: str, wanted: str, where: str = _WHERE) -> InvalidValue:
    return InvalidValue(where, f"field {name} is not {wanted}", "Send what the description at /openapi.json says.")


def told(given: Mapping[str, Any], session: Sequence[Any], items: Sequence[Any]) -> dict[str, Any]:
    """Return what of a request a log keeps, as JSON values: enough to ask another recommender for the shown items."""
    names = ("like", "area", "place", "budget", "diversity", "exclude_seen")
    kept = {name: given[name] for name in names if name in given}
    if session:
        kept["session"] = list(session)
    if given.get("live") and items:
        places: dict[str, int] = {}
        for place, one in enumerate(given["candidates"]):
            places.setdefault(str(one), place)
        rows = [places.get(str(one)) for one in items]
        kept["live"] = {
            name: [None if row is None else float(values[row]) for row in rows]
            for name, values in given["live"].items()
        }
    return kept

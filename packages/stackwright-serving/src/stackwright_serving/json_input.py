"""Strict JSON (RFC 8259): UTF-8, no double keys, no NaN or infinity, bounded depth and numbers."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from stackwright_interfaces.errors import DataError


class InvalidJson(DataError):
    """A body that is not the JSON it must be."""


def parse(body: bytes, *, max_depth: int = 32) -> Any:
    """Return the value of a JSON text.

    Raises:
        InvalidJson: it is not strict JSON, or nested deeper than allowed.
    """
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise InvalidJson("body", f"not UTF-8 at byte {error.start}", "Send UTF-8.") from error
    except RecursionError as error:
        raise InvalidJson("body", "nested too deeply", f"Nest at most {max_depth} deep.") from error
    except json.JSONDecodeError as error:
        found = f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise InvalidJson("body", found, "Send JSON.") from error
    except ValueError as error:
        raise InvalidJson("body", f"a number that cannot be read ({error})"[:200], "Send smaller numbers.") from error
    _check(value, max_depth)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidJson("body", f"key {twice!r} stands twice in one object", "Send each key once.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson("body", f"{name} is not JSON", "Send null for a missing value.")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_refuse_constant)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value)
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise InvalidJson("body", "a number too large for a float64", "Send a smaller number.")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise InvalidJson("body", "nested too deeply", "Send a flatter body.")
        if isinstance(value, dict):
            for name, item in value.items():
                _check(name, depth)
                _check(item, depth - 1)
        else:
            for item in value:
                _check(item, depth - 1)


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidJson("body", "half of a surrogate pair", "Send whole characters.") from error

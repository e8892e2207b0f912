"""What ``get_parameters`` gives, as defaults and as ranges to tune."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from stackwright_interfaces.errors import TrainingError, did_you_mean
from stackwright_interfaces.trainer import Distribution

_RANGE: Final = frozenset({"low", "high", "default", "log", "integer"})
_CHOICE: Final = frozenset({"choices", "default"})


class Parameters:
    """The parameters of a class.

    Args:
        given: what ``get_parameters`` returned: name → a default; a list of choices, the first the default; or a
            mapping with ``low`` and ``high`` (and ``default``, ``log``, ``integer``), or ``choices`` (and ``default``).
        config: values that go over the defaults, where their name is a parameter's.
        where: what an error calls the class.

    Raises:
        TrainingError: it is nothing of this kind.
    """

    def __init__(self, given: Any, config: Mapping[str, Any], where: str) -> None:
        self._where = f"{where}.get_parameters"
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            todo = "Return a dict of names to defaults; {} where there is nothing to set."
            raise TrainingError(self._where, f"returned a {type(given).__name__}", todo)
        self.space: dict[str, Distribution] = {}
        self.defaults: dict[str, Any] = {}
        for name, value in given.items():
            span = self._span(name, value)
            if span is None:
                self.defaults[name] = checked(f"{self._where} {name!r}", value)
            else:
                chosen = config.get(name, span.default)
                self.space[name] = _around(span, self._fitting(name, span, chosen))
                self.defaults[name] = self.space[name].default
        self.defaults |= {name: value for name, value in config.items() if name in self.defaults}

    def resolve(self, *layers: Mapping[str, Any]) -> dict[str, Any]:
        """Lay values over the defaults, later layers over earlier ones.

        Raises:
            TrainingError: a name that the class does not know, or a value that its range does not take.
        """
        values = dict(self.defaults)
        for layer in layers:
            for name, value in layer.items():
                if name not in self.defaults:
                    todo = did_you_mean(name, self.defaults) or f"Known: {', '.join(self.defaults) or 'none'}."
                    raise TrainingError(f"parameter {name!r}", f"{self._where} names no such parameter", todo)
                checked(f"parameter {name!r}", value)
                values[name] = self._fitting(name, self.space[name], value) if name in self.space else value
        return values

    def _span(self, name: str, value: Any) -> Distribution | None:
        where = f"{self._where} {name!r}"
        if isinstance(value, list | tuple):
            value = {"choices": value}
        if not isinstance(value, Mapping) or not {"low", "high", "choices"} & set(value):
            return None
        known = _CHOICE if "choices" in value else _RANGE
        for key in value:
            if key not in known:
                todo = did_you_mean(str(key), known) or f"Known: {', '.join(sorted(known))}."
                raise TrainingError(where, f"unknown key {key!r}", todo)
        if "choices" in value:
            return self._choice(where, value)
        low: Any = value.get("low")
        high: Any = value.get("high")
        if not _is_number(low) or not _is_number(high) or low > high or (value.get("log") and low <= 0):
            todo = "Give low and high as numbers, low the smaller; with log both above 0."
            raise TrainingError(where, f"low is {low!r}, high is {high!r}", todo)
        whole = bool(value.get("integer", isinstance(low, int) and isinstance(high, int)))
        middle = math.sqrt(low * high) if value.get("log") else (low + high) / 2
        default = value.get("default", round(middle) if whole else middle)
        if not _is_number(default) or not low <= default <= high:
            raise TrainingError(where, f"default is {default!r}", f"Give one from {low} to {high}.")
        return Distribution(low=low, high=high, log=bool(value.get("log")), integer=whole, default=default)

    def _choice(self, where: str, value: Mapping[str, Any]) -> Distribution:
        choices = value["choices"]
        if not isinstance(choices, list | tuple) or not choices:
            raise TrainingError(where, f"choices are {choices!r}", "Give a list of at least one.")
        for item in choices:
            checked(where, item)
        default = value.get("default", choices[0])
        if default not in choices:
            raise TrainingError(where, f"default {default!r} is none of the choices", "Add it, or give another.")
        return Distribution(choices=tuple(choices), default=default)

    def _fitting(self, name: str, span: Distribution, value: Any) -> Any:
        where = f"parameter {name!r}"
        if span.choices:
            if value not in span.choices:
                raise TrainingError(where, f"{value!r}", f"Choose one of: {', '.join(map(repr, span.choices))}.")
            return value
        if not _is_number(value) or (span.integer and value != int(value)):
            raise TrainingError(where, f"{value!r}", f"Give a {'whole ' if span.integer else ''}number.")
        return int(value) if span.integer else value


def checked(where: str, value: Any) -> Any:
    """Return a value that JSON holds.

    Raises:
        TrainingError: JSON does not hold it.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        todo = "Give finite numbers, texts, true or false, or lists and dicts of them."
        raise TrainingError(where, f"{value!r} is no JSON value ({error})", todo) from error
    return value


def _around(span: Distribution, value: Any) -> Distribution:
    """Widen a range to hold a value, which becomes its default."""
    if span.choices:
        return Distribution(choices=span.choices, default=value)
    low, high = min(span.low, value), max(span.high, value)
    return Distribution(low=low, high=high, log=span.log, integer=span.integer, default=value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

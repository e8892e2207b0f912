"""The closed list of value types, and fields.

The text form of a type (``"float64"``, ``"vector[8]"``, ``"list[int64]"``, ``"decimal[18,2]"``) is what definitions,
manifests and messages show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from reprlib import repr as short
from typing import Any, Final, Self

from stackwright_interfaces.checks import check_about, check_identifier, require
from stackwright_interfaces.errors import DefinitionError


class Kind(StrEnum):
    """The kinds of value a field may hold."""

    BOOL = "bool"
    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DECIMAL = "decimal"
    LIST = "list"
    VECTOR = "vector"


_PLAIN = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.STRING, Kind.BYTES, Kind.TIMESTAMP})
_TEXT = re.compile(
    r"(?P<plain>[a-z0-9]+)|list\[(?P<item>[a-z0-9]+)\]|vector\[(?P<size>[0-9]{1,9})\]"
    r"|decimal\[(?P<precision>[0-9]{1,2}),(?P<scale>[0-9]{1,2})\]"
)
_DIGITS = 38


@dataclass(frozen=True)
class Type:
    """A value type.

    Args:
        kind: the kind.
        item: element type of a list, a plain one.
        size: number of float64 components of a vector.
        precision: digits of a decimal, at most 38.
        scale: digits after the point of a decimal.

    Raises:
        DefinitionError: the kind lacks a parameter, or has one of another kind.
    """

    kind: Kind
    item: Type | None = None
    size: int = 0
    precision: int = 0
    scale: int = 0

    def __post_init__(self) -> None:
        where, kinds = f"type {self.kind!s}", "BOOL, INT64, FLOAT64, STRING, BYTES, TIMESTAMP"
        require(isinstance(self.kind, Kind), where, "its kind is no Kind", f"Use {kinds}, decimal, list_of or vector.")
        parameters = (self.item, self.size, self.precision, self.scale)
        match self.kind:
            case Kind.LIST:
                fits = isinstance(self.item, Type) and self.item.kind in _PLAIN and parameters[1:] == (0, 0, 0)
                todo = "Use list_of(type) with a type that is no list, vector or decimal."
            case Kind.VECTOR:
                fits = _is_int(self.size) and self.size > 0 and parameters == (None, self.size, 0, 0)
                todo = "Use vector(n) with a positive n."
            case Kind.DECIMAL:
                digits = _is_int(self.precision) and _is_int(self.scale) and self.precision in range(1, _DIGITS + 1)
                fits = digits and 0 <= self.scale <= self.precision and parameters[:2] == (None, 0)
                todo = f"Use decimal(precision, scale) with 0 <= scale <= precision <= {_DIGITS}."
            case _:
                fits = parameters == (None, 0, 0, 0)
                todo = f"Use {kinds}."
        require(fits, where, f"item, size, precision and scale are {parameters}", todo)

    def __str__(self) -> str:
        match self.kind:
            case Kind.LIST:
                return f"list[{self.item}]"
            case Kind.VECTOR:
                return f"vector[{self.size}]"
            case Kind.DECIMAL:
                return f"decimal[{self.precision},{self.scale}]"
        return self.kind.value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises:
            DefinitionError: the text names no type of the list.
        """
        try:
            return cls._parse(text.replace(" ", ""))
        except (ValueError, DefinitionError):
            allowed = "bool, int64, float64, string, bytes, timestamp, decimal[p,s], list[type], vector[n]"
            raise DefinitionError(f"type {text!r}", "not a type of the list", f"Use one of: {allowed}.") from None

    @classmethod
    def _parse(cls, text: str) -> Self:
        match_ = _TEXT.fullmatch(text)
        if match_ is None:
            raise ValueError(text)
        if match_["item"]:
            return cls(Kind.LIST, item=Type(Kind(match_["item"])))
        if match_["size"]:
            return cls(Kind.VECTOR, size=int(match_["size"]))
        if match_["precision"]:
            return cls(Kind.DECIMAL, precision=int(match_["precision"]), scale=int(match_["scale"]))
        return cls(Kind(match_["plain"]))


BOOL: Final = Type(Kind.BOOL)
INT64: Final = Type(Kind.INT64)
FLOAT64: Final = Type(Kind.FLOAT64)
STRING: Final = Type(Kind.STRING)
BYTES: Final = Type(Kind.BYTES)
TIMESTAMP: Final = Type(Kind.TIMESTAMP)


def decimal(precision: int, scale: int) -> Type:
    """A decimal of ``precision`` digits, ``scale`` of them after the point."""
    return Type(Kind.DECIMAL, precision=precision, scale=scale)


def list_of(item: Type) -> Type:
    """A list whose elements are all of one plain type."""
    return Type(Kind.LIST, item=item)


def vector(size: int) -> Type:
    """``size`` float64 components, always all present."""
    return Type(Kind.VECTOR, size=size)


class _NoDefault:
    def __repr__(self) -> str:
        return "NO_DEFAULT"

    def __reduce__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


@dataclass(frozen=True)
class Field:
    """A named, typed value.

    Args:
        name: a Python identifier that does not begin with two underscores.
        type: its type.
        default: used where the joined value is null, before on-demand transforms; ``NO_DEFAULT`` leaves the null. A
            default of ``None`` leaves it too, and lets requests do without the field. Kept as :func:`fit` gives it.
        description: shown in the catalogue.
        tags: searched in the catalogue.

    Raises:
        DefinitionError: the name is no identifier, the type is not of the list, or the default does not fit the type.
    """

    name: str
    type: Type
    default: Any = NO_DEFAULT
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"field {self.name!r}"
        require(isinstance(self.type, Type), where, f"type {self.type!r} is no Type", "Use FLOAT64, STRING, ...")
        check_identifier(where, self.name)
        check_about(where, "", self.description, self.tags)
        if self.default is NO_DEFAULT or self.default is None:
            return
        try:
            object.__setattr__(self, "default", fit(self.default, self.type))
        except (ValueError, ArithmeticError) as error:
            found = f"the default {short(self.default)} does not fit {self.type}"
            raise DefinitionError(where, found, f"Give {_WANTED[self.type.kind].format(self.type)}.") from error

    def __eq__(self, other: object) -> bool:
        # Defaults are compared by their texts: these tell all values apart, and NaN, alone or in a vector, is like NaN.
        if not isinstance(other, Field):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((self.name, self.type, self.description))

    def _compared(self) -> tuple[object, ...]:
        return self.name, self.type, repr(self.default), self.description, dict(self.tags)

    @property
    def has_default(self) -> bool:
        """Whether a default was declared; ``None`` is one."""
        return self.default is not NO_DEFAULT


_WANTED: Final = {
    Kind.BOOL: "True or False",
    Kind.INT64: "an int of 64 bits",
    Kind.FLOAT64: "a float, or an int that a float holds exactly",
    Kind.STRING: "a str that UTF-8 can encode",
    Kind.BYTES: "bytes",
    Kind.TIMESTAMP: "a datetime with a time zone",
    Kind.DECIMAL: "a Decimal or int of at most {0.precision} digits, of these {0.scale} after the point",
    Kind.LIST: "a list of {0.item} values",
    Kind.VECTOR: "a list of {0.size} floats",
}


def fit(value: Any, type: Type) -> Any:
    """Return a value as fields of a type hold it.

    That is bool, int, float, str or bytes; a datetime in UTC; a Decimal with as many digits after the point as the type
    has; a tuple for a list, with ``None`` for a null, and for a vector.

    Args:
        value: one of these, or what turns into one without loss: an int for a float or Decimal, a list for a tuple, a
            datetime with any time zone.
        type: the type.

    Raises:
        ValueError: it is none.
        ArithmeticError: it is out of range.
    """
    if type.kind is Kind.LIST and type.item is not None and isinstance(value, list | tuple):
        return tuple(None if item is None else _fit_one(item, type.item) for item in value)
    if type.kind is Kind.VECTOR and isinstance(value, list | tuple) and len(value) == type.size:
        return tuple(_fit_one(component, FLOAT64) for component in value)
    return _fit_one(value, type)


def _fit_one(value: Any, type: Type) -> Any:
    match type.kind:
        case Kind.BOOL if isinstance(value, bool):
            return value
        case Kind.INT64 if _is_int(value) and -(2**63) <= value < 2**63:
            return int(value)
        case Kind.FLOAT64 if isinstance(value, float) or (_is_int(value) and float(value) == value):
            return float(value)
        case Kind.STRING if isinstance(value, str):
            return value.encode().decode()
        case Kind.BYTES if isinstance(value, bytes):
            return bytes(value)
        case Kind.TIMESTAMP if isinstance(value, datetime) and value.utcoffset() is not None:
            moment = value.astimezone(UTC)
            return datetime.combine(moment.date(), moment.time(), UTC)
        case Kind.DECIMAL if isinstance(value, Decimal) or _is_int(value):
            return _quantised(Decimal(value), type)
    raise ValueError(f"{value!r} is no {type}")


def _quantised(number: Decimal, type: Type) -> Decimal:
    exact = Context(prec=type.precision, traps=[Inexact, InvalidOperation])
    quantised = number.quantize(Decimal(1).scaleb(-type.scale), context=exact)
    if not quantised.is_finite():
        raise ValueError(f"{number} is no {type}")
    return quantised.copy_abs() if quantised.is_zero() else quantised


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

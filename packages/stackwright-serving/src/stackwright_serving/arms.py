"""Which version answers a request: the champion, or of a share of the entities its challenger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.registry import ModelVersion

LIVE: Final = "live"
CANARY: Final = "canary"
SHADOW: Final = "shadow"
TEST: Final = "test"

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A version on trial beside the champion.

    Args:
        version: the version.
        share: share of the entities that it answers, 0 to 1.
        shadow: let it score a copy of what the champion answers, off the reply path.
        by: request keys or fields whose values decide; without any, all keys of the service, or all its request fields
            where it has no keys.
    """

    version: ModelVersion
    share: float = 0.0
    shadow: bool = False
    by: tuple[str, ...] = ()


class Split:
    """Tells the entities of a share from the others, alike in every process, and for ever.

    An entity is in the share where the first eight bytes of the SHA-256 of the salt, a line feed and its values as a
    JSON list, read as a big-endian fraction of 2**64, lie below it. A greater share under the same salt takes in the
    entities of a smaller one.

    Args:
        salt: two splits of different salts have nothing to do with each other.
        share: 0 to 1.
        by: the keys whose values decide.
    """

    def __init__(self, salt: str, share: float, by: Sequence[str]) -> None:
        self._salt = f"{salt}\n".encode()
        self._below = share * 2**64
        self._by = sorted(by)

    def takes(self, given: Columns) -> bool:
        """Return whether every row of a request is in the share; a request without rows, or without a key, is not.

        So a request is answered by one version, and an entity outside of the share never by the challenger.
        """
        columns = [given[name] for name in self._by if name in given]
        if not columns or len(columns) != len(self._by) or not len(columns[0]):
            return False
        return all(self._place(values) < self._below for values in zip(*columns, strict=True))

    def _place(self, values: tuple[Any, ...]) -> int:
        text = orjson.dumps(values, default=_plain)
        return int.from_bytes(hashlib.sha256(self._salt + text).digest()[:8])


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def deciding(challenger: Challenger, service: FeatureService | None) -> tuple[str, ...]:
    """Return the keys whose values decide the arm of a request to a service."""
    if challenger.by or service is None:
        return challenger.by
    return tuple(field.name for field in service.request_keys or service.request)


def lacking(service: FeatureService | None, other: FeatureService | None) -> list[str]:
    """Return what a request to a service leaves out that another service needs."""
    if service is None or other is None:
        return []
    there = {field.name: field.type for field in (*service.request_keys, *service.request)}
    needed = (*other.request_keys, *other.request)
    return [
        field.name
        for field in needed
        if there.get(field.name) != field.type and (field.name in there or not field.has_default)
    ]


def asked_of(service: FeatureService, keys: Columns, request: Columns) -> tuple[Columns, Columns]:
    """Return the keys and request fields of another service, out of those of a request; defaults fill the rest."""
    given = {**keys, **request}
    count = len(next(iter(given.values()), ()))
    filled = {
        field.name: given[field.name] if field.name in given else [field.default] * count
        for field in (*service.request_keys, *service.request)
    }
    names = {field.name for field in service.request_keys}
    return (
        {name: values for name, values in filled.items() if name in names},
        {name: values for name, values in filled.items() if name not in names},
    )

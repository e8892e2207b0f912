"""Online halves that are wrong in one way each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from stackwright_interfaces.feature_store import OnlineRow, Payloads
from stackwright_interfaces.testing.faults import FaultyOnline

_STATE = "__watermarks"


@dataclass
class Overwriting(FaultyOnline):
    """What comes last wins, also over a newer row."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Remove what is there, and write."""
        self.inner.drop(view, [row.key for row in rows])
        return self.inner.write(view, rows)


@dataclass
class Rebuilding(Overwriting):
    """Forgets what it knew, and overwrites."""

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Know nothing of the state of views."""
        found = self.inner.read(views, keys, timeout=timeout)
        return [[None] * len(part) if view == _STATE else part for view, part in zip(views, found, strict=True)]


@dataclass
class EventTimeOnly(FaultyOnline):
    """Rows are compared by their event time only: a correction is not taken."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Cut the tokens short."""
        return self.inner.write(view, [replace(row, order=row.order[:8]) for row in rows])


@dataclass
class EqualOverwrites(FaultyOnline):
    """A row with the token of the stored one replaces it."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Remove rows of the same token first."""
        stored = {row.key: row.order for row in self.inner.scan(view)}
        self.inner.drop(view, [row.key for row in rows if stored.get(row.key) == row.order])
        return self.inner.write(view, rows)


@dataclass
class SignedTokens(FaultyOnline):
    """The first byte of a token is compared as a signed one."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Turn the sign over."""
        return self.inner.write(view, [replace(row, order=_turned(row.order)) for row in rows])

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Turn the sign back."""
        return (replace(row, order=_turned(row.order)) for row in self.inner.scan(view))


def _turned(order: bytes) -> bytes:
    return bytes([order[0] ^ 128]) + order[1:]


@dataclass
class ClaimsAll(FaultyOnline):
    """Says of every row that it was stored."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Write, and say so."""
        self.inner.write(view, rows)
        return [True] * len(rows)


@dataclass
class LastOfBatch(FaultyOnline):
    """Of the rows of a key in one call the last is written, not the greatest."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Write the last ones."""
        last = {row.key: place for place, row in enumerate(rows)}
        places = sorted(last.values())
        taken = dict(zip(places, self.inner.write(view, [rows[place] for place in places]), strict=True))
        return [taken.get(place, False) for place in range(len(rows))]


@dataclass
class Torn(FaultyOnline):
    """The first read of a payload that changed gives half of the old one and half of the new."""

    before: dict[tuple[str, bytes], bytes] = field(default_factory=dict)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Tear."""
        found = self.inner.read(views, keys, timeout=timeout)
        return [
            [self._torn(view, key, payload) for key, payload in zip(asked, part, strict=True)]
            for view, asked, part in zip(views, keys, found, strict=True)
        ]

    def _torn(self, view: str, key: bytes, payload: bytes | None) -> bytes | None:
        if payload is None:
            return None
        old = self.before.setdefault((view, key), payload)
        self.before[view, key] = payload
        middle = len(payload) // 2
        return old[:middle] + payload[middle:] if len(old) == len(payload) else payload


@dataclass
class SortedKeys(FaultyOnline):
    """Payloads come in the order of the sorted keys."""

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Sort the keys."""
        return self.inner.read(views, [sorted(part) for part in keys], timeout=timeout)


@dataclass
class EmptyIsAbsent(FaultyOnline):
    """An empty payload is taken for none."""

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Leave out what is empty."""
        found = self.inner.read(views, keys, timeout=timeout)
        return [[payload or None for payload in part] for part in found]


@dataclass
class VersionBlind(FaultyOnline):
    """Versions of a view share their rows."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Write under the name."""
        return self.inner.write(_unversioned(view), rows)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Read under the name."""
        return self.inner.read([_unversioned(view) for view in views], keys, timeout=timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Scan under the name."""
        return self.inner.scan(_unversioned(view))

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Drop under the name."""
        return self.inner.drop(_unversioned(view), keys)


def _unversioned(view: str) -> str:
    return view.partition("@")[0]


@dataclass
class DropsNothing(FaultyOnline):
    """Says that it removed keys, and leaves them."""

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Count only."""
        there = {row.key for row in self.inner.scan(view)}
        return len(there if keys is None else there & set(keys))


@dataclass
class ScansInPart(FaultyOnline):
    """A scan ends after a thousand rows."""

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """End early."""
        return islice(self.inner.scan(view), 1_000)

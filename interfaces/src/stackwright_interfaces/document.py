"""A JSON document that is read with the place of each value at hand, so that a message can name it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from reprlib import repr as short
from typing import Any, TypeVar

from stackwright_interfaces.errors import DefinitionError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Node:
    """A value of a document: object, list, text or number.

    Methods raise :class:`~stackwright_interfaces.errors.DefinitionError` where the value is not what they return.

    Args:
        value: what ``json.loads`` gives.
        document: name of the document, for messages.
        path: where the value stands there, for messages: ``views[0].name``.
    """

    value: Any
    document: str
    path: str = ""

    def __getitem__(self, name: str) -> Node:
        """The member of this name."""
        if name not in self.members():
            raise self._error(f"{name!r} is missing")
        return self._member(name)

    def __contains__(self, name: str) -> bool:
        return name in self.members()

    def __iter__(self) -> Iterator[Node]:
        """The items of a list."""
        if not isinstance(self.value, list | tuple):
            raise self.expected("a list")
        for place, item in enumerate(self.value):
            yield Node(item, self.document, f"{self.path}[{place}]")

    def members(self) -> Mapping[str, Any]:
        """The members of an object."""
        if not isinstance(self.value, Mapping):
            raise self.expected("an object")
        return self.value

    @property
    def is_null(self) -> bool:
        """Whether there is a null."""
        return self.value is None

    def text(self) -> str:
        """A text that UTF-8 can encode."""
        if not isinstance(self.value, str) or not _is_unicode(self.value):
            raise self.expected("a text")
        return self.value

    def optional_text(self) -> str | None:
        """A text or null."""
        return None if self.is_null else self.text()

    def texts(self) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(item.text() for item in self)

    def text_map(self) -> dict[str, str]:
        """An object whose members are texts."""
        return {Node(name, self.document, self.path).text(): self._member(name).text() for name in self.members()}

    def integer(self) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.expected("a whole number")
        return self.value

    def number(self) -> float:
        """A number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self.expected("a number")
        return self.value

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.expected("true or false")
        return self.value

    def span(self) -> timedelta:
        """A number of microseconds."""
        try:
            return timedelta(microseconds=self.integer())
        except OverflowError as error:
            raise self.expected("a span of time in microseconds") from error

    def optional_span(self) -> timedelta | None:
        """A number of microseconds or null."""
        return None if self.is_null else self.span()

    def one_of(self, allowed: Iterable[_T]) -> _T:
        """A text that equals one of these."""
        found = self.text()
        for choice in allowed:
            if choice == found:
                return choice
        raise self.expected("one of those allowed")

    def known(self, kind: str, among: Mapping[str, _T]) -> _T:
        """What the text refers to."""
        name = self.text()
        if name not in among:
            raise self._error(f"{kind} {name!r} is not there")
        return among[name]

    def _member(self, name: str) -> Node:
        return Node(self.value[name], self.document, f"{self.path}.{name}" if self.path else name)

    def expected(self, what: str) -> DefinitionError:
        """The error that this value is not what it should be."""
        return self._error(f"{short(self.value)} is not {what}")

    def _error(self, found: str) -> DefinitionError:
        where = f"{self.document}: {self.path}" if self.path else self.document
        return DefinitionError(where, found, "Run: stackwright apply")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

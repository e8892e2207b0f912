"""Identifiers of users, items and areas, and the numbers that stand for them inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, WrongType

Codes = NDArray[np.int32]
UNKNOWN: Final = -1


class Identifiers:
    """Different identifiers, all texts or all whole numbers; the code of one is its place.

    A number and its decimal text are one identifier, so that what came from CSV may be asked for by number; answers
    are given as the file had them.

    Args:
        values: texts or whole numbers, none twice.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.numeric = bool(len(values)) and not isinstance(values[0], str)
        self._values: list[Any] = [int(value) for value in values] if self.numeric else [str(value) for value in values]
        self._places: dict[Any, int] = {str(value): place for place, value in enumerate(self._values)}
        self._known: tuple[type, ...] = (str,)
        if self.numeric:
            self._places |= {value: place for place, value in enumerate(self._values)}
            self._known = (str, int)

    def __len__(self) -> int:
        return len(self._values)

    def code(self, asked: Any) -> int:
        """Return the code of one, -1 where it is unknown."""
        return self._places.get(asked if type(asked) in self._known else _text(asked), UNKNOWN)

    def codes(self, asked: Iterable[Any]) -> Codes:
        """Return the code of each, -1 where it is unknown.

        Raises:
            WrongType: one is neither a text nor a whole number.
        """
        find, known, values = self._places.get, self._known, list(asked)
        if not set(map(type, values)).issubset(known):
            values = [one if type(one) in known else _text(one) for one in values]
        return np.array([find(one, UNKNOWN) for one in values], dtype=np.int32)

    def names(self, codes: Iterable[int]) -> list[Any]:
        """Return the identifier of each code."""
        values = self._values
        return [values[code] for code in codes]

    def with_others(self, values: Iterable[Any]) -> Self:
        """Return these and, behind them, those of ``values`` that are new.

        Raises:
            WrongType: these are numbers, and a new one is none.
        """
        others = dict.fromkeys(str(value) for value in values if self.code(value) == UNKNOWN)
        if not self.numeric:
            return type(self)([*self._values, *others])
        try:
            return type(self)([*self._values, *map(int, others)])
        except ValueError as error:
            found = f"identifiers are whole numbers, and one of the new ones is none ({error})"
            raise WrongType("identifiers", found, "Give both files identifiers of one type.") from error

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return arrays that hold them, without objects."""
        if self.numeric:
            return {"numbers": np.array(self._values, dtype=np.int64)}
        parts = [value.encode("utf-8", "surrogatepass") for value in self._values]
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return {"text": np.frombuffer(b"".join(parts), dtype=np.uint8), "offsets": offsets}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Read what :meth:`to_arrays` gave.

        Raises:
            ArtifactError: it is something else.
        """
        if "numbers" in arrays:
            return cls(arrays["numbers"].tolist())
        try:
            text, offsets = arrays["text"].tobytes(), arrays["offsets"].tolist()
            return cls([text[start:stop].decode("utf-8", "surrogatepass") for start, stop in pairwise(offsets)])
        except (KeyError, ValueError) as error:
            raise ArtifactError("identifiers", f"damaged ({error!r})", "Train the recommender again.") from error


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer | np.str_):
        todo = "Give texts or whole numbers."
        raise WrongType("identifier", f"{value!r} is a {type(value).__name__}, no identifier", todo)
    return str(value)

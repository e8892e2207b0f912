"""Made rows for the trainers' kit: homes with a category, missing values and a price that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import TaskKind, TrainingData
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, Field

PLACES: Final = ("harbour", "hill", "mill")
"""The known categories; rows made with ``unknown`` also hold one that is not among them."""

SIGNATURE: Final = Signature(
    inputs=(Field("area", FLOAT64), Field("rooms", INT64), Field("place", STRING), Field("new", BOOL)),
    outputs=(Field("price", FLOAT64),),
    categories={"place": PLACES},
)

_GROUP: Final = 10


@dataclass(frozen=True)
class Homes:
    """Rows.

    Args:
        columns: input → array of n in the model-columns convention.
        price: n prices.
    """

    columns: Mapping[str, NDArray[Any]]
    price: NDArray[np.float64]

    @classmethod
    def make(cls, rows: int, seed: int = 0, *, missing: float = 0.1, unknown: bool = False) -> Self:
        """Make rows; a share ``missing`` of areas and of places is null."""
        random = np.random.default_rng(seed)
        area = random.uniform(40, 200, rows)
        rooms = np.clip(np.round(area / 30 + random.normal(0, 1, rows)), 1, None)
        new = (random.random(rows) < 0.3).astype(np.float64)
        where = random.integers(0, 3, rows)
        price = 50 + 2 * area + 10 * rooms + 40 * new + 80 * where + random.normal(0, 5, rows)
        place = np.array(PLACES, dtype=object)[where]
        if unknown:
            place[random.random(rows) < 0.2] = "moon"
        area[random.random(rows) < missing] = np.nan
        place[random.random(rows) < missing] = None
        return cls({"area": area, "rooms": rooms, "place": place, "new": new}, price)

    def __len__(self) -> int:
        return len(self.price)

    def take(self, which: Any) -> Homes:
        """Return some rows, by index or mask."""
        return Homes({name: values[which] for name, values in self.columns.items()}, self.price[which])

    def inputs(self, form: Literal["matrix", "columns"]) -> Any:
        """Return the inputs in the form that a trainer or predictor asks for."""
        if form == "columns":
            return dict(self.columns)
        codes: dict[Any, float] = {name: float(code) for code, name in enumerate(PLACES)} | {None: np.nan}
        place = np.array([codes.get(name, float(len(PLACES))) for name in self.columns["place"]])
        return np.column_stack([self.columns["area"], self.columns["rooms"], place, self.columns["new"]])

    def target(self, kind: TaskKind) -> NDArray[np.float64]:
        """Return prices; whether a home is dear; its grade in its group; or how long it was watched: dear ones wait."""
        match kind:
            case TaskKind.REGRESSION:
                return self.price
            case TaskKind.CLASSIFICATION:
                return (self.price > np.median(self.price)).astype(np.float64)
            case TaskKind.TIME_TO_EVENT:
                return np.minimum(self.price / 10, self._watched)
        ranks = np.argsort(np.argsort(self.price.reshape(-1, _GROUP), axis=1), axis=1)
        return np.asarray(ranks * 4 // _GROUP, dtype=np.float64).ravel()

    def data(
        self, kind: TaskKind, form: Literal["matrix", "columns"], weight: NDArray[np.float64] | None = None
    ) -> TrainingData:
        """Return the rows as a trainer takes them; for ranking in groups of ten, of times about half censored."""
        group = np.full(len(self) // _GROUP, _GROUP, dtype=np.int64) if kind is TaskKind.RANKING else None
        event = self.price / 10 <= self._watched if kind is TaskKind.TIME_TO_EVENT else None
        return TrainingData(inputs=self.inputs(form), target=self.target(kind), weight=weight, group=group, event=event)

    @property
    def _watched(self) -> NDArray[np.float64]:
        """For how long each home was looked at, at most."""
        return np.asarray(15 + 60 * (np.arange(len(self)) * 0.618034 % 1))

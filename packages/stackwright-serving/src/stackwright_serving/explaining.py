"""Explanations: what each input added to an answer, by what the model is made of, and how old its features were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ModelError
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_interfaces.model import SupportsContributions
from stackwright_serving.model import LoadedModel
from stackwright_serving.refused import RowRefused

Floats = NDArray[np.float64]

_LINKS: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "identity": lambda raw: raw,
    "exp": np.exp,
    "logistic": lambda raw: 1.0 / (1.0 + np.exp(-raw)),
    "square": lambda raw: np.sign(raw) * raw**2,
}
_TOLERANCE: Final = 1e-6
"""Greatest relative difference between a prediction and what contributions add up to."""


@dataclass(frozen=True)
class Explanation:
    """What the inputs of n rows added to their answers.

    Args:
        inputs: the model's inputs.
        values: n × inputs.
        base: of n: the raw score where nothing is known of a row.
        link: how the model's number follows from the raw score, ``"identity"`` say.
        steps: what follows it: the manifest's steps, in order.
    """

    inputs: tuple[str, ...]
    values: Floats
    base: Floats
    link: str
    steps: Sequence[Mapping[str, Any]]

    @property
    def raw(self) -> Floats:
        """The raw scores: base and values added up."""
        raw: Floats = self.base + self.values.sum(axis=1)
        return raw

    def row(self, place: int) -> dict[str, Any]:
        """Return one row as JSON values: ``base``, ``raw``, and ``contributions`` by input, the greatest first."""
        values = self.values[place].tolist()
        order = sorted(range(len(values)), key=lambda number: -abs(values[number]))
        return {
            "base": float(self.base[place]),
            "raw": float(self.raw[place]),
            "contributions": {self.inputs[number]: values[number] for number in order},
        }

    def about(self) -> dict[str, Any]:
        """Return how an answer follows from the raw score, as JSON values."""
        return {"link": self.link, "steps": [dict(step) for step in self.steps]}


def explain(model: LoadedModel, columns: Mapping[str, Any]) -> Explanation:
    """Return what each input adds to a model's answers.

    Args:
        columns: as to :meth:`~stackwright_serving.model.LoadedModel.predict`.

    Raises:
        RowRefused: the model cannot tell.
        MissingColumn: an input is not there.
        ModelError: what it tells does not add up to its predictions.
    """
    predictor = model.predictor
    if not isinstance(predictor, SupportsContributions):
        found = f"this {model.manifest.flavour} model does not tell what its inputs add"
        raise RowRefused(f"model {model.ref}", found, "Ask without explain; LightGBM's and linear models can.")
    given = model.given(columns)
    with model.turn:
        found_ = predictor.contributions(given)
        answers = np.asarray(predictor.predict(given), dtype=np.float64)
    explanation = Explanation(model.inputs, found_.values, found_.base, found_.link, model.manifest.postprocess)
    told = _LINKS[found_.link](explanation.raw)
    if not np.allclose(told, answers, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ModelError(f"model {model.ref}", "what its inputs add is not what it predicts", "Ask without explain.")
    return explanation


def ages(rows: FeatureRows, asked: datetime, place: int) -> dict[str, float | None]:
    """Return view → seconds from the event of a row's features to the asked instant, ``None`` where none was found."""
    instant = np.datetime64(asked.astimezone(UTC).replace(tzinfo=None), "us")
    found = {}
    for view, events in rows.events.items():
        event = events[place]
        found[view] = None if np.isnat(event) else float((instant - event) / np.timedelta64(1, "s"))
    return found

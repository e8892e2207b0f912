"""What each input adds to the answer of a linear model: its prepared columns times their coefficients.

Which columns were prepared from which input is asked of scikit-learn, by names that tell the place of the input.
Whether coefficients, columns and link really give the model's answers is tried on made rows, and no explanation is
offered where they do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import Contributions
from stackwright_sklearn.payload import Payload, steps
from stackwright_sklearn.predictor import SklearnPredictor

Floats = NDArray[np.float64]
Link = Literal["identity", "exp", "logistic"]

_PREPARED: Final = re.compile(r"(?:\w+__)?(?:missingindicator_)?(\d+)(?:_.*)?")
LINKS: Final[Mapping[Link, Callable[[Floats], Floats]]] = {
    "identity": lambda raw: raw,
    "logistic": lambda raw: 1.0 / (1.0 + np.exp(-raw)),
    "exp": np.exp,
}
"""Links that are known here → how the answer follows from the sum."""

_ROWS: Final = 32


class Terms(NamedTuple):
    """What a linear model sums up.

    Args:
        places: the input that each prepared column comes from.
        coefficients: of the prepared columns.
        intercept: the raw score where every prepared column is 0.
    """

    places: NDArray[np.int64]
    coefficients: Floats
    intercept: float


class LinearPredictor(SklearnPredictor):
    """Predicts with a linear model, and tells what each input adds.

    Args:
        payload: what to predict with.
        where: what an error calls the model.
        terms: what it sums up.
        link: how the answer follows from the sum.
    """

    additive = True

    def __init__(self, payload: Payload, where: str, terms: Terms, link: Link = "identity") -> None:
        super().__init__(payload, where)
        self._terms = terms
        self.link: Link = link

    @classmethod
    def of(cls, payload: Payload, where: str) -> LinearPredictor | None:
        """Return it where the model is linear in its prepared columns, up to a link that is known here."""
        terms = _terms(payload)
        if terms is None:
            return None
        linear = cls(payload, where, terms)
        rows = np.abs(np.random.default_rng(0).normal(size=(_ROWS, len(payload.inputs)))).round()
        try:
            found, answer = linear.contributions(rows), linear.predict(rows)
        except PredictionError:
            return None
        raw = found.base + found.values.sum(axis=1)
        for link, inverse in LINKS.items():
            with np.errstate(over="ignore"):
                told = inverse(raw)
            if np.allclose(told, answer, rtol=1e-9, atol=1e-12):
                linear.link = link
                return linear
        return None

    def contributions(self, inputs: Any) -> Contributions:
        """Return what each input adds to the raw score.

        Raises:
            PredictionError: the matrix has another shape, or the estimator does not take a value of it.
        """
        rows, terms = self._checked(inputs), self._terms
        values = np.zeros((len(rows), rows.shape[1]))
        if len(rows):
            with self._guarded(rows):
                each = np.asarray(self._prepared(rows), dtype=np.float64) * terms.coefficients
            np.add.at(values.T, terms.places, each.T)
        return Contributions(values=values, base=np.full(len(rows), terms.intercept), link=self.link)


def _terms(payload: Payload) -> Terms | None:
    *preparing, estimator = steps(payload.model)
    coefficients = np.asarray(getattr(estimator, "coef_", ()), dtype=np.float64).ravel()
    intercept = np.asarray(getattr(estimator, "intercept_", ()), dtype=np.float64).ravel()
    if not coefficients.size or intercept.size != 1:
        return None
    names = [str(place) for place in range(len(payload.inputs))]
    try:
        for step in preparing:
            names = [str(name) for name in step.get_feature_names_out(names)]
    except (AttributeError, ValueError, TypeError):
        return None
    found = [match for match in map(_PREPARED.fullmatch, names) if match]
    if len(found) != len(names) or len(found) != coefficients.size:
        return None
    return Terms(np.array([int(match[1]) for match in found]), coefficients, float(intercept[0]))

"""A fitted model of scikit-learn, before it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from stackwright_interfaces.model import Predictor
from stackwright_interfaces.trainer import FittedModel
from stackwright_sklearn.format import PAYLOAD, SklearnFormat, predictor_of
from stackwright_sklearn.payload import load


class SklearnModel(FittedModel):
    """A fitted model, held as its payload: what is saved is what predicts."""

    flavour: ClassVar[str] = SklearnFormat.flavour

    def __init__(self, content: bytes, parameters: Mapping[str, Any]) -> None:
        self._content = content
        self._payload = load(content, PAYLOAD)
        self.parameters = parameters
        self.metrics: dict[str, float] = {}

    def predictor(self) -> Predictor:
        """Return a predictor over the fitted model."""
        return predictor_of(self._payload)

    def save(self, folder: Path) -> None:
        """Write ``model.skops``."""
        (folder / PAYLOAD).write_bytes(self._content)

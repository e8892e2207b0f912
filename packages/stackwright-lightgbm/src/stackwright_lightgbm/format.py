"""The flavour ``lightgbm``: a folder with ``model.txt``, loaded through LightGBM's C library.

A folder with ``hazard.json`` beside it holds a model of times to an event: its trees give the hazard of a period. One
with ``quantiles.json`` also answers quantiles, each by trees of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from stackwright_interfaces.errors import ArtifactError, PredictionError
from stackwright_interfaces.model import Contributions, Manifest, ModelFormat, Predictor
from stackwright_interfaces.plugin import Context
from stackwright_lightgbm import quantiles
from stackwright_lightgbm.compilation import booster_of
from stackwright_lightgbm.hazards import ELAPSED, FILE, HazardPredictor, Hazards
from stackwright_lightgbm.links import link_of
from stackwright_lightgbm.plugin import LightGBMFormatConfig
from stackwright_lightgbm.text import check_text

PAYLOAD: Final = "model.txt"


class LightGBMPredictor(Predictor):
    """Predicts each row by itself, so that its answer does not depend on the others.

    Args:
        text: LightGBM's text form.
        threads: threads for the prediction of many rows.
        cache: where machine code is kept, for a model that predicts for long; without it there is none.
    """

    input = "matrix"

    def __init__(self, text: bytes, *, threads: int = 1, cache: Path | None = None) -> None:
        self._booster = booster_of(text, threads=threads, cache=cache)
        self._link = link_of(text)

    def predict(self, inputs: Any) -> Any:
        """Return n predictions for a float64 matrix of n × inputs."""
        return self._booster.predict(inputs)

    def contributions(self, inputs: Any) -> Contributions:
        """Return what each input adds to the sum of the trees, as Shapley values.

        Raises:
            PredictionError: the matrix has another shape, or the model's objective has no link to its sums.
        """
        if self._link is None:
            raise PredictionError("LightGBM model", "its objective tells no link between the trees' sum and the answer")
        link, scale = self._link
        found = self._booster.contributions(inputs) * scale
        return Contributions(values=found[:, :-1], base=found[:, -1], link=link)

    def close(self) -> None:
        """Free the model."""
        self._booster.close()


class QuantilePredictor(LightGBMPredictor):
    """Predicts quantiles as well, sorted row by row, so that they never cross.

    That is the rearrangement of Chernozhukov, Fernandez-Val and Galichon (2010, https://arxiv.org/abs/0704.3649), which
    makes no quantile worse.

    Args:
        text: what gives the first output.
        others: what gives each quantile, in their order.
    """

    def __init__(self, text: bytes, others: Sequence[bytes], *, threads: int = 1, cache: Path | None = None) -> None:
        super().__init__(text, threads=threads, cache=cache)
        self._others = [booster_of(other, threads=threads, cache=cache) for other in others]

    def predict(self, inputs: Any) -> Any:
        """Return n × outputs for a float64 matrix of n × inputs."""
        found = np.column_stack([other.predict(inputs) for other in self._others])
        return np.column_stack([super().predict(inputs), np.sort(found, axis=1)])

    def close(self) -> None:
        """Free the trees."""
        super().close()
        for other in self._others:
            other.close()


class LightGBMFormat(ModelFormat):
    """Loads ``model.txt``."""

    flavour: ClassVar[str] = "lightgbm"

    def __init__(self, config: LightGBMFormatConfig, context: Context) -> None:
        del config
        self._cache = context.cache

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder whose files were verified against its manifest.

        Raises:
            ArtifactError: ``model.txt`` is missing, cut short, or does not fit the manifest's signature.
        """
        path = folder / PAYLOAD
        text = _read(path)
        inputs = [field.name for field in manifest.signature.inputs]
        if (folder / FILE).exists():
            hazards = Hazards.read(folder / FILE)
            outputs = len(manifest.signature.outputs)
            if outputs != 1 + len(hazards.horizons):
                found = f"{len(hazards.horizons)} horizons; the manifest names {outputs} outputs"
                raise ArtifactError(str(folder / FILE), found, "Publish the model again.")
            check_text(text, [*inputs, ELAPSED], str(path))
            return HazardPredictor(text, hazards, threads=threads, cache=self._cache)
        check_text(text, inputs, str(path))
        if (folder / quantiles.FILE).exists():
            return self._with_quantiles(folder, text, manifest, threads)
        return LightGBMPredictor(text, threads=threads, cache=self._cache)

    def _with_quantiles(self, folder: Path, text: bytes, manifest: Manifest, threads: int) -> Predictor:
        paths = quantiles.paths(folder)
        if len(manifest.signature.outputs) != 1 + len(paths):
            found = f"{len(paths)} quantiles; the manifest names {len(manifest.signature.outputs)} outputs"
            raise ArtifactError(str(folder / quantiles.FILE), found, "Publish the model again.")
        texts = [_read(path) for path in paths]
        for path, other in zip(paths, texts, strict=True):
            check_text(other, [field.name for field in manifest.signature.inputs], str(path))
        return QuantilePredictor(text, texts, threads=threads, cache=self._cache)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(str(path), f"cannot be read ({error})", "Publish the model again.") from error

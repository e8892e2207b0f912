"""The flavour ``lightgbm``: a folder with ``model.txt``, loaded through LightGBM's C library.

A folder with ``hazard.json`` beside it holds a model of times to an event: its trees give the hazard of a period.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

from stackwright_interfaces.errors import ArtifactError, PredictionError
from stackwright_interfaces.model import Contributions, Manifest, ModelFormat, Predictor
from stackwright_interfaces.plugin import Context
from stackwright_lightgbm.hazards import ELAPSED, FILE, HazardPredictor, Hazards
from stackwright_lightgbm.links import link_of
from stackwright_lightgbm.native import NativeBooster
from stackwright_lightgbm.plugin import LightGBMFormatConfig
from stackwright_lightgbm.text import check_text

PAYLOAD: Final = "model.txt"


class LightGBMPredictor(Predictor):
    """Predicts through the C library; each row by itself, so its answer does not depend on the others."""

    input = "matrix"

    def __init__(self, text: bytes, *, threads: int = 1) -> None:
        self._booster = NativeBooster(text, threads=threads)
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


class LightGBMFormat(ModelFormat):
    """Loads ``model.txt``."""

    flavour: ClassVar[str] = "lightgbm"

    def __init__(self, config: LightGBMFormatConfig, context: Context) -> None:
        del config, context

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder whose files were verified against its manifest.

        Raises:
            ArtifactError: ``model.txt`` is missing, cut short, or does not fit the manifest's signature.
        """
        path = folder / PAYLOAD
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ArtifactError(str(path), f"cannot be read ({error})", "Publish the model again.") from error
        inputs = [field.name for field in manifest.signature.inputs]
        if (folder / FILE).exists():
            hazards = Hazards.read(folder / FILE)
            outputs = len(manifest.signature.outputs)
            if outputs != 1 + len(hazards.horizons):
                found = f"{len(hazards.horizons)} horizons; the manifest names {outputs} outputs"
                raise ArtifactError(str(folder / FILE), found, "Publish the model again.")
            check_text(text, [*inputs, ELAPSED], str(path))
            return HazardPredictor(text, hazards, threads=threads)
        check_text(text, inputs, str(path))
        return LightGBMPredictor(text, threads=threads)

"""The flavour ``sklearn``: a folder with ``model.skops``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import Manifest, ModelFormat, Predictor
from stackwright_interfaces.plugin import Context
from stackwright_sklearn.frames import FramePredictor
from stackwright_sklearn.linear import LinearPredictor
from stackwright_sklearn.payload import Payload, load, steps, task_of
from stackwright_sklearn.plugin import SklearnFormatConfig
from stackwright_sklearn.predictor import SklearnPredictor
from stackwright_skops.archive import damaged
from stackwright_skops.trees import check_trees

PAYLOAD: Final = "model.skops"


class SklearnFormat(ModelFormat):
    """Loads ``model.skops``."""

    flavour: ClassVar[str] = "sklearn"

    def __init__(self, config: SklearnFormatConfig, context: Context) -> None:
        del config, context

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder whose files were verified against its manifest.

        Args:
            threads: predictions use one, whatever is given.

        Raises:
            ArtifactError: ``model.skops`` is missing or damaged, needs a type that is not allowed, or does not fit the
                manifest's signature or task.
        """
        del threads
        path = folder / PAYLOAD
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtifactError(str(path), f"cannot be read ({error})", "Publish the model again.") from error
        payload = load(content, str(path))
        with damaged(str(path)):
            _check_fit(payload, manifest, str(path))
            check_trees(payload.model, str(path))
            return predictor_of(payload, str(path))


def predictor_of(payload: Payload, where: str = "scikit-learn model") -> Predictor:
    """Return the predictor for a payload: of a matrix, or of named columns; one that explains where it is linear."""
    if payload.texts is not None:
        return FramePredictor(payload, where)
    return LinearPredictor.of(payload, where) or SklearnPredictor(payload, where)


def _check_fit(payload: Payload, manifest: Manifest, where: str) -> None:
    names = tuple(field.name for field in manifest.signature.inputs)
    todo = "Publish the model again."
    if payload.inputs != names:
        found = f"the model takes {', '.join(payload.inputs)}; the manifest names {', '.join(names)}"
        raise ArtifactError(where, found, todo)
    if payload.texts is not None and not set(payload.texts) <= set(names):
        raise ArtifactError(where, "the model takes texts that are no inputs", todo)
    first = steps(payload.model)[0]
    width = first.n_features_in_ if payload.texts is None else getattr(first, "n_features_in_", len(names))
    if width != len(names):
        raise ArtifactError(where, f"the model takes {width} inputs; the manifest names {len(names)}", todo)
    outputs = len(manifest.signature.outputs)
    if outputs != 1 + len(payload.horizons):
        found = f"{len(payload.horizons)} horizons; the manifest names {outputs} outputs"
        raise ArtifactError(where, found, todo)
    if task_of(payload.model) != manifest.task:
        found = f"the model is a {type(payload.model).__name__}; the manifest says {manifest.task}"
        raise ArtifactError(where, found, todo)

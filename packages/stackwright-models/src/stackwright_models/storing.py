"""Fitted estimators as bytes and back, without pickle: a zip archive by skops, of a pinned list of types."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import skops.io

from stackwright_interfaces.errors import ArtifactError, TrainingError

ALLOWED: Final[Mapping[str, str]] = {
    "stackwright_models.encoding.TabularEncoder": "kinds and categories of columns",
    "stackwright_models.pipelines.BoostedRegressor": "parameters, and a booster",
    "stackwright_models.pipelines.BoostedClassifier": "the same, and an encoder of classes",
    "stackwright_models.intervals.IntervalRegressor": "a regressor and a table of widths",
    "stackwright_models.survival.TimeToEvent": "a classifier and the ends of periods",
    "stackwright_models.ranking.Ranker": "a booster and an encoder of columns",
    "stackwright_models.splitting.TemporalSplit": "options",
    "stackwright_numerics.conformal.IntervalTable": "numbers",
    "stackwright_numerics.conformal.Difficulty": "numbers",
    "lightgbm.basic.Booster": "trees, as LightGBM's text, which is parsed and not run",
    "lightgbm.sklearn.LGBMRegressor": "parameters, and a booster",
    "lightgbm.sklearn.LGBMClassifier": "the same, and an encoder of classes",
    "collections.OrderedDict": "what a booster measured while it was fitted",
    "datetime.timedelta": "options",
}
"""Type beyond those that skops trusts → what is in it. Each holds data; none runs code when it is read."""

_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ImportError, RecursionError),
    *(ValueError, TypeError, LookupError, AttributeError),
)
_TODO: Final = "Restore it, or fit the model again."


def dumps(model: Any) -> bytes:
    """Return a fitted estimator or pipeline as bytes.

    Raises:
        TrainingError: it holds what skops cannot store, or a type that :func:`loads` would refuse.
    """
    name = type(model).__name__
    try:
        content: bytes = skops.io.dumps(model)
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(name, f"cannot be stored without pickle ({error})", "Choose another estimator.") from error
    refused = _refused(content)
    if refused:
        raise TrainingError(name, f"holds {', '.join(refused)}, which is not on the list", "Choose another estimator.")
    return content


def loads(content: bytes, where: str = "model") -> Any:
    """Build what :func:`dumps` stored.

    Args:
        content: the bytes.
        where: what an error calls them.

    Raises:
        ArtifactError: damaged, or in need of a type that is not on the list; then nothing was built.
    """
    try:
        refused = _refused(content)
        if not refused:
            return skops.io.loads(content, trusted=sorted(ALLOWED))
    except _DAMAGED as error:
        raise ArtifactError(where, f"damaged, or no estimator ({error!r})", _TODO) from error
    raise ArtifactError(where, f"needs {', '.join(refused)}, which is not on the list", "Do not load it.")


def _refused(content: bytes) -> list[str]:
    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(ALLOWED))

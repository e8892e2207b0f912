"""The payload ``model.skops``: a fitted model as bytes and back, of a pinned list of types.

skops stores a model as a zip archive: a JSON tree that names the type of every part, and the arrays beside it. Nothing
of it runs when it is read; a part is built only if its type is trusted. skops trusts scikit-learn's estimators, their
losses, and the types of numpy and Python that hold numbers and texts. :data:`ALLOWED` adds the few that common
estimators need beyond these, and each reader of a payload refuses every other before it builds a part.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from stackwright_interfaces.errors import ArtifactError, TrainingError

ALLOWED: Final[Mapping[str, str]] = {
    "sklearn.tree._tree.Tree": "the nodes of a decision tree, forest or boosted tree; its indexes are checked",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": (
        "the nodes of a tree of histogram gradient boosting; its indexes are checked"
    ),
    "functools.partial": "how histogram gradient boosting keeps its check of inputs; of an allowed function only",
    "sklearn.utils.validation.check_array": "that check: looks at an array, calls nothing it was given",
    "numpy.dtype": "kept by an imputer: the kind of numbers that it was fitted on",
    "sklearn._loss.loss.HalfTweedieLoss": "the loss of TweedieRegressor: numbers",
    "sklearn._loss.loss.HalfTweedieLossIdentity": "the same with the identity link: numbers",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer": "kept by neural networks after a fit: numbers",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer": "kept by neural networks after a fit: numbers",
    "collections.OrderedDict": "kept by LightGBM's estimators: texts and numbers in order",
    "lightgbm.basic.Booster": "LightGBM's trees, as its text form; its parser runs nothing of it",
    "lightgbm.sklearn.LGBMRegressor": "LightGBM's estimator: parameters and a booster",
    "lightgbm.sklearn.LGBMClassifier": "the same",
    "stackwright_models.encoding.TabularEncoder": "the categories of each column: texts",
    "stackwright_models.pipelines.BoostedRegressor": "LightGBM's regressor, which checks its targets",
    "stackwright_models.pipelines.BoostedClassifier": "the same",
}
"""Type beyond those that skops trusts → what it is for, and why it does no harm."""

_TREE: Final = "schema.json"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_TODO: Final = "Restore the file, or publish the model again."

_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ImportError, RecursionError),
    *(ValueError, TypeError, LookupError, AttributeError),
)
"""What skops, zipfile, json and numpy raise over a damaged payload."""


class Payload(NamedTuple):
    """What a payload holds.

    Args:
        inputs: names of the model's inputs, in order.
        model: a fitted estimator, or a fitted pipeline that ends in one; takes a matrix of n × inputs, or a frame.
        texts: for one that takes a frame, the inputs that are texts, and a category of each; ``None`` for a matrix.
    """

    inputs: tuple[str, ...]
    model: Any
    texts: Mapping[str, str] | None = None


def dump(payload: Payload) -> bytes:
    """Return a payload as bytes: the same for the same fit, in any process.

    Raises:
        TrainingError: the model holds what skops cannot store or no reader would allow.
    """
    import skops.io

    name = type(_last(payload.model)).__name__
    todo = "Choose another estimator or other parameters (of neighbours algorithm = 'brute')."
    try:
        named = {} if payload.texts is None else {"texts": dict(payload.texts)}
        raw = skops.io.dumps({"inputs": list(payload.inputs), "model": payload.model, **named})
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(name, f"cannot be stored without pickle ({error})", todo) from error
    refused = _refused(raw)
    if refused:
        raise TrainingError(name, f"keeps {', '.join(refused)}, which no model folder may hold", todo)
    return _canonical(raw)


def load(content: bytes, where: str) -> Payload:
    """Build what :func:`dump` stored.

    Args:
        content: the bytes.
        where: what an error calls them.

    Raises:
        ArtifactError: damaged, not of this kind, or in need of a type that is not allowed; then nothing was built.
    """
    import skops.io

    with damaged(where):
        refused = _refused(content)
        if refused:
            found = f"needs {', '.join(refused)}, which no model folder may hold"
            raise ArtifactError(where, found, "Do not load it. Train the model again.")
        root = skops.io.loads(content, trusted=sorted(ALLOWED))
        payload = Payload(tuple(root["inputs"]), root["model"], root.get("texts"))
        if not callable(getattr(_last(payload.model), "predict", None)):
            raise ArtifactError(where, f"holds a {type(payload.model).__name__}, which does not predict", _TODO)
    return payload


@contextmanager
def damaged(where: str) -> Iterator[None]:
    """Turn what goes wrong over a damaged payload into an :class:`ArtifactError`."""
    try:
        yield
    except _DAMAGED as error:
        raise ArtifactError(where, f"damaged, or no payload of a scikit-learn model ({error!r})", _TODO) from error


def steps(model: Any) -> list[Any]:
    """Return the steps of a pipeline in order; of anything else, itself alone."""
    from sklearn.pipeline import Pipeline

    return [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]


def _last(model: Any) -> Any:
    return steps(model)[-1]


def _refused(content: bytes) -> list[str]:
    """Return the types that a payload needs and that are not allowed."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(ALLOWED))


def _canonical(raw: bytes) -> bytes:
    """Take out of a payload what differs from process to process: addresses, random names, times, order."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        tree = json.loads(archive.read(_TREE))
        ids: dict[int, int] = {}
        files: dict[str, str] = {}
        _rename(tree, ids, files)
        content = {new: archive.read(old) for old, new in files.items()}
    content[_TREE] = json.dumps(tree, separators=(",", ":")).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            archive.writestr(entry, content[name])
    return written.getvalue()


def _rename(node: Any, ids: dict[int, int], files: dict[str, str]) -> None:
    """Number ids and files by their first mention, in place. Numbers and texts lose their id: they are never shared."""
    if isinstance(node, dict):
        address = node.get("__id__")
        if isinstance(address, int):
            if node.get("__loader__") == "JsonNode":
                del node["__id__"]
            else:
                node["__id__"] = ids.setdefault(address, len(ids) + 1)
        if isinstance(node.get("file"), str):
            _, _, ending = node["file"].rpartition(".")
            node["file"] = files.setdefault(node["file"], f"{len(files):06d}.{ending}")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _rename(child, ids, files)

"""Fitted estimators of scikit-learn as bytes and back, by skops: no pickle, and types of a pinned list alone.

skops builds scikit-learn's own estimators and numpy's and Python's types for numbers and texts; :data:`ALLOWED` adds
the trees of forests, whose indexes are checked here, because scikit-learn follows them without a look.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import ArtifactError, PluginError, TrainingError

ALLOWED: Final[Mapping[str, str]] = {
    "sklearn.tree._tree.Tree": "the nodes of a decision tree or forest; its indexes are checked",
    "numpy.dtype": "kept by imputers and encoders: the kind of numbers they were fitted on",
}
"""Type beyond those that skops trusts → what it is for, and why it does no harm."""

_TREE: Final = "schema.json"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3


def is_estimator(value: Any) -> bool:
    """Return whether a value is an estimator of scikit-learn itself; nothing is imported for it."""
    return type(value).__module__.startswith("sklearn.") and hasattr(value, "get_params")


def dump(estimator: Any, where: str) -> bytes:
    """Return a fitted estimator as bytes: the same for the same fit, in any process.

    Raises:
        TrainingError: it holds what skops cannot store, or what no reader would allow.
        PluginError: skops is not installed.
    """
    skops = _skops(where)
    todo = "Write save and load, or take the trainer sklearn."
    try:
        raw = skops.dumps(estimator)
        refused = _refused(raw)
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(where, f"cannot be stored without pickle ({error})", todo) from error
    if refused:
        name = type(estimator).__name__
        raise TrainingError(where, f"a {name} keeps {', '.join(refused)}, which no model folder may hold", todo)
    return _canonical(raw)


def load(content: bytes, where: str) -> Any:
    """Build what :func:`dump` stored.

    Raises:
        ArtifactError: it needs a type that is not allowed, and nothing was built; or a tree leads out of its arrays.
        PluginError: skops is not installed.
    """
    skops = _skops(where)
    refused = _refused(content)
    if refused:
        found = f"needs {', '.join(refused)}, which no model folder may hold"
        raise ArtifactError(where, found, "Do not load it. Train the model again.")
    estimator = skops.loads(content, trusted=sorted(ALLOWED))
    for part in _parts(estimator, set()):
        if hasattr(part, "tree_"):
            _check_tree(part.tree_, part.n_features_in_, where)
        for tree in _parts(getattr(part, "estimators_", ()), set()):
            if hasattr(tree, "tree_") and not hasattr(part, "estimators_features_"):
                _demand(tree.tree_.n_features == part.n_features_in_, where)
    return estimator


def _skops(where: str) -> Any:
    try:
        import skops.io
    except ImportError as error:
        found = "holds an estimator of scikit-learn, and skops is not installed"
        raise PluginError(where, found, "Run: pip install 'stackwright-python[sklearn]'") from error
    return skops.io


def _refused(content: bytes) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(ALLOWED))


def _canonical(raw: bytes) -> bytes:
    """Take out what differs from process to process: addresses, random names, times, order."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        tree = json.loads(archive.read(_TREE))
        files: dict[str, str] = {}
        _rename(tree, {}, files)
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
            ending = node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(node["file"], f"{len(files):06d}.{ending}")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _rename(child, ids, files)


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """Give every object that an estimator consists of, once."""
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        children = list(value.values())
    elif isinstance(value, list | tuple):
        children = list(value)
    elif isinstance(value, np.ndarray):
        children = value.ravel().tolist() if value.dtype == object else []
    else:
        yield value
        children = list(getattr(value, "__dict__", {}).values())
    for child in children:
        yield from _parts(child, seen)


def _check_tree(tree: Any, inputs: int, where: str) -> None:
    """Children come after their parent, so that every way down ends."""
    _demand(0 < tree.node_count == tree.capacity and tree.n_features == inputs, where)
    inner = tree.children_left != -1
    for children in (tree.children_left[inner], tree.children_right[inner]):
        _demand((children > np.flatnonzero(inner)).all() and (children < tree.capacity).all(), where)
    feature = tree.feature[inner]
    _demand(((feature >= 0) & (feature < inputs)).all(), where)


def _demand(holds: Any, where: str) -> None:
    if not holds:
        found = "a tree with an index that leads out of its arrays"
        raise ArtifactError(where, found, "Do not load it. Restore the file, or train the model again.")

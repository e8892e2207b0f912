"""Fitted estimators of scikit-learn as bytes and back: no pickle, and types of a pinned list alone."""

from __future__ import annotations

from typing import Any

from stackwright_interfaces.errors import PluginError


def is_estimator(value: Any) -> bool:
    """Return whether a value is an estimator of scikit-learn itself; nothing is imported for it."""
    return type(value).__module__.startswith("sklearn.") and hasattr(value, "get_params")


def dump(estimator: Any, where: str) -> bytes:
    """Return a fitted estimator as bytes: the same for the same fit, in any process.

    Raises:
        TrainingError: it holds what skops cannot store, or what no reader would allow.
        PluginError: skops is not installed.
    """
    _check_installed(where)
    from stackwright_skops import allowed, archive

    todo = "Write save and load, or take the trainer sklearn."
    return archive.dump(estimator, allowed.TREES, where=f"{where}: a {type(estimator).__name__}", todo=todo)


def load(content: bytes, where: str) -> Any:
    """Build what :func:`dump` stored.

    Raises:
        ArtifactError: damaged, or it needs a type that is not allowed, and nothing was built; or a tree leads out of
            its arrays.
        PluginError: skops is not installed.
    """
    _check_installed(where)
    from stackwright_skops import allowed, archive, trees

    estimator = archive.load(content, allowed.TREES, where)
    with archive.damaged(where):
        trees.check_trees(estimator, where)
    return estimator


def _check_installed(where: str) -> None:
    try:
        from stackwright_skops import archive
    except ImportError as error:
        found = "holds an estimator of scikit-learn, and skops is not installed"
        raise PluginError(where, found, "Run: pip install 'stackwright-python[sklearn]'") from error
    del archive

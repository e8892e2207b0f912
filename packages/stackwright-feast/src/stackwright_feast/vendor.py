"""Feast as it is imported: without telemetry, without a trace in the process's metrics, and with its errors translated.

Feast's own feature server keeps its metrics in files, and importing any of Feast turns that on for every library in
the process, by two variables of the environment. They are put back, and prometheus_client is imported before them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client  # noqa: F401  # decides at its import where numbers are kept: before Feast's variables are set

from stackwright_interfaces.errors import FeatureStoreError, StackwrightError

_METRICS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


@contextmanager
def _unchanged_environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _METRICS}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


os.environ.setdefault("FEAST_USAGE", "False")

with warnings.catch_warnings(), _unchanged_environment():  # Feast changes which warnings the whole process shows
    import feast
    from feast import types
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import load_repo_config

__all__ = ["EntityKey", "Value", "feast", "load_repo_config", "translated", "types"]


@contextmanager
def translated(where: str, todo: str = "See the message, and check the repository with: feast plan") -> Iterator[None]:
    """Raise whatever Feast raises as a :class:`FeatureStoreError`.

    Args:
        where: the place, for the message.
        todo: what to do about it.
    """
    try:
        yield
    except StackwrightError:
        raise
    except Exception as exc:
        lines = str(exc).strip().splitlines() or ["no message"]
        raise FeatureStoreError(where, f"Feast failed ({type(exc).__name__}: {lines[0]})", todo) from exc

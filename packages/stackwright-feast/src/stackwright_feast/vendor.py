"""Feast as it is imported: without telemetry, and with its errors in the tree of stackwright's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("FEAST_USAGE", "False")

with warnings.catch_warnings():  # Feast changes which warnings the whole process shows
    import feast
    from feast import types
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import load_repo_config

from stackwright_interfaces.errors import FeatureStoreError, StackwrightError

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

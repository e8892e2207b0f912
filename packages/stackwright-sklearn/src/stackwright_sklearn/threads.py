"""How many threads numpy, scipy and scikit-learn use in native code."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def native_threads() -> Any:
    """Return the controller of their thread pools, made once: to find the pools takes longer than a prediction.

    Its ``limit(limits=n)`` is a context manager.
    """
    import_module("sklearn.ensemble")  # brings its pools along
    return import_module("threadpoolctl").ThreadpoolController()

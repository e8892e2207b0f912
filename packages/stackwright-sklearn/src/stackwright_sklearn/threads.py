"""How many threads numpy, scipy and scikit-learn use in native code."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any


def native_threads() -> Any:
    """Return the controller of their thread pools, and of LightGBM's where it is loaded.

    Its ``limit(limits=n)`` is a context manager.
    """
    return _controller("lightgbm" in sys.modules)


@cache
def _controller(_with_lightgbm: bool, /) -> Any:
    """Made once for what is loaded: to find the pools takes longer than a prediction."""
    import_module("sklearn.ensemble")  # brings its pools along
    return import_module("threadpoolctl").ThreadpoolController()

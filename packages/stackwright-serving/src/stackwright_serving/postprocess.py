"""Steps between the number a model gives and the answer; named in the manifest, so that they travel with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError

Step = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _exp(_step: Mapping[str, Any]) -> Step:
    return np.exp


def _clip(step: Mapping[str, Any]) -> Step:
    low, high = step.get("low", -np.inf), step.get("high", np.inf)
    return lambda values: np.clip(values, low, high)


def _scale(step: Mapping[str, Any]) -> Step:
    by = float(step["by"])
    return lambda values: values * by


def _round(step: Mapping[str, Any]) -> Step:
    digits = int(step["digits"])
    return lambda values: np.round(values, digits)


_STEPS: Final[Mapping[str, Callable[[Mapping[str, Any]], Step]]] = {
    "exp": _exp, "clip": _clip, "scale": _scale, "round": _round,
}  # fmt: skip


def compile_steps(steps: Sequence[Mapping[str, Any]]) -> Step:
    """Return one function that runs the steps in order.

    Args:
        steps: ``{"op": "exp"}``, ``{"op": "scale", "by": ...}``, ``{"op": "clip", "low": ..., "high": ...}``,
            ``{"op": "round", "digits": ...}``.

    Raises:
        ArtifactError: a step of another name.
    """
    for step in steps:
        if step.get("op") not in _STEPS:
            raise ArtifactError("manifest.json postprocess", f"unknown step {step!r}", f"Known: {', '.join(_STEPS)}.")
    compiled = [_STEPS[step["op"]](step) for step in steps]

    def run(values: NDArray[np.float64]) -> NDArray[np.float64]:
        for function in compiled:
            values = function(values)
        return values

    return run

"""Golden lists: requests with the lists they must give, kept beside a recommender's payload in ``golden.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import GOLDEN
from stackwright_interfaces.recommender import Recommender, Request

TOLERANCE: Final = 1e-6
"""Greatest difference between a golden score and what the loaded recommender gives, of the list's greatest."""

_AGAIN: Final = "The payload or its library changed; train the recommender again."


def write(folder: Path, recommender: Recommender, requests: Iterable[Mapping[str, Any]]) -> None:
    """Ask, and write one line a request: ``{"request": {...}, "items": [...], "scores": [...]}``.

    Args:
        requests: fields of :class:`Request` that are JSON values, without chance.
    """
    lines = []
    for asked in requests:
        found = recommender.answer(Request(**asked))
        scores = [None if np.isnan(score) else float(score) for score in found.scores]
        line = {"request": dict(asked), "items": list(found.items), "scores": scores}
        lines.append(json.dumps(line, allow_nan=False, sort_keys=True))
    (folder / GOLDEN).write_text("\n".join(lines) + "\n", encoding="utf-8")


def requests(folder: Path) -> list[dict[str, Any]]:
    """Return the golden requests, JSON values.

    Raises:
        ArtifactError: they cannot be read.
    """
    return [line["request"] for line in _lines(folder)]


def check(folder: Path, recommender: Recommender) -> float:
    """Ask the golden requests; return the greatest difference of a score, of its list's greatest.

    Raises:
        ArtifactError: there is none, or a list is another.
    """
    path = folder / GOLDEN
    try:
        asked = [(Request(**line["request"]), line["items"], line["scores"]) for line in _lines(folder)]
    except TypeError as error:
        raise ArtifactError(str(path), f"cannot be read ({error!r})", _AGAIN) from error
    if not asked:
        raise ArtifactError(str(path), "holds no golden list", "Train and publish the recommender again.")
    worst = 0.0
    for number, (request, items, scores) in enumerate(asked):
        found = recommender.answer(request)
        if list(found.items) != items:
            raise ArtifactError(str(path), f"list {number} is {list(found.items)!r}, expected {items!r}", _AGAIN)
        difference = _difference(np.asarray(found.scores, dtype=np.float64), np.array(scores, dtype=np.float64))
        if not difference <= TOLERANCE:
            raise ArtifactError(str(path), f"scores of list {number} differ by {difference:.1g}", _AGAIN)
        worst = max(worst, difference)
    return worst


def _lines(folder: Path) -> list[dict[str, Any]]:
    """Return the golden lists: ``request``, ``items`` and ``scores`` of each."""
    path = folder / GOLDEN
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{name: line[name] for name in ("request", "items", "scores")} for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(str(path), f"cannot be read ({error!r})", _AGAIN) from error


def _difference(given: Any, expected: Any) -> float:
    if given.shape != expected.shape or not np.array_equal(np.isnan(given), np.isnan(expected)):
        return float("inf")
    greatest = max(float(np.nanmax(np.abs(expected), initial=0.0)), 1e-12)
    return float(np.nanmax(np.abs(given - expected), initial=0.0)) / greatest

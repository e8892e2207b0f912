"""Opening versions for service: probed, warmed by their golden predictions, and tried again later where that fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ModelError, StackwrightError
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving import golden
from stackwright_serving.arms import lacking
from stackwright_serving.metrics import Metrics
from stackwright_serving.scorer import Scorer
from stackwright_serving.served import Loaded

log = logging.getLogger("stackwright.serving")

FIRST: Final = 1.0
LAST: Final = 60.0
"""Seconds until a version that could not be served is tried again: at first, and at most."""


LoadedT = TypeVar("LoadedT")


class Attempts(Generic[LoadedT]):
    """Opens versions, and waits ever longer before it tries one again that could not be opened.

    Args:
        metrics: counts what is refused.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._refused: dict[str, tuple[float, float]] = {}

    def open(self, version: ModelVersion, make: Callable[[], LoadedT]) -> LoadedT | None:
        """Return what is made of a version; ``None`` where that fails, or failed a moment ago."""
        key = f"{version.ref} {version.digest}"
        delay, due = self._refused.get(key, (FIRST / 2, 0.0))
        if time.monotonic() < due:
            return None
        try:
            loaded = make()
        except StackwrightError as error:
            delay = min(2 * delay, LAST)
            self._refused[key] = (delay, time.monotonic() + delay)
            self._metrics.swaps.labels(version.name, "refused").inc()
            log.error("%s cannot be served: %s", version.ref, error)
            return None
        self._refused.pop(key, None)
        return loaded


class Loading:
    """Opens versions of models.

    Args:
        open_: probes and loads a version; returns its scorer and its folder.
        services: ``name@version`` → applied feature service.
        metrics: counts what is refused.
    """

    def __init__(
        self,
        open_: Callable[[ModelVersion], tuple[Scorer, Path]],
        services: Mapping[str, FeatureService],
        metrics: Metrics,
    ) -> None:
        self._open = open_
        self._services = services
        self._attempts = Attempts[Loaded](metrics)

    def load(self, version: ModelVersion, *, beside: Loaded | None = None) -> Loaded | None:
        """Return a version ready to answer; ``None`` where it cannot be served, or could not a moment ago.

        Args:
            beside: whose requests it is to answer or score as well.
        """
        return self._attempts.open(version, lambda: self._loaded(version, beside))

    def _loaded(self, version: ModelVersion, beside: Loaded | None) -> Loaded:
        scorer, folder = self._open(version)
        golden.check(folder, scorer.model)
        service = scorer.service or self._services.get(scorer.model.manifest.service)
        missing = lacking(beside.service, service) if beside is not None else []
        if missing:
            found = f"requests to the champion leave out what it needs: {', '.join(missing)}"
            raise ModelError(version.ref, found, "Give the fields a default, or promote it without a trial.")
        return Loaded(version, scorer, service)

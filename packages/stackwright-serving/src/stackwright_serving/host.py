"""The models that are being served: loaded at start, swapped when an alias moves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import Challenger, Split, deciding
from stackwright_serving.hosting import Host, Source
from stackwright_serving.loading import Loading
from stackwright_serving.metrics import Metrics
from stackwright_serving.scorer import Scorer
from stackwright_serving.served import Loaded, Served
from stackwright_serving.settings import Settings
from stackwright_serving.shadow import ModelShadow

log = logging.getLogger("stackwright.serving")


class ModelSource(Source, Protocol):
    """Where served models come from."""

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        """Probe and load a version; return its scorer and its folder."""
        ...


class ModelHost(Host[Served, Loaded]):
    """Holds what is served of each model.

    Args:
        source: where models come from.
        metrics: counts swaps.
        services: ``name@version`` → applied feature service.
        settings: seconds between two looks at the source, and limits of shadows.
    """

    kind = "model"

    def __init__(
        self,
        source: ModelSource,
        metrics: Metrics,
        services: Mapping[str, FeatureService] | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(source, metrics, settings)
        self._loading = Loading(source.open, services or {}, metrics)

    def _close(self, served: Served) -> None:
        if served.shadow is not None and served.shadow.close():
            served.shadow.model.close()
        for loaded in served.loaded():
            loaded.close()

    def _update(self, name: str, version: ModelVersion, trial: Challenger | None) -> bool:
        current = self._serving.get(name)
        champion = self._loaded(current, version)
        if champion is None:
            if current is None:
                return False
            champion = current.champion
        if trial is not None and trial.version.version == champion.version.version:
            trial = None  # it was promoted
        if current is not None and current.champion is champion and _same(current.trial, trial):
            return champion.holds(version)
        changed = self._beside(current, champion, trial) if trial is not None else Served(champion)
        self._put(name, changed)
        return champion.holds(version) and _same(changed.trial, trial)

    def _loaded(self, current: Served | None, version: ModelVersion, beside: Loaded | None = None) -> Loaded | None:
        """Return a version, out of those that are loaded already where it is one of them."""
        return self._held(current, version) or self._loading.load(version, beside=beside)

    def _beside(self, current: Served | None, champion: Loaded, trial: Challenger) -> Served:
        """Return the champion with a challenger beside it; alone where that cannot be loaded."""
        challenger = self._loaded(current, trial.version, champion) if trial.share > 0 else None
        shadow = self._shadow(current, champion, trial) if trial.shadow else None
        if (challenger is None and trial.share > 0) or (shadow is None and trial.shadow):
            return Served(champion)
        split = Split(trial.version.ref, trial.share, deciding(trial, champion.service))
        log.info("%s is tried beside %s: share %g", trial.version.ref, champion.version.ref, trial.share)
        return Served(champion, challenger, split, shadow, trial)

    def _shadow(self, current: Served | None, champion: Loaded, trial: Challenger) -> ModelShadow | None:
        """Return what scores copies; the model is one of its own, since its thread is."""
        running = current.shadow if current is not None else None
        if running is not None and running.holds(trial.version):
            return running
        loaded = self._loading.load(trial.version, beside=champion)
        if loaded is None:
            return None
        limit, timeout = self._settings.shadow_rows, self._settings.deadline
        return ModelShadow(loaded.version, loaded.scorer, loaded.service, self._metrics, limit=limit, timeout=timeout)


def _same(one: Challenger | None, other: Challenger | None) -> bool:
    """Return whether two trials are the same; the record of a version may have grown between."""
    if one is None or other is None:
        return one is other
    keys = [(trial.version.ref, trial.version.digest, trial.share, trial.shadow, trial.by) for trial in (one, other)]
    return keys[0] == keys[1]

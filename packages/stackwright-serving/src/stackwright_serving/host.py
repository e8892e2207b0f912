"""The models that are being served: loaded at start, swapped when an alias moves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Protocol

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ModelNotFound, StackwrightError
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import Challenger, Split, deciding
from stackwright_serving.loading import Loading
from stackwright_serving.metrics import Metrics
from stackwright_serving.refused import Refused
from stackwright_serving.scorer import Scorer
from stackwright_serving.served import Loaded, Served
from stackwright_serving.settings import Settings
from stackwright_serving.shadow import Shadow

log = logging.getLogger("stackwright.serving")


class ModelSource(Protocol):
    """Where served models come from; the engine implements it over a registry."""

    def generation(self) -> str:
        """Return a token that changes whenever an alias moves."""
        ...

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return name → version to be served."""
        ...

    def challengers(self) -> Mapping[str, Challenger]:
        """Return name → version on trial beside it."""
        ...

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        """Probe and load a version; return its scorer and its folder."""
        ...


class ModelHost:
    """Holds what is served of each model. A request takes it once, and so is answered by one version.

    The version that a promotion replaced stays loaded, so that a roll-back takes no longer than a look at the source.

    Args:
        source: where models come from.
        metrics: counts swaps.
        services: ``name@version`` → applied feature service.
        settings: seconds between two looks at the source, and limits of shadows.
    """

    def __init__(
        self,
        source: ModelSource,
        metrics: Metrics,
        services: Mapping[str, FeatureService] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._settings = settings or Settings()
        self._loading = Loading(source.open, services or {}, metrics)
        self._serving: dict[str, Served] = {}
        self._before: dict[str, Loaded] = {}
        self._generation = ""
        self._task: asyncio.Task[None] | None = None
        self._looking = Lock()

    @property
    def serving(self) -> Mapping[str, ModelVersion]:
        """Name → version now serving."""
        return {name: served.champion.version for name, served in self._serving.items()}

    def served(self, name: str | None) -> Served:
        """Return what is served of a model; of the only one where no name is given.

        Raises:
            ModelNotFound: it is not being served.
            Refused: nothing could be loaded yet (503).
        """
        if not self._serving and not self._generation:
            raise Refused(503, "no model could be loaded yet", "Ask again in a moment.", where="server")
        if name is None and len(self._serving) == 1:
            return next(iter(self._serving.values()))
        if name is None or name not in self._serving:
            known = ", ".join(sorted(self._serving)) or "none"
            found = f"no model {name!r} is served" if name else "no model is named"
            raise ModelNotFound("request", found, f"Served: {known}.")
        return self._serving[name]

    async def start(self) -> None:
        """Load what is promoted, then look for changes until :meth:`stop`."""
        await asyncio.to_thread(self.refresh)
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop looking, and close the models."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        serving, self._serving = self._serving, {}
        for served in serving.values():
            if served.shadow is not None and served.shadow.close():
                served.shadow.model.close()
            for loaded in served.loaded():
                loaded.scorer.model.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:
                log.exception("looking for promotions failed")

    def refresh(self) -> None:
        """Swap in what was promoted since the last look; what cannot be loaded leaves the old version serving."""
        with self._looking:
            self._refresh()

    def _refresh(self) -> None:
        try:
            generation = self._source.generation()
            if generation == self._generation:
                return
            promoted, challengers = self._source.promoted(), self._source.challengers()
        except StackwrightError as error:
            log.warning("registry cannot be asked: %s", error)
            return
        done = [self._update(name, version, challengers.get(name)) for name, version in promoted.items()]
        for name in self._serving.keys() - promoted.keys():
            _end_shadow(self._serving.pop(name), None)
        if all(done):
            self._generation = generation

    def _update(self, name: str, version: ModelVersion, trial: Challenger | None) -> bool:
        """Bring what is served of a model in line with the registry; return whether that was possible."""
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
        self._serving[name] = changed
        if current is None or current.champion is not champion:
            self._note(name, champion, current)
        if current is not None:
            _end_shadow(current, changed.shadow)
        return champion.holds(version) and _same(changed.trial, trial)

    def _loaded(self, current: Served | None, version: ModelVersion, beside: Loaded | None = None) -> Loaded | None:
        """Return a version, out of those that are loaded already where it is one of them."""
        known = [*current.loaded()] if current is not None else []
        if version.name in self._before:
            known.append(self._before[version.name])
        held = next((loaded for loaded in known if loaded.holds(version)), None)
        return held or self._loading.load(version, beside=beside)

    def _beside(self, current: Served | None, champion: Loaded, trial: Challenger) -> Served:
        """Return the champion with a challenger beside it; alone where that cannot be loaded."""
        challenger = self._loaded(current, trial.version, champion) if trial.share > 0 else None
        shadow = self._shadow(current, champion, trial) if trial.shadow else None
        if (challenger is None and trial.share > 0) or (shadow is None and trial.shadow):
            return Served(champion)
        split = Split(trial.version.ref, trial.share, deciding(trial, champion.service))
        log.info("%s is tried beside %s: share %g", trial.version.ref, champion.version.ref, trial.share)
        return Served(champion, challenger, split, shadow, trial)

    def _shadow(self, current: Served | None, champion: Loaded, trial: Challenger) -> Shadow | None:
        """Return what scores copies; the model is one of its own, since its thread is."""
        running = current.shadow if current is not None else None
        if running is not None and running.scores(trial.version):
            return running
        loaded = self._loading.load(trial.version, beside=champion)
        if loaded is None:
            return None
        limit, timeout = self._settings.shadow_rows, self._settings.deadline
        return Shadow(loaded.scorer, loaded.service, self._metrics, limit=limit, timeout=timeout)

    def _note(self, name: str, champion: Loaded, before: Served | None) -> None:
        if before is not None:
            self._before[name] = before.champion
        self._metrics.swaps.labels(name, "done").inc()
        self._metrics.version.labels(name).set(champion.version.version)
        log.info("serving %s", champion.version.ref)


def _end_shadow(served: Served, kept: Shadow | None) -> None:
    if served.shadow is not None and served.shadow is not kept:
        served.shadow.close()


def _same(one: Challenger | None, other: Challenger | None) -> bool:
    """Return whether two trials are the same; the record of a version may have grown between."""
    if one is None or other is None:
        return one is other
    keys = [(trial.version.ref, trial.version.digest, trial.share, trial.shadow, trial.by) for trial in (one, other)]
    return keys[0] == keys[1]

"""The models that are being served: loaded at start, swapped when an alias moves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from stackwright_interfaces.errors import ModelNotFound, StackwrightError
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving import golden
from stackwright_serving.metrics import Metrics
from stackwright_serving.scorer import Scorer

log = logging.getLogger("stackwright.serving")


class ModelSource(Protocol):
    """Where served models come from; the engine implements it over a registry."""

    def generation(self) -> str:
        """Return a token that changes whenever an alias moves."""
        ...

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return name → version to be served."""
        ...

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        """Probe and load a version; return its scorer and its folder."""
        ...


class ModelHost:
    """Holds one scorer a model. A request takes its scorer once, and so is answered by one version.

    Args:
        source: where models come from.
        metrics: counts swaps.
        poll: seconds between two looks at the source.
    """

    def __init__(self, source: ModelSource, metrics: Metrics, *, poll: float = 2.0) -> None:
        self._source = source
        self._metrics = metrics
        self._poll = poll
        self._serving: dict[str, tuple[ModelVersion, Scorer]] = {}
        self._generation = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def serving(self) -> Mapping[str, ModelVersion]:
        """Name → version now serving."""
        return {name: version for name, (version, _) in self._serving.items()}

    def scorer(self, name: str | None) -> Scorer:
        """Return the scorer of a model; the only one where no name is given.

        Raises:
            ModelNotFound: it is not being served.
        """
        if name is None and len(self._serving) == 1:
            return next(iter(self._serving.values()))[1]
        if name is None or name not in self._serving:
            known = ", ".join(sorted(self._serving)) or "none"
            found = f"no model {name!r} is served" if name else "no model is named"
            raise ModelNotFound("request", found, f"Served: {known}.")
        return self._serving[name][1]

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
        for _, scorer in self._serving.values():
            scorer.model.close()
        self._serving = {}

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Swap in what was promoted since the last look; what cannot be loaded leaves the old version serving."""
        try:
            generation = self._source.generation()
            if generation == self._generation:
                return
            promoted = self._source.promoted()
        except StackwrightError as error:
            log.warning("registry cannot be asked: %s", error)
            return
        done = [self._swap(name, version) for name, version in promoted.items()]
        for name in self._serving.keys() - promoted.keys():
            self._serving.pop(name)
        if all(done):
            self._generation = generation

    def _swap(self, name: str, version: ModelVersion) -> bool:
        current = self._serving.get(name)
        if current is not None and current[0].digest == version.digest and current[0].version == version.version:
            return True
        try:
            scorer, folder = self._source.open(version)
            golden.check(folder, scorer.model)
        except StackwrightError as error:
            self._metrics.swaps.labels(name, "refused").inc()
            log.error("%s cannot be served: %s", version.ref, error)
            return False
        self._serving[name] = (version, scorer)
        self._metrics.swaps.labels(name, "done").inc()
        self._metrics.version.labels(name).set(version.version)
        log.info("serving %s", version.ref)
        return True

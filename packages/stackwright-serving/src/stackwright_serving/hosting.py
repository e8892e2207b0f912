"""What is served by name: loaded at start, swapped when an alias moves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from stackwright_interfaces.errors import ModelNotFound, StackwrightError
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import Challenger
from stackwright_serving.metrics import Metrics
from stackwright_serving.refused import Refused
from stackwright_serving.settings import Settings
from stackwright_serving.shadowing import Shadow

log = logging.getLogger("stackwright.serving")


class Source(Protocol):
    """Where what is served comes from; the engine implements it over a registry."""

    def generation(self) -> str:
        """Return a token that changes whenever an alias moves."""
        ...

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return name → version to be served."""
        ...

    def challengers(self) -> Mapping[str, Challenger]:
        """Return name → version on trial beside it."""
        ...


class HasVersion(Protocol):
    """A version that is loaded."""

    @property
    def version(self) -> ModelVersion:
        """What it is."""
        ...

    def holds(self, version: ModelVersion) -> bool:
        """Return whether it is this version."""
        ...

    def close(self) -> None:
        """Release it. Closing twice is allowed."""
        ...


LoadedT = TypeVar("LoadedT", bound=HasVersion)


class HasChampion(Protocol):
    """What is served under a name."""

    @property
    def champion(self) -> Any:
        """The version that answers."""
        ...

    @property
    def shadow(self) -> Shadow[Any, Any] | None:
        """What answers copies of its requests."""
        ...

    def loaded(self) -> Iterator[Any]:
        """Give every version that may answer."""
        ...


ServedT = TypeVar("ServedT", bound=HasChampion)


class Host(ABC, Generic[ServedT, LoadedT]):
    """Holds what is served under each name. A request takes it once, and so is answered by one version.

    The version that a promotion replaced stays loaded, so that a roll-back takes no longer than a look at the source.

    Args:
        source: where versions come from.
        metrics: counts swaps.
        settings: seconds between two looks at the source.

    Attributes:
        kind: what it serves, for messages.
    """

    kind: ClassVar[str]

    def __init__(self, source: Source, metrics: Metrics, settings: Settings | None = None) -> None:
        self._source = source
        self._metrics = metrics
        self._settings = settings or Settings()
        self._serving: dict[str, ServedT] = {}
        self._before: dict[str, LoadedT] = {}
        self._generation = ""
        self._task: asyncio.Task[None] | None = None
        self._looking = Lock()

    @property
    def serving(self) -> Mapping[str, ModelVersion]:
        """Name → version now serving."""
        return {name: served.champion.version for name, served in self._serving.items()}

    def served(self, name: str | None) -> ServedT:
        """Return what is served under a name; the only one where no name is given.

        Raises:
            ModelNotFound: it is not being served.
            Refused: nothing could be loaded yet (503).
        """
        if not self._serving and not self._generation:
            raise Refused(503, f"no {self.kind} could be loaded yet", "Ask again in a moment.", where="server")
        if name is None and len(self._serving) == 1:
            return next(iter(self._serving.values()))
        if name is None or name not in self._serving:
            known = ", ".join(sorted(self._serving)) or "none"
            found = f"no {self.kind} {name!r} is served" if name else f"no {self.kind} is named"
            raise ModelNotFound("request", found, f"Served: {known}.")
        return self._serving[name]

    async def start(self) -> None:
        """Load what is promoted, then look for changes until :meth:`stop`."""
        await asyncio.to_thread(self.refresh)
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop looking, and close what is served, and what is kept for a roll-back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        serving, self._serving = self._serving, {}
        before, self._before = self._before, {}
        for served in serving.values():
            await asyncio.to_thread(self._close, served)  # what a thread still asks is waited for
        for loaded in before.values():
            await asyncio.to_thread(loaded.close)

    def refresh(self) -> None:
        """Swap in what was promoted since the last look; what cannot be loaded leaves the old version serving."""
        with self._looking:
            self._refresh()

    @abstractmethod
    def _update(self, name: str, version: ModelVersion, trial: Challenger | None) -> bool:
        """Bring what is served under a name in line with the source; return whether that was possible."""

    @abstractmethod
    def _close(self, served: ServedT) -> None:
        """Release what is served no longer, for the server ends."""

    def _put(self, name: str, served: ServedT) -> None:
        """Serve something under a name from now on, and end the shadow of what was served before."""
        before = self._serving.get(name)
        self._serving[name] = served
        if before is not None and before.shadow is not None and before.shadow is not served.shadow:
            before.shadow.close()
        if before is not None and before.champion is served.champion:
            return
        if before is not None:
            self._before[name] = before.champion
        self._metrics.swaps.labels(name, "done").inc()
        self._metrics.version.labels(name).set(served.champion.version.version)
        log.info("serving %s", served.champion.version.ref)

    def _held(self, current: ServedT | None, version: ModelVersion) -> LoadedT | None:
        """Return a version out of those that are loaded already, where it is one of them."""
        known: list[LoadedT] = [*current.loaded()] if current is not None else []
        if version.name in self._before:
            known.append(self._before[version.name])
        return next((loaded for loaded in known if loaded.holds(version)), None)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:
                log.exception("looking for promotions failed")

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
            retired = self._serving.pop(name)  # requests may still hold it
            if retired.shadow is not None:
                retired.shadow.close()
        if all(done):
            self._generation = generation

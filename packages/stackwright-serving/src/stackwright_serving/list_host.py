"""The recommenders that are being served: loaded at start, swapped when an alias moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import CANARY, LIVE, Challenger, Split
from stackwright_serving.hosting import Host, Source
from stackwright_serving.list_shadow import ListShadow
from stackwright_serving.lists import LoadedLists
from stackwright_serving.loading import Attempts
from stackwright_serving.metrics import Metrics
from stackwright_serving.settings import Settings

BY: Final = "user"
"""What decides whose lists are a challenger's."""


class ListSource(Source, Protocol):
    """Where served recommenders come from."""

    def open(self, version: ModelVersion) -> LoadedLists:
        """Probe, load and warm a version."""
        ...


@dataclass(frozen=True)
class ServedLists:
    """A recommender that is served.

    Args:
        champion: what answers.
        challenger: what answers for the share of the users that ``split`` takes.
        split: tells them from the others.
        shadow: what answers copies of the champion's requests, and is never shown.
        trial: the challenger as the registry has it, loaded or not.
    """

    champion: LoadedLists
    challenger: LoadedLists | None = None
    split: Split | None = None
    shadow: ListShadow | None = None
    trial: Challenger | None = None

    def choose(self, user: object) -> tuple[LoadedLists, str]:
        """Return what answers a user, and as which arm; who is not named gets the champion's list."""
        if self.challenger is None or self.split is None or user is None:
            return self.champion, LIVE
        return (self.challenger, CANARY) if self.split.takes({BY: [str(user)]}) else (self.champion, LIVE)

    def loaded(self) -> Iterator[LoadedLists]:
        """Give what may answer."""
        yield self.champion
        if self.challenger is not None:
            yield self.challenger


class ListHost(Host[ServedLists, LoadedLists]):
    """Holds what is served of each recommender.

    Args:
        source: where recommenders come from.
        metrics: counts swaps.
        settings: seconds between two looks at the source, and the limit of shadows.
    """

    kind = "recommender"

    def __init__(self, source: ListSource, metrics: Metrics, settings: Settings | None = None) -> None:
        super().__init__(source, metrics, settings)
        self._attempts = Attempts[LoadedLists](metrics)
        self._open = source.open

    def _close(self, served: ServedLists) -> None:
        if served.shadow is not None and served.shadow.close():
            served.shadow.lists.close()
        for loaded in served.loaded():
            loaded.close()

    def _update(self, name: str, version: ModelVersion, trial: Challenger | None) -> bool:
        current = self._serving.get(name)
        champion = self._loaded(current, version)
        if champion is None and current is None:
            return False
        answering = champion or current.champion if current is not None else champion
        assert answering is not None, "one of both is there"
        if trial is None or trial.version.version == answering.version.version:  # it was promoted
            self._put(name, ServedLists(answering))
            return champion is not None
        challenger = self._loaded(current, trial.version) if trial.share > 0 else None
        shadow = self._shadow(current, trial.version) if trial.shadow else None
        split = Split(trial.version.ref, trial.share, (BY,))
        self._put(name, ServedLists(answering, challenger, split, shadow, trial))
        lacking = (challenger is None and trial.share > 0) or (shadow is None and trial.shadow)
        return champion is not None and not lacking

    def _loaded(self, current: ServedLists | None, version: ModelVersion) -> LoadedLists | None:
        """Return a version, out of those that are loaded already where it is one; ``None`` where it cannot be."""
        return self._held(current, version) or self._attempts.open(version, lambda: self._open(version))

    def _shadow(self, current: ServedLists | None, version: ModelVersion) -> ListShadow | None:
        """Return what is asked copies; the recommender is one of its own, since its thread is."""
        running = current.shadow if current is not None else None
        if running is not None and running.holds(version):
            return running
        lists = self._attempts.open(version, lambda: self._open(version))
        return None if lists is None else ListShadow(lists, self._metrics, limit=self._settings.shadow_rows)


class NoLists:
    """A source of no recommender."""

    def generation(self) -> str:
        """Return the only one."""
        return "none"

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return nothing."""
        return {}

    def challengers(self) -> Mapping[str, Challenger]:
        """Return nothing."""
        return {}

    def open(self, version: ModelVersion) -> LoadedLists:
        """Refuse."""
        raise ModelNotFound(version.ref, "no recommender is served", "Name one under [recommenders].")

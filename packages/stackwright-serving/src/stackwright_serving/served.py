"""One state of a model that is served: a request takes it once, and so is answered by one version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import CANARY, LIVE, Challenger, Columns, Split
from stackwright_serving.scorer import Scorer
from stackwright_serving.shadow import Shadow


@dataclass(frozen=True)
class Loaded:
    """A version that is loaded.

    Args:
        service: the feature service that it reads; ``None`` where that is not applied.
    """

    version: ModelVersion
    scorer: Scorer
    service: FeatureService | None

    def holds(self, version: ModelVersion) -> bool:
        """Return whether it is this version."""
        return self.version.version == version.version and self.version.digest == version.digest


@dataclass(frozen=True)
class Served:
    """A model that is served.

    Args:
        champion: what answers.
        challenger: what answers for the share of the entities that ``split`` takes.
        shadow: what scores copies of the champion's requests.
        trial: the challenger as the registry has it, loaded or not.
    """

    champion: Loaded
    challenger: Loaded | None = None
    split: Split | None = None
    shadow: Shadow | None = None
    trial: Challenger | None = None

    def choose(self, keys: Columns, request: Columns) -> tuple[Loaded, str]:
        """Return what answers a request, and as which arm."""
        if self.challenger is not None and self.split is not None and self.split.takes({**keys, **request}):
            return self.challenger, CANARY
        return self.champion, LIVE

    def loaded(self) -> Iterator[Loaded]:
        """Give what may answer."""
        yield self.champion
        if self.challenger is not None:
            yield self.challenger

    def version(self, number: str) -> Loaded:
        """Return what may answer by its version number.

        Raises:
            ModelNotFound: it is not served.
        """
        for loaded in self.loaded():
            if str(loaded.version.version) == number:
                return loaded
        known = ", ".join(str(loaded.version.version) for loaded in self.loaded())
        found = f"version {number} of {self.champion.version.name!r} is not served"
        raise ModelNotFound("request", found, f"Served: {known}.")

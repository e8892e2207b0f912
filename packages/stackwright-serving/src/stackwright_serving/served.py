"""One state of a model that is served: a request takes it once, and so is answered by one version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import CANARY, LIVE, Challenger, Columns, Split
from stackwright_serving.scorer import Scorer
from stackwright_serving.shadow import ModelShadow
from stackwright_serving.values import RowForm


class RequestForm:
    """How the rows of a request to a service are read: compiled once, since definitions work out their fields anew.

    Args:
        service: the service.
    """

    def __init__(self, service: FeatureService) -> None:
        self.keys = service.request_keys
        self.fields = (*self.keys, *service.request)
        self._columns = RowForm(self.fields, self.keys)
        self._key_names = frozenset(field.name for field in self.keys)

    def read(self, rows: Sequence[Any]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Return key → values and request field → values of JSON objects.

        Raises:
            InvalidValue: a row does not fit; the message names row and field.
        """
        given = self._columns(rows)
        names = self._key_names
        if len(names) == len(given):
            return given, {}
        keys = {name: values for name, values in given.items() if name in names}
        return keys, {name: values for name, values in given.items() if name not in names}


@dataclass(frozen=True)
class Loaded:
    """A version that is loaded.

    Args:
        service: the feature service that it reads; ``None`` where that is not applied.
    """

    version: ModelVersion
    scorer: Scorer
    service: FeatureService | None

    @cached_property
    def form(self) -> RequestForm | None:
        """How a request to its service is read."""
        return None if self.service is None else RequestForm(self.service)

    def holds(self, version: ModelVersion) -> bool:
        """Return whether it is this version."""
        return self.version.version == version.version and self.version.digest == version.digest

    def close(self) -> None:
        """Release the model once no thread asks it."""
        self.scorer.model.close()


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
    shadow: ModelShadow | None = None
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

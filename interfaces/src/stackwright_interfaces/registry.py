"""The registry: immutable versions, aliases that move by compare-and-set, and a journal that forgets nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from stackwright_interfaces.model import ModelRef

CONTRACT: Final = 1


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One published model.

    Args:
        name: the model's name.
        version: 1, 2, 3, ...
        digest: digest of its manifest.
        created: when it was published.
        record: metrics, lineage and whatever else lies beside the digest; JSON values.
        aliases: the aliases that point to it.
    """

    name: str
    version: int
    digest: str
    created: datetime
    record: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the journal.

    Args:
        kind: ``"published"``, ``"alias"``, ``"evidence"``, ``"deleted"``.
        who: the acting user.
        why: the reason given.
        before: version the alias pointed to, or ``None``.
        after: version it points to now, or ``None`` when removed.
        evidence: results of the gates, or other proof; JSON values.
    """

    at: datetime
    kind: str
    name: str
    version: int | None = None
    alias: str | None = None
    who: str = ""
    why: str = ""
    before: int | None = None
    after: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Registry(ABC):
    """Keeps published models."""

    @abstractmethod
    def publish(self, name: str, folder: Path, record: Mapping[str, Any], *, who: str = "") -> ModelVersion:
        """Copy a folder in as the next version; the same digest again gives the version that has it.

        Atomic: a reader sees the whole version or none, also after a crash.

        Raises:
            ArtifactError: the folder is not what its manifest says.
            UsageError: the name is not usable, or the record has no JSON form.
            RegistryError: the registry cannot be written.
        """

    @abstractmethod
    def resolve(self, ref: ModelRef) -> ModelVersion:
        """Find a version by number or alias; a bare name is its newest version.

        Raises:
            ModelNotFound: there is none.
            UsageError: a name or alias that is not usable.
        """

    @abstractmethod
    def fetch(self, version: ModelVersion) -> Path:
        """Return a local folder with the version's files, verified against its digest. It must not be written to.

        Raises:
            ArtifactError: the files do not have that digest.
        """

    @abstractmethod
    def record(self, event: Event, *, expected: int | None = None) -> None:
        """Add a line to the journal; an ``"alias"`` line moves the alias as well.

        Args:
            event: for ``"alias"``: ``name``, ``alias``, and ``after`` (``None`` removes it); ``before`` is filled in.
            expected: the version the alias must point to now, ``None`` for no alias yet.

        Raises:
            AliasConflict: it points elsewhere; nothing was changed.
            ModelNotFound: there is no such model or version, or no such alias to remove.
            UsageError: a name, alias or kind that is not usable, or evidence without a JSON form. Publishing writes its
                own lines.
        """

    @abstractmethod
    def history(self, name: str | None = None) -> tuple[Sequence[ModelVersion], Sequence[Event]]:
        """Return all versions and all journal lines, oldest first, of one model or of all."""

    def generation(self) -> str:
        """Return a token that changes whenever an alias moves; cheap enough to be asked every second."""
        _, events = self.history()
        return str(sum(1 for event in events if event.kind == "alias"))

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt to train.

    Args:
        id: its id.
        status: ``"running"``, ``"finished"`` or ``"failed"``.
        parameters: what was set.
        metrics: what was measured last.
        model: ``name@version`` it published, or empty.
        record: owner, code, data and whatever else; JSON values.
    """

    id: str
    name: str
    status: str
    started: datetime
    ended: datetime | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class SupportsRuns(Protocol):
    """A registry that also keeps runs (``Capability.RUNS``)."""

    def save_run(self, run: Run) -> None:
        """Store or replace a run by its id."""
        ...

    def runs(self, name: str | None = None) -> Sequence[Run]:
        """Return runs, newest first."""
        ...

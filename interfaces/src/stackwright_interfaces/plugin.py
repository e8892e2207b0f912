"""How adapters, blueprints, samples and gates are offered to the engine.

A distribution names its plugin module in the entry-point group ``stackwright``, under the adapter's name::

    [project.entry-points.stackwright]
    duckdb = "stackwright_duckdb.plugin"

The module implements the hooks it needs with :data:`hookimpl`, and imports no vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, get_args, get_type_hints

import pluggy

from stackwright_interfaces.compute import Inline
from stackwright_interfaces.gates import GateSpec
from stackwright_interfaces.storage import Storage

PROJECT: Final = "stackwright"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Capability(StrEnum):
    """An optional ability: each has a ``Supports...`` protocol, and the kit tests the declaration both ways."""

    READERS = "readers"
    """Other processes may read while one writes (``SupportsReaders``)."""

    RUNS = "runs"
    """Training runs are kept (``SupportsRuns``)."""

    SQL = "sql"
    """An offline store runs SQL over tables it is handed (``SupportsSQL``)."""

    COMPUTES = "computes"
    """A feature store computes views from its other views (``SupportsComputing``)."""

    RANKING = "ranking"
    """A trainer ranks the rows of lists (``SupportsRanking``)."""

    TIME_TO_EVENT = "time_to_event"
    """A trainer learns times to an event from censored rows too (``SupportsTimeToEvent``)."""

    QUANTILES = "quantiles"
    """A trainer's regressions answer quantiles as further outputs (``SupportsQuantiles``)."""

    PARTS = "parts"
    """A trainer fits on rows that it is given by reference (``SupportsParts``)."""

    IMAGES = "images"
    """A server writes images of a kind of its own (``SupportsImages``)."""


class Progress(Protocol):
    """Told how far a piece of work is."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Take note that ``done`` of ``total`` are done."""
        ...


def _silent(_what: str, _done: int, _total: int) -> None:
    return None


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an adapter gets beside its own configuration.

    Args:
        project: the project folder.
        cache: a folder whose content may be lost at any time.
        clock: the present, in UTC.
        progress: told about long work.
        storage: opens a storage by URL, or by a path relative to the project.
        executor: gives what the compute slot holds, built when it is first asked for; the stack closes it.
    """

    project: Path
    cache: Path
    storage: Callable[[str], Storage]
    clock: Callable[[], datetime] = _now
    progress: Progress = _silent
    executor: Callable[[], Executor] = Inline


@dataclass(frozen=True, kw_only=True)
class AdapterSpec:
    """An adapter, described without importing its vendor.

    Args:
        name: the name a blueprint uses.
        provides: the contract it implements, ``OnlineStore`` say.
        contract: the version of that contract (its ``CONTRACT``) it was written to.
        config: a standard-library dataclass; its fields are the keys a blueprint may set. A field of type ``Path`` is
            resolved against the project.
        factory: ``"package.module:callable"``, imported only when chosen, called with (config, context).
        capabilities: optional abilities it has.
        description: one line for ``stackwright plugins``.
        conformance: ``"package.module:Class"``, imported by the conformance kit and by trials of a registry: what they
            are told of this adapter. The attributes and methods of the class go over those of the kit's cases.
    """

    name: str
    provides: type
    contract: int
    config: type
    factory: str
    capabilities: frozenset[Capability] = frozenset()
    description: str = ""
    conformance: str = ""


@dataclass(frozen=True, kw_only=True)
class BlueprintSpec:
    """A blueprint that ``stackwright new`` can copy.

    Args:
        name: its name.
        folder: holds ``blueprint.toml``, ``features.py`` and ``README.md``.
        features: the feature file, where it is another blueprint's and not in the folder.
        description: one line.
        sample: name of the sample that fits it, or empty.
        sample_options: options of that sample which fit the blueprint better than the sample's defaults.
    """

    name: str
    folder: Path
    description: str = ""
    sample: str = ""
    sample_options: Mapping[str, Any] = field(default_factory=dict)
    features: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """A sample that ``stackwright new --sample`` can generate.

    Args:
        name: its name.
        factory: ``"package.module:callable"``, called with (folder, blueprint, options, progress); it writes Parquet
            files into the folder and returns a :class:`Sample`.
        options: option → default (``seed``, ``listings``).
        description: one line.
    """

    name: str
    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a sample wrote, in the order in which a stack would see it.

    Args:
        views: view (without version) → Parquet file of its rows.
        labels: target → Parquet file of labels known before ``split``.
        late_labels: target → Parquet file of labels that come after.
        requests: Parquet file with keys, request fields and ``asked_at`` of live requests after ``split``.
        split: the instant that separates history from what is served live.
        truth: known facts (the planted shift: date, size), JSON values.
    """

    views: Mapping[str, Path]
    labels: Mapping[str, Path]
    late_labels: Mapping[str, Path]
    requests: Path
    split: datetime
    truth: Mapping[str, Any] = field(default_factory=dict)


def check_options(config: object, *rules: tuple[str, object, str]) -> None:
    """Check the options of an adapter's config; to be called by its ``__post_init__``.

    Args:
        config: the config.
        rules: the name of an option, whether its value fits, and what it must be: ``"1 or more"``.

    Raises:
        ValueError: one does not fit.
    """
    for option, fits, range_ in rules:
        if not fits:
            raise ValueError(f"{option} is {getattr(config, option)!r}, must be {range_}")


def with_paths(config: type, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values of a config, those of type ``Path`` and their defaults resolved against a folder.

    Args:
        config: the dataclass.
        values: option → value; a path may be a text, and may begin with ``~``.
        folder: the project.
    """
    kinds = get_type_hints(config)
    paths = {item.name: item.default for item in fields(config) if isinstance(item.default, Path)}
    return {
        key: folder / Path(value).expanduser() if _is_path(kinds.get(key), value) else value
        for key, value in {**paths, **values}.items()
    }


def _is_path(kind: Any, value: Any) -> bool:
    return Path in (kind, *get_args(kind)) and isinstance(value, str | Path)


@hookspec
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer adapters.

    Runs when a plan needs this plugin's entry point or ``stackwright plugins`` lists it; must import no vendor.
    """
    return ()


@hookspec
def stackwright_blueprints() -> Iterable[BlueprintSpec]:
    """Offer blueprints. Runs for ``stackwright new`` and ``stackwright plugins``."""
    return ()


@hookspec
def stackwright_samples() -> Iterable[SampleSpec]:
    """Offer samples. Runs for ``stackwright new --sample`` and ``stackwright plugins``; must generate nothing."""
    return ()


@hookspec
def stackwright_gates() -> Iterable[GateSpec]:
    """Offer gates.

    Runs when a blueprint names a gate that is not the engine's, and for ``stackwright plugins``; must import no vendor.
    """
    return ()

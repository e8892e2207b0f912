"""Entities, and the views and windows that describe them. Users import them from ``definitions``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from stackwright_interfaces.checks import check_about, check_identifier, check_name, check_unique, require
from stackwright_interfaces.pipelines import Computation, Expectation, Schedule
from stackwright_interfaces.types import Field, Kind, Type, list_of

CREATED_TIME: Final = "created_time"
"""Where a computed view has its created times, unless its source says otherwise."""

AT: Final = "at"
"""Reserved name: the instant a feature is asked for, in UTC."""


def reference(name: str, version: int) -> str:
    """Return ``name@version``."""
    return f"{name}@{version}"


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A thing that features describe (a listing, a person), known by one or more key fields.

    Args:
        name: its name.
        keys: the key fields, of type bool, int64, string or bytes; their order does not matter.
    """

    name: str
    keys: tuple[Field, ...]
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"entity {self.name!r}"
        check_name(where, self.name)
        check_about(where, self.owner, self.description, self.tags)
        require(bool(self.keys), where, "no key field", "Give at least one key.")
        check_unique(where, [key.name for key in self.keys])
        allowed = {Kind.BOOL, Kind.INT64, Kind.STRING, Kind.BYTES}
        for key in self.keys:
            require(key.type.kind in allowed, where, f"key {key.name!r} is a {key.type}", "Use int64 or string.")
        object.__setattr__(self, "keys", tuple(sorted(self.keys, key=lambda key: key.name)))

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key fields, sorted."""
        return tuple(key.name for key in self.keys)


NULLS: Final = ("NA", "NaN", "null")
"""Texts that stand for null in columns of numbers, truths and times of text files, and for themselves in texts."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """How columns of incoming files are read.

    Args:
        event_time: column that says when a row became true.
        created_time: column that says when the row was written down; without it the event time is used.
        time_format: ``strptime`` format of text times; without it ISO 8601 is read.
        time_zone: IANA zone of naive times; without it they are taken as UTC, with a warning and a count.
        rename: column in the file → field.
        nulls: texts that stand for null in text files, beside the empty one. In a column of texts those of
            :data:`NULLS` are texts all the same: ``NA`` is Namibia's code.
        location: file, folder or URL that a scheduled view is ingested from, relative to the project; for a database
            with the table behind it: ``env:HOMES_DB#homes``.
    """

    event_time: str = "event_time"
    created_time: str | None = None
    time_format: str | None = None
    time_zone: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    nulls: tuple[str, ...] = NULLS
    location: str = ""


class Aggregate(StrEnum):
    """What a window computes over the rows it holds; null values are passed over, NaN values are not."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STD = "std"
    DISTINCT = "distinct"
    LAST = "last"
    LAST_N = "last_n"
    RATIO = "ratio"


@dataclass(frozen=True, kw_only=True)
class Window:
    """An aggregate of one column over the rows of ``[t - length, t)``, exact at any asked instant ``t``.

    Args:
        name: name of the feature it gives.
        column: the aggregated column of the view; ``None`` counts rows.
        aggregate: what is computed. ``std`` is the sample's, null for fewer than two values. ``last`` is the
            newest value that is not null, ``last_n`` a list of the ``n`` newest, oldest first. ``ratio`` is the sum of
            the column over the sum of ``over``, null where that is 0 or of no value. In an empty window ``count`` and
            ``distinct`` are 0 and the others null.
        n: how many values ``last_n`` gives at most.
        over: the column below the line of a ``ratio``; ``None`` counts rows.
        length: a positive time span.
        slide: rounds the older edge down to a multiple of this span since 1970-01-01 UTC, alike on both paths.
    """

    name: str
    aggregate: Aggregate
    length: timedelta
    column: str | None = None
    slide: timedelta | None = None
    n: int | None = None
    over: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        where = f"window {self.name!r}"
        check_identifier(where, self.name)
        check_about(where, "", self.description, {})
        require(self.length > timedelta(0), where, f"length is {self.length}", "Give a positive length.")
        counts = self.aggregate is Aggregate.COUNT
        require(self.column is not None or counts, where, f"{self.aggregate} of no column", "Name a column.")
        several = self.aggregate is Aggregate.LAST_N
        fits = self.n is None if not several else isinstance(self.n, int) and self.n >= 1
        require(fits, where, f"{self.aggregate} with n {self.n!r}", "Give a positive n with last_n, and only there.")
        lone = self.over is None or self.aggregate is Aggregate.RATIO
        require(lone, where, f"{self.aggregate} over {self.over!r}", "Use over with ratio alone.")
        if self.slide is not None:
            fits = self.slide > timedelta(0) and self.length % self.slide == timedelta(0)
            require(fits, where, f"slide {self.slide} does not divide {self.length}", "Choose a slide that does.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return tuple(name for name in (self.column, self.over) if name is not None)


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """Rows (keys, event time, created time, values) of one entity, and the windows over them.

    Args:
        name: its name.
        entity: what it describes.
        fields: the stored columns.
        version: raised when the meaning changes.
        source: how incoming files are read.
        windows: aggregates over the rows. A view with windows is a stream of events: its plain fields give the newest.
        max_age: a row older than this at the asked instant is expired; ``None`` never expires. Windows hold it still.
        event_id: column that tells apart events of one key at one instant. Rows with the same key, event time and
            event id are revisions of one event, of which the newest created counts; without an event id, rows of one
            key and event time are.
        expect: what holds of every row.
        computed: how rows come of other views, where they are not ingested.
        schedule: when it is ingested or computed, and brought online.
    """

    name: str
    entity: Entity
    fields: tuple[Field, ...]
    version: int = 1
    source: Source = field(default_factory=Source)
    windows: tuple[Window, ...] = ()
    max_age: timedelta | None = None
    event_id: str | None = None
    expect: tuple[Expectation, ...] = ()
    computed: Computation | None = None
    schedule: Schedule | None = None
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"view {self.name!r}"
        check_name(where, self.name)
        check_about(where, self.owner, self.description, self.tags)
        require(self.version >= 1, where, f"version is {self.version}", "Versions start at 1.")
        columns = [field.name for field in self.fields]
        check_unique(where, [*self.entity.key_names, *columns, *(window.name for window in self.windows), AT])
        for window in self.windows:
            for column in window.columns:
                found = f"window {window.name!r} reads {column!r}, which is no field"
                require(column in columns, where, found, "Add the field.")
                _check_aggregate(where, window, self.stored(column).type)
        if self.event_id is not None:
            require(self.event_id in columns, where, f"event_id {self.event_id!r} is no field", "Add the field.")
        if self.max_age is not None:
            require(self.max_age >= timedelta(0), where, f"max_age is {self.max_age}", "Give a positive span.")
        self._check_upkeep(where, columns)

    def _check_upkeep(self, where: str, columns: Sequence[str]) -> None:
        for item in self.expect:
            found = f"an expectation is of {item.column!r}, which is no field"
            require(item.column in columns, where, found, "Add the field, or correct the name.")
        expect = tuple(item.fitted(where, self.stored(item.column).type) for item in self.expect)
        object.__setattr__(self, "expect", expect)
        lone = self.computed is None or not self.source.location
        require(lone, where, "it is computed and has a location", "Leave one of them out.")
        if self.computed is not None and self.source.created_time is None:
            object.__setattr__(self, "source", replace(self.source, created_time=CREATED_TIME))

    @property
    def ref(self) -> str:
        """``name@version``."""
        return reference(self.name, self.version)

    def stored(self, name: str) -> Field:
        """The stored column of this name.

        Raises:
            KeyError: there is none.
        """
        for column in self.fields:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def features(self) -> tuple[Field, ...]:
        """What can be selected: the stored columns, then one field a window."""
        return (*self.fields, *(Field(window.name, self.window_type(window)) for window in self.windows))

    def window_type(self, window: Window) -> Type:
        """Type of a window's result: int64 for counts, the column's for min, max, last and in last_n, else float64."""
        match window.aggregate:
            case Aggregate.COUNT | Aggregate.DISTINCT:
                return Type(Kind.INT64)
            case Aggregate.MIN | Aggregate.MAX | Aggregate.LAST if window.column is not None:
                return self.stored(window.column).type
            case Aggregate.LAST_N if window.column is not None:
                return list_of(self.stored(window.column).type)
        return Type(Kind.FLOAT64)

    def select(self, *features: str, prefix: str = "", keys: Mapping[str, str] | None = None) -> Selection:
        """Choose features for a service; none named means all.

        Args:
            features: names of stored columns or windows.
            prefix: put before each name in the service.
            keys: this entity's key → the name it has in requests (``{"person_id": "buyer_id"}``), or
                ``"view.feature"`` for a key that another selected view's row holds.
        """
        chosen = features or tuple(feature.name for feature in self.features)
        return Selection(view=self, features=chosen, prefix=prefix, keys=dict(keys or {}))


def _check_aggregate(where: str, window: Window, column: Type) -> None:
    numeric = {Kind.INT64, Kind.FLOAT64, Kind.BOOL}
    ordered = {*numeric, Kind.TIMESTAMP}
    allowed = {
        Aggregate.SUM: numeric,
        Aggregate.MEAN: numeric,
        Aggregate.STD: numeric,
        Aggregate.MIN: ordered,
        Aggregate.MAX: ordered,
        Aggregate.DISTINCT: {*ordered, Kind.STRING, Kind.BYTES},
        Aggregate.LAST_N: {*ordered, Kind.STRING, Kind.BYTES},
        Aggregate.RATIO: numeric,
    }.get(window.aggregate, set(Kind))
    found = f"window {window.name!r} asks for the {window.aggregate} of a {column}"
    require(column.kind in allowed, where, found, "Choose another aggregate or column.")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Features of one view, as a service uses them. Made by :meth:`FeatureView.select`."""

    view: FeatureView
    features: tuple[str, ...]
    prefix: str = ""
    keys: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"selection of {self.view.ref!r}"
        known = [feature.name for feature in self.view.features]
        for name in self.features:
            require(name in known, where, f"no feature {name!r}", f"Choose from: {', '.join(known)}.")
        for key in self.keys:
            present = key in self.view.entity.key_names
            require(present, where, f"no key {key!r}", f"Keys are: {', '.join(self.view.entity.key_names)}.")

    @property
    def outputs(self) -> tuple[Field, ...]:
        """The chosen fields, named as in the service, with their defaults."""
        by_name = {feature.name: feature for feature in self.view.features}
        return tuple(
            Field(self.prefix + name, by_name[name].type, by_name[name].default, by_name[name].description)
            for name in self.features
        )

    @property
    def key_sources(self) -> tuple[str, ...]:
        """For each key of the entity, sorted by key: a request name, or ``view.feature``."""
        return tuple(self.keys.get(name, name) for name in self.view.entity.key_names)

"""What a team defines once: entities, views, windows, transforms, services, targets.

All are frozen dataclasses. Names are ``name@version``; a namespace goes before a slash (``pricing/listing@2``). Fields,
windows and transforms, which are features, have plain identifiers. No name begins with two underscores.
The meaning of a definition is everything but ``owner``, ``description`` and ``tags``; a change of meaning needs a new
version. :mod:`stackwright_interfaces.catalogue` gives definitions a JSON form and a hash of their meaning.

Entities, views and windows lie in :mod:`stackwright_interfaces.views`, and are imported from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stackwright_interfaces.checks import (
    check_about,
    check_identifier,
    check_name,
    check_unique,
    repeated,
    require,
)
from stackwright_interfaces.errors import did_you_mean
from stackwright_interfaces.pipelines import Computation, Expectation, Frame, Schedule, computed
from stackwright_interfaces.types import Field, Kind, Type
from stackwright_interfaces.views import AT, Aggregate, Entity, FeatureView, Selection, Source, Window, reference

__all__ = [
    "AT",
    "Aggregate",
    "Computation",
    "Definitions",
    "Entity",
    "Expectation",
    "FeatureService",
    "FeatureView",
    "Frame",
    "Schedule",
    "Selection",
    "Source",
    "Target",
    "Transform",
    "Window",
    "computed",
    "reference",
    "transform",
]


@dataclass(frozen=True, kw_only=True)
class Transform:
    """An on-demand feature: one vectorised function that both paths call.

    The function gets one numpy array an input and returns one array of the same length. Numbers, booleans and counts
    arrive as float64 with NaN for null, texts as objects with ``None``, timestamps as ``datetime64[us]`` with ``NaT``;
    ``at`` is the asked instant. A NaN, ``None`` or ``NaT`` in the result is a null. It must depend on nothing else,
    and a row's result on that row alone: rows of a training set, or of several requests, come together.

    Args:
        name: name of the transform and of the feature it gives.
        inputs: features, request fields, earlier transforms of the service, or ``at``.
        type: type of the result.
        function: ``file.py:name``, relative to the project.
        code: SHA-256 of the function and of the project's code it uses, filled in by ``apply``.
        call: the function itself, where it was defined in this process.
    """

    name: str
    inputs: tuple[str, ...]
    type: Type
    function: str = ""
    code: str = ""
    call: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"transform {self.name!r}"
        check_identifier(where, self.name)
        check_about(where, self.owner, self.description, self.tags)

    @property
    def output(self) -> Field:
        """The field it gives."""
        return Field(self.name, self.type, description=self.description)


def transform(
    *, inputs: tuple[str, ...], type: Type, name: str = "", owner: str = "", description: str = ""
) -> Callable[[Callable[..., Any]], Transform]:
    """Turn a function into a :class:`Transform` (a decorator)."""

    def decorate(function: Callable[..., Any]) -> Transform:
        return Transform(
            name=name or function.__name__,
            inputs=inputs,
            type=type,
            call=function,
            owner=owner,
            description=description or (function.__doc__ or "").strip().partition("\n")[0],
        )

    return decorate


@dataclass(frozen=True, kw_only=True)
class FeatureService:
    """The features that a model reads, in order, by name and version.

    Args:
        name: its name.
        selections: features of views.
        request: fields that come with each request and each label row.
        transforms: on-demand features, in the order they are computed.
        outputs: what the service gives, in order; ``None`` gives all selected features, request fields and transforms.
        version: raised when the meaning changes.
    """

    name: str
    selections: tuple[Selection, ...] = ()
    request: tuple[Field, ...] = ()
    transforms: tuple[Transform, ...] = ()
    outputs: tuple[str, ...] | None = None
    version: int = 1
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"service {self.name!r}"
        check_name(where, self.name)
        check_about(where, self.owner, self.description, self.tags)
        require(self.version >= 1, where, f"version is {self.version}", "Versions start at 1.")
        self._check_names(where)
        self._check_transforms(where)
        self._check_request_keys(where)
        self._check_derived_keys(where)
        self._check_outputs(where)

    def _check_names(self, where: str) -> None:
        names = [output.name for output in self.all_fields]
        twice = repeated(names)
        require(not twice, where, f"features collide: {', '.join(twice)}", "Select one of them with a prefix.")
        todo = "That name stands for the asked instant: rename the field, or select the feature with another prefix."
        require(AT not in names, where, f"a feature is named {AT!r}", todo)

    def _check_transforms(self, where: str) -> None:
        known = {AT} | {output.name for output in self.all_fields[: len(self.all_fields) - len(self.transforms)]}
        for step in self.transforms:
            unknown = [name for name in step.inputs if name not in known]
            found = f"transform {step.name!r} reads {', '.join(map(repr, unknown))}"
            near = did_you_mean(unknown[0], known) if unknown else ""
            require(not unknown, where, found, near or f"Known at that point: {', '.join(sorted(known))}.")
            known.add(step.name)

    def _check_request_keys(self, where: str) -> None:
        types: dict[str, Type] = {}
        for selection, key, source in self._plain_keys():
            check_identifier(f"{where}: request key {source!r}", source)
            require(source != AT, where, f"a request key is named {AT!r}", "That name stands for the asked instant.")
            same = types.setdefault(source, key.type) == key.type
            found = f"request key {source!r} is a {types[source]} and a {key.type}"
            require(same, where, found, f"Give the key of {selection.view.ref} another request name.")
        collide = sorted({item.name for item in self.request} & set(types))
        found = f"request fields collide with request keys: {', '.join(collide)}"
        require(not collide, where, found, "Rename the field, or give the key another request name.")

    def _check_derived_keys(self, where: str) -> None:
        plain = {
            f"{selection.view.name}.{feature}"
            for selection in self.selections
            if not any("." in source for source in selection.key_sources)
            for feature in (column.name for column in selection.view.fields)
        }
        for selection in self.selections:
            for source in selection.key_sources:
                fits = "." not in source or source in plain
                found = f"key {source!r} of {selection.view.ref} is no field of a view read by request keys"
                require(fits, where, found, "A derived key names 'view.feature' of a view in the same service.")

    def _check_outputs(self, where: str) -> None:
        names = [output.name for output in self.all_fields]
        for name in self.outputs or ():
            require(name in names, where, f"output {name!r} is no feature of it", f"Choose from: {', '.join(names)}.")
        check_unique(f"{where}: outputs", self.outputs or ())
        collide = sorted(
            {output.name for output in self.output_fields} & {source for _, _, source in self._plain_keys()}
        )
        found = f"outputs have the names of request keys: {', '.join(collide)}"
        require(not collide, where, found, "Select them with a prefix, or leave them out of the outputs.")

    def _plain_keys(self) -> Iterator[tuple[Selection, Field, str]]:
        """Each key that no row holds, and its name in requests."""
        for selection in self.selections:
            for key, source in zip(selection.view.entity.keys, selection.key_sources, strict=True):
                if "." not in source:
                    yield selection, key, source

    @property
    def ref(self) -> str:
        """``name@version``."""
        return reference(self.name, self.version)

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Selected features, request fields, transforms: in that order."""
        selected = tuple(output for selection in self.selections for output in selection.outputs)
        return (*selected, *self.request, *(step.output for step in self.transforms))

    @property
    def output_fields(self) -> tuple[Field, ...]:
        """The fields the service gives, in order."""
        if self.outputs is None:
            return self.all_fields
        by_name = {output.name: output for output in self.all_fields}
        return tuple(by_name[name] for name in self.outputs)

    @property
    def request_keys(self) -> tuple[Field, ...]:
        """The key fields that requests and label frames carry, named as there, sorted by name."""
        found = {source: Field(source, key.type, description=key.description) for _, key, source in self._plain_keys()}
        return tuple(found[name] for name in sorted(found))


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a model predicts, and the three clocks of its truth.

    Args:
        name: its name.
        entity: whose truth it is.
        value: the field that holds it; null in a censored row.
        asked: column: when a prediction would have been asked for. Features are joined as of this instant.
        happened: column: when the truth came to be.
        observed: column: when it became known here; without it, ``happened``. Training at T sees rows observed by T.
        horizon: a label counts for a prediction made at most this long before it happened.
        censored: boolean column: the truth had not come by ``observed``; without it no row is censored.
        label_id: column that identifies a label, so that a later row with the same id revises it; without it, the keys,
            ``asked`` and ``group`` do.
        request: columns of the label rows that stand for request fields of the service, or that ``group`` and
            ``position`` name.
        group: of a ranking, the key or request column that says in which list the row was shown: the id of a search, of
            a session. Every row of a list is a label, those that nobody took with a value of 0.
        position: the request column that says at which place of its list the row was shown, from 1.
        source: how files of labels are read (``event_time`` and ``created_time`` are not used).
    """

    name: str
    entity: Entity
    value: Field
    asked: str = "asked_at"
    happened: str = "happened_at"
    observed: str | None = None
    horizon: timedelta | None = None
    censored: str | None = None
    label_id: str | None = None
    request: tuple[Field, ...] = ()
    group: str | None = None
    position: str | None = None
    source: Source = field(default_factory=Source)
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"target {self.name!r}"
        check_name(where, self.name)
        check_about(where, self.owner, self.description, self.tags)
        request = {item.name: item for item in self.request}
        todo = f"Add it to request, as Field({self.group!r}, STRING) say."
        found = f"group is {self.group!r}, which is neither a key nor a request column"
        require(self.group is None or self.group in {*self.entity.key_names, *request}, where, found, todo)
        numbers = self.position in request and request[self.position].type.kind in (Kind.INT64, Kind.FLOAT64)
        found = f"position is {self.position!r}, which is no request column of numbers"
        require(self.position is None or numbers, where, found, f"Add to request: Field({self.position!r}, INT64).")
        found = f"position is {self.position!r}, and there is no group"
        require(self.position is None or self.group is not None, where, found, "Say which column names the list.")


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """A closed set of definitions: what one project applies. Kept sorted; each name once.

    Raises:
        DefinitionError: two different definitions of one name and version.
    """

    entities: tuple[Entity, ...] = ()
    views: tuple[FeatureView, ...] = ()
    services: tuple[FeatureService, ...] = ()
    targets: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        for kind, names in (
            ("entities", [entity.name for entity in self.entities]),
            ("views", [view.ref for view in self.views]),
            ("services", [service.ref for service in self.services]),
            ("targets", [target.name for target in self.targets]),
        ):
            check_unique(kind, names)
        object.__setattr__(self, "entities", tuple(sorted(self.entities, key=lambda item: item.name)))
        object.__setattr__(self, "views", tuple(sorted(self.views, key=lambda item: (item.name, item.version))))
        object.__setattr__(self, "services", tuple(sorted(self.services, key=lambda item: (item.name, item.version))))
        object.__setattr__(self, "targets", tuple(sorted(self.targets, key=lambda item: item.name)))

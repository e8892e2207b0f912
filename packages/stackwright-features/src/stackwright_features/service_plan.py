"""What a service needs of which view, found out once and used by both paths.

A view is looked up once a set of keys, however often it is selected. Lookups whose keys come with the request are the
first wave; those that need a key which a row of the first wave holds are the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from stackwright_features.values import typed_column
from stackwright_interfaces.definitions import FeatureService, FeatureView, Selection, Window
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import Field, Type
from stackwright_numerics.columns import Column


@dataclass(frozen=True, kw_only=True)
class Output:
    """A feature of a view, as a service names it.

    Args:
        feature: stored column or window of the view.
        field: the field it becomes.
    """

    feature: str
    field: Field


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A view read by one set of keys.

    Args:
        view: the view.
        sources: for each key of the entity, sorted by key, a request name or ``view.feature``.
        outputs: what the service takes of it.
        held_keys: stored columns that are keys of the second wave.
    """

    view: FeatureView
    sources: tuple[str, ...]
    outputs: tuple[Output, ...]
    held_keys: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        """Whether a key of it is held by another row."""
        return any("." in source for source in self.sources)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of its outputs."""
        return tuple(output.field.name for output in self.outputs)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The stored columns and windows it needs, each once."""
        return tuple(dict.fromkeys([*(output.feature for output in self.outputs), *self.held_keys]))

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The windows among them."""
        needed = set(self.features)
        return tuple(window for window in self.view.windows if window.name in needed)

    def feature_type(self, name: str) -> Type:
        """Type of a stored column or window."""
        return next(feature.type for feature in self.view.features if feature.name == name)


@dataclass(frozen=True)
class ServicePlan:
    """A service and its lookups.

    Raises:
        DefinitionError: a derived key is of another type than the entity's or could be read from two rows.
    """

    service: FeatureService

    def __post_init__(self) -> None:
        for source, lookup, position in self._derived_sources:
            self._check_derived(source, lookup.view.entity.keys[position])

    @cached_property
    def first(self) -> tuple[Lookup, ...]:
        """Lookups by request keys."""
        wanted = [source for source, _, _ in self._derived_sources]
        return tuple(
            Lookup(view=item.view, sources=item.sources, outputs=item.outputs, held_keys=_held(item.view, wanted))
            for item in self._lookups
            if not item.derived
        )

    @cached_property
    def second(self) -> tuple[Lookup, ...]:
        """Lookups by at least one derived key."""
        return tuple(lookup for lookup in self._lookups if lookup.derived)

    @cached_property
    def defaults(self) -> Mapping[str, Column]:
        """Field → its default, as a column of one row; fields without one are left out."""
        given = (field for field in self.service.all_fields if field.has_default and field.default is not None)
        return {
            field.name: typed_column([field.default], field.type, where=f"field {field.name!r}", name="default")
            for field in given
        }

    @cached_property
    def types(self) -> Mapping[str, Type]:
        """Selected feature, request field or transform → its type."""
        return {field.name: field.type for field in self.service.all_fields}

    @cached_property
    def _lookups(self) -> tuple[Lookup, ...]:
        grouped: dict[tuple[str, tuple[str, ...]], list[Selection]] = {}
        for selection in self.service.selections:
            grouped.setdefault((selection.view.ref, selection.key_sources), []).append(selection)
        return tuple(
            Lookup(view=group[0].view, sources=sources, outputs=tuple(_outputs(group)))
            for (_, sources), group in grouped.items()
        )

    @cached_property
    def _derived_sources(self) -> tuple[tuple[str, Lookup, int], ...]:
        return tuple(
            (source, lookup, position)
            for lookup in self._lookups
            for position, source in enumerate(lookup.sources)
            if "." in source
        )

    def _check_derived(self, source: str, key: Field) -> None:
        where = f"service {self.service.ref!r}"
        view, _, feature = source.rpartition(".")
        holders = [item for item in self._lookups if not item.derived and item.view.name == view]
        if len(holders) > 1:
            what = f"key {source!r} could be read from {len(holders)} rows"
            raise DefinitionError(where, what, "Use one set of keys for that view, or derive the key from another.")
        found = holders[0].feature_type(feature)
        if found != key.type:
            raise DefinitionError(where, f"key {source!r} is a {found}, {key.name!r} a {key.type}", "Make them alike.")


def _outputs(group: Iterable[Selection]) -> Iterable[Output]:
    for selection in group:
        for feature, field in zip(selection.features, selection.outputs, strict=True):
            yield Output(feature=feature, field=field)


def _held(view: FeatureView, wanted: Iterable[str]) -> tuple[str, ...]:
    found = (source.rpartition(".") for source in wanted)
    return tuple(dict.fromkeys(feature for name, _, feature in found if name == view.name))

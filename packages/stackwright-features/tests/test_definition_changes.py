from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stackwright_features.definition_changes import check_closed, check_versions
from stackwright_interfaces.definitions import (
    Aggregate,
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    Transform,
    Window,
)
from stackwright_interfaces.errors import DefinitionError, VersionRequired
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
DETAILS = FeatureView(name="details", entity=LISTING, fields=(Field("price", FLOAT64), Field("rooms", INT64)))
STEP = Transform(name="per_room", inputs=("price", "rooms"), type=FLOAT64, function="features.py:per_room", code="a")
VALUATION = FeatureService(name="valuation", selections=(DETAILS.select("price", "rooms"),), transforms=(STEP,))


def definitions(view: FeatureView = DETAILS, service: FeatureService = VALUATION) -> Definitions:
    selections = tuple(replace(item, view=view) for item in service.selections)
    return Definitions(entities=(view.entity,), views=(view,), services=(replace(service, selections=selections),))


FREE: dict[str, Callable[[], Definitions]] = {
    "nothing": definitions,
    "an owner": lambda: definitions(replace(DETAILS, owner="pricing", description="new", tags={"a": "b"})),
    "a description of a field": lambda: definitions(
        replace(DETAILS, fields=(Field("price", FLOAT64, description="in euro"), Field("rooms", INT64)))
    ),
    "the source": lambda: definitions(replace(DETAILS, source=Source(event_time="at"))),
    "an added field": lambda: definitions(replace(DETAILS, fields=(Field("new", STRING, default=""), *DETAILS.fields))),
    "the order of fields": lambda: definitions(replace(DETAILS, fields=DETAILS.fields[::-1])),
    "the view under a new version": lambda: definitions(
        replace(DETAILS, version=2, fields=(Field("price", INT64), Field("rooms", INT64))),
        replace(VALUATION, version=2),
    ),
    "a place of a function": lambda: definitions(
        service=replace(VALUATION, transforms=(replace(STEP, function="other.py:per_room"),))
    ),
    "code that is not known": lambda: definitions(service=replace(VALUATION, transforms=(replace(STEP, code=""),))),
    "everything gone": Definitions,
}


@pytest.mark.parametrize("change", FREE)
def test_what_keeps_the_meaning_keeps_the_version(change: str) -> None:
    check_versions(definitions(), FREE[change]())


def with_view(**changes: Any) -> Definitions:
    return definitions(replace(DETAILS, **changes))


def with_service(**changes: Any) -> Definitions:
    return definitions(service=replace(VALUATION, **changes))


OTHER_ENTITY = Entity(name="listing", keys=(Field("listing_id", STRING),))
WINDOW = Window(name="n", aggregate=Aggregate.COUNT, length=HOUR)
VERSIONED: dict[str, tuple[Callable[[], Definitions], str]] = {
    "type": (
        lambda: with_view(fields=(Field("price", INT64), Field("rooms", INT64))),
        "view 'details@1': .*field 'price' was a float64 and is a int64",
    ),
    "default": (
        lambda: with_view(fields=(Field("price", FLOAT64, 0.0), Field("rooms", INT64))),
        "the default of field 'price' changed",
    ),
    "field gone": (
        lambda: definitions(
            replace(DETAILS, fields=(Field("price", FLOAT64),)),
            FeatureService(name="other", selections=(DETAILS.select("price"),)),
        ),
        "field 'rooms' is gone",
    ),
    "key": (
        lambda: with_view(entity=OTHER_ENTITY),
        r"its keys were listing_id \(int64\) and are listing_id \(string\)",
    ),
    "entity": (lambda: with_view(entity=replace(LISTING, name="home")), "its entity was 'listing' and is 'home'"),
    "window": (lambda: with_view(windows=(WINDOW,)), "its windows changed"),
    "age": (lambda: with_view(max_age=HOUR), "max_age was None and is 1:00:00"),
    "event id": (lambda: with_view(event_id="rooms"), "event_id was None and is 'rooms'"),
    "selection": (
        lambda: with_service(selections=(DETAILS.select("rooms", "price"),)),
        "service 'valuation@1': .*its selections changed",
    ),
    "alias": (
        lambda: with_service(selections=(DETAILS.select("price", "rooms", keys={"listing_id": "home_id"}),)),
        "its selections changed",
    ),
    "request": (
        lambda: with_service(request=(Field("x", INT64),)),
        r"its request fields were none and are x \(int64\)",
    ),
    "outputs": (lambda: with_service(outputs=("price",)), "its outputs changed"),
    "transforms": (lambda: with_service(transforms=()), "its transforms changed"),
    "inputs": (
        lambda: with_service(transforms=(replace(STEP, inputs=("rooms", "price")),)),
        "the inputs or type of transform 'per_room' changed",
    ),
    "code": (lambda: with_service(transforms=(replace(STEP, code="b"),)), "the code of transform 'per_room' changed"),
}


@pytest.mark.parametrize("change", VERSIONED)
def test_another_meaning_needs_a_new_version(change: str) -> None:
    after, message = VERSIONED[change]
    with pytest.raises(VersionRequired, match=message):
        check_versions(definitions(), after())


def test_all_changes_of_a_definition_are_told_at_once() -> None:
    with pytest.raises(VersionRequired, match="its windows changed; max_age was"):
        check_versions(definitions(), with_view(windows=(WINDOW,), max_age=HOUR))


def test_a_service_that_selects_a_view_that_is_not_there_is_refused() -> None:
    with pytest.raises(DefinitionError, match="service 'valuation@1': view 'details@1' is not among the definitions"):
        check_closed(Definitions(services=(VALUATION,)))


def test_a_service_that_selects_another_view_than_is_defined_is_refused() -> None:
    other = replace(DETAILS, max_age=HOUR)
    with pytest.raises(DefinitionError, match="selects another 'details@1' than is defined"):
        check_closed(Definitions(views=(other,), services=(VALUATION,)))

"""Definitions: what does not hold together is refused, with the place, what was found and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.definitions import (
    Aggregate,
    Computation,
    Definitions,
    Entity,
    Expectation,
    FeatureService,
    FeatureView,
    Frame,
    Schedule,
    Source,
    Target,
    Transform,
    Window,
    computed,
    transform,
)
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import BYTES, FLOAT64, INT64, STRING, TIMESTAMP, Field, Type, list_of

HOUR = timedelta(hours=1)

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
AREA = Entity(name="area", keys=(Field("area_code", STRING),))
DETAILS = FeatureView(
    name="details", entity=LISTING, fields=(Field("price", FLOAT64), Field("rooms", INT64), Field("area", STRING))
)
AREAS = FeatureView(name="areas", entity=AREA, fields=(Field("rate", FLOAT64),))
SHORT = FeatureView(name="short", entity=LISTING, fields=(Field("t", FLOAT64),))


def view(**changes: Any) -> FeatureView:
    return FeatureView(**{"name": "details", "entity": LISTING, "fields": DETAILS.fields, **changes})


def expecting(**changes: Any) -> FeatureView:
    return view(expect=(Expectation(**changes),))


def window(**changes: Any) -> Window:
    return Window(**{"name": "w", "aggregate": Aggregate.SUM, "column": "price", "length": HOUR, **changes})


def service(**changes: Any) -> FeatureService:
    return FeatureService(**{"name": "valuation", "selections": (DETAILS.select(),), **changes})


def clicks(**given: Any) -> Target:
    request = (Field("search_id", STRING), Field("shown_at", INT64))
    return Target(
        name="clicked",
        entity=LISTING,
        value=Field("clicked", INT64),
        request=request,
        **{"group": "search_id", **given},
    )


def test_a_list_is_named_by_a_key_or_a_request_column() -> None:
    assert clicks(position="shown_at").group == "search_id"
    assert clicks(group="listing_id").group == "listing_id"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Entity(name="a b", keys=LISTING.keys), "entity 'a b': not a usable name"),
        (lambda: Entity(name="a/b/c", keys=LISTING.keys), "at most one namespace"),
        (lambda: Entity(name="__watermarks", keys=LISTING.keys), "entity '__watermarks': not a usable name"),
        (lambda: Entity(name="a/__b", keys=LISTING.keys), "not a usable name"),
        (lambda: Entity(name=7, keys=LISTING.keys), "entity 7: not a usable name"),  # type: ignore[arg-type]
        (lambda: Entity(name="listing", keys=LISTING.keys, owner=None), "owner, description or tags hold [None]"),  # type: ignore[arg-type]
        (lambda: Entity(name="listing", keys=()), "no key field"),
        (lambda: Entity(name="listing", keys=LISTING.keys * 2), "'listing_id' given more than once"),
        (lambda: Entity(name="listing", keys=(Field("k", FLOAT64),)), "key 'k' is a float64. Use int64 or string"),
        (lambda: Entity(name="listing", keys=(Field("k", TIMESTAMP),)), "key 'k' is a timestamp"),
        (lambda: window(name="a/b"), "window 'a/b': not a usable name. Use letters, digits and underscores"),
        (lambda: window(name="__w"), "window '__w': not a usable name"),
        (lambda: Transform(name="a/b", inputs=(), type=FLOAT64), "transform 'a/b': not a usable name"),
        (lambda: Transform(name="__t", inputs=(), type=FLOAT64), "transform '__t': not a usable name"),
        (lambda: window(length=timedelta(0)), "length is 0:00:00. Give a positive length"),
        (lambda: window(column=None), "sum of no column. Name a column"),
        (lambda: window(slide=timedelta(minutes=7)), "slide 0:07:00 does not divide 1:00:00"),
        (lambda: window(slide=-HOUR), "does not divide"),
        (lambda: window(aggregate=Aggregate.LAST_N), "last_n with n None"),
        (lambda: window(aggregate=Aggregate.LAST_N, n=0), "last_n with n 0"),
        (lambda: window(n=2), "with n 2"),
        (lambda: window(over="y"), "over 'y'"),
        (lambda: view(name="__watermarks"), "view '__watermarks': not a usable name"),
        (lambda: service(name="__s"), "service '__s': not a usable name"),
        (lambda: Target(name="__t", entity=LISTING, value=Field("price", FLOAT64)), "target '__t': not a usable name"),
        (lambda: clicks(group="search"), "group is 'search', which is neither a key nor a request column. Add it to"),
        (lambda: clicks(position="place"), "position is 'place', which is no request column of numbers"),
        (lambda: clicks(position="search_id"), "position is 'search_id', which is no request column of numbers"),
        (lambda: clicks(group=None, position="shown_at"), "position is 'shown_at', and there is no group"),
        (lambda: view(version=0), "view 'details': version is 0. Versions start at 1"),
        (lambda: view(fields=(*DETAILS.fields, Field("price", INT64))), "'price' given more than once"),
        (lambda: view(fields=(Field("listing_id", INT64),)), "'listing_id' given more than once"),
        (lambda: view(fields=(Field("at", INT64),)), "'at' given more than once"),
        (lambda: view(windows=(window(name="price"),)), "'price' given more than once"),
        (lambda: view(windows=(window(column="prize"),)), "window 'w' reads 'prize', which is no field"),
        (lambda: view(windows=(window(column="area"),)), "window 'w' asks for the sum of a string"),
        (lambda: view(event_id="visit"), "event_id 'visit' is no field"),
        (lambda: view(max_age=-HOUR), "Give a positive span"),
        (lambda: expecting(column="prize"), "an expectation is of 'prize', which is no field"),
        (lambda: expecting(column="price", low="cheap"), "expectation of 'price': a value does not fit float64"),
        (lambda: expecting(column="area", low="a"), "expectation of 'area': a string has no order"),
        (lambda: expecting(column="price", pattern="x"), "a float64 is no text"),
        (lambda: Expectation(column="area", pattern="("), r"pattern '(' cannot be read"),
        (lambda: Expectation(column="area", max_missing=2), "max_missing is 2. Give a share"),
        (lambda: Schedule(every=timedelta(0)), "every is 0:00:00. Give a positive span"),
        (lambda: Schedule(every=HOUR, offset=HOUR), "offset is 1:00:00. Give a span from 0 to below 1:00:00"),
        (lambda: Schedule(every=HOUR, freshness=timedelta(0)), "freshness is 0:00:00"),
        (lambda: Schedule(every=HOUR, retries=-1), "retries is -1"),
        (lambda: Computation(inputs=(), sql="SELECT 1"), "it reads no view"),
        (lambda: Computation(inputs=(DETAILS,)), "it needs sql or a function"),
        (lambda: Computation(inputs=(DETAILS,), sql="SELECT 1", function="a.py:b"), "it needs sql or a function"),
        (lambda: Computation(inputs=(DETAILS, DETAILS), sql="SELECT 1"), "Name each view once"),
        (lambda: Computation(inputs=(DETAILS,), sql="SELECT 1", lookback=-HOUR), "lookback is"),
        (
            lambda: view(computed=Computation(inputs=(DETAILS,), sql="x"), source=Source(location="a.csv")),
            "it is computed and has a location",
        ),
        (lambda: DETAILS.select("prize"), "no feature 'prize'. Choose from: price, rooms, area"),
        (lambda: DETAILS.select(keys={"id": "listing_id"}), "no key 'id'. Keys are: listing_id"),
        (lambda: service(version=-1), "version is -1"),
        (lambda: service(selections=(DETAILS.select(), DETAILS.select("price"))), "features collide: price"),
        (lambda: service(request=(Field("rooms", INT64),)), "features collide: rooms"),
        (lambda: service(outputs=("price", "garden")), "output 'garden' is no feature of it"),
        (
            lambda: service(outputs=("price", "rooms", "price")),
            "service 'valuation': outputs: 'price' given more than once",
        ),
        (lambda: service(request=(Field("at", TIMESTAMP),)), "a feature is named 'at'"),
        (
            lambda: service(selections=(SHORT.select(prefix="a"),)),
            "a feature is named 'at'. That name stands for the asked",
        ),
        (lambda: service(transforms=(Transform(name="at", inputs=(), type=FLOAT64),)), "a feature is named 'at'"),
        (lambda: service(selections=(DETAILS.select(keys={"listing_id": "at"}),)), "a request key is named 'at'"),
        (
            lambda: service(selections=(DETAILS.select(keys={"listing_id": "the listing"}),)),
            "service 'valuation': request key 'the listing': not a usable name",
        ),
        (
            lambda: service(request=(Field("listing_id", INT64),)),
            "request fields collide with request keys: listing_id. Rename the field",
        ),
        (
            lambda: service(selections=(DETAILS.select("price", keys={"listing_id": "price"}),)),
            "outputs have the names of request keys: price. Select them with a prefix",
        ),
        (
            lambda: service(
                selections=(DETAILS.select(keys={"listing_id": "id"}), AREAS.select(keys={"area_code": "id"}))
            ),
            "request key 'id' is a int64 and a string. Give the key of areas@1 another request name",
        ),
        (
            lambda: service(transforms=(Transform(name="t", inputs=("garden",), type=FLOAT64),)),
            "transform 't' reads 'garden'",
        ),
        (
            lambda: service(
                transforms=(
                    Transform(name="first", inputs=("second",), type=FLOAT64),
                    Transform(name="second", inputs=("price",), type=FLOAT64),
                )
            ),
            "transform 'first' reads 'second'",
        ),
        (
            lambda: service(selections=(AREAS.select(keys={"area_code": "details.area"}),)),
            "key 'details.area' of areas@1 is no field of a view read by request keys",
        ),
        (
            lambda: service(selections=(DETAILS.select(), AREAS.select(keys={"area_code": "details.zone"}))),
            "key 'details.zone' of areas@1",
        ),
        (lambda: Definitions(views=(DETAILS, view(max_age=HOUR))), "views: 'details@1' given more than once"),
        (lambda: Definitions(entities=(LISTING, LISTING)), "entities: 'listing' given more than once"),
    ],
)
def test_what_does_not_hold_together_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("aggregate", "type", "result"),
    [
        (Aggregate.COUNT, list_of(INT64), INT64),
        (Aggregate.DISTINCT, BYTES, INT64),
        (Aggregate.SUM, INT64, FLOAT64),
        (Aggregate.MEAN, FLOAT64, FLOAT64),
        (Aggregate.MIN, INT64, INT64),
        (Aggregate.MAX, TIMESTAMP, TIMESTAMP),
        (Aggregate.LAST, list_of(STRING), list_of(STRING)),
    ],
)
def test_a_window_has_the_type_of_its_aggregate(aggregate: Aggregate, type: Type, result: Type) -> None:
    made = view(fields=(Field("x", type),), windows=(window(aggregate=aggregate, column="x"),))
    assert made.features == (Field("x", type), Field("w", result))


def test_a_window_that_counts_rows_needs_no_column() -> None:
    assert window(aggregate=Aggregate.COUNT, column=None).column is None


def test_keys_of_an_entity_are_sorted() -> None:
    entity = Entity(name="unit", keys=(Field("street", STRING), Field("number", STRING)))
    assert entity.key_names == ("number", "street")


def test_a_view_is_referred_to_by_name_and_version() -> None:
    assert view(name="pricing/details", version=3).ref == "pricing/details@3"


def test_a_stored_column_is_found_by_name() -> None:
    assert DETAILS.stored("rooms") == Field("rooms", INT64)
    with pytest.raises(KeyError):
        DETAILS.stored("garden")


def test_a_selection_of_nothing_is_one_of_everything() -> None:
    assert DETAILS.select().features == ("price", "rooms", "area")


def test_a_selection_names_and_keeps_types_and_defaults() -> None:
    made = view(fields=(Field("price", FLOAT64, default=1.0, description="asked"),))
    assert made.select("price", prefix="old_").outputs == (Field("old_price", FLOAT64, 1.0, "asked"),)


def test_a_service_gives_features_request_fields_and_transforms_in_that_order() -> None:
    step = Transform(name="per_room", inputs=("price", "rooms", "at"), type=FLOAT64)
    made = service(request=(Field("discount", FLOAT64),), transforms=(step,))
    assert [field.name for field in made.output_fields] == ["price", "rooms", "area", "discount", "per_room"]


def test_a_service_gives_its_outputs_in_the_order_it_names_them() -> None:
    made = service(request=(Field("discount", FLOAT64),), outputs=("rooms", "discount", "price"))
    assert made.output_fields == (Field("rooms", INT64), Field("discount", FLOAT64), Field("price", FLOAT64))


def test_request_keys_are_those_that_no_row_holds_named_as_in_requests() -> None:
    made = service(
        selections=(
            DETAILS.select("price"),
            DETAILS.select("price", prefix="other_", keys={"listing_id": "other_id"}),
            AREAS.select(keys={"area_code": "details.area"}),
        )
    )
    assert made.request_keys == (Field("listing_id", INT64), Field("other_id", INT64))


def test_a_decorated_function_becomes_a_transform_that_can_be_called() -> None:
    @transform(inputs=("price", "rooms"), type=FLOAT64, owner="pricing")
    def per_room(price: Any, rooms: Any) -> Any:
        """Price of one room.

        More about it.
        """
        return price / rooms

    assert (per_room.name, per_room.description, per_room.owner) == ("per_room", "Price of one room.", "pricing")
    assert per_room.output == Field("per_room", FLOAT64, description="Price of one room.")
    assert per_room.call is not None
    assert per_room.call(np.array([8.0]), np.array([4.0])).tolist() == [2.0]


def test_two_selections_may_share_a_request_key() -> None:
    made = service(selections=(DETAILS.select("price"), SHORT.select()))
    assert made.request_keys == (Field("listing_id", INT64),)


def test_transforms_are_alike_if_their_code_is_whatever_function_was_loaded() -> None:
    one, other = (Transform(name="t", inputs=("price",), type=FLOAT64, code="abc", call=call) for call in (abs, round))
    assert one == other
    assert hash(one) == hash(other)
    assert one != replace(one, code="abd")


def test_services_may_have_transforms_of_one_name_and_other_code() -> None:
    one = Transform(name="t", inputs=("price",), type=FLOAT64, code="abc")
    services = (
        service(name="one", transforms=(one,)),
        service(name="other", transforms=(replace(one, code="abd", inputs=("rooms",)),)),
    )
    made = Definitions(services=services)
    assert [item.transforms[0].code for item in made.services] == ["abc", "abd"]
    assert made != Definitions(services=(services[0], replace(services[1], transforms=(one,))))


def test_definitions_are_kept_sorted_so_that_their_order_does_not_matter() -> None:
    second = view(version=2)
    assert Definitions(views=(second, AREAS, DETAILS)) == Definitions(views=(AREAS, DETAILS, second))
    assert [item.ref for item in Definitions(views=(second, AREAS, DETAILS)).views] == [
        "areas@1",
        "details@1",
        "details@2",
    ]


def test_values_of_an_expectation_are_held_as_the_column_holds_them() -> None:
    (held,) = expecting(column="price", low=1, one_of=[2, 3.5]).expect
    assert (held.low, held.high, held.one_of) == (1.0, None, (2.0, 3.5))
    assert isinstance(held.low, float)


def test_a_schedule_is_due_at_multiples_of_its_span() -> None:
    noon = datetime(2026, 3, 14, 12, tzinfo=UTC)
    daily = Schedule(every=24 * HOUR, offset=3 * HOUR)
    assert daily.last_due(noon) == noon.replace(hour=3)
    assert daily.last_due(noon.replace(hour=3)) == noon.replace(hour=3)
    assert daily.last_due(noon.replace(hour=2)) == noon.replace(day=13, hour=3)


def test_a_decorated_function_is_a_computation_and_gets_what_it_asks_for() -> None:
    @computed(inputs=(DETAILS,), frame="pandas", lookback=HOUR)
    def cheapest(details: Any, end: datetime) -> Any:
        return details

    noon = datetime(2026, 3, 14, 12, tzinfo=UTC)
    assert (cheapest.inputs, cheapest.frame, cheapest.lookback, cheapest.name) == (
        (DETAILS,), Frame.PANDAS, HOUR, "cheapest",
    )  # fmt: skip
    assert cheapest.call is not None
    assert cheapest.arguments(cheapest.call, noon - HOUR, noon) == {"end": noon}

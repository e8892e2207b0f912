from __future__ import annotations

import pytest

from stackwright_features.service_plan import ServicePlan
from stackwright_interfaces.definitions import Aggregate, Entity, FeatureService, FeatureView, Window
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.types import FLOAT64, INT64, STRING, TIMESTAMP, Field

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
AREA = Entity(name="area", keys=(Field("code", STRING),))
PERSON = Entity(name="person", keys=(Field("person_id", INT64),))
DETAILS = FeatureView(
    name="details",
    entity=LISTING,
    fields=(Field("price", FLOAT64), Field("area", STRING), Field("seller_id", INT64)),
    windows=(Window(name="n", aggregate=Aggregate.COUNT, length=HOUR),),
)
AREAS = FeatureView(name="areas", entity=AREA, fields=(Field("rate", FLOAT64, default=1),))
PEOPLE = FeatureView(name="people", entity=PERSON, fields=(Field("deals", INT64),))


def plan(*selections: object, **more: object) -> ServicePlan:
    return ServicePlan(FeatureService(name="s", selections=selections, **more))


def test_a_view_selected_twice_by_the_same_keys_is_looked_up_once() -> None:
    (lookup,) = plan(DETAILS.select("price"), DETAILS.select("price", "n", prefix="p_")).first
    assert lookup.features == ("price", "n")
    assert lookup.names == ("price", "p_price", "p_n")
    assert [window.name for window in lookup.windows] == ["n"]


def test_a_view_selected_by_other_keys_is_looked_up_again() -> None:
    selections = (PEOPLE.select(prefix=f"{role}_", keys={"person_id": f"{role}_id"}) for role in ("buyer", "seller"))
    assert [lookup.sources for lookup in plan(*selections).first] == [("buyer_id",), ("seller_id",)]


def test_a_derived_key_makes_a_second_wave_and_is_held_by_the_first() -> None:
    found = plan(AREAS.select(keys={"code": "details.area"}), DETAILS.select("price"))
    assert [(lookup.view.name, lookup.features) for lookup in found.first] == [("details", ("price", "area"))]
    assert [(lookup.view.name, lookup.sources) for lookup in found.second] == [("areas", ("details.area",))]


def test_defaults_are_columns_of_their_type() -> None:
    (default,) = plan(AREAS.select()).defaults.values()
    assert default.values.tolist() == [1.0]


def test_a_derived_key_of_another_type_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"key 'details.area' is a string, 'person_id' a int64"):
        plan(PEOPLE.select(keys={"person_id": "details.area"}), DETAILS.select("price"))


def test_a_derived_key_that_two_rows_hold_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"key 'details.area' could be read from 2 rows"):
        plan(
            AREAS.select(keys={"code": "details.area"}),
            DETAILS.select("price"),
            DETAILS.select("price", prefix="other_", keys={"listing_id": "other_id"}),
        )


def test_a_request_key_of_two_types_is_refused() -> None:
    with pytest.raises(DefinitionError, match="request key 'id' is a int64 and a string"):
        plan(DETAILS.select(keys={"listing_id": "id"}), AREAS.select(keys={"code": "id"}))


def test_types_of_all_fields_are_known() -> None:
    found = plan(DETAILS.select("price", "n"), request=(Field("at_door", TIMESTAMP),))
    assert found.types == {"price": FLOAT64, "n": INT64, "at_door": TIMESTAMP}

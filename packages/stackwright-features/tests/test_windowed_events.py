from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features.service_plan import ServicePlan
from stackwright_features.values import typed_columns
from stackwright_features.windowed_events import WindowedEvents
from stackwright_interfaces.definitions import Aggregate, Entity, FeatureService, FeatureView, Window
from stackwright_interfaces.testing.histories import HOUR, quick
from stackwright_interfaces.testing.tables import bits
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_numerics.columns import NAT
from stackwright_numerics.events import EventsCodec

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
VISITS = FeatureView(
    name="visits",
    entity=LISTING,
    fields=(Field("seconds", FLOAT64), Field("page", STRING, default="none"), Field("seller", INT64)),
    max_age=2 * HOUR,
    windows=(
        Window(name="n", aggregate=Aggregate.COUNT, length=HOUR),
        Window(name="total", aggregate=Aggregate.SUM, column="seconds", length=3 * HOUR, slide=HOUR),
        Window(name="last", aggregate=Aggregate.LAST, column="page", length=2 * HOUR),
    ),
)
SELLERS = FeatureView(
    name="sellers", entity=Entity(name="seller", keys=(Field("id", INT64),)), fields=(Field("x", INT64),)
)
SERVICE = FeatureService(name="s", selections=(VISITS.select(), SELLERS.select(keys={"id": "visits.seller"})))
HOUR_US = 3_600_000_000
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, HOUR_US, HOUR_US + 1, 3 * HOUR_US]),
        st.none() | st.sampled_from([0.1, 1e16, -1.0]),
        st.none() | st.sampled_from(["a", "b"]),
        st.none() | st.integers(1, 2),
    ),
    max_size=5,
)


def reader() -> WindowedEvents:
    plan = ServicePlan(SERVICE)
    return WindowedEvents(plan.first[0], plan.defaults)


def payload(events: list[tuple[Any, ...]]) -> bytes:
    events = sorted(events, key=lambda event: event[0])
    values = {name: [event[place] for event in events] for place, name in enumerate(("seconds", "page", "seller"), 1)}
    times = np.array([event[0] for event in events], np.int64)
    (encoded,) = EventsCodec(VISITS.fields).encode(
        typed_columns(VISITS.fields, values, where="row"),
        event_us=times,
        created_us=times,
        offsets=np.array([0, len(events)]),
        position=3,
        due_us=7,
    )
    return encoded


@quick(80)
@given(events=EVENTS, others=EVENTS, at_us=st.sampled_from([0, 1, HOUR_US, HOUR_US + 1, 3 * HOUR_US, 6 * HOUR_US]))
def test_the_events_of_a_key_are_read_alone_as_among_others(events: Any, others: Any, at_us: int) -> None:
    alone = reader().answer([payload(events)], at_us, None)
    among = reader().answer([None, payload(others), payload(events)], at_us, np.array([True, False, False]))
    for one, many in zip((*alone.values, *alone.statuses), (*among.values, *among.statuses), strict=True):
        assert bits(one.tolist()) == bits(many.tolist()[2:])
    assert str(alone.events[0]) == str(among.events[2])
    assert alone.held["seller"].valid[0] == among.held["seller"].valid[2]


def test_without_any_event_nothing_is_known() -> None:
    answer = reader().answer([None], 5, None)
    assert answer.knows == (0, NAT)
    assert np.isnat(answer.events).all()
    assert [values.tolist()[0] for values in answer.values][1] == "none"


def test_what_a_payload_knows_is_told_though_none_of_its_events_has_come() -> None:
    answer = reader().answer([payload([(9, 1.0, "a", 1)])], 5, None)
    assert answer.knows == (3, 7)
    assert np.isnat(answer.events).all()

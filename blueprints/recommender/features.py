"""What the lists know of a person beside the interactions they learned from: the homes looked at just now."""

from datetime import timedelta

from stackwright_interfaces.definitions import Aggregate, Entity, FeatureService, FeatureView, Source, Window
from stackwright_interfaces.types import INT64, STRING, Field

OWNER = "search-team"

person = Entity(
    name="person",
    keys=(Field("person_id", STRING, description="the portal's number"),),
    owner=OWNER,
    description="Someone who looks for a home.",
    tags={"domain": "demand"},
)

# A stream of events: pages are pushed as they are opened, `stackwright push history EVENTS`, and count at once.
history = FeatureView(
    name="history",
    entity=person,
    source=Source(event_time="happened_at", created_time="recorded_at"),
    event_id="event_id",  # browsers send some events twice: they count once
    fields=(
        Field("event_id", INT64, description="number of the event"),
        Field("listing_id", STRING, description="the home that was opened"),
    ),
    windows=(
        Window(
            name="looked_at",
            aggregate=Aggregate.LAST_N,
            column="listing_id",
            n=20,
            length=timedelta(hours=2),
            description="homes of the last two hours, oldest first",
        ),
    ),
    owner=OWNER,
    description="Which homes a person looks at.",
    tags={"source": "portal", "pii": "person"},
)

session = FeatureService(
    name="session",
    version=1,
    selections=(history.select("looked_at"),),
    owner=OWNER,
    description="What someone looked at just now.",
    tags={"stage": "production"},
)

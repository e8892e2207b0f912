"""What the valuation knows about a home: its description, its neighbourhood, and how much it is looked at."""

from datetime import timedelta

import numpy as np

from stackwright_interfaces.definitions import (
    Aggregate,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    Target,
    Window,
    transform,
)
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, Field

OWNER = "valuation-team"
CENTRE = (54.0, 6.0)  # latitude and longitude of the town's centre
SQUARE_FEET = 10.7639  # in a square metre

# Entities: what features describe.
listing = Entity(
    name="listing",
    keys=(Field("listing_id", STRING, description="the portal's number"),),
    owner=OWNER,
    description="A home on the market.",
    tags={"domain": "supply"},
)
neighbourhood = Entity(
    name="neighbourhood",
    keys=(Field("neighbourhood_id", STRING, description="district and number"),),
    owner=OWNER,
    description="A part of the town with prices of its own.",
    tags={"domain": "place"},
)

# Views: rows with a time. A join takes the newest row that was true at the asked instant.
listing_view = FeatureView(
    name="listing",
    entity=listing,
    source=Source(event_time="changed_at", created_time="recorded_at"),
    fields=(
        Field("neighbourhood_id", STRING, description="where it lies"),
        Field("property_type", STRING, description="apartment, townhouse or house"),
        Field("area", FLOAT64, description="living area as typed in: m², or square feet, or nonsense"),
        Field("rooms", INT64, description="rooms, without kitchen and baths"),
        Field("bathrooms", INT64, default=1, description="bathrooms"),
        Field("floor", INT64, description="storey of an apartment, 0 is the ground"),
        Field("year_built", INT64, description="year of completion as typed in"),
        Field("energy_label", STRING, description="A (best) to G"),
        Field("parking", INT64, default=0, description="parking spaces"),
        Field("garden", FLOAT64, default=0.0, description="garden, m²"),
        Field("balcony", BOOL, description="has a balcony"),
        Field("lift", BOOL, description="has a lift"),
        Field("latitude", FLOAT64, description="degrees"),
        Field("longitude", FLOAT64, description="degrees"),
    ),
    owner=OWNER,
    description="What the listing says; each correction is a new row.",
    tags={"source": "portal"},
)
figures = FeatureView(
    name="neighbourhood",
    entity=neighbourhood,
    source=Source(event_time="published_at", created_time="recorded_at"),
    max_age=timedelta(days=62),  # two issues missed: better no figure than an old one
    fields=(
        Field("median_price_m2", FLOAT64, description="median of last month's sales, euros a m²"),
        Field("school_score", FLOAT64, description="schools nearby, 1 to 10"),
        Field("green_share", FLOAT64, description="share of parks and gardens"),
    ),
    owner=OWNER,
    description="What the statistics office publishes each month.",
    tags={"source": "statistics"},
)
sales = FeatureView(
    name="sales",
    entity=neighbourhood,
    source=Source(event_time="registered_at", created_time="recorded_at"),  # nobody here knew the price before
    event_id="sale_id",
    fields=(
        Field("sale_id", INT64, description="number in the registry"),
        Field("price_m2", FLOAT64, description="sale price, euros a m²"),
    ),
    windows=(
        Window(name="sales_90d", aggregate=Aggregate.COUNT, length=timedelta(days=90)),
        Window(name="price_m2_90d", aggregate=Aggregate.MEAN, column="price_m2", length=timedelta(days=90)),
    ),
    owner=OWNER,
    description="Registered sales, and what they fetched lately.",
    tags={"source": "registry"},
)
interest = FeatureView(
    name="interest",
    entity=listing,
    source=Source(event_time="happened_at", created_time="recorded_at"),
    event_id="event_id",  # browsers send some events twice: they count once
    fields=(
        Field("event_id", INT64, description="number of the event"),
        Field("viewed_by", STRING, description="who opened the page; null in contacts"),
        Field("contacted_by", STRING, description="who wrote to the agent; null in views"),
    ),
    windows=(
        Window(name="views_7d", aggregate=Aggregate.COUNT, column="viewed_by", length=timedelta(days=7)),
        Window(name="views_30d", aggregate=Aggregate.COUNT, column="viewed_by", length=timedelta(days=30)),
        Window(name="viewers_30d", aggregate=Aggregate.DISTINCT, column="viewed_by", length=timedelta(days=30)),
        Window(name="contacts_30d", aggregate=Aggregate.COUNT, column="contacted_by", length=timedelta(days=30)),
    ),
    owner="traffic-team",
    description="Who looks at a listing, and who writes to its agent.",
    tags={"source": "portal", "pii": "person"},
)


# Transforms: one function for training and for live requests. Numbers come as float64, null as NaN.
@transform(inputs=("area", "rooms"), type=FLOAT64, owner=OWNER)
def area_m2(area, rooms):
    """Living area in m²: above 90 m² a room it is in square feet, negative it is unknown."""
    metric = np.where(area > 90 * np.maximum(rooms, 1), area / SQUARE_FEET, area)
    return np.where(metric > 0, metric, np.nan)


@transform(inputs=("area_m2",), type=FLOAT64, owner=OWNER)
def log_area(area_m2):
    """Logarithm of the living area."""
    return np.log(area_m2)


@transform(inputs=("area_m2", "rooms"), type=FLOAT64, owner=OWNER)
def room_size(area_m2, rooms):
    """Living area a room, m²."""
    return area_m2 / np.maximum(rooms, 1)


@transform(inputs=("year_built", "at"), type=FLOAT64, owner=OWNER)
def age(year_built, at):
    """Years since completion at the asked instant; unknown where that lies far ahead."""
    years = at.astype("datetime64[Y]").astype(np.int64) + 1970 - year_built
    return np.where(years > -5, years, np.nan)


@transform(inputs=("latitude", "longitude"), type=FLOAT64, owner=OWNER)
def centre_km(latitude, longitude):
    """Distance to the town's centre, km."""
    east = (longitude - CENTRE[1]) * np.cos(np.radians(CENTRE[0]))
    return 111.2 * np.hypot(latitude - CENTRE[0], east)


# The service: what a model reads, under a version. The asking price stays out: it is the seller's own valuation.
of_listing = {"neighbourhood_id": "listing.neighbourhood_id"}  # requests name the listing; its row, the place
model_inputs = (
    "neighbourhood_id", "latitude", "longitude", "centre_km", "property_type", "log_area", "rooms", "room_size",
    "bathrooms", "floor", "lift", "balcony", "parking", "garden", "age", "energy_label", "condition",
    "median_price_m2", "school_score", "green_share", "sales_90d", "price_m2_90d",
    "views_7d", "views_30d", "viewers_30d", "contacts_30d",
)  # fmt: skip
valuation = FeatureService(
    name="valuation",
    version=1,
    selections=(
        listing_view.select(),
        figures.select(keys=of_listing),
        sales.select("sales_90d", "price_m2_90d", keys=of_listing),
        interest.select("views_7d", "views_30d", "viewers_30d", "contacts_30d"),
    ),
    request=(Field("condition", INT64, description="state as the caller sees it, 1 (a ruin) to 5 (as new)"),),
    transforms=(area_m2, log_area, room_size, age, centre_km),
    outputs=model_inputs,
    owner=OWNER,
    description="Everything the valuation of a home reads.",
    tags={"stage": "production"},
)

# The target: what is predicted; when it was asked, when it happened, when it became known.
sale_price = Target(
    name="sale_price",
    entity=listing,
    value=Field("sale_price", FLOAT64, description="price in the registry, euros"),
    asked="asked_at",
    happened="happened_at",
    observed="observed_at",
    censored="censored",
    horizon=timedelta(days=365),
    request=valuation.request,
    owner=OWNER,
    description="What the home was sold for; known once registered, months after the listing.",
    tags={"unit": "EUR"},
)

"""Homes of King County as each sale recorded them, and what they fetched."""

import numpy as np

from stackwright import FLOAT64, STRING, Entity, FeatureService, FeatureView, Field, Source, Target, transform

OWNER = "valuation-team"
NUMBERS = (
    "bedrooms", "bathrooms", "sqft_living", "sqft_lot", "floors", "waterfront", "view", "condition", "grade",
    "sqft_above", "sqft_basement", "yr_built", "yr_renovated", "lat", "long",
)  # fmt: skip
PLACES = {
    "seattle": (47.6062, -122.3321),
    "bellevue": (47.6101, -122.2015),
    "redmond": (47.6740, -122.1215),
    "kirkland": (47.6769, -122.2060),
    "airport": (47.4502, -122.3088),
    "medina": (47.6200, -122.2300),
}
DATES = Source(event_time="date", time_format="%Y%m%dT%H%M%S", time_zone="UTC", rename={"id": "property_id"})

home = Entity(name="home", keys=(Field("property_id", STRING),), owner=OWNER)
homes = FeatureView(
    name="homes",
    entity=home,
    source=DATES,
    fields=(*(Field(name, FLOAT64) for name in NUMBERS), Field("zipcode", STRING)),
    owner=OWNER,
)


def year(at):
    start = at.astype("datetime64[Y]")
    days = (at.astype("datetime64[D]") - start.astype("datetime64[D]")).astype(np.float64)
    return 1970.0 + start.astype(np.int64) + days / 365.25


@transform(inputs=("yr_built", "at"), type=FLOAT64)
def age(yr_built, at):
    return year(at) - yr_built


@transform(inputs=("yr_built", "yr_renovated", "at"), type=FLOAT64)
def since_work(yr_built, yr_renovated, at):
    return year(at) - np.maximum(yr_built, yr_renovated)


@transform(inputs=("at",), type=FLOAT64)
def days(at):
    return (at.astype("datetime64[D]") - np.datetime64("2014-01-01", "D")).astype(np.float64)


@transform(inputs=("sqft_living", "sqft_lot"), type=FLOAT64)
def living_per_lot(sqft_living, sqft_lot):
    return sqft_living / sqft_lot


@transform(inputs=("bathrooms", "bedrooms"), type=FLOAT64)
def bath_per_bed(bathrooms, bedrooms):
    return bathrooms / np.maximum(bedrooms, 1)


@transform(inputs=("sqft_living", "bedrooms"), type=FLOAT64)
def room_size(sqft_living, bedrooms):
    return sqft_living / np.maximum(bedrooms, 1)


def turned(lat, long, degrees):
    east, north = (long + 122.2) * np.cos(np.radians(47.5)), lat - 47.56
    return east * np.cos(np.radians(degrees)) + north * np.sin(np.radians(degrees))


@transform(inputs=("lat", "long"), type=FLOAT64)
def turned_30(lat, long):
    return turned(lat, long, 30)


@transform(inputs=("lat", "long"), type=FLOAT64)
def turned_60(lat, long):
    return turned(lat, long, 60)


@transform(inputs=("lat", "long"), type=FLOAT64)
def turned_45(lat, long):
    return turned(lat, long, 45)


@transform(inputs=("lat", "long"), type=FLOAT64)
def turned_m45(lat, long):
    return turned(lat, long, -45)


def km(lat, long, place):
    at_lat, at_long = PLACES[place]
    return np.hypot((lat - at_lat) * 111.2, (long - at_long) * 111.2 * np.cos(np.radians(47.6)))


@transform(inputs=("lat", "long"), type=FLOAT64)
def km_seattle(lat, long):
    return km(lat, long, "seattle")


@transform(inputs=("lat", "long"), type=FLOAT64)
def km_bellevue(lat, long):
    return km(lat, long, "bellevue")


@transform(inputs=("lat", "long"), type=FLOAT64)
def km_redmond(lat, long):
    return km(lat, long, "redmond")


@transform(inputs=("lat", "long"), type=FLOAT64)
def km_kirkland(lat, long):
    return km(lat, long, "kirkland")


@transform(inputs=("lat", "long"), type=FLOAT64)
def km_airport(lat, long):
    return km(lat, long, "airport")


@transform(inputs=("lat", "long"), type=FLOAT64)
def km_medina(lat, long):
    return km(lat, long, "medina")


valuation = FeatureService(
    name="valuation",
    selections=(homes.select(),),
    transforms=(
        age, since_work, days, living_per_lot, bath_per_bed, room_size, turned_30, turned_60, turned_45, turned_m45,
        km_seattle, km_bellevue, km_redmond, km_kirkland, km_airport, km_medina,
    ),
    owner=OWNER,
)  # fmt: skip

sale_price = Target(
    name="sale_price",
    entity=home,
    value=Field("price", FLOAT64, description="dollars"),
    asked="date",
    happened="date",
    source=DATES,
    owner=OWNER,
)

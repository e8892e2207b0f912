"""King County house sales as a table in the order of time, with what can be said of a home on the day of its sale.

No column looks ahead: the neighbours' sizes (``sqft_*15``) are of 2015 and stay out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

PLACES: Final = {
    "seattle": (47.6062, -122.3321),
    "bellevue": (47.6101, -122.2015),
    "redmond": (47.6740, -122.1215),
    "kirkland": (47.6769, -122.2060),
    "airport": (47.4502, -122.3088),
    "medina": (47.6200, -122.2300),
}
STORED: Final = (
    *("bedrooms", "bathrooms", "sqft_living", "sqft_lot", "floors", "waterfront", "view", "condition", "grade"),
    *("sqft_above", "sqft_basement", "yr_built", "yr_renovated", "lat", "long"),
)


class Sales(NamedTuple):
    """Columns, prices and times of sales."""

    homes: pd.DataFrame
    price: Any
    time: Any


def read(path: Path, share: float = 0.8) -> tuple[Sales, Sales]:
    """Return the sales before the day on which ``share`` of them was reached, and the rest."""
    rows = pd.read_csv(path, dtype={"id": str, "zipcode": str, "floors": float})
    rows["time"] = pd.to_datetime(rows["date"], format="%Y%m%dT%H%M%S")
    rows = rows.sort_values(["time", "id"], kind="stable").reset_index(drop=True)
    cut = rows["time"][int(len(rows) * share)]
    homes, price = _columns(rows), rows["price"].to_numpy(float)
    old = (rows["time"] < cut).to_numpy()
    return Sales(homes[old], price[old], rows["time"][old]), Sales(homes[~old], price[~old], rows["time"][~old])


def _columns(rows: pd.DataFrame) -> pd.DataFrame:
    homes = rows[[*STORED]].astype(float).assign(zipcode=rows["zipcode"])
    at = rows["time"].dt
    year = at.year + at.dayofyear / 365.25
    homes["age"] = year - homes["yr_built"]
    homes["since_work"] = year - np.maximum(homes["yr_built"], homes["yr_renovated"])
    homes["days"] = (rows["time"] - pd.Timestamp("2014-01-01")) / pd.Timedelta(days=1)
    homes["living_per_lot"] = homes["sqft_living"] / homes["sqft_lot"]
    homes["bath_per_bed"] = homes["bathrooms"] / np.maximum(homes["bedrooms"], 1)
    homes["room_size"] = homes["sqft_living"] / np.maximum(homes["bedrooms"], 1)
    east, north = (homes["long"] + 122.2) * np.cos(np.radians(47.5)), homes["lat"] - 47.56
    for degrees in (30, 60, 45, -45):
        turned = east * np.cos(np.radians(degrees)) + north * np.sin(np.radians(degrees))
        homes[f"turned_{degrees}"] = turned
    for name, (lat, long) in PLACES.items():
        up, right = (homes["lat"] - lat) * 111.2, (homes["long"] - long) * 111.2 * np.cos(np.radians(47.6))
        homes[f"km_{name}"] = np.hypot(up, right)
    return homes

"""A small town: people who like one kind of home, in one part of it, and look at it in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_recommender import Columns, ItemColumns, Recommender, Settings, train
from stackwright_recommender.ranker import RankerOptions

KINDS = ("flat", "house", "loft", "studio")
DAY = 86_400
START = 1_700_000_000
COLUMNS = Columns(user="person", item="home", time="seen_at")
ITEM_COLUMNS = ItemColumns(
    item="home", attributes=("kind",), numbers=("rooms",), latitude="lat", longitude="lon", area="area", group="agent",
    price="price", since="listed_at", until="sold_at",
)  # fmt: skip
QUICK = Settings(folds=2, candidates=20, ranker=RankerOptions(trees=20, k=5))


@dataclass(frozen=True)
class Town:
    """Files of interactions and items, and what is true of them."""

    interactions: Path
    items: Path
    kind_of: dict[str, str]
    likes: dict[str, str]
    homes: tuple[str, ...]


def make_town(folder: Path, people: int = 150, homes: int = 80, seed: int = 1) -> Town:
    rng = np.random.default_rng(seed)
    ids = [f"h{number:03}" for number in range(homes)]
    kinds = rng.integers(0, len(KINDS), homes)
    rows = ["home,kind,rooms,lat,lon,area,agent,price,listed_at,sold_at"]
    for number, (home, kind) in enumerate(zip(ids, kinds, strict=True)):
        area, sold = number % 4, START + 2 * DAY if number % 10 == 9 else ""
        place = (48 + 0.1 * area + rng.normal(0, 0.005), 11 + rng.normal(0, 0.005))
        price = 100_000 * (1 + kind) + 1_000 * number
        cells = (KINDS[kind], 1 + kind, *place, f"area{area}", f"agent{number % 7}", price, START - DAY * number, sold)
        rows.append(",".join(map(str, (home, *cells))))
    rows.append("new-loft,loft,3,48.1,11.0,area1,agent1,300000,1700000000,")
    rows.append("new-flat,flat,1,48.1,11.0,area1,agent1,110000,1700000000,")
    events = ["person,home,seen_at"]
    likes = {}
    for person in range(people):
        taste = int(rng.integers(0, len(KINDS)))
        likes[f"p{person}"] = KINDS[taste]
        liked = rng.permutation(np.flatnonzero(kinds == taste))[:10]
        others = rng.integers(0, homes, 3)
        chosen = list(dict.fromkeys([*liked[:5], *others, *liked[5:]]))
        events += [f"p{person},{ids[home]},{START + person * 600 + 60 * place}" for place, home in enumerate(chosen)]
    folder.mkdir(exist_ok=True)
    (folder / "events.csv").write_text("\n".join(events) + "\n")
    (folder / "homes.csv").write_text("\n".join(rows) + "\n")
    kind_of = {home: KINDS[kind] for home, kind in zip(ids, kinds, strict=True)}
    return Town(folder / "events.csv", folder / "homes.csv", kind_of, likes, tuple(ids))


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return make_town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="session")
def trained(town: Town) -> Callable[..., Recommender]:
    """Trains on the town, quickly."""

    def trained(**options: Any) -> Recommender:
        given = {"items": town.items, "item_columns": ITEM_COLUMNS, "settings": QUICK, **options}
        return train(given.pop("interactions", town.interactions), COLUMNS, **given)

    return trained


@pytest.fixture(scope="session")
def recommender(trained: Callable[..., Recommender]) -> Recommender:
    """A recommender of the town."""
    return trained()

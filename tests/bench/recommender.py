"""``recommender``: lists of MovieLens 100k beside others', and how long one list of 500 candidates takes.

- Quality: 75 % of each item's ratings, drawn with seed 42, and 75 % of each user's, the oldest; NDCG@10 of all ratings
  held out, what was seen left out, against the whole catalogue. Trained by ``train`` on the file alone, with its
  defaults but for ``holdout``, which says what is asked. The peer is SAR over the same split. Costs are 1 - NDCG.
- Training: CPU seconds of both cores.
- Answers, once the trees are compiled: 4,000 homes with eleven columns, 2,000 users, 40,000 interactions, all
  retrievers that such data feeds; 500 candidates a request with four live numbers, on one core, in process; then over
  HTTP, and in turn with Feast's reading of 40 features for as many and a pipeline of scikit-learn over pandas.
- EASE at 20,000 items: seconds and memory of a fit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import movielens
import numpy as np
import pyarrow as pa
from harness import Measured, Row, report
from recommending import beside_feast, ease_at_scale, on_one_core, over_http

from stackwright_recommender import (
    Columns,
    ItemColumns,
    Recommender,
    Settings,
    artifact,
    evaluate,
    evaluate_recommender,
    train,
)
from stackwright_recommender.ranker import RankerOptions

DATA: Final = Path(__file__).parents[3] / "shared" / "data" / "movielens_100k" / "u.data"
BARS: Final = {"split": 0.499, "by_time": 0.304}
HOLDOUT: Final = {"split": "random", "by_time": "last"}
CALLED: Final = {"split": "drawn by item", "by_time": "the newest of each user"}
SECONDS: Final = 300.0
REQUESTS: Final = 400
ROUNDS: Final = 5


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("quality", "answers", "ease"))
    only = parser.parse_args().only
    rows: list[Row] = []
    notes: list[str] = []
    if only in (None, "ease"):
        rows += ease_at_scale()
    if only in (None, "quality"):
        if DATA.exists():
            rows += [row for protocol in BARS for row in lists_of_movielens(protocol)]
        else:
            notes.append(f"MovieLens left out: {DATA} is not there")
    if only in (None, "answers"):
        rows += answers()
    report("recommender", rows, notes)


def lists_of_movielens(protocol: str) -> list[Row]:
    """Train and judge."""
    older, newer = getattr(movielens, protocol)(movielens.read(DATA))
    wanted = movielens.wanted_by(older, newer)
    started = time.process_time()
    settings = Settings(holdout=HOLDOUT[protocol], threads=2)
    table = pa.Table.from_pandas(older, preserve_index=False)
    found = train(table, Columns(time="time", rating="rating"), settings=settings)
    seconds = time.process_time() - started
    ours = evaluate_recommender(found, wanted, diversity=False).metrics["ndcg"].value
    theirs = evaluate(movielens.lists_of_sar(older), wanted).metrics["ndcg"].value
    called = f"MovieLens 100k, {CALLED[protocol]}"
    bar = 1 - BARS[protocol]
    return [
        Row(f"{called}: 1 - NDCG@10", "", Measured.of([1 - ours]), "SAR", Measured.of([1 - theirs]), bar=bar),
        Row(f"{called}: training", "s of CPU", Measured.of([seconds]), bar=SECONDS),
    ]


def answers(people: int = 2_000, homes: int = 4_000) -> list[Row]:
    """Time lists of 500 candidates."""
    with tempfile.TemporaryDirectory() as place:
        return _answers(loaded(town(people, homes), Path(place)), people, homes)


def _answers(made: Recommender, people: int, homes: int) -> list[Row]:
    rng = np.random.default_rng(3)
    asking = [f"p{number}" for number in rng.integers(0, people, REQUESTS)]
    searched = [[f"h{number}" for number in rng.choice(homes, 500, replace=False)] for _ in range(REQUESTS)]
    live = {f"n{number}": rng.random(500) for number in range(4)}

    def one(number: int) -> None:
        made.recommend(asking[number], 20, candidates=searched[number], live=live)

    turns = iter(range(10**9))
    while not made.stages.ranker.compiled:
        one(next(turns) % REQUESTS)
    with on_one_core():
        rows = in_process(one, len(made.stages.features.names))
    rows += beside_feast(lambda: one(next(turns) % REQUESTS), homes)
    return rows + over_http(made, asking, searched, live)


def loaded(made: Recommender, folder: Path) -> Recommender:
    """Return a recommender as a server loads it, so that it is compiled after a while."""
    (folder / "model").mkdir()
    artifact.save(made, folder / "model")
    return artifact.load(folder / "model", cache=folder / "cache")


def in_process(ask: Callable[[int], None], width: int) -> list[Row]:
    """Time requests one by one."""
    for number in range(40):
        ask(number)
    middle, slow, work = [], [], []
    for _ in range(ROUNDS):
        taken, busy = [], time.process_time()
        for number in range(REQUESTS):
            started = time.perf_counter()
            ask(number)
            taken.append(1_000 * (time.perf_counter() - started))
        middle.append(float(np.median(taken)))
        slow.append(float(np.quantile(taken, 0.99)))
        work.append(1_000 * (time.process_time() - busy) / REQUESTS)
    return [
        Row(f"a list of 500 candidates x {width} columns, median", "ms", Measured.of(middle), bar=4.0),
        Row(f"a list of 500 candidates x {width} columns, 99 %", "ms", Measured.of(slow), bar=10.0),
        Row(f"a list of 500 candidates x {width} columns, CPU", "ms", Measured.of(work)),
    ]


def town(people: int, homes: int, each: int = 20) -> Recommender:
    """Return a recommender of homes."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 20, homes)
    taste = rng.integers(0, 20, people)
    liked = [np.flatnonzero(kind == one) for one in range(20)]
    chosen = [
        np.concatenate([rng.choice(liked[one], each - 5, replace=False), rng.integers(0, homes, 5)]) for one in taste
    ]
    events: dict[str, Any] = {
        "user": [f"p{number}" for number in np.repeat(np.arange(people), each)],
        "item": [f"h{number}" for number in np.concatenate(chosen)],
        "time": np.sort(rng.integers(0, 90 * 86_400, people * each)),
    }
    numbers = {f"n{number}": rng.random(homes) for number in range(4)}
    items: dict[str, Any] = {
        "item": [f"h{number}" for number in range(homes)],
        "kind": [f"k{number}" for number in kind],
        "area": [f"a{number}" for number in rng.integers(0, 30, homes)],
        "price": rng.lognormal(12, 0.5, homes),
        "lat": 48 + rng.random(homes),
        "lon": 11 + rng.random(homes),
        "since": rng.integers(-30 * 86_400, 86_400, homes),
        **numbers,
    }
    columns = ItemColumns(
        attributes=("kind",), numbers=tuple(numbers), latitude="lat", longitude="lon", area="area", price="price",
        since="since",
    )  # fmt: skip
    settings = Settings(folds=1, lists=500, ranker=RankerOptions(trees=100, leaves=31))
    return train(pa.table(events), Columns(time="time"), items=pa.table(items), item_columns=columns, settings=settings)


if __name__ == "__main__":
    main()

"""``quality``: how well the estimators of stackwright-models predict, on data nobody here made, beside others.

Every value is a cost, so that less is better: shares that should be high are given as what they miss. Rounds are seeds.

- King County house sales: sorted by time, all of them; the last 20 % are tested on, from 2015-03-10. Nominal 90 %.
- GBSG2, 686 women with breast cancer: 5 shuffled folds (``KFold``) a seed, mean C-index. From lifelines' package.
- LightGBM's ranking example, with its own split into training and test queries.
- MovieLens 100k: not how well we predict, but whether our metrics of lists are those that others published, to six
  digits.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import king_county
import lightgbm
import movielens
import numpy as np
import pandas as pd
from harness import Measured, Row, report
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_svmlight_file
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from stackwright_models import IntervalRegressor, Ranker, TemporalSplit, TimeToEvent, tabular
from stackwright_models.metrics import ndcg

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT.parent / "shared" / "data"
SEEDS: Final = (7, 1, 2)
LEVEL: Final = 0.9
Costs = Mapping[str, float]

VALUATION: Final = {
    "MAPE": 0.120,
    "MdAPE": 0.089,
    "homes off by more than 10 %": 0.445,
    "coverage's distance from 90 %": 0.02,
    "homes outside, worst fifth of price": 0.15,
    "median relative width": 0.49,
}
"""What is measured on King County → the most that is asked for."""


def main() -> None:
    """Run the benchmark."""
    rows, notes = [], []
    for part in (valuations, survivals, rankings, metrics_of_lists):
        found, note = part()
        rows += found
        notes += note
    report("quality", rows, notes)


def valuations() -> tuple[list[Row], list[str]]:
    """Measure predictions and intervals on King County; the peer is quantile regression by gradient boosting."""
    path = DATA / "king_county" / "kc_house_data.csv"
    if not path.exists():
        return [], [f"King County left out: {path} is not there"]
    train, test = king_county.read(path)
    ours = measured(lambda seed: interval_regressor(seed, train, test), SEEDS)
    theirs = measured(lambda seed: quantile_regressors(seed, train, test), SEEDS[:1])
    peer = f"scikit-learn {version('scikit-learn')} HistGradientBoosting, quantiles"
    rows = [Row(f"King County: {name}", "", ours[name], peer, theirs[name], bar=bar) for name, bar in VALUATION.items()]
    note = f"King County: {len(train.price):,} sales before {test.time.min():%Y-%m-%d}, {len(test.price):,} from it on;"
    return rows, [f"{note} seeds {', '.join(map(str, SEEDS))}"]


def interval_regressor(seed: int, train: king_county.Sales, test: king_county.Sales) -> Costs:
    """Fit ours: logarithms of prices, intervals by forward chaining, recent residuals first."""
    model = IntervalRegressor(
        TransformedTargetRegressor(
            tabular(
                objective="l1",
                num_leaves=63,
                feature_fraction=0.3,
                bagging_fraction=0.7,
                min_data_in_leaf=40,
                random_state=seed,
            ),
            func=np.log,
            inverse_func=np.exp,
        ),
        level=LEVEL,
        cv=TemporalSplit(4, holdout=0.5),
        relative=True,
        recentre=True,
        half_life=timedelta(days=90),
    )
    model.fit(train.homes, train.price, time=train.time)
    return valuation_costs(test.price, model.predict(test.homes), *model.predict_interval(test.homes).T)


def quantile_regressors(seed: int, train: king_county.Sales, test: king_county.Sales) -> Costs:
    """Fit the peer: one model for the point and one for either end, with its defaults."""
    old, new = (sales.homes.astype({"zipcode": "category"}) for sales in (train, test))
    settings: list[dict[str, Any]] = [
        {},
        *({"loss": "quantile", "quantile": (1 + side * LEVEL) / 2} for side in (-1, 1)),
    ]
    answers = []
    for setting in settings:
        model = HistGradientBoostingRegressor(random_state=seed, **setting)
        answers.append(np.exp(model.fit(old, np.log(train.price)).predict(new)))
    return valuation_costs(test.price, *answers)


def valuation_costs(price: Any, answer: Any, low: Any, high: Any) -> Costs:
    """Judge predictions and their intervals."""
    error = np.abs(answer / price - 1)
    inside = (low <= price) & (price <= high)
    fifths = np.array_split(np.argsort(price, kind="stable"), 5)
    values = [
        error.mean(),
        np.median(error),
        (error > 0.1).mean(),
        abs(inside.mean() - LEVEL),
        1 - min(inside[fifth].mean() for fifth in fifths),
        np.median((high - low) / answer),
    ]
    return dict(zip(VALUATION, map(float, values), strict=True))


def survivals() -> tuple[list[Row], list[str]]:
    """Measure the order of times to a relapse on GBSG2; the peer is Cox's model."""
    python, number = lifelines()
    path = subprocess.run([str(python), str(COX)], capture_output=True, text=True, check=True).stdout.strip()
    rows = pd.read_csv(path)
    women = rows.drop(columns=["time", "cens"])
    outcome = pd.DataFrame({"event": rows["cens"] == 1, "duration": rows["time"]})
    folds = {seed: [test for _, test in KFold(5, shuffle=True, random_state=seed).split(women)] for seed in SEEDS}

    def discordance(classifier: Any, seed: int) -> Costs:
        found = []
        for test in folds[seed]:
            held = rows.index.isin(test)
            model = TimeToEvent(classifier).fit(women[~held], outcome[~held])
            found.append(model.score(women[held], outcome[held]))
        return {"1 - C": 1 - float(np.mean(found))}

    def cox(seed: int) -> Costs:
        asked = json.dumps([test.tolist() for test in folds[seed]])
        done = subprocess.run([str(python), str(COX), "folds"], input=asked, capture_output=True, text=True, check=True)
        return {"1 - C": 1 - float(np.mean(json.loads(done.stdout)))}

    theirs = measured(cox, SEEDS)["1 - C"]
    peer = f"Cox, lifelines {number}"
    classifiers = {"LightGBM, defaults": None, "splines and logistic regression": splines()}
    found = [
        Row(
            f"GBSG2: 1 - C-index, {name}",
            "",
            measured(lambda seed, classifier=classifier: discordance(classifier, seed), SEEDS)["1 - C"],
            peer,
            theirs,
            bar=0.315,
        )
        for name, classifier in classifiers.items()
    ]
    return found, [f"GBSG2: KFold(5, shuffle=True), random_state {', '.join(map(str, SEEDS))}"]


def splines() -> Any:
    """Return a classifier that is smooth in every number, in the time elapsed too."""
    numbers = ["age", "tsize", "pnodes", "progrec", "estrec", "elapsed"]
    smooth = make_pipeline(StandardScaler(), SplineTransformer(n_knots=5))
    columns = make_column_transformer((smooth, numbers), (OneHotEncoder(drop="first"), ["horTh", "menostat", "tgrade"]))
    return make_pipeline(columns, LogisticRegression(C=0.3, max_iter=2000))


COX: Final = Path(__file__).parent / "cox_child.py"


def lifelines() -> tuple[Path, str]:
    """Install lifelines into an environment of its own; return its interpreter and its version."""
    folder = ROOT / ".nox" / "bench-peers" / "lifelines"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), "lifelines>=0.30"], check=True)
    code = "from importlib.metadata import version; print(version('lifelines'))"
    return python, subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def rankings() -> tuple[list[Row], list[str]]:
    """Measure the order of results on LightGBM's example; the peer is LightGBM's own estimator, set alike."""
    folder = DATA / "lightgbm_lambdarank"
    if not folder.exists():
        return [], [f"LightGBM's ranking example left out: {folder} is not there"]
    (train, grades, sizes), (test, truth, judged) = (queries(folder, name) for name in ("train", "test"))
    groups, held = (np.repeat(np.arange(len(found)), found) for found in (sizes, judged))
    alike = {"n_estimators": 50, "learning_rate": 0.1, "num_leaves": 31, "min_child_samples": 20}

    def ours(seed: int) -> Costs:
        model = Ranker(**alike, random_state=seed).fit(train, grades, group=groups)
        return ranking_costs(truth, model.predict(test), held)

    def theirs(seed: int) -> Costs:
        model = lightgbm.LGBMRanker(**alike, random_state=seed, verbosity=-1).fit(train, grades, group=sizes)
        return ranking_costs(truth, model.predict(test), held)

    found, peers = measured(ours, SEEDS), measured(theirs, SEEDS)
    peer = f"LGBMRanker {version('lightgbm')}"
    bars = {"1 - NDCG@1": 1 - 0.5674, "1 - NDCG@3": 1 - 0.578}
    return [Row(f"LightGBM's example: {name}", "", found[name], peer, peers[name], bar=bars[name]) for name in bars], []


def metrics_of_lists() -> tuple[list[Row], list[str]]:
    """Compare our metrics with those published of the same lists."""
    path = DATA / "movielens_100k" / "u.data"
    if not path.exists():
        return [], [f"MovieLens left out: {path} is not there"]
    found = movielens.scored(path)
    peer = "published (SAR, recommenders)"
    return [
        Row(
            f"MovieLens 100k, metric alone: 1 - {name}@{movielens.K}",
            "",
            Measured.of([1 - found[name]]),
            peer,
            Measured.of([1 - published]),
            bar=1 - published + 5e-7,
        )
        for name, published in movielens.PUBLISHED.items()
    ], []


def queries(folder: Path, name: str) -> tuple[Any, Any, Any]:
    """Return the columns and grades of rows, and the size of each query."""
    rows, grades = load_svmlight_file(str(folder / f"rank.{name}"), n_features=301)
    return rows.toarray(), grades, np.loadtxt(folder / f"rank.{name}.query", dtype=int)


def ranking_costs(truth: Any, score: Any, group: Any) -> Costs:
    """Judge an order by its first places."""
    return {f"1 - NDCG@{k}": 1 - ndcg(truth, score, group, k=k) for k in (1, 3)}


def measured(work: Callable[[int], Costs], seeds: tuple[int, ...]) -> dict[str, Measured]:
    """Return every cost over seeds."""
    rounds = [work(seed) for seed in seeds]
    return {name: Measured.of([costs[name] for costs in rounds]) for name in rounds[0]}


if __name__ == "__main__":
    main()

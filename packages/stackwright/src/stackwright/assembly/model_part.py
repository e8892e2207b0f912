"""``[models.NAME]``, read into frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stackwright.assembly.output_part import OutputPart, read_output
from stackwright.assembly.reading import Part, Reader
from stackwright.assembly.rules import Limits, RulesPart, limits, read_rules
from stackwright_interfaces.errors import did_you_mean

TRANSFORMS: Final = ("none", "log")
PLACES: Final = 10
TASKS: Final = ("regression", "classification", "ranking", "time_to_event")
METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "regression": ("mape", "mdape", "mae", "rmse", "ppe5", "ppe10", "ppe20"),
    "classification": ("log_loss", "auc", "ece"),
    "ranking": ("ndcg", "map", "mrr", "recall", "precision"),
    "time_to_event": ("c_index",),
}


@dataclass(frozen=True, kw_only=True)
class TunePart:
    """``tune`` of a model: the search for parameters.

    Args:
        trials: parameter sets tried, the trainer's defaults first; 0 searches nothing.
        timeout: seconds after which no trial is begun, and those under way end; 0 sets no limit.
        pruning: end a trial early that is worse than the median of those before.
        metric: what is compared: ``mape``, ``mdape``, ``mae``, ``rmse``, ``ppe5``, ``ppe10``, ``ppe20``; of classes
            ``log_loss``, ``auc``, ``ece``; of a ranking ``ndcg``, ``map``, ``mrr``, ``recall``, ``precision``; of times
            ``c_index``. Empty takes the mean absolute error of the transformed target, ``log_loss``, ``ndcg`` or
            ``c_index``.
        folds: consecutive newer periods that a trial is judged on, each by a fit on what was known before it.
        gap: days that training rows must be older than a period; what was not yet observed then is left out anyway.
    """

    trials: int = 0
    timeout: float = 0.0
    pruning: bool = True
    metric: str = ""
    folds: int = 3
    gap: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """``data`` of a model: rows from elsewhere than the feature store.

    Args:
        source: a file, a folder, a pattern, ``s3:``, a database, or ``env:NAME`` for a secret address.
        target: the column that is predicted: numbers, or true and false.
        time: the column that says when each row was; without it the rows are shuffled, and those kept back are rows at
            random.
        observed: the column that says when the truth became known; without it, at once.
        table: the table of a database.
        query: a SELECT for a database, instead.
        inputs: the columns that the model reads; none named takes all others.
        group: of a ranking, the column that says in which list a row was shown.
        position: of a ranking, the column that says at which place, from 1.
        censored: of a time to event, the column that is true where the event was still to come after the duration.
    """

    source: str
    target: str
    time: str = ""
    observed: str = ""
    group: str = ""
    position: str = ""
    censored: str = ""
    table: str | None = None
    query: str | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """``[models.NAME]``.

    Args:
        service: ``name@version`` of the feature service it reads; not with ``data``.
        target: name of the target it predicts; not with ``data``.
        trainer: who fits it.
        data: rows to learn from instead of those of ``service`` and ``target``.
        task: ``regression``, ``classification``, ``ranking`` or ``time_to_event``.
        k: of a ranking, how many of the first places count.
        horizons: of a time to event, days; the chance that the event comes within each is answered too.
        quantiles: of a regression, shares; the value below which each share of truths is expected is answered too.
        transform: ``log`` fits the logarithm of the target and answers in its unit; else ``none``.
        gates: gate → its options, ``"warn"``, or ``false`` to turn it off; gates not named run with their defaults.
        holdout: share of the newest rows that is kept back to judge the model.
        refit: once no gate refuses the model, fit it again on all rows, the newest too, with the same parameters, and
            publish that.
        level: scale answers by the recent median error of forward predictions, as a moving market needs.
        interval: nominal coverage of prediction intervals; 0 gives none.
        interval_half_life: errors this many days older count half for the intervals; 0 counts all alike.
        tune: the search for parameters before the fit.
        trials: short for ``tune = { trials = ... }``.
        seed: seed of every random choice.
        half_life: rows this many days older weigh half; 0 weighs all rows alike.
        where: column → ``[low, high]``; rows outside are not learned from, and not judged by.
        rules: selection, outliers and answer, which travel with the model.
        missing: ``refuse`` answers an entity without features with an error; ``predict`` answers it.
        output: what its predictions of a whole table must be like before anyone sees them.
    """

    name: str
    place: str
    service: str
    target: str
    trainer: Part
    data: DataPart | None = None
    task: str = "regression"
    k: int = PLACES
    horizons: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    transform: str = "none"
    gates: Mapping[str, Any] = field(default_factory=dict)
    holdout: float = 0.2
    refit: bool = False
    level: bool = False
    interval: float = 0.9
    interval_half_life: float = 90.0
    tune: TunePart = field(default_factory=TunePart)
    trials: int = 0
    seed: int = 7
    half_life: float = 0.0
    where: Mapping[str, Limits] = field(default_factory=dict)
    rules: RulesPart = field(default_factory=RulesPart)
    missing: str = "predict"
    output: OutputPart = field(default_factory=OutputPart)


def read_model(reader: Reader, name: str, table: Any) -> ModelPart:
    """Read a model, noting what is wrong with it."""
    where, table = reader.published("models", name, table)
    reader.keys(where, table, [key for key in ModelPart.__dataclass_fields__ if key not in ("name", "place")])
    trainer = reader.part(f"{where} trainer", table.get("trainer"))
    if table.get("transform") == "log" and table.get("task", "regression") != "regression":
        reader.add(where, "transform is 'log', and the task is no regression", 'Remove transform = "log".')
    task = reader.choice(where, table, "task", TASKS, "regression")
    for key, of in (("k", "ranking"), ("horizons", "time_to_event"), ("quantiles", "regression")):
        if key in table and task != of:
            reader.add(where, f"{key} is given, and the task is {task}", f'Remove {key}, or write task = "{of}".')
    tune = _tune(reader, where, table, task)
    data = _data(reader, where, table, task) if "data" in table else None
    return ModelPart(
        name=name,
        place=where,
        service=data_service(name) if data else reader.required(where, table, "service"),
        target=data.target if data else reader.required(where, table, "target"),
        trainer=trainer or Part(f"{where} trainer", ""),
        data=data,
        task=task,
        k=int(reader.number(where, table, "k", PLACES, 1, 10_000)),
        horizons=_horizons(reader, where, reader.take(where, table, "horizons", list, [])),
        quantiles=_quantiles(reader, where, reader.take(where, table, "quantiles", list, [])),
        transform=reader.choice(where, table, "transform", TRANSFORMS, "none"),
        gates=reader.take(where, table, "gates", dict, {}),
        holdout=reader.number(where, table, "holdout", 0.2, 0.01, 0.9),
        refit=reader.take(where, table, "refit", bool, default=False),
        level=reader.take(where, table, "level", bool, default=False),
        interval=reader.number(where, table, "interval", 0.9, 0.0, 0.999),
        interval_half_life=reader.number(where, table, "interval_half_life", 90.0, 0.0, 1e6),
        tune=tune,
        trials=tune.trials,
        seed=int(reader.number(where, table, "seed", 7, 0, 2**31 - 1)),
        half_life=reader.number(where, table, "half_life", 0.0, 0.0, 1e6),
        where=_where(reader, where, reader.take(where, table, "where", dict, {})),
        rules=read_rules(reader, where, reader.take(where, table, "rules", dict, {})),
        missing=reader.choice(where, table, "missing", ("predict", "refuse"), "predict"),
        output=read_output(reader, where, reader.take(where, table, "output", dict, {})),
    )


def data_service(model: str) -> str:
    """Return the reference of the service that stands for the data of a model: every input comes with the request."""
    return f"{model.replace('-', '_')}__data@1"


def is_data_service(ref: str) -> bool:
    """Tell whether a reference is of a service that stands for the data of a model."""
    return ref.endswith("__data@1")


def _where(reader: Reader, where: str, table: Mapping[str, Any]) -> Mapping[str, Limits]:
    for column, value in table.items():
        limits(reader, f"{where} where", column, value)
    return table


def _tune(reader: Reader, where: str, model: Mapping[str, Any], task: str) -> TunePart:
    short = int(reader.number(where, model, "trials", 0, 0, 10_000))
    if "tune" not in model:
        return TunePart(trials=short)
    if "trials" in model:
        reader.add(where, "both trials and tune are given", "Write tune = { trials = ... } alone.")
    table = reader.take(where, model, "tune", dict, {})
    where = f"{where} tune"
    reader.keys(where, table, tuple(TunePart.__dataclass_fields__))
    metric = str(reader.take(where, table, "metric", str, ""))
    if metric and metric not in METRICS[task]:
        todo = did_you_mean(metric, METRICS[task]) or f"Choose from: {', '.join(METRICS[task])}."
        reader.add(where, f"metric is {metric!r}", todo)
    return TunePart(
        trials=int(reader.number(where, table, "trials", 0, 0, 10_000)),
        timeout=reader.number(where, table, "timeout", 0.0, 0.0, 1e9),
        pruning=reader.take(where, table, "pruning", bool, default=True),
        metric=metric,
        folds=int(reader.number(where, table, "folds", 3, 1, 20)),
        gap=reader.number(where, table, "gap", 0.0, 0.0, 1e6),
    )


def _horizons(reader: Reader, where: str, given: list[Any]) -> tuple[float, ...]:
    numbers = [float(days) for days in given if isinstance(days, int | float) and not isinstance(days, bool)]
    if len(numbers) < len(given) or any(days <= 0 for days in numbers) or sorted(set(numbers)) != numbers:
        reader.add(where, f"horizons is {given!r}", "Give days that ascend from above 0: horizons = [30, 90].")
    return tuple(numbers)


def _quantiles(reader: Reader, where: str, given: list[Any]) -> tuple[float, ...]:
    shares = [share for share in given if isinstance(share, float) and 0 < share < 1]
    if len(shares) < len(given) or sorted(set(shares)) != shares:
        todo = "Give shares between 0 and 1 that ascend: quantiles = [0.1, 0.5, 0.9]."
        reader.add(where, f"quantiles is {given!r}", todo)
    return tuple(shares)


_ABOUT_ROWS: Final = {"group": "ranking", "position": "ranking", "censored": "time_to_event"}


def _data(reader: Reader, where: str, model: Mapping[str, Any], task: str) -> DataPart:
    for key in ("service", "target"):
        if key in model:
            reader.add(where, f"both data and {key} are given", f"Leave {key} out: data says where rows come from.")
    table = reader.take(where, model, "data", dict, {})
    where = f"{where} data"
    reader.keys(where, table, tuple(DataPart.__dataclass_fields__))
    inputs = reader.take(where, table, "inputs", list, [])
    if not all(isinstance(name, str) for name in inputs):
        reader.add(where, f"inputs is {inputs!r}", "Give names of columns.")
    for key, of in _ABOUT_ROWS.items():
        if key in table and task != of:
            reader.add(where, f"{key} is given, and the task is {task}", f'Remove {key}, or write task = "{of}".')
    if task == "ranking" and "group" not in table:
        reader.add(
            where, "group is missing, and a ranking is of lists", 'Add: group = "COLUMN", the id of a search say.'
        )
    return DataPart(
        source=reader.required(where, table, "source"),
        target=reader.required(where, table, "target"),
        time=reader.take(where, table, "time", str, ""),
        observed=reader.take(where, table, "observed", str, ""),
        group=reader.take(where, table, "group", str, ""),
        position=reader.take(where, table, "position", str, ""),
        censored=reader.take(where, table, "censored", str, ""),
        table=reader.take(where, table, "table", str, None),
        query=reader.take(where, table, "query", str, None),
        inputs=tuple(map(str, inputs)),
    )

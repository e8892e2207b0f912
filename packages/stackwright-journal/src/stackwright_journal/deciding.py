"""The numbers that decide for one window: how good the answers were, and whether the questions changed.

They are computed here whatever reporter is chosen, so that another reporter changes no decision. Each number comes
with its n, its limit and a state: ``ok``, ``warn``, ``alarm`` or ``insufficient``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT
from stackwright_journal.cohorts import Period, cohorts, delay_curve, selection
from stackwright_journal.counting import ColumnCounts
from stackwright_journal.joined import MATURED, Joined
from stackwright_journal.judging import JudgedRows, judged_states
from stackwright_journal.maturity import TASKS, estimate
from stackwright_journal.reading import FEATURE, ReadCounts, Span
from stackwright_journal.records import UNSEEN, rfc3339
from stackwright_journal.verdicts import RULES, UNBIASED, Rule, verdict
from stackwright_numerics.drift import Limits, State, worst
from stackwright_numerics.lists import PLACES

__all__ = ["RULES", "Policy", "Rule", "decide"]

SCHEMA: Final = 1

_SLICES: Final = 20


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is asked before a number may speak up.

    Args:
        minimum: matured predictions below which performance says nothing.
        level: nominal coverage of the bootstrap interval by which a loss must be proven.
        maturity: predictions younger than this at the report's instant are not judged, for only the truths that come
            fast are known of them.
        limits: of the columns.
        rules: metric → rule; ``None`` takes those of the task.
        period: period of the cohorts.
        zone: IANA zone of the cohorts' calendar.
    """

    minimum: int = 100
    level: float = 0.95
    maturity: timedelta = timedelta(0)
    limits: Limits = field(default_factory=Limits)
    rules: Mapping[str, Rule] | None = None
    period: Period = "month"
    zone: str = "UTC"


def decide(
    joined: Joined,
    *,
    model: str,
    version: int,
    task: str,
    histograms: Mapping[str, Any],
    expected: Mapping[int, Mapping[str, float]],
    start: datetime | None = None,
    end: datetime | None = None,
    level: float | None = None,
    slices: Sequence[str] = (),
    statuses: Mapping[str, Mapping[str, int]] | None = None,
    counts: ReadCounts | None = None,
    policy: Policy | None = None,
    k: int = PLACES,
    counted: ColumnCounts | None = None,
) -> dict[str, Any]:
    """Return the numbers of a window, as JSON.

    Data are judged on the predictions of the version that were made in the window; performance, by version and arm, on
    the truths that were observed in it, whenever the predictions were made. Cohorts, delays and selection look at all
    predictions handed over. Where truths of the window's own predictions are still out, ``estimates`` says, by version
    and arm, what :func:`~stackwright_journal.maturity.estimate` makes of those that are known.

    A metric warns or alarms only where its loss is both large (half the rule's limit, the limit) and proven: by the
    favourable end of its bootstrap interval there is a loss at all (for a warning) or half the limit (for an alarm).

    Args:
        joined: predictions of the model with their labels, features as ``feature.NAME``.
        model: name of the model.
        version: the version whose reference histograms these are.
        task: ``"regression"``, ``"classification"``, ``"ranking"`` or ``"time_to_event"``. A ranking is judged by the
            lists that labels name; of times also those truths count that say that the event was still to come, and
            durations are days since the predictions' time.
        histograms: of that version's manifest: input (also ``prediction`` or ``target``) → histogram.
        expected: version → metrics at its training, which performance is held against.
        start: begin of the window; ``None`` is open.
        end: end of the window, exclusive; ``None`` is open.
        level: nominal coverage of the model's intervals.
        slices: text features to show performance by.
        statuses: feature → status → rows, as read.
        counts: what was passed over while reading.
        policy: when a number may speak up.
        k: of a ranking, the places that count.
        counted: the columns of the version in the window, where they were counted already: the table then need not hold
            them.

    Returns:
        ``schema``, ``model``, ``version``, ``task``, ``at``, ``start``, ``end``, ``state`` (worst of both),
        ``performance`` (``state``, ``minimum``, ``groups``, ``estimates``), ``data`` (``state``, ``n``, ``limits``,
        ``columns``, ``skipped``, ``statuses``), ``cohorts``, ``delay_curve``, ``selection``, ``counts``.

    Raises:
        UsageError: there are no metrics for this task.
    """
    policy = policy or Policy()
    judged = _between(joined.table, "observed_at", start, end)
    judged = judged.filter(pc.is_in(judged.column("status"), pa.array(judged_states(task), pa.string())))
    oldest = pa.scalar(joined.at - policy.maturity, INSTANT)
    judged = judged.filter(pc.less_equal(judged.column(joined.time), oldest))
    read = partial(JudgedRows.of, task=task, time=joined.time, k=k)
    performance = _performance(judged, read, task, expected, level, slices, policy)
    performance["estimates"] = _estimates(joined, task, start, end, policy)
    if counted is None:
        counted = ColumnCounts(histograms)
        made = _between(joined.table, joined.time, start, end)
        counted.add(made.filter(pc.equal(made.column("version"), version)))
    data = counted.judge(policy.limits)
    return {
        "schema": SCHEMA,
        "model": model,
        "version": version,
        "task": task,
        "at": rfc3339(joined.at),
        "start": rfc3339(start) if start else None,
        "end": rfc3339(end) if end else None,
        "state": worst(performance["state"], data["state"]),
        "performance": performance,
        "data": {**data, "statuses": {name: dict(tally) for name, tally in (statuses or {}).items()}},
        "cohorts": cohorts(joined, period=policy.period, zone=policy.zone, maturity=policy.maturity or None),
        "delay_curve": delay_curve(joined),
        "selection": selection(joined, limits=policy.limits),
        "counts": {
            "predictions": len(joined.table),
            "labels": joined.labels,
            "unmatched": joined.unmatched,
            "unknown": joined.unknown,
            "early": joined.early,
            **(asdict(counts) if counts else {}),
        },
    }


def headed(judged: Mapping[str, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    """Return the metric that says most of a task, as people call it, and its verdict; empty where there is none."""
    for name, told in (("mdape", "error"), ("log_loss", "error"), ("ndcg", "ndcg"), ("c_index", "c_index")):
        if name in judged:
            return told, judged[name]
    return "", {}


def _between(table: Any, name: str, start: datetime | None, end: datetime | None) -> Any:
    """Return the rows whose time lies in the window."""
    if start is not None:
        table = table.filter(pc.greater_equal(table.column(name), pa.scalar(start, INSTANT)))
    if end is not None:
        table = table.filter(pc.less(table.column(name), pa.scalar(end, INSTANT)))
    return table


def _performance(
    judged: Any,
    read: Callable[[Any], JudgedRows],
    task: str,
    expected: Mapping[int, Mapping[str, float]],
    level: float | None,
    slices: Sequence[str],
    policy: Policy,
) -> dict[str, Any]:
    groups = []
    pairs = judged.select(["version", "arm"]).group_by(["version", "arm"]).aggregate([]).to_pylist()
    for pair in sorted(pairs, key=lambda pair: (pair["version"], pair["arm"])):
        same = pc.and_(pc.equal(judged.column("version"), pair["version"]), pc.equal(judged.column("arm"), pair["arm"]))
        table = judged.filter(same)
        rows = read(table)
        found = rows.score()
        held = dict(UNBIASED) if level is None else {**UNBIASED, "interval_coverage": level}
        held |= expected.get(pair["version"], {})
        rules = RULES.get(task, {}) if policy.rules is None else policy.rules
        intervals = rows.intervals(policy.level) if found["n"] >= max(policy.minimum, 1) else {}
        verdicts = {
            name: verdict(found.get(name), held.get(name), intervals.get(name), rule) for name, rule in rules.items()
        }
        groups.append(
            {
                **pair,
                "n": int(found["n"]),
                "metrics": {name: value for name, value in found.items() if name != "n"},
                "judged": verdicts,
                "slices": {name: _slices(table, name, read, policy.minimum) for name in slices},
                "state": worst(*(item["state"] for item in verdicts.values())),
            }
        )
    states: list[State] = [group["state"] for group in groups if group["arm"] not in UNSEEN]
    return {"state": worst(*states), "minimum": policy.minimum, "groups": groups}


def _estimates(
    joined: Joined, task: str, start: datetime | None, end: datetime | None, policy: Policy
) -> list[dict[str, Any]]:
    """Return what the answers given in the window are worth, by version and arm, as far as that can be estimated."""
    table = joined.table
    if task not in TASKS or not len(table):
        return []
    made = Span(start, end, "predicted_at" if joined.time == "predicted_at" else "asked_at").mask(table)
    versions, arms = (pc.unique(table.column(name)).to_pylist() for name in ("version", "arm"))
    matured, found = joined.states == MATURED, []
    for version, arm in product(sorted(versions), sorted(arms, key=lambda arm: arm or "")):
        rows = made & _equal(table.column("version"), version) & _equal(table.column("arm"), arm)
        if policy.minimum <= np.count_nonzero(matured & rows) < np.count_nonzero(rows):
            estimated = estimate(joined, rows, task, policy.level)
            found += [{"version": version, "arm": arm, **estimated}] if estimated is not None else []
    return found


def _equal(column: Any, value: Any) -> NDArray[np.bool_]:
    """Return which values are this one, none of them null; of dictionary arrays, by their places."""
    if value is None:
        return np.zeros(len(column), np.bool_)
    whole = column.combine_chunks()
    if isinstance(whole, pa.DictionaryArray):
        place = pc.index(whole.dictionary, value).as_py()
        whole, value = whole.indices, pa.scalar(place, whole.indices.type)
    found: NDArray[np.bool_] = pc.equal(whole, value).fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    return found


def _slices(table: Any, name: str, read: Callable[[Any], JudgedRows], minimum: int) -> dict[str, dict[str, float]]:
    """Return value → metrics of the most frequent values of a text feature that have rows enough."""
    column = table.column(FEATURE + name)
    tally = sorted(column.drop_null().value_counts().to_pylist(), key=lambda item: (-item["counts"], item["values"]))
    return {
        item["values"]: read(table.filter(pc.equal(column, item["values"]))).score()
        for item in tally[:_SLICES]
        if item["counts"] >= minimum
    }

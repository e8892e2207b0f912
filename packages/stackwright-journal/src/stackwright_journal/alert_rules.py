"""Alert rules: what is watched in each window, from where on it alarms, and what that calls for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_journal.counting import ColumnCounts
from stackwright_journal.join import Joined
from stackwright_journal.judging import JudgedRows, judged_states
from stackwright_journal.maturity import estimate
from stackwright_journal.reading import FEATURE, Span
from stackwright_journal.records import UNSEEN
from stackwright_journal.tabulating import FALLBACKS
from stackwright_journal.verdicts import RULES, UNBIASED, Interval, Rule, rule_of, state_of, verdict, words
from stackwright_numerics.drift import Limits, State, worst
from stackwright_numerics.intervals import wilson

Action = Literal["alert", "investigate", "retrain", "rollback"]
ACTIONS: Final[tuple[Action, ...]] = ("alert", "investigate", "retrain", "rollback")

PERFORMANCE: Final = "performance"
DATA: Final = "data"
PARITY: Final = "parity"
SILENCE: Final = "silence"
MEASURES: Final = ("psi", "ks", "missing", "new", "outside")
WATCHED: Final = (PERFORMANCE, DATA, PARITY, FALLBACKS, SILENCE, *MEASURES)
"""What a rule may watch beside a metric."""

_SLICES: Final = 50
_BACK: Final = timedelta(days=90)
_SHOWN: Final = 3

Verdict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """A rule.

    Args:
        name: its name.
        watch: a metric; or ``"performance"``, every metric that the task is judged by; ``"data"``, every measure of the
            columns, or one of ``psi``, ``ks``, ``missing``, ``new``, ``outside``; ``"parity"``, ``"fallbacks"``, the
            share of answers for which something was missing; ``"silence"``, no predictions at all.
        limit: from where on it alarms; ``None`` takes the usual one.
        kind: how the loss of a metric is counted; empty takes the usual way.
        against: what a metric is held against: ``"training"``, ``"previous"`` (what the version before achieves on the
            truths of the same time) or a number; empty takes the usual. Of lists ``"start"`` (what the version earned
            in its first days), ``"previous"`` (the version before in its last) or a number.
        basis: ``"matured"`` judges the truths observed in the window; ``"estimated"`` the predictions made in it, by an
            estimate that allows for the truths still out.
        by: text features; each of their values is judged as well, by intervals that allow for their number.
        columns: columns of the data; none named takes all.
        minimum: rows below which it says nothing.
        level: nominal coverage of the interval by which a loss must be proven.
        windows: windows in a row that must alarm for an alert to open.
        clear: windows in a row that must be ok for it to close.
        action: what an alert calls for.
        cooldown: shortest time between two actions of one kind on one model.
        notify: destinations; none named takes all.
        models: the models it is for; none named takes all.
    """

    name: str
    watch: str
    limit: float | None = None
    kind: str = ""
    against: str | float = ""
    basis: str = "matured"
    by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    minimum: int = 100
    level: float = 0.95
    windows: int = 2
    clear: int = 2
    action: Action = "alert"
    cooldown: timedelta = timedelta(days=7)
    notify: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


DEFAULTS: Final = (
    AlertRule(name="loss", watch=PERFORMANCE, action="retrain"),
    AlertRule(name="drift", watch=DATA, action="investigate", minimum=200),
    AlertRule(name="skew", watch=PARITY, action="investigate", minimum=20),
)
"""The rules where a blueprint names none: a proven loss retrains, drift and skew open an investigation."""


@dataclass(frozen=True, kw_only=True)
class WindowData:
    """What is known of a model at the end of a window.

    Args:
        joined: its predictions with their labels, from far enough back.
        counted: the columns of its version in the window.
        start: begin of the window.
        end: its end, exclusive.
        task: of the model.
        version: the version that is judged.
        previous: the version before, ``None`` where there was none.
        expected: version → metrics at its training.
        coverage: nominal coverage of the model's intervals.
        k: of a ranking, the places that count.
        limits: of the columns, where a rule has none of its own.
        parity: what a comparison with the offline path found; empty where there was none.
    """

    joined: Joined
    counted: ColumnCounts
    start: datetime
    end: datetime
    task: str
    version: int
    previous: int | None = None
    expected: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    coverage: float | None = None
    k: int = 10
    limits: Limits = field(default_factory=Limits)
    parity: Mapping[str, Any] = field(default_factory=dict)

    def truths(self, version: int, start: datetime | None = None) -> Any:
        """Return the rows of a version whose truth was observed in the window, of those somebody was given."""
        table = self.joined.table
        wanted = pc.and_(pc.equal(table.column("version"), version), _seen(table))
        judged = pc.is_in(table.column("status"), pa.array(judged_states(self.task), pa.string()))
        seen = table.column("observed_at")
        low, high = (pa.scalar(moment, seen.type) for moment in (start or self.start, self.end))
        inside = pc.and_(pc.greater_equal(seen, low), pc.less(seen, high))
        return table.filter(pc.and_(pc.and_(wanted, judged), inside))

    def rows(self, table: Any) -> JudgedRows:
        """Read truths and answers of a table."""
        return JudgedRows.of(table, self.task, self.joined.time, self.k)

    def made(self) -> NDArray[np.bool_]:
        """Return which rows are answers of the version that somebody was given in the window."""
        table = self.joined.table
        inside = Span(self.start, self.end, "predicted_at" if self.joined.time == "predicted_at" else "asked_at")
        same = pc.and_(pc.equal(table.column("version"), self.version), _seen(table))
        found: NDArray[np.bool_] = inside.mask(table) & same.fill_null(fill_value=False).to_numpy()
        return found


def _seen(table: Any) -> Any:
    """Return which predictions somebody was given."""
    arms = table.column("arm")
    plain = arms.cast(pa.string()) if pa.types.is_dictionary(arms.type) else arms
    return pc.invert(pc.is_in(plain, value_set=pa.array(sorted(UNSEEN), pa.string())))


def evaluate(rule: AlertRule, data: WindowData) -> Verdict:
    """Judge a window by a rule.

    Returns:
        ``watch``, ``state``, ``n``, ``words`` (for people) and ``parts``: each metric, slice or column judged, those in
        alarm first, with value, interval, expectation, limit and state.
    """
    found = _WATCHES.get(rule.watch, _metrics)(rule, data)
    return judged(rule, found.n, found.parts, found.nothing)


def judged(rule: AlertRule, n: int, found: Sequence[Verdict], nothing: str = "nothing to judge") -> Verdict:
    """Return the verdict that parts come to: that of the worst."""
    order = {"alarm": 0, "warn": 1, "ok": 2, "insufficient": 3}
    parts = sorted(found, key=lambda part: order[part["state"]])
    states: list[State] = [part["state"] for part in parts]
    state = worst(*states) if states else "insufficient"
    said = [part["words"] for part in parts if part["state"] == state][:_SHOWN]
    more = sum(part["state"] == state for part in parts) - len(said)
    text = "; ".join(said) + (f"; and {more} more" if more > 0 and state in ("warn", "alarm") else "")
    return {"watch": rule.watch, "state": state, "n": n, "words": text or nothing, "parts": parts}


@dataclass(frozen=True)
class _Found:
    n: int
    parts: Sequence[Verdict]
    nothing: str = "nothing to judge"


def _metrics(rule: AlertRule, data: WindowData) -> _Found:
    named = RULES.get(data.task, {}) if rule.watch == PERFORMANCE else {rule.watch: _usual(rule)}
    if rule.basis == "estimated":
        return _estimated(rule, data, named)
    table = data.truths(data.version)
    if not len(table):
        return _Found(0, (), "no truth was observed")
    parts = []
    whole = data.rows(table)
    found, intervals = whole.score(), _known_intervals(whole, rule)
    for name, rule_ in named.items():
        held, held_interval = _held(rule, data, name)
        judged = verdict(found.get(name), held, intervals.get(name), rule_, expected_interval=held_interval)
        parts.append({"metric": name, **judged, "n": int(found["n"]), "words": words(name, judged, int(found["n"]))})
    parts += [part for feature in rule.by for part in _slices(rule, data, table, feature, named)]
    return _Found(int(found["n"]), parts)


def _usual(rule: AlertRule) -> Rule:
    usual = rule_of(rule.watch) or Rule(0.25, "ratio")
    kind: Any = rule.kind or usual.kind
    return Rule(usual.limit if rule.limit is None else rule.limit, kind)


def _known_intervals(rows: JudgedRows, rule: AlertRule) -> Mapping[str, Interval]:
    return rows.intervals(rule.level) if rows.score()["n"] >= max(rule.minimum, 2) else {}


def _held(rule: AlertRule, data: WindowData, metric: str) -> tuple[float | None, Interval | None]:
    """Return what a metric is held against, and its interval where that was measured on a sample."""
    if isinstance(rule.against, int | float):
        return float(rule.against), None
    if rule.against == "previous":
        if data.previous is None:
            return None, None
        rows = data.rows(data.truths(data.previous, data.start - _BACK))
        return rows.score().get(metric), _known_intervals(rows, rule).get(metric, (float("nan"), float("nan")))
    usual = dict(UNBIASED) if data.coverage is None else {**UNBIASED, "interval_coverage": data.coverage}
    return {**usual, **data.expected.get(data.version, {})}.get(metric), None


def _slices(
    rule: AlertRule, data: WindowData, table: Any, feature: str, named: Mapping[str, Rule]
) -> Iterator[Verdict]:
    """Judge the values of a text feature that have rows enough, each by an interval wide enough for all of them."""
    if FEATURE + feature not in table.column_names:
        return
    column = table.column(FEATURE + feature)
    tally = column.drop_null().value_counts().to_pylist()
    values = [item["values"] for item in sorted(tally, key=lambda item: -item["counts"])[:_SLICES]
              if item["counts"] >= max(rule.minimum, 2)]  # fmt: skip
    for value in values:
        part = table.filter(pc.equal(column, value))
        rows = data.rows(part)
        found, intervals = rows.score(), _wide(rows, rule.level, len(values) * len(named))
        for name, rule_ in named.items():
            held, held_interval = _held(rule, data, name)
            judged = verdict(found.get(name), held, intervals.get(name), rule_, expected_interval=held_interval)
            said = f"{feature} {value}: {words(name, judged, int(found['n']))}"
            yield {"metric": name, "slice": {feature: value}, **judged, "n": int(found["n"]), "words": said}


def _wide(rows: JudgedRows, level: float, number: int) -> dict[str, Interval]:
    """Return intervals of which all of a number hold together (Bonferroni), by the normal law of bootstrap errors."""
    normal = NormalDist()
    usual = normal.inv_cdf((1 + level) / 2)
    wide = normal.inv_cdf(1 - (1 - level) / 2 / max(number, 1))
    found = {}
    for name, (low, high) in rows.intervals(level).items():
        middle, half = (low + high) / 2, (high - low) / 2 * wide / usual
        found[name] = (middle - half, middle + half)
    return found


def _estimated(rule: AlertRule, data: WindowData, named: Mapping[str, Rule]) -> _Found:
    found = estimate(data.joined, data.made(), data.task, rule.level)
    if found is None or found["n"] < rule.minimum:
        return _Found(0 if found is None else found["n"], (), "too few truths are known to estimate from")
    parts = []
    for name, rule_ in named.items():
        held, held_interval = _held(rule, data, name)
        interval = found["intervals"].get(name)
        judged = verdict(
            found["metrics"].get(name), held, interval and tuple(interval), rule_, expected_interval=held_interval
        )
        said = f"estimated of {found['known']:.0%} of the truths: {words(name, judged, found['n'])}"
        about = {"estimated": found["method"], "known": found["known"], "reach_days": found["reach_days"]}
        parts.append({"metric": name, **about, **judged, "n": found["n"], "words": said})
    return _Found(found["n"], parts)


def _data(rule: AlertRule, data: WindowData) -> _Found:
    own = {"minimum": max(rule.minimum, 1)}
    if rule.watch != DATA and rule.limit is not None:
        own |= {rule.watch: rule.limit}  # type: ignore[dict-item]  # a limit is no count
    limits = Limits(**{**vars(data.limits), **own})
    judged = data.counted.judge(limits)
    parts = []
    for name, found in judged["columns"].items():
        if rule.columns and name not in rule.columns:
            continue
        measured = {measure: found["states"].get(measure) for measure in MEASURES}
        wanted = [measure for measure in MEASURES if rule.watch in (DATA, measure) and measured[measure]]
        states: list[State] = [measured[measure] for measure in wanted]
        state = worst(*states) if states else "insufficient"
        telling = [measure for measure in wanted if measured[measure] == state]
        parts.append({"column": name, **found, "state": state, "words": _said(name, found, telling)})
    return _Found(judged["n"], parts, "no prediction of this version")


def _said(name: str, found: Mapping[str, Any], measures: Sequence[str]) -> str:
    shown = []
    for measure in measures:
        value = found[measure]
        if value is None:
            continue
        if measure == "missing":
            shown.append(f"{value:.1%} missing, were {found['missing_before'] or 0:.1%}")
        elif measure in ("psi", "ks"):
            shown.append(f"{measure} {value:.2f} (by chance up to {found[f'{measure}_noise']:.2f})")
        else:
            shown.append(f"{value:.1%} {'new' if measure == 'new' else 'outside of the known range'}")
    return f"{name}: {', '.join(shown) or 'too few rows'} (n = {found['n']:,})"


def _parity(rule: AlertRule, data: WindowData) -> _Found:
    found = data.parity
    rows = int(found.get("rows", 0))
    if rows < max(rule.minimum, 1):
        return _Found(rows, (), "too few answers could be computed again")
    limit = 0.0 if rule.limit is None else rule.limit
    parts = []
    for name, count in {**found.get("features", {}), "prediction": found.get("predictions", 0)}.items():
        share = count / rows
        said = f"{name} is other offline in {count:,} of {rows:,} answers"
        parts.append({"column": name, "value": share, "limit": limit, "n": rows, "words": said,
                      "state": "alarm" if share > limit else "ok"})  # fmt: skip
    return _Found(rows, parts)


def _fallbacks(rule: AlertRule, data: WindowData) -> _Found:
    table = data.joined.table
    made = data.made()
    n = int(made.sum())
    if FALLBACKS not in table.column_names or n < max(rule.minimum, 1):
        return _Found(n, (), "too few predictions")
    lacking = int((table.column(FALLBACKS).to_numpy()[made] > 0).sum())
    limit, share = 0.05 if rule.limit is None else rule.limit, lacking / n
    low = wilson(share, n, level=rule.level).low
    said = f"{share:.1%} of {n:,} answers lacked something"
    state = state_of(share, low, limit)
    return _Found(n, [{"value": share, "low": low, "limit": limit, "n": n, "state": state, "words": said}])


def _silence(_rule: AlertRule, data: WindowData) -> _Found:
    table = data.joined.table
    inside = Span(data.start, data.end, "predicted_at" if data.joined.time == "predicted_at" else "asked_at")
    n = int(inside.mask(table).sum())
    state = "ok" if n else "alarm" if len(table) else "insufficient"
    said = f"{n:,} predictions in the window" if n else "no prediction in the window"
    return _Found(n, [{"value": float(n), "n": n, "state": state, "words": said}])


_WATCHES: Final[Mapping[str, Callable[[AlertRule, WindowData], _Found]]] = {
    **dict.fromkeys((DATA, *MEASURES), _data),
    PARITY: _parity,
    FALLBACKS: _fallbacks,
    SILENCE: _silence,
}

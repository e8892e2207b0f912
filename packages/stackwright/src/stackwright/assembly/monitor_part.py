"""``[monitor]``, read into frozen data: reporters, windows, alert rules, who is told, experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stackwright.assembly.reading import Part, Reader
from stackwright.assembly.secrets import Secret
from stackwright_interfaces.errors import did_you_mean

ACTIONS: Final = ("alert", "investigate", "retrain", "rollback")
BASES: Final = ("matured", "estimated")
KINDS: Final = ("ratio", "rise", "fall", "drop")
AGAINST: Final = ("training", "previous", "start")
METRICS: Final = (
    *("mdape", "signed_median_error", "mape", "mae", "rmse", "ppe5", "ppe10", "ppe20", "hit_rate"),
    *("interval_coverage", "median_relative_width", "auc", "log_loss", "ece"),
    *("ndcg", "map", "mrr", "recall", "precision", "c_index"),
)
OF_LISTS: Final = (
    *("performance", "fallbacks", "silence", "ctr", "ndcg", "mrr", "coverage", "novelty"),
    *("cold_items", "cold_users", "stale", "empty"),
)
"""What a rule may watch of a recommender's lists."""
OF_ROWS: Final = (
    *("performance", "data", "parity", "fallbacks", "silence", "psi", "ks", "missing", "new", "outside"),
    *METRICS,
)
"""What a rule may watch of a model's predictions."""
WATCHED: Final = (*OF_ROWS, *(name for name in OF_LISTS if name not in OF_ROWS))
DESTINATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "log": (),
    "webhook": ("url",),
    "slack": ("url",),
    "email": ("host", "sender", "to"),
}
"""Kind of destination → what it needs to be told."""

_NAME: Final = "Use letters, digits, underscores and hyphens."


@dataclass(frozen=True, kw_only=True)
class RulePart:
    """``[monitor.rules.NAME]``: what is watched in each window, from where on it alarms, and what is done then.

    Args:
        watch: a metric (``mdape``, ``auc``, ``ndcg``, ...); ``performance``: all that the task is judged by; ``psi``,
            ``ks``, ``missing``, ``new`` or ``outside`` of the columns, or ``data``: all five; ``parity``;
            ``fallbacks``: answers that lacked something; ``silence``: no prediction at all; of lists ``ctr``,
            ``coverage``, ``novelty``, ``cold_items``, ``cold_users``, ``stale`` and ``empty`` too.
        limit: the loss or value that alarms; half of it warns. Without it, the usual one.
        kind: how a loss is counted: ``ratio`` (``value / expected - 1``), ``drop`` (``1 - value / expected``), ``rise``
            (of the absolute value) or ``fall``; empty takes the usual way.
        against: what a metric is held against: ``training``, the default; ``previous``, what the version before
            achieves on the truths of the time; or a number. Of lists ``start``, what the version earned in its first
            days, the default; ``previous``, the version before in its last days; or a number.
        basis: ``matured`` judges truths observed in the window, ``estimated`` the predictions made in it, allowing for
            truths still out.
        by: text features whose values are judged as well.
        columns: columns of the data; none named takes all.
        min_rows: rows below which it says nothing.
        level: nominal coverage of the interval by which a loss must be proven.
        windows: windows in a row that must alarm for an alert to open.
        clear: windows in a row that must be ok for it to close.
        action: ``alert``, ``investigate``, ``retrain`` (and promote what the gates allow) or ``rollback``.
        cooldown: days between two actions of one kind on one model.
        notify: destinations; none named takes all.
        models: the models and recommenders it is for; none named takes all that it fits.
    """

    watch: str
    limit: float | None = None
    kind: str = ""
    against: str | float = ""
    basis: str = "matured"
    by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    min_rows: int = 100
    level: float = 0.95
    windows: int = 2
    clear: int = 2
    action: str = "alert"
    cooldown: float = 7.0
    notify: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DestinationPart:
    """``[monitor.destinations.NAME]``: who is told of alerts.

    Args:
        where: the place in the blueprint.
        kind: ``log``, ``webhook`` (JSON by POST), ``slack`` (a webhook of Slack, or of what speaks like it) or
            ``email``.
        url: of a webhook; a secret may hold it.
        host: of the mail server.
        port: of the mail server.
        sender: address that mail comes from.
        to: addresses that it goes to.
        user: name for a mail server that asks for one.
        password: a secret.
        tls: ``starttls``, ``tls`` from the start, or ``none``.
        timeout: seconds that a delivery may take.
    """

    where: str
    kind: str
    url: str | Secret = ""
    host: str = ""
    port: int = 587
    sender: str = ""
    to: tuple[str, ...] = ()
    user: str = ""
    password: str | Secret = ""
    tls: str = "starttls"
    timeout: float = 10.0


@dataclass(frozen=True, kw_only=True)
class ExperimentPart:
    """``[monitor.experiments.NAME]``: arms compared on what they are for.

    Args:
        where: the place in the blueprint.
        goal: a metric, or ``mean:TARGET``, the mean truth of another target of the same entity.
        better: ``higher`` or ``lower``; empty takes what the metric says.
        least: the smallest gain that is worth having.
        model: the model; empty takes the only one. A recommender has no truths, and is watched instead.
        arms: the arm that others are held against, then those; ``shadow`` is compared on the same questions, and by
            metrics alone.
        guardrails: metric or ``fallbacks`` → how much worse it may become; ``mean:TARGET`` → how much it may rise, or
            below zero how much it may fall.
        days: days that it runs: before, only harm is concluded, and nothing after counts; 0 fixes no end.
        min_rows: entities with a truth that an arm needs; never less than 30.
        level: nominal coverage of the intervals: of all arms together, and of all guardrails together.
        shares: arm → share of the entities that it was given; none named takes those of the canary. What chance does
            not explain makes it invalid.
    """

    where: str
    goal: str
    better: str = ""
    least: float = 0.0
    model: str = ""
    arms: tuple[str, ...] = ("live", "canary")
    guardrails: Mapping[str, float] = field(default_factory=dict)
    days: float = 0.0
    min_rows: int = 100
    level: float = 0.95
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MonitorPart:
    """``[monitor]``: the reporters, and when the numbers that decide speak up.

    Args:
        reports: the reporters, in order.
        psi: population stability index from which a column drifts.
        missing: growth of a column's share of nulls that matters.
        min_rows: rows a window needs before anything is decided.
        window: days of a window that ``watch`` judges; windows are counted from a Monday, 1970-01-05, UTC.
        delay: days after its end that a window is judged, so that truths that are told late count.
        parity: answers of a window that ``watch`` computes again offline; 0 compares none.
        rules: alert rules, ``[monitor.rules.NAME]``; without any, a proven loss retrains, drift and skew are
            investigated.
        destinations: who is told of alerts, ``[monitor.destinations.NAME]``; without any, the log is.
        experiments: arms that are compared, ``[monitor.experiments.NAME]``.
    """

    reports: tuple[Part, ...] = ()
    psi: float = 0.2
    missing: float = 0.05
    min_rows: int = 200
    window: float = 7.0
    delay: float = 0.0
    parity: int = 200
    rules: Mapping[str, RulePart] = field(default_factory=dict)
    destinations: Mapping[str, DestinationPart] = field(default_factory=dict)
    experiments: Mapping[str, ExperimentPart] = field(default_factory=dict)


def read_monitor(reader: Reader, table: Mapping[str, Any]) -> MonitorPart:
    """Read ``[monitor]``, noting what is wrong with it."""
    where = reader.section("monitor")
    reader.keys(where, table, tuple(MonitorPart.__dataclass_fields__))
    reports = [reader.part(f"{where} reports", item) for item in reader.take(where, table, "reports", list, [])]
    destinations = {
        name: _destination(reader, name, item) for name, item in _tables(reader, where, table, "destinations")
    }
    rules = {name: _rule(reader, name, item, destinations) for name, item in _tables(reader, where, table, "rules")}
    experiments = {name: _experiment(reader, name, item) for name, item in _tables(reader, where, table, "experiments")}
    return MonitorPart(
        reports=tuple(report for report in reports if report is not None),
        psi=reader.number(where, table, "psi", 0.2, 0.0, 100.0),
        missing=reader.number(where, table, "missing", 0.05, 0.0, 1.0),
        min_rows=int(reader.number(where, table, "min_rows", 200, 1, 10**9)),
        window=reader.number(where, table, "window", 7.0, 1e-3, 3650.0),
        delay=reader.number(where, table, "delay", 0.0, 0.0, 365.0),
        parity=int(reader.number(where, table, "parity", 200, 0, 100_000)),
        rules=rules,
        destinations=destinations,
        experiments=experiments,
    )


def _tables(reader: Reader, where: str, table: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    for name, item in reader.take(where, table, key, dict, {}).items():
        place = f"{where} {key}.{name}"
        if not name.replace("-", "_").isidentifier():
            reader.add(place, f"{name!r} is not a usable name", _NAME)
        if isinstance(item, Mapping):
            found.append((name, item))
        else:
            reader.add(place, f"is {item!r}", "Write a table.")
    return found


def _rule(reader: Reader, name: str, table: Mapping[str, Any], destinations: Mapping[str, Any]) -> RulePart:
    where = reader.section(f"monitor.rules.{name}")
    reader.keys(where, table, tuple(RulePart.__dataclass_fields__))
    watch = reader.required(where, table, "watch")
    if watch and watch not in WATCHED:
        reader.add(where, f"watch is {watch!r}", did_you_mean(watch, WATCHED) or f"Choose from: {', '.join(WATCHED)}.")
    against = table.get("against", "")
    if isinstance(against, bool) or not (isinstance(against, int | float) or against in ("", *AGAINST)):
        reader.add(where, f"against is {against!r}", 'Give "training", "previous", of lists "start", or a number.')
        against = ""
    notify = _texts(reader, where, table, "notify")
    for wanted in notify:
        if wanted not in destinations:
            todo = did_you_mean(wanted, destinations) or f"Add [monitor.destinations.{wanted}]."
            reader.add(where, f"notify names {wanted!r}, which is no destination", todo)
    limit = reader.take(where, table, "limit", (int, float), None)
    return RulePart(
        watch=watch,
        limit=None if limit is None else float(limit),
        kind=reader.choice(where, table, "kind", KINDS, ""),
        against=against if isinstance(against, str) else float(against),
        basis=reader.choice(where, table, "basis", BASES, "matured"),
        by=_texts(reader, where, table, "by"),
        columns=_texts(reader, where, table, "columns"),
        min_rows=int(reader.number(where, table, "min_rows", 100, 1, 10**9)),
        level=reader.number(where, table, "level", 0.95, 0.5, 0.99999),
        windows=int(reader.number(where, table, "windows", 2, 1, 100)),
        clear=int(reader.number(where, table, "clear", 2, 1, 100)),
        action=reader.choice(where, table, "action", ACTIONS, "alert"),
        cooldown=reader.number(where, table, "cooldown", 7.0, 0.0, 3650.0),
        notify=notify,
        models=_texts(reader, where, table, "models"),
    )


def _destination(reader: Reader, name: str, table: Mapping[str, Any]) -> DestinationPart:
    where = reader.section(f"monitor.destinations.{name}")
    reader.keys(where, table, [key for key in DestinationPart.__dataclass_fields__ if key != "where"])
    kind = reader.choice(where, table, "kind", tuple(DESTINATIONS), "")
    if not kind and "kind" not in table:
        reader.add(where, "kind is missing", f"Choose from: {', '.join(DESTINATIONS)}.")
    for key in DESTINATIONS.get(kind, ()):
        if key not in table:
            reader.add(where, f"a {kind} needs {key}", f"Add: {key} = ...")
    return DestinationPart(
        where=where,
        kind=kind,
        url=_secret(reader, where, table, "url"),
        host=reader.take(where, table, "host", str, ""),
        port=int(reader.number(where, table, "port", 587, 1, 65_535)),
        sender=reader.take(where, table, "sender", str, ""),
        to=_texts(reader, where, table, "to"),
        user=reader.take(where, table, "user", str, ""),
        password=_secret(reader, where, table, "password"),
        tls=reader.choice(where, table, "tls", ("starttls", "tls", "none"), "starttls"),
        timeout=reader.number(where, table, "timeout", 10.0, 0.1, 300.0),
    )


def _experiment(reader: Reader, name: str, table: Mapping[str, Any]) -> ExperimentPart:
    where = reader.section(f"monitor.experiments.{name}")
    reader.keys(where, table, [key for key in ExperimentPart.__dataclass_fields__ if key != "where"])
    goal, better = reader.required(where, table, "goal"), reader.choice(where, table, "better", ("higher", "lower"), "")
    guardrails = _numbers(reader, where, table, "guardrails")
    for measured, limit in guardrails.items():
        if limit < 0 and not measured.startswith("mean:"):
            reader.add(
                f"{where} guardrails", f"{measured} is {limit:g}", "Say how much worse it may become: 0 or more."
            )
    for measured in (goal, *guardrails):
        if measured and measured not in (*METRICS, "fallbacks") and not measured.startswith("mean:"):
            known = [*METRICS, "fallbacks", "mean:TARGET"]
            reader.add(
                where, f"{measured!r} is no metric", did_you_mean(measured, known) or f"Known: {', '.join(known)}."
            )
    if goal.startswith("mean:") and not better:
        reader.add(where, f"goal is {goal!r}, and nothing says what is better", 'Add: better = "higher"')
    arms = _texts(reader, where, table, "arms") or ("live", "canary")
    if len(arms) < 2:
        reader.add(where, f"arms is {list(arms)!r}", "Name the arm to hold others against, and another.")
    for measured in (goal, *guardrails) if "shadow" in arms else ():
        if measured.startswith("mean:"):
            found = f"arms holds 'shadow', whose answers nobody sees: they cannot change {measured}"
            reader.add(where, found, "Compare a shadow by metrics, or take a canary.")
    return ExperimentPart(
        where=where,
        goal=goal,
        better=better,
        least=reader.number(where, table, "least", 0.0, 0.0, 1e12),
        model=reader.take(where, table, "model", str, ""),
        arms=arms,
        guardrails=guardrails,
        days=reader.number(where, table, "days", 0.0, 0.0, 3650.0),
        min_rows=int(reader.number(where, table, "min_rows", 100, 2, 10**9)),
        level=reader.number(where, table, "level", 0.95, 0.5, 0.99999),
        shares=_numbers(reader, where, table, "shares"),
    )


def _texts(reader: Reader, where: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found: Sequence[Any] = reader.take(where, table, key, list, [])
    if not all(isinstance(item, str) for item in found):
        reader.add(where, f"{key} is {found!r}", "Give a list of texts.")
    return tuple(str(item) for item in found)


def _numbers(reader: Reader, where: str, table: Mapping[str, Any], key: str) -> dict[str, float]:
    found: Mapping[str, Any] = reader.take(where, table, key, dict, {})
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            reader.add(f"{where} {key}", f"{name} is {value!r}", "Give a number.")
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _secret(reader: Reader, where: str, table: Mapping[str, Any], key: str) -> str | Secret:
    secret = Secret.parse(table.get(key))
    if secret is not None:
        return secret
    found: str = reader.take(where, table, key, str, "")
    return found

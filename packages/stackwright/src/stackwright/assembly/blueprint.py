"""``blueprint.toml``, read into frozen data: what is written there, checked for shape alone."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.environments import SECTION, overlaid
from stackwright_interfaces.errors import BlueprintError, StackwrightError, did_you_mean

FILE: Final = "blueprint.toml"
SECTIONS: Final = (
    "name", "use_case", "feature_store", "models", "registry", "server", "monitor", "journal", "catalogue", "streams",
)  # fmt: skip
USE_CASES: Final = ("realtime", "batch", "recommender")
TRANSFORMS: Final = ("none", "log")
TASKS: Final = ("regression", "classification")

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODEL = re.compile(rf"(?:{_NAMESPACE.pattern}/)?{_NAME.pattern}")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what was found, what to do."""

    where: str
    found: str
    todo: str = ""

    @classmethod
    def of(cls, error: StackwrightError) -> Problem:
        """Take over an error's three parts."""
        return cls(error.where, error.found, error.todo)

    def __str__(self) -> str:
        return str(StackwrightError(self.where, self.found, self.todo))


class BlueprintProblems(BlueprintError):
    """All problems of a blueprint at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("", "\n".join(map(str, self.problems)))

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True)
class Part:
    """An adapter chosen for a slot, with the options written for it.

    Args:
        where: the place in the blueprint, ``blueprint.toml [registry]``.
        adapter: the adapter's name.
        options: every other key.
    """

    where: str
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """``[models.NAME]``.

    Args:
        service: ``name@version`` of the feature service.
        target: name of the target.
        trainer: the trainer and its options.
        task: regression or classification.
        transform: of the target before the fit, undone in the answer: ``none`` or ``log``.
        gates: gate → its options; gates not named run with their defaults, ``false`` turns one off.
        holdout: share of the newest rows that is kept back to judge the model.
        level: scale answers by the recent median error of forward predictions, as a moving market needs.
        interval: nominal coverage of prediction intervals; 0 gives none.
        interval_half_life: days after which an older residual counts half for the intervals; 0 counts all alike.
        trials: parameter sets tried before the fit; 0 takes the trainer's defaults.
        seed: seed of every random choice.
        half_life: rows this many days older weigh half; 0 weighs all rows alike.
        where: rules on columns of the training set; rows outside ``[low, high]`` are not learned from.
        missing: what the answer is for an entity without features: ``predict`` or ``refuse``.
    """

    name: str
    place: str
    service: str
    target: str
    trainer: Part
    task: str = "regression"
    transform: str = "none"
    gates: Mapping[str, Any] = field(default_factory=dict)
    holdout: float = 0.2
    level: bool = False
    interval: float = 0.9
    interval_half_life: float = 90.0
    trials: int = 0
    seed: int = 7
    half_life: float = 0.0
    where: Mapping[str, Sequence[float]] = field(default_factory=dict)
    missing: str = "predict"


@dataclass(frozen=True, kw_only=True)
class MonitorPart:
    """``[monitor]``: the reporters, and when the numbers that decide speak up.

    Args:
        reports: the reporters, in order.
        psi: population stability index from which a column drifts.
        missing: growth of a column's share of nulls that matters.
        min_rows: rows a window needs before anything is decided.
    """

    reports: tuple[Part, ...] = ()
    psi: float = 0.2
    missing: float = 0.05
    min_rows: int = 200


@dataclass(frozen=True, kw_only=True)
class CataloguePart:
    """``[catalogue]``: what teams share.

    Args:
        url: of the storage that holds the shared catalogue, or a path.
        namespace: the team's own; views named ``namespace/...`` are published there.
    """

    url: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class StreamPart:
    """``[streams.NAME]``.

    Args:
        source: where events come from, and its options.
        view: name or ``name@version`` of the view they feed.
    """

    source: Part
    view: str


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A blueprint as written, ``${VARIABLE}`` replaced, secrets still sealed.

    Args:
        env: the environment that is laid over it; empty for the blueprint as it stands.
    """

    path: Path
    name: str
    env: str = ""
    use_case: str = ""
    feature_store: Part | None = None
    offline: Part | None = None
    online: Part | None = None
    models: Mapping[str, ModelPart] = field(default_factory=dict)
    registry: Part | None = None
    server: Part | None = None
    monitor: MonitorPart = field(default_factory=MonitorPart)
    journal: str = "journal"
    catalogue: CataloguePart | None = None
    streams: Mapping[str, StreamPart] = field(default_factory=dict)


def read(path: Path, env: str = "") -> Blueprint:
    """Read a blueprint, with an environment laid over it.

    Raises:
        BlueprintError: it cannot be read, is not TOML, or has no such environment.
        BlueprintProblems: keys, values or variables are wrong; all of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BlueprintError(
            str(path), f"cannot be read ({error})", "Run: stackwright new DIR --blueprint NAME"
        ) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BlueprintError(path.name, f"not TOML ({error})", "Mend the line it names.") from error
    reader = _Reader(path, env)
    environments = reader.environments(document)
    if env and env not in environments:
        todo = did_you_mean(env, environments) or f"Defined: {', '.join(sorted(environments)) or 'none'}."
        raise BlueprintError(f"{path.name} [{SECTION}.{env}]", "there is no such environment", todo)
    chosen = overlaid({**document, SECTION: environments}, env)
    blueprint = reader.blueprint(reader.substitute(chosen, reader.top))
    if reader.problems:
        raise BlueprintProblems(reader.problems)
    return blueprint


class _Reader:
    """Walks the document and gathers problems instead of stopping at the first."""

    def __init__(self, path: Path, env: str) -> None:
        self.path = path
        self.env = env
        self.top = f"{path.name} (env {env})" if env else path.name
        self.problems: list[Problem] = []

    def add(self, where: str, found: str, todo: str = "") -> None:
        self.problems.append(Problem(where, found, todo))

    def section(self, name: str) -> str:
        return f"{self.top} [{name}]"

    def environments(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the environments, whose sections are checked even where none is chosen."""
        found = self.take(self.path.name, document, SECTION, dict, {})
        for name, layer in found.items():
            where = f"{self.path.name} [{SECTION}.{name}]"
            if not _NAME.fullmatch(name):
                self.add(where, f"{name!r} is not a usable name", "Use letters, digits, underscores and hyphens.")
            if isinstance(layer, Mapping):
                self.keys(where, layer, SECTIONS)
            else:
                self.add(where, f"is {layer!r}", "Write a table.")
        return {name: layer for name, layer in found.items() if isinstance(layer, Mapping)}

    def substitute(self, value: Any, where: str) -> Any:
        """Replace ``${NAME}`` in every text."""
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: self._variable(match[1], where), value)
        if isinstance(value, dict):
            return {key: self.substitute(item, f"{where} {key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self.substitute(item, where) for item in value]
        return value

    def _variable(self, name: str, where: str) -> str:
        if name not in os.environ:
            self.add(where, f"environment variable {name} is not set", f"Run: export {name}=...")
        return os.environ.get(name, "")

    def keys(self, where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                self.add(where, f"unknown key {key!r}", did_you_mean(key, known) or f"Known: {', '.join(known)}.")

    def take(self, where: str, table: Mapping[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Return a value of this kind, or note what is wrong and return the default."""
        if key not in table:
            return default
        value = table[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(item.__name__ for item in kinds)
            self.add(where, f"{key} is {value!r}, a {type(value).__name__}", f"Give a {expected}.")
            return default
        return value

    def number(self, where: str, table: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
        value = float(self.take(where, table, key, (int, float), default))
        if not low <= value <= high:
            self.add(where, f"{key} is {value:g}", f"Give a number from {low:g} to {high:g}.")
            return default
        return value

    def choice(self, where: str, table: Mapping[str, Any], key: str, known: Sequence[str], default: str) -> str:
        value = str(self.take(where, table, key, str, default))
        if value not in known and value != default:
            self.add(where, f"{key} is {value!r}", did_you_mean(value, known) or f"Choose from: {', '.join(known)}.")
            return default
        return value

    def required(self, where: str, table: Mapping[str, Any], key: str) -> str:
        value = str(self.take(where, table, key, str, ""))
        if not value and key not in table:
            self.add(where, f"{key} is missing", f'Add: {key} = "..."')
        return value

    def blueprint(self, document: Mapping[str, Any]) -> Blueprint:
        top = self.top
        self.keys(top, document, (*SECTIONS, SECTION))
        tables = {
            key: self.take(top, document, key, dict, {})
            for key in ("feature_store", "models", "monitor", "journal", "catalogue", "streams")
        }
        store = tables["feature_store"]
        where = self.section("feature_store")
        halves = {half: self.part(f"{where} {half}", store[half]) for half in ("offline", "online") if half in store}
        if halves:
            self.keys(where, store, ("offline", "online"))
        self.keys(self.section("journal"), tables["journal"], ("path",))
        return Blueprint(
            path=self.path,
            env=self.env,
            name=self.required(top, document, "name"),
            use_case=self.choice(top, document, "use_case", USE_CASES, ""),
            feature_store=self.part(where, store) if store and not halves else None,
            offline=halves.get("offline"),
            online=halves.get("online"),
            models={name: self.model(name, table) for name, table in tables["models"].items()},
            registry=self.part(self.section("registry"), document["registry"]) if "registry" in document else None,
            server=self.part(self.section("server"), document["server"]) if "server" in document else None,
            monitor=self.monitor(tables["monitor"]),
            journal=self.take(self.section("journal"), tables["journal"], "path", str, "journal"),
            catalogue=self.catalogue(tables["catalogue"]) if "catalogue" in document else None,
            streams={name: self.stream(name, table) for name, table in tables["streams"].items()},
        )

    def stream(self, name: str, table: Any) -> StreamPart:
        where = self.section(f"streams.{name}")
        if not isinstance(table, Mapping):
            self.add(where, f"is {table!r}", "Write a table.")
            table = {}
        source = self.part(where, {key: value for key, value in table.items() if key != "view"})
        return StreamPart(source=source or Part(where, ""), view=self.required(where, table, "view"))

    def catalogue(self, table: Mapping[str, Any]) -> CataloguePart:
        where = self.section("catalogue")
        self.keys(where, table, tuple(CataloguePart.__dataclass_fields__))
        url, namespace = self.required(where, table, "url"), self.required(where, table, "namespace")
        if namespace and not _NAMESPACE.fullmatch(namespace):
            self.add(where, f"namespace is {namespace!r}", "Use letters, digits and underscores.")
        return CataloguePart(url=url, namespace=namespace)

    def part(self, where: str, value: Any) -> Part | None:
        """Read ``{ adapter = "name", ... }`` or just ``"name"``."""
        if isinstance(value, str):
            return Part(where, value)
        if not isinstance(value, Mapping) or not isinstance(value.get("adapter"), str):
            self.add(where, "no adapter is named", 'Add: adapter = "..."')
            return None
        return Part(where, value["adapter"], {key: item for key, item in value.items() if key != "adapter"})

    def model(self, name: str, table: Any) -> ModelPart:
        where = self.section(f"models.{name}")
        if not isinstance(table, Mapping):
            self.add(where, f"is {table!r}", "Write a table.")
            table = {}
        if not _MODEL.fullmatch(name):
            todo = "Use letters, digits, underscores and hyphens, with at most one namespace before a slash."
            self.add(where, f"{name!r} is not a usable name", todo)
        hidden = ("name", "place")
        self.keys(where, table, [key for key in ModelPart.__dataclass_fields__ if key not in hidden])
        trainer = self.part(f"{where} trainer", table.get("trainer"))
        if table.get("transform") == "log" and table.get("task", "regression") != "regression":
            self.add(where, "transform is 'log', and the task is no regression", 'Remove transform = "log".')
        return ModelPart(
            name=name,
            place=where,
            service=self.required(where, table, "service"),
            target=self.required(where, table, "target"),
            trainer=trainer or Part(f"{where} trainer", ""),
            task=self.choice(where, table, "task", TASKS, "regression"),
            transform=self.choice(where, table, "transform", TRANSFORMS, "none"),
            gates=self.take(where, table, "gates", dict, {}),
            holdout=self.number(where, table, "holdout", 0.2, 0.01, 0.9),
            level=self.take(where, table, "level", bool, default=False),
            interval=self.number(where, table, "interval", 0.9, 0.0, 0.999),
            interval_half_life=self.number(where, table, "interval_half_life", 90.0, 0.0, 1e6),
            trials=int(self.number(where, table, "trials", 0, 0, 10_000)),
            seed=int(self.number(where, table, "seed", 7, 0, 2**31 - 1)),
            half_life=self.number(where, table, "half_life", 0.0, 0.0, 1e6),
            where=self.rules(where, self.take(where, table, "where", dict, {})),
            missing=self.choice(where, table, "missing", ("predict", "refuse"), "predict"),
        )

    def rules(self, where: str, table: Mapping[str, Any]) -> Mapping[str, Sequence[float]]:
        for column, limits in table.items():
            pair = isinstance(limits, list) and len(limits) == 2
            if not pair or not all(isinstance(limit, int | float) and math.isfinite(limit) for limit in limits):
                self.add(f"{where} where", f"{column} is {limits!r}", "Give [lowest, highest].")
        return table

    def monitor(self, table: Mapping[str, Any]) -> MonitorPart:
        where = self.section("monitor")
        self.keys(where, table, tuple(MonitorPart.__dataclass_fields__))
        reports = [self.part(f"{where} reports", item) for item in self.take(where, table, "reports", list, [])]
        return MonitorPart(
            reports=tuple(report for report in reports if report is not None),
            psi=self.number(where, table, "psi", 0.2, 0.0, 100.0),
            missing=self.number(where, table, "missing", 0.05, 0.0, 1.0),
            min_rows=int(self.number(where, table, "min_rows", 200, 1, 10**9)),
        )

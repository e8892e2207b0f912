"""``blueprint.toml``, read into frozen data: what is written there, checked for shape alone."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.environments import SECTION, overlaid
from stackwright.assembly.job_part import JobPart, read_job
from stackwright.assembly.model_part import TASKS, TRANSFORMS, DataPart, ModelPart, TunePart, read_model
from stackwright.assembly.monitor_part import DestinationPart, ExperimentPart, MonitorPart, RulePart, read_monitor
from stackwright.assembly.reading import BlueprintProblems, Part, Problem, Reader
from stackwright.assembly.recommender_part import RecommenderPart, read_recommender
from stackwright.assembly.rules import OutlierRule, RulesPart
from stackwright.assembly.secrets import Secret
from stackwright_interfaces.errors import BlueprintError, did_you_mean

__all__ = [
    "FILE",
    "SECTIONS",
    "TASKS",
    "TRANSFORMS",
    "USE_CASES",
    "Blueprint",
    "BlueprintProblems",
    "CataloguePart",
    "DataPart",
    "DeployPart",
    "DestinationPart",
    "ExperimentPart",
    "HooksPart",
    "JobPart",
    "ModelPart",
    "MonitorPart",
    "OutlierRule",
    "Part",
    "Problem",
    "RecommenderPart",
    "RulePart",
    "RulesPart",
    "StreamPart",
    "Trained",
    "TunePart",
    "read",
]

FILE: Final = "blueprint.toml"
SECTIONS: Final = (
    "name", "use_case", "feature_store", "models", "registry", "compute", "server", "serving", "monitor", "journal",
    "catalogue", "streams", "deploy", "jobs", "recommenders", "hooks",
)  # fmt: skip
USE_CASES: Final = ("realtime", "batch", "recommender")

Trained = ModelPart | RecommenderPart
"""What is trained and published."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class CataloguePart:
    """``[catalogue]``: what teams share.

    Args:
        url: storage of the shared catalogue: a path, ``file:`` or ``s3:``.
        namespace: the team's own; views named ``NAMESPACE/...`` are published there.
    """

    url: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class DeployPart:
    """``[deploy]``: how versions come into an environment, and what they are held to there.

    Args:
        after: the environment whose verified version is taken; empty is the blueprint as it stands.
        url: where the environment's server answers.
        alias: the alias that says which version the environment runs: what is served, promoted and rolled back there.
            Environments that share a registry need one each.
        p99_ms: milliseconds that all but a hundredth of the answers may take; 0 judges none.
        wait: seconds the servers are given to take up a version.
        token: sent to the server as a bearer token.
    """

    after: str = ""
    url: str = ""
    alias: str = "champion"
    p99_ms: float = 0.0
    wait: float = 60.0
    token: Secret | None = None


@dataclass(frozen=True, kw_only=True)
class StreamPart:
    """``[streams.NAME]``.

    Args:
        source: where events come from: a part, whose keys stand in the section itself.
        view: name or ``name@version`` of the view they feed.
    """

    source: Part
    view: str


@dataclass(frozen=True, kw_only=True)
class HooksPart:
    """``[hooks]``.

    Args:
        order: names of plugins whose hooks run before those of others, in this order.
    """

    order: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A blueprint as written, ``${VARIABLE}`` replaced, secrets still sealed.

    Args:
        env: the environment that is laid over it; empty for the blueprint as it stands.
        name: name of the stack.
        use_case: ``realtime``, ``batch`` or ``recommender``: which slots must be filled; may be left out.
        feature_store: ``offline`` and ``online``, a part each; or one part for a whole store.
        models: ``[models.NAME]``, a model.
        recommenders: ``[recommenders.NAME]``, a recommender.
        registry: where published models lie, a part.
        compute: where the trials of a search and the parts of a job run, a part.
        server: what hosts the application, a part.
        serving: tokens, limits, logs and traces of the application.
        monitor: reporters, limits, rules, who is told.
        journal: ``path`` in it: folder of the prediction and label logs (default ``journal``), ``s3:``,
            ``postgresql:``, or a secret that holds such an address.
        catalogue: what teams share.
        streams: ``[streams.NAME]``, a stream of events that feeds a view.
        deploy: how versions come into an environment.
        jobs: ``[jobs.NAME]``, a table that is scored again and again.
        hooks: in which order plugins are asked.
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
    compute: Part | None = None
    server: Part | None = None
    serving: Part | None = None
    monitor: MonitorPart = field(default_factory=MonitorPart)
    journal: str | Secret = "journal"
    catalogue: CataloguePart | None = None
    streams: Mapping[str, StreamPart] = field(default_factory=dict)
    deploy: DeployPart = field(default_factory=DeployPart)
    jobs: Mapping[str, JobPart] = field(default_factory=dict)
    recommenders: Mapping[str, RecommenderPart] = field(default_factory=dict)
    hooks: HooksPart = field(default_factory=HooksPart)

    @property
    def trained(self) -> Mapping[str, Trained]:
        """Everything that is trained and published, by name."""
        return {**self.models, **self.recommenders}


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
        raise BlueprintProblems(reader.problems, blueprint)
    return blueprint


class _Reader(Reader):
    """Walks the document and gathers problems instead of stopping at the first."""

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

    def blueprint(self, document: Mapping[str, Any]) -> Blueprint:
        top = self.top
        self.keys(top, document, (*SECTIONS, SECTION))
        tables = {
            key: self.take(top, document, key, dict, {})
            for key in (
                "feature_store", "models", "recommenders", "monitor", "journal", "catalogue", "streams", "deploy",
                "jobs", "hooks",
            )
        }  # fmt: skip
        for name in sorted({*tables["models"]} & {*tables["recommenders"]}):
            self.add(self.section(f"recommenders.{name}"), f"{name!r} is a model too", "Give it a name of its own.")
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
            models={name: read_model(self, name, table) for name, table in tables["models"].items()},
            registry=self.part(self.section("registry"), document["registry"]) if "registry" in document else None,
            compute=self.part(self.section("compute"), document["compute"]) if "compute" in document else None,
            server=self.part(self.section("server"), document["server"]) if "server" in document else None,
            serving=self.serving(document["serving"]) if "serving" in document else None,
            monitor=read_monitor(self, tables["monitor"]),
            journal=self.journal(tables["journal"]),
            catalogue=self.catalogue(tables["catalogue"]) if "catalogue" in document else None,
            streams={name: self.stream(name, table) for name, table in tables["streams"].items()},
            deploy=self.deploy(tables["deploy"]),
            jobs={name: read_job(self, name, table) for name, table in tables["jobs"].items()},
            recommenders={name: read_recommender(self, name, table) for name, table in tables["recommenders"].items()},
            hooks=self.hooks(tables["hooks"]),
        )

    def hooks(self, table: Mapping[str, Any]) -> HooksPart:
        where = self.section("hooks")
        self.keys(where, table, tuple(HooksPart.__dataclass_fields__))
        order = self.take(where, table, "order", list, [])
        for name in order:
            if not isinstance(name, str):
                self.add(where, f"order holds {name!r}", "Name plugins; see: stackwright plugins")
            elif order.count(name) > 1:
                self.add(where, f"order names {name!r} {order.count(name)} times", "Name it once.")
                break
        return HooksPart(order=tuple(order))

    def deploy(self, table: Mapping[str, Any]) -> DeployPart:
        where = self.section("deploy")
        self.keys(where, table, tuple(DeployPart.__dataclass_fields__))
        alias = self.take(where, table, "alias", str, "champion")
        if not _NAME.fullmatch(alias):
            self.add(where, f"alias is {alias!r}", "Use letters, digits, underscores and hyphens.")
        url = self.take(where, table, "url", str, "")
        if url and not url.startswith(("http://", "https://")):
            self.add(where, f"url is {url!r}", "Write http:// or https:// with the server's address.")
        token = Secret.parse(table.get("token"))
        if token is None and "token" in table:
            self.add(where, "token is no place of a secret", 'Write { env = "NAME" } or { file = "PATH" }.')
        return DeployPart(
            after=self.take(where, table, "after", str, ""),
            url=url,
            alias=alias,
            p99_ms=self.number(where, table, "p99_ms", 0.0, 0.0, 1e6),
            wait=self.number(where, table, "wait", 60.0, 0.0, 86_400.0),
            token=token,
        )

    def stream(self, name: str, table: Any) -> StreamPart:
        where = self.section(f"streams.{name}")
        if not isinstance(table, Mapping):
            self.add(where, f"is {table!r}", "Write a table.")
            table = {}
        source = self.part(where, {key: value for key, value in table.items() if key != "view"})
        return StreamPart(source=source or Part(where, ""), view=self.required(where, table, "view"))

    def serving(self, table: Any) -> Part:
        where = self.section("serving")
        if not isinstance(table, Mapping):
            self.add(where, f"is {table!r}", "Write a table.")
            table = {}
        return Part(where, "serving", dict(table))

    def journal(self, table: Mapping[str, Any]) -> str | Secret:
        secret = Secret.parse(table.get("path"))
        found: str = self.take(self.section("journal"), table, "path", str, "journal") if secret is None else ""
        return found if secret is None else secret

    def catalogue(self, table: Mapping[str, Any]) -> CataloguePart:
        where = self.section("catalogue")
        self.keys(where, table, tuple(CataloguePart.__dataclass_fields__))
        url, namespace = self.required(where, table, "url"), self.required(where, table, "namespace")
        if namespace and not _NAMESPACE.fullmatch(namespace):
            self.add(where, f"namespace is {namespace!r}", "Use letters, digits and underscores.")
        return CataloguePart(url=url, namespace=namespace)

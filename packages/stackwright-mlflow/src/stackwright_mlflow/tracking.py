"""Experiments and runs of an MLflow server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stackwright_interfaces.errors import RegistryError
from stackwright_mlflow.server import Refused, Server

_SCHEME: Final = "mlflow-artifacts:/"
_PAGE: Final = 1000
_BATCH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment: its id and tags."""

    id: str
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run as MLflow keeps it.

    Args:
        uri: where its artifacts are, in MLflow's words.
        is_deleted: it lies in MLflow's bin.
    """

    id: str
    uri: str
    is_deleted: bool
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: Mapping[str, Any]

    def artifacts(self, where: str) -> str:
        """Return the path of its artifacts below the server's.

        Raises:
            RegistryError: the server does not serve them.
        """
        if not self.uri.startswith(_SCHEME) or self.uri.startswith(f"{_SCHEME}/"):
            found = f"artifacts of this experiment do not go through the server, but to {self.uri.partition(':')[0]!r}"
            todo = "Start it with --serve-artifacts and --artifacts-destination, and name a new `experiment`."
            raise RegistryError(where, found, todo)
        return self.uri.removeprefix(_SCHEME).strip("/")


class Tracking:
    """What we ask of experiments and runs; every call raises ``RegistryError``."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def experiment(self, name: str) -> Experiment | None:
        """Find an experiment by name.

        Raises:
            RegistryError: it was deleted, or the server cannot be asked.
        """
        try:
            document = self._server.get("experiments/get-by-name", experiment_name=name)["experiment"]
        except Refused as error:
            if error.is_missing:
                return None
            raise
        if document.get("lifecycle_stage") == "deleted":
            todo = f"Run: mlflow experiments restore --experiment-id {document['experiment_id']}"
            raise RegistryError(self._server.where, f"the experiment {name!r} was deleted in MLflow", todo)
        return _experiment(document)

    def experiments(self, filter_: str) -> list[Experiment]:
        """Find experiments that are not deleted."""
        found = self._server.post("experiments/search", filter=filter_, max_results=_PAGE)
        return [_experiment(document) for document in found.get("experiments", ())]

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Make an experiment; of many with one name the first is made, and the others are refused."""
        made: str = self._server.post("experiments/create", name=name, tags=_pairs(tags))["experiment_id"]
        return made

    def rename_experiment(self, id_: str, name: str) -> None:
        """Give an experiment a name that no other has."""
        self._server.post("experiments/update", experiment_id=id_, new_name=name)

    def tag_experiment(self, id_: str, key: str, value: str) -> None:
        """Set a tag."""
        self._server.post("experiments/set-experiment-tag", experiment_id=id_, key=key, value=value)

    def delete_experiment(self, id_: str) -> None:
        """Put an experiment into MLflow's bin."""
        self._server.post("experiments/delete", experiment_id=id_)

    def create_run(self, experiment: str, name: str, at: datetime, tags: Mapping[str, str]) -> TrackedRun:
        """Make a run."""
        return _run(
            self._server.post(
                "runs/create", experiment_id=experiment, run_name=name, start_time=millis(at), tags=_pairs(tags)
            )["run"]
        )

    def run(self, id_: str) -> TrackedRun:
        """Return a run."""
        return _run(self._server.get("runs/get", run_id=id_)["run"])

    def runs(self, experiment: str, filter_: str) -> Iterator[TrackedRun]:
        """Find runs that are not deleted."""
        token: dict[str, str] = {}
        while True:
            found = self._server.post(
                "runs/search", experiment_ids=[experiment], filter=filter_, max_results=_PAGE, **token
            )
            yield from map(_run, found.get("runs", ()))
            if not found.get("next_page_token"):
                return
            token = {"page_token": found["next_page_token"]}

    def set_parameter(self, run: str, key: str, value: str) -> None:
        """Set a parameter where none is, or where the same is.

        Raises:
            Refused: another value is there: the database lets each parameter be set once, whoever comes first.
        """
        self._server.post("runs/log-parameter", run_id=run, key=key, value=value)

    def log(self, run: str, **batch: Any) -> None:
        """Add lists of ``metrics``, ``params`` and ``tags``."""
        self._server.post("runs/log-batch", run_id=run, **batch)

    def show(self, run: str, parameters: Sequence[Any], metrics: Sequence[Any]) -> None:
        """Add parameters and metrics, as many of them at a time as MLflow takes."""
        for start in range(0, max(len(parameters), len(metrics)), _BATCH):
            window = slice(start, start + _BATCH)
            self.log(run, params=parameters[window], metrics=metrics[window])

    def update_run(self, run: str, **fields: Any) -> None:
        """Set ``status`` and ``end_time``."""
        self._server.post("runs/update", run_id=run, **fields)

    def delete_run(self, run: str) -> None:
        """Put a run into MLflow's bin; ``mlflow gc`` empties it."""
        with suppress(Refused):  # it is there already
            self._server.post("runs/delete", run_id=run)


def millis(at: datetime) -> int:
    """Return a time as MLflow writes it: milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}


def _experiment(document: Mapping[str, Any]) -> Experiment:
    return Experiment(id=document["experiment_id"], name=document["name"], tags=_values(list(document.get("tags", ()))))


def _run(document: Mapping[str, Any]) -> TrackedRun:
    info, data = document["info"], document.get("data", {})
    return TrackedRun(
        id=info["run_id"],
        uri=info.get("artifact_uri", ""),
        is_deleted=info.get("lifecycle_stage") == "deleted",
        tags=_values(list(data.get("tags", ()))),
        parameters=_values(list(data.get("params", ()))),
        metrics=_values(list(data.get("metrics", ()))),
    )

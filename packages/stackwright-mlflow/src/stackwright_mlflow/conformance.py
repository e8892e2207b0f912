"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from stackwright_mlflow.plugin import MlflowConfig
from stackwright_mlflow.server import Server
from stackwright_mlflow.tracking import Tracking


class MlflowConformance:
    """An experiment and a prefix a test, on the server that is given."""

    options: ClassVar[Mapping[str, Any]] = {"experiment": "{name}", "prefix": "{name}."}
    kills: ClassVar[int] = 5
    inapplicable: ClassVar[Mapping[str, str]] = {
        "test_altered_files_are_not_handed_out": "what the server keeps cannot be damaged from here"
    }

    def copy(self: Any, source: Path, target: Path) -> None:
        """Publish and record anew what the registry of one folder holds."""
        original, copied = self.open(source), self.open(target)
        versions, events = original.history()
        for version in versions:
            copied.publish(version.name, original.fetch(version), version.record)
        for event in events:
            if event.kind == "alias":
                copied.record(event, expected=event.before)

    def tidy(self: Any, folder: Path) -> None:
        """Remove what the registry of a folder keeps."""
        MlflowConformance.remove(self.config(folder))

    @staticmethod
    def remove(config: MlflowConfig) -> str:
        """Delete the registered models and artifacts of a configuration, and put its experiments into MLflow's bin.

        Returns:
            What stays there, for people; empty where nothing does.

        Raises:
            RegistryError: the server cannot be asked, or denies it.
        """
        server = Server(config)
        found = server.get("registered-models/search", filter=f"name LIKE '{config.prefix}%'", max_results=1000)
        for model in found.get("registered_models", ()):
            server.post("registered-models/delete", method="DELETE", name=model["name"])
        tracking = Tracking(server)
        experiments = tracking.experiments(f"name LIKE '{config.experiment}%'")
        for experiment in experiments:
            for run in tracking.runs(experiment.id, ""):
                server.delete_artifacts(run.artifacts(server.where))
            tracking.delete_experiment(experiment.id)
        ids = ",".join(experiment.id for experiment in experiments)
        emptied = f"which the server's machine empties: mlflow gc --experiment-ids {ids}"
        return f"MLflow keeps the experiments {ids} in its bin, {emptied}" if ids else ""

"""A Feast repository on disk: its configuration, and Feast's stores over it.

New views lie in a Feast project of their own, beside the one that ``feature_store.yaml`` names: ``feast apply`` and
``feast materialize`` of the repository's owner pass over them.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, Final

from stackwright_feast.vendor import feast, load_repo_config, translated
from stackwright_interfaces.errors import BlueprintError, FeatureStoreError

CONFIGURATION: Final = "feature_store.yaml"

OFFLINE_LOCK: Final = RLock()
"""Held while Feast reads offline: its DuckDB store uses one connection in the whole process."""

_LOCAL: Final = """\
project: {project}
provider: local
registry: data/registry.db
offline_store:
  type: duckdb
online_store:
  type: sqlite
  path: data/online.db
entity_key_serialization_version: 3
"""


class Repository:
    """A folder with a ``feature_store.yaml``.

    Args:
        folder: the folder.
        project: the Feast project of new views.

    Raises:
        BlueprintError: ``project`` is no name of a Feast project.
        FeatureStoreError: the configuration cannot be read.
    """

    def __init__(self, folder: Path, project: str) -> None:
        if not project.isidentifier() or project.startswith("_"):
            found = f"project is {project!r}"
            raise BlueprintError("feature_store.feast", found, "Use letters, digits and underscores.")
        self.folder = folder.absolute()
        self.project = project
        self.online_lock = RLock()

    @classmethod
    def prepared(cls, folder: Path, project: str) -> Repository:
        """Return a repository that is there, or make a local one."""
        repository = cls(folder, project)
        path = repository.folder / CONFIGURATION
        if not path.exists():
            (repository.folder / "data").mkdir(parents=True, exist_ok=True)
            path.write_text(_LOCAL.format(project=project), encoding="utf-8")
        return repository

    @cached_property
    def theirs(self) -> Any:
        """Feast's store over the project that ``feature_store.yaml`` names."""
        return feast.FeatureStore(repo_path=str(self.folder), config=self._configuration())

    @cached_property
    def ours(self) -> Any:
        """Feast's store over the project of new views."""
        if self.theirs.project == self.project:
            return self.theirs
        configuration = self._configuration()
        configuration.project = self.project
        return feast.FeatureStore(repo_path=str(self.folder), config=configuration)

    @property
    def data(self) -> Path:
        """The folder of the files of new views."""
        return self.folder / "data" / self.project

    @property
    def by_duckdb(self) -> bool:
        """Whether the offline store is Feast's DuckDB store."""
        return bool(self.theirs.config.offline_store.type == "duckdb")

    @property
    def joins(self) -> bool:
        """Whether the offline store answers every label; Feast's default one, ``dask``, loses some."""
        return self.theirs.config.offline_store.type not in {"dask", "file"}

    def check_offline(self) -> None:
        """Check that the offline store can read the Parquet files of new views.

        Raises:
            FeatureStoreError: it cannot.
        """
        if not self.by_duckdb:
            what = f"new views need the offline store duckdb, found is {self.theirs.config.offline_store.type}"
            todo = "Set it, or use views that the repository has already: definitions_of(repo)."
            raise FeatureStoreError(f"{self.folder / CONFIGURATION}", what, todo)

    def _configuration(self) -> Any:
        path = self.folder / CONFIGURATION
        if not path.exists():
            todo = "Name the folder of a Feast repository."
            raise FeatureStoreError(str(self.folder), f"there is no {CONFIGURATION}", todo)
        with translated(str(path), "Correct the configuration."):
            return load_repo_config(self.folder, path)

"""A project folder: where its files lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from stackwright.assembly import blueprint, environments
from stackwright.assembly.replacing import replacing
from stackwright_interfaces.catalogue import canonical, from_json, to_json
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.errors import DefinitionError, ProjectError


@dataclass(frozen=True)
class Project:
    """Paths of a project.

    Args:
        folder: the project folder, absolute.
        env: the environment; each keeps what stackwright writes for itself, and its reports, apart.
    """

    folder: Path
    env: str = ""

    @classmethod
    def find(cls, folder: Path, env: str | None = None) -> Self:
        """Return the project in a folder.

        Args:
            env: the environment; ``None`` takes that of ``STACKWRIGHT_ENV``, or none.

        Raises:
            ProjectError: the folder holds no blueprint.
        """
        if not (folder / blueprint.FILE).is_file():
            found = f"no {blueprint.FILE} here" if folder.is_dir() else "no such folder"
            raise ProjectError(
                str(folder), found, "Run: stackwright new DIR --blueprint realtime, or give --project DIR."
            )
        return cls(folder.resolve(), environments.current() if env is None else env)

    @property
    def blueprint(self) -> Path:
        """The blueprint."""
        return self.folder / blueprint.FILE

    @property
    def lock(self) -> Path:
        """What the stack was built of."""
        return self.folder / "blueprint.lock"

    @property
    def features(self) -> Path:
        """The user's definitions."""
        return self.folder / "features.py"

    @property
    def state(self) -> Path:
        """What stackwright writes for itself."""
        return self._of_env(self.folder / ".stackwright")

    @property
    def catalogue(self) -> Path:
        """The applied definitions."""
        return self.state / "definitions.json"

    @property
    def cache(self) -> Path:
        """What may be lost at any time."""
        return self.state / "cache"

    @property
    def address(self) -> Path:
        """Where the running server answers, with its process."""
        return self.state / "address.json"

    @property
    def reports(self) -> Path:
        """Reports for people."""
        return self._of_env(self.folder / "reports")

    @property
    def sample(self) -> Path:
        """The sample's data, where one was asked for."""
        return self.folder / "sample"

    def _of_env(self, folder: Path) -> Path:
        return folder / f"env-{self.env}" if self.env else folder

    def definitions(self) -> Definitions:
        """Return the applied definitions; none where nothing was applied yet.

        Raises:
            DefinitionError: the file is damaged or of another format.
        """
        return _read(self.catalogue)

    def save_definitions(self, definitions: Definitions) -> None:
        """Write the applied definitions, atomically; views that are no longer among them are remembered."""
        write_atomically(
            self.state / "ever_applied.json", canonical(to_json(_together(self.ever_applied(), definitions)))
        )
        write_atomically(self.catalogue, canonical(to_json(definitions)))

    def ever_applied(self) -> Definitions:
        """Return every view that was ever applied, with the entities, as last defined.

        Raises:
            DefinitionError: the file is damaged.
        """
        return _together(_read(self.state / "ever_applied.json"), self.definitions())


def _read(path: Path) -> Definitions:
    import json

    if not path.exists():
        return Definitions()
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"cannot be read ({error})"
        raise DefinitionError(str(path), found, "Delete it and run: stackwright apply") from error


def _together(before: Definitions, after: Definitions) -> Definitions:
    """Return entities and views of both; where they differ, the later."""
    entities = {entity.name: entity for entity in (*before.entities, *after.entities)}
    views = {view.ref: view for view in (*before.views, *after.views)}
    known = (replace(view, entity=entities[view.entity.name]) for view in views.values())
    return Definitions(entities=tuple(entities.values()), views=tuple(known))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that a reader or a crash sees the old or the new.

    Raises:
        ProjectError: it cannot be written.
    """
    import os

    try:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ProjectError(
            str(path), f"cannot be written ({error.strerror})", "Free space or allow writing there."
        ) from error


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document for people and programs, atomically."""
    import json

    write_atomically(path, (json.dumps(document, indent=1, sort_keys=True, default=str) + "\n").encode())

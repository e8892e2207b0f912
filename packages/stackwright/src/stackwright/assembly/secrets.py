"""Secrets: named in a blueprint, resolved at build, shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stackwright_interfaces.errors import BlueprintError


@dataclass(frozen=True)
class Secret:
    """Where a secret is kept: an environment variable or a file.

    Only the place is ever shown, hashed or written; :meth:`reveal` reads the value.
    """

    env: str = ""
    file: str = ""

    @classmethod
    def parse(cls, value: Any) -> Self | None:
        """Return the secret that ``{ env = "NAME" }`` or ``{ file = "PATH" }`` names, or ``None`` for anything else."""
        if isinstance(value, Mapping) and len(value) == 1:
            ((kind, place),) = value.items()
            if kind in ("env", "file") and isinstance(place, str):
                return cls(**{kind: place})
        return None

    def to_json(self) -> dict[str, str]:
        """Return the place, as the blueprint writes it."""
        return {"env": self.env} if self.env else {"file": self.file}

    def reveal(self, where: str, project: Path) -> str:
        """Return the value.

        Raises:
            BlueprintError: the variable is not set, or the file cannot be read.
        """
        if self.env:
            if self.env not in os.environ:
                raise BlueprintError(
                    where, f"environment variable {self.env} is not set", f"Run: export {self.env}=..."
                )
            return os.environ[self.env]
        path = project / Path(self.file).expanduser()
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            found = f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
            raise BlueprintError(where, found, "Write the secret there.") from error

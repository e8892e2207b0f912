"""Entry points of one group, read straight from the files beside installed distributions.

``importlib.metadata`` parses the metadata of every distribution for the same answer, which costs more than planning a
stack does. Format: https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Final

_INFO: Final = (".dist-info", ".egg-info")
_FILE: Final = "entry_points.txt"
_SEPARATORS: Final = re.compile(r"[-_.]+")
_LINE: Final = re.compile(r"(?P<name>[^=]+?)\s*=\s*(?P<value>[\w.]+(?:\s*:\s*[\w.]+)?)")


@dataclass(frozen=True)
class EntryPoint:
    """A name that a distribution gives to a module, or to something in it.

    Args:
        value: ``package.module`` or ``package.module:attribute``.
        info: the folder of the distribution's metadata.
    """

    name: str
    value: str
    info: Path

    @property
    def distribution(self) -> str:
        """Name of the distribution."""
        return self._metadata("Name")

    @property
    def version(self) -> str:
        """Version of the distribution."""
        return self._metadata("Version")

    def load(self) -> object:
        """Import what the entry point names."""
        module, _, attributes = (part.strip() for part in self.value.partition(":"))
        return reduce(getattr, attributes.split(".") if attributes else (), import_module(module))

    def _metadata(self, field: str) -> str:
        for name in ("METADATA", "PKG-INFO"):
            if (path := self.info / name).exists():
                head = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
                found = re.search(rf"^{field}:\s*(.*)$", head, re.MULTILINE | re.IGNORECASE)
                return found[1].strip() if found else ""
        return ""


def entry_points(group: str, path: Sequence[str] | None = None) -> Iterator[EntryPoint]:
    """Give the entry points of a group; of two distributions with one name only the first on the path counts.

    Args:
        path: the folders to look in; without it, ``sys.path``.
    """
    seen: set[str] = set()
    for folder, info in _distributions(sys.path if path is None else path):
        name = _SEPARATORS.sub("-", info.rpartition(".")[0].partition("-")[0]).lower()
        if name not in seen:
            seen.add(name)
            if os.access(f"{folder}/{info}/{_FILE}", os.R_OK):
                yield from _points(Path(folder, info), group)


def _distributions(path: Sequence[str]) -> Iterator[tuple[str, str]]:
    for folder in dict.fromkeys(path):
        try:
            with os.scandir(folder or ".") as entries:
                found = sorted(entry.name for entry in entries if entry.name.endswith(_INFO))
        except OSError:  # as Python does, pass over what is no folder
            continue
        yield from ((folder or ".", name) for name in found)


def _points(info: Path, group: str) -> Iterator[EntryPoint]:
    text = (info / _FILE).read_text(encoding="utf-8", errors="replace")
    inside = False
    for line in map(str.strip, text.splitlines() if f"[{group}]" in text else ()):
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and (found := _LINE.match(line)):
            yield EntryPoint(found["name"], found["value"], info)

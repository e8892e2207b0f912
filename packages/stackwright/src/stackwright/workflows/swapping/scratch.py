"""A place for trials: a folder of its own, and on servers that are shared, names that nobody else has.

Whatever an adapter keeps in files lies in the folder, wherever the paths of the blueprint lead. What it keeps in a
storage lies below a prefix of its own there. Of what is kept on a server, an online store's rows lie under views of
other names, and the rest is told apart by the options by which the adapter's own conformance tests are.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from stackwright.assembly.blueprint import Part
from stackwright.assembly.making import make
from stackwright.assembly.plan import Choice, plain
from stackwright.assembly.replacing import alive
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.swapping.apart import KEEPING, below, in_scratch, remove_kept
from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.storage import Storage
from stackwright_storage import open_storage

log = logging.getLogger("stackwright.trials")

_OWNER: Final = "owner.json"
_LEFT: Final = "left.json"


@dataclass(frozen=True)
class Scratch:
    """A place for trials.

    Args:
        folder: of its own.
        project: the project, whose code and secrets are read.
        name: a word that no other trial has.
        stays: what could not be removed, told once the place is gone.
    """

    folder: Path
    project: Path
    name: str
    stays: list[str] = field(default_factory=list)

    def side(self, name: str) -> Scratch:
        """Return a place within, for one of two adapters that must not see each other."""
        return Scratch(self.folder / name, self.project, f"{self.name}_{name}")

    def build(self, choice: Choice, clock: Callable[[], datetime]) -> Any:
        """Build an adapter that keeps what it stores here.

        Raises:
            UsageError: it keeps things on a server, and nothing tells ours from those of others.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        cache = self.folder / ".cache"
        cache.mkdir(exist_ok=True)
        home = self.folder if choice.spec.provides in KEEPING else self.project
        context = Context(project=home, cache=cache, storage=self._storage, clock=clock)
        part = dataclasses.replace(choice.part, options=in_scratch(choice.part, choice.spec, self.project, self.name))
        if choice.spec.provides is Registry:
            self.note(registry=choice.spec.name, options=plain(part.options))
        return make(part, choice.spec, home, context)

    def _storage(self, url: str) -> Storage:
        if "://" not in url or url.startswith("file:"):
            path = os.path.normpath(urlsplit(url).path if url.startswith("file:") else url)
            inside = Path(path).is_relative_to(self.folder)
            return open_storage(path if inside else str(self.folder / below(path)))
        parts = urlsplit(url)
        inside_url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{self.name}"))
        self.note(storages=[inside_url])
        return open_storage(inside_url)

    def note(self, **left: Any) -> None:
        """Write down what would be left on servers if this process died."""
        path = self.folder / _LEFT
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, **left}), encoding="utf-8")


@contextmanager
def scratch(stack: Stack) -> Iterator[Scratch]:
    """Give a place for trials that is gone in the end, also after an error or an interruption.

    What was left by a process that was killed is removed first. What cannot be removed the place tells, or after an
    error a warning of the log.
    """
    home = stack.project.state / "trials"
    for left in list(home.iterdir()) if home.is_dir() else ():
        if not _is_used(left):
            _warn(_remove(stack, left))
    name = f"trial_{token_hex(6)}"
    folder = home / name
    folder.mkdir(parents=True)
    (folder / _OWNER).write_text(json.dumps({"process": os.getpid()}), encoding="utf-8")
    place = Scratch(folder, stack.project.folder, name)
    try:
        yield place
    except BaseException:
        _warn(_remove(stack, folder))
        raise
    else:
        place.stays.extend(_remove(stack, folder))
    finally:
        with suppress(OSError):
            home.rmdir()


def _is_used(folder: Path) -> bool:
    try:
        return alive(int(json.loads((folder / _OWNER).read_text(encoding="utf-8"))["process"]))
    except (OSError, ValueError, KeyError):
        return False


def _warn(stays: Sequence[str]) -> None:
    for line in stays:
        log.warning("%s", line)


def _remove(stack: Stack, folder: Path) -> list[str]:
    """Remove a place, and what its trials wrote on servers; return what stays there."""
    stays = []
    for path in sorted(folder.rglob(_LEFT)):
        try:
            stays.append(_tidy(stack, path.parent, json.loads(path.read_text(encoding="utf-8"))))
        except Exception as error:  # noqa: BLE001 - a server that is gone must not keep the folder
            stays.append(f"What a trial wrote could not be removed: {redact(str(error))}")
    shutil.rmtree(folder, ignore_errors=True)
    return [line for line in stays if line]


def _tidy(stack: Stack, folder: Path, left: Mapping[str, Any]) -> str:
    for url in left.get("storages", ()):
        storage = open_storage(url)
        for key in list(storage.list()):
            storage.delete(key)
        storage.close()
    if left.get("views"):
        part = Part("trial", left["adapter"], left["options"])
        choice = Choice(part, stack.plugins.adapter("trial", part.adapter, OnlineStore))
        online: OnlineStore = Scratch(folder, stack.project.folder, "").build(choice, stack.clock)
        for view in left["views"]:
            online.drop(view)
        online.close()
    if not left.get("registry"):
        return ""
    spec = stack.plugins.adapter("trial", left["registry"], Registry)
    return remove_kept(Part("trial", spec.name, left["options"]), spec, folder)

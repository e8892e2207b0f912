"""Virtual environments of adapters: resolved into versions, made once, and found again by these.

A folder is named by its interpreter and its versions, so that two projects' locks, or two states of one, never share
what they do not agree on. ``environment.json``, written last, tells that a folder is whole; one without is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata as installed
import json
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from stackwright_interfaces.errors import ProjectError
from stackwright_isolated.installing import Versions, install, resolve, run

PYTHON: Final = f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}"
"""The interpreter that environments are made with: that of this process."""

_DESCRIPTION: Final = "environment.json"
_ROOMS: Final = ("stackwright-isolated", "stackwright-interfaces")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SEPARATORS: Final = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class Environment:
    """An environment that is made.

    Args:
        folder: its folder.
        description: what it offers.
        versions: what it was made of.
    """

    folder: Path
    description: Mapping[str, Any]
    versions: Versions

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """The folder of its distributions."""
        return next(self.folder.glob("lib/*/site-packages"), self.folder)

    @property
    def path(self) -> list[str]:
        """Where its packages are found: the folder of its distributions, and those that ``.pth`` files there name."""
        lines = (line for file in sorted(self.site.glob("*.pth")) for line in file.read_text().splitlines())
        return [str(self.site), *(line for line in lines if line.startswith("/"))]

    @cached_property
    def altered(self) -> Mapping[str, tuple[str, str]]:
        """What is installed in another version than when it was made: name → then and now, empty where it is not."""
        then: Mapping[str, str] = self.description["versions"]
        now = {found.name: found.version for found in installed.distributions(path=[str(self.site)])}
        names = sorted({*then, *now})
        return {name: (then.get(name, ""), now.get(name, "")) for name in names if then.get(name) != now.get(name)}


@dataclass(frozen=True, kw_only=True)
class Environments:
    """The environments of a project.

    Args:
        folder: where they lie; it may be lost at any time.
        project: the project's folder, which paths in requirements start from.
        progress: told about the steps of what takes long.
    """

    folder: Path
    project: Path
    progress: Callable[[str, int, int], None] = field(default=lambda _what, _done, _total: None)

    def found(self, requirements: Sequence[str], locked: Versions | None = None) -> Environment | None:
        """Return the environment of these requirements if it is made; nothing is made.

        Args:
            locked: the versions that a lock holds for them; without any, those they were resolved to here.
        """
        versions = locked or self._resolved(requirements)
        return self._whole(self._folder(versions)) if versions else None

    def made(
        self, where: str, requirements: Sequence[str], locked: Versions | None = None, *, upgrade: bool = False
    ) -> Environment:
        """Return the environment of these requirements; make it if it is not there or was altered. Others wait.

        Args:
            where: the place in the blueprint, for messages.
            locked: the versions that a lock holds for them; without any they are resolved.
            upgrade: resolve them anew, whatever is locked or was resolved.

        Raises:
            PluginError: the requirements fit nothing, or the registry cannot be reached.
            ProjectError: the folder cannot be written.
        """
        with _only_one(self.folder / "lock"):
            versions = None if upgrade else locked or self._resolved(requirements)
            if not versions:
                self.progress("isolated: resolve", 0, 3)
                versions = resolve(where, self.project, requirements)
                _write(self._answer(requirements), {"versions": versions})
            folder = self._folder(versions)
            whole = self._whole(folder)
            return self._make(where, folder, versions) if whole is None or whole.altered else whole

    def _make(self, where: str, folder: Path, versions: Versions) -> Environment:
        shutil.rmtree(folder, ignore_errors=True)
        self.progress("isolated: install", 1, 3)
        install(where, self.project, folder, versions)
        self.progress("isolated: describe", 2, 3)
        description = _described(where, folder)
        _write(folder / _DESCRIPTION, {"versions": versions, "description": description})
        self.progress("isolated: describe", 3, 3)
        return Environment(folder, description, versions)

    def _folder(self, versions: Versions) -> Path:
        lines = (" ".join([requirement, *hashes]) for requirement, hashes in sorted(versions.items()))
        return self.folder / _digest([PYTHON, *lines])

    def _answer(self, requirements: Sequence[str]) -> Path:
        return self.folder / f"resolved-{_digest([PYTHON, *requirements])}.json"

    def _resolved(self, requirements: Sequence[str]) -> Versions | None:
        found = _read(self._answer(requirements))
        return None if found is None else found["versions"]

    def _whole(self, folder: Path) -> Environment | None:
        found = _read(folder / _DESCRIPTION)
        return None if found is None else Environment(folder, found["description"], found["versions"])


def requirements_of(adapter: str, asked: Sequence[str]) -> list[str]:
    """Return what is installed for an adapter: what is asked for, or its distribution; and what speaks with us.

    Our own distributions are taken from where they are installed here, a folder or file, else in the version that is
    installed here.

    Args:
        adapter: the adapter's name; its distribution is ``stackwright-NAME`` unless something else is asked for.
        asked: requirements, as a file of them holds them.
    """
    wanted = list(asked) or [f"stackwright-{adapter}"]
    names = [match[0] for item in wanted if (match := _NAME.match(item))]
    lines = {name: _here(name) for name in _reached([*names, *_ROOMS])}
    ours = [f"{name}=={installed.version(name)}" if lines[name] is None else "" for name in _ROOMS]
    local = [line for line in lines.values() if line is not None]
    named = [item for item in wanted if lines.get(_normal(item)) is None]
    return list(dict.fromkeys([*named, *filter(None, ours), *local]))


def _reached(names: Sequence[str]) -> list[str]:
    """Return these distributions and the others of ours that they need, as far as they are installed here."""
    reached: list[str] = []
    waiting = [_normal(name) for name in names]
    while waiting:
        name = waiting.pop(0)
        try:
            lines = installed.distribution(name).requires or []
        except installed.PackageNotFoundError:
            continue
        if name not in reached:
            reached.append(name)
            needed = (match[0] for line in lines if "extra ==" not in line and (match := _NAME.match(line)))
            waiting += [_normal(item) for item in needed if item.startswith("stackwright")]
    return reached


def _here(name: str) -> str | None:
    """Return the folder or file that a distribution was installed from, as a requirement; ``None`` for an index."""
    text = installed.distribution(name).read_text("direct_url.json")
    found = json.loads(text) if text else {}
    url = str(found.get("url", ""))
    if not url.startswith("file:"):
        return None
    if found.get("dir_info", {}).get("editable"):
        return f"-e {unquote(urlsplit(url).path)}"
    return f"{name} @ {url}"


def _normal(requirement: str) -> str:
    match = _NAME.match(requirement)
    return _SEPARATORS.sub("-", match[0]).lower() if match else requirement


def _described(where: str, folder: Path) -> dict[str, Any]:
    command = [str(folder / "bin" / "python"), "-I", "-m", "stackwright_isolated.description"]
    description: dict[str, Any] = json.loads(run(where, command, folder))
    return description


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _write(path: Path, document: Mapping[str, Any]) -> None:
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(document, indent=1), encoding="utf-8")
    scratch.replace(path)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock of this machine; wait for who has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        todo = "Free space or allow writing there, and run the same again."
        raise ProjectError(str(path), f"the lock cannot be taken ({error.strerror})", todo) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield

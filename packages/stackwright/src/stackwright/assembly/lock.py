"""``blueprint.lock``: adapters, versions, files, contracts and options of a stack.

A section an environment. Secrets count by their place. The hash of a distribution covers the files it installs, so that
a wheel and the sources it was built from hash alike; vendors are recorded by version.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.blueprint import Problem
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.isolation import Isolation
from stackwright.assembly.plan import Choice, Plan, plain
from stackwright.assembly.project import Project, write_json
from stackwright.assembly.vendors import installed, misfits, vendors
from stackwright_interfaces.errors import ProjectError

FORMAT: Final = 1
ROOMS: Final = tuple(
    f"stackwright{room}"
    for room in ("", "-interfaces", "-numerics", "-features", "-serving", "-journal", "-storage", "-isolated")
)


def describe(plan: Plan, plugins: Plugins, isolation: Isolation) -> dict[str, Any]:
    """Return what a lock records of a plan."""
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "engine": {name: _distribution(name, name.replace("-", "_")) for name in ROOMS},
        "parts": {slot: describe_part(slot, choice, plugins, isolation) for slot, choice in plan.choices.items()},
        "digest": plan.digest,
    }


def describe_part(slot: str, choice: Choice, plugins: Plugins, isolation: Isolation) -> dict[str, Any]:
    """Return what a lock records of a part: adapter, contract, options, distribution and what that requires."""
    return {
        "adapter": choice.spec.name,
        "contract": choice.spec.contract,
        "options": plain(choice.part.options),
        **(_installed_here(choice, plugins) if choice.part.isolated is None else _apart(slot, choice, isolation)),
    }


def unfit(described: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what a lock would record and was never tested: a vendor below the lower bound of its adapter, say."""
    for name in described["engine"]:
        yield from misfits("blueprint.lock", name)
    for slot, part in described["parts"].items():
        if "isolated" not in part:
            yield from misfits(f"blueprint.lock [{slot}]", part["distribution"])


def _installed_here(choice: Choice, plugins: Plugins) -> dict[str, Any]:
    plugin = plugins.offering(choice.spec)
    return _distribution(plugin.distribution, plugin.module)


def _apart(slot: str, choice: Choice, isolation: Isolation) -> dict[str, Any]:
    """Return the adapter's distribution in its environment, every other as what it needs, and what to make it of."""
    environment = isolation.environment(slot, choice.part)
    offered = next(item for item in environment.description["adapters"] if item["name"] == choice.spec.name)
    name, version = offered["distribution"]
    (found,) = metadata.distributions(name=name, path=[str(environment.site)])
    others = {other: found for other, found in environment.description["versions"].items() if other != name}
    return {
        "distribution": name,
        "version": version,
        "files": _hash(_recorded(found) or _on_disk(offered["factory"].partition(".")[0], environment.path)),
        "requires": others,
        "isolated": {"requirements": list(choice.part.isolated or ()), "versions": dict(environment.versions)},
    }


def save(project: Project, described: Mapping[str, Any]) -> bool:
    """Write the section of the project's environment; return whether it changed.

    Raises:
        ProjectError: the lock cannot be read or written.
    """
    document = _read(project.lock)
    environments = document["environments"]
    changed = environments.get(project.env) != described
    environments[project.env] = described
    write_json(project.lock, document)
    return bool(changed)


def locked(project: Project) -> Mapping[str, Any] | None:
    """Return the section of the project's environment, or ``None`` where nothing is locked.

    Raises:
        ProjectError: the lock cannot be read.
    """
    section: Mapping[str, Any] | None = _read(project.lock)["environments"].get(project.env)
    return section


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"format": FORMAT, "environments": {}}
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = document["format"]
        if found != FORMAT:
            raise ValueError(f"format {found!r}, this version reads {FORMAT}")
        sections = [*document["environments"].values()]
        if not all({"python", "engine", "parts", "digest"} <= section.keys() for section in sections):
            raise ValueError("a section lacks keys")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        todo = "Restore it from version control, or delete it and run: stackwright lock"
        raise ProjectError(str(path), f"cannot be read ({error})", todo) from error
    return document


def _distribution(name: str, module: str) -> dict[str, Any]:
    found = installed(name)
    if found is None:
        return {"distribution": name, "version": "", "files": "", "requires": {}}
    return {
        "distribution": name,
        "version": found.version,
        "files": _hash(_recorded(found) or _on_disk(module.partition(".")[0])),
        "requires": {need.name: need.installed for need in vendors(name) if need.installed and need.name not in ROOMS},
    }


def _recorded(found: metadata.Distribution) -> list[str]:
    """Return path and hash of every file a wheel installed; nothing for an editable install."""
    lines = (found.read_text("RECORD") or "").splitlines()
    parts = [line.rsplit(",", 2) for line in lines if line.count(",") >= 2]
    kept = [(path, digest) for path, digest, _ in parts if digest and ".dist-info/" not in path and ".." not in path]
    return [] if any(path.endswith(".pth") for path, _ in kept) else [f"{path} {digest}" for path, digest in kept]


def _on_disk(package: str, path: Sequence[str] | None = None) -> list[str]:
    """Return path and hash of every file of a package, which is looked for on a path; ``None`` is that of imports."""
    spec = find_spec(package) if path is None else PathFinder.find_spec(package, path)
    if spec is None or spec.origin is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [Path(spec.origin)] if not folders else [path for folder in folders for path in folder.rglob("*")]
    root = Path(spec.origin).parent if not folders else folders[0].parent
    kept = (path for path in files if path.is_file() and "__pycache__" not in path.parts)
    return [f"{path.relative_to(root).as_posix()} {_digest(path)}" for path in kept]


def _digest(path: Path) -> str:
    raw = hashlib.sha256(path.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hash(lines: Iterable[str]) -> str:
    kept = sorted(line for line in lines if "__pycache__" not in line)
    return "sha256:" + hashlib.sha256("\n".join(kept).encode()).hexdigest()

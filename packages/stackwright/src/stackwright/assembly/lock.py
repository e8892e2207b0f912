"""``blueprint.lock``: adapters, versions, files, contracts and options of a stack, and what drifted since.

A section an environment. Secrets count by their place. The hash of a distribution covers the files it installs, so that
a wheel and the sources it was built from hash alike; vendors are recorded by version.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.blueprint import Problem
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.isolation import Isolation
from stackwright.assembly.plan import Choice, Plan, plain
from stackwright.assembly.project import Project, write_json
from stackwright.assembly.vendors import holders, installed, misfits, vendors
from stackwright_interfaces.errors import ProjectError

FORMAT: Final = 1
ROOMS: Final = tuple(
    f"stackwright{room}"
    for room in ("", "-interfaces", "-numerics", "-features", "-serving", "-journal", "-storage", "-isolated")
)

_RELOCK: Final = "If it is meant, run: stackwright lock"


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
    offered = environment.description["adapters"]
    name, version = next(item["distribution"] for item in offered if item["name"] == choice.spec.name)
    others = {other: found for other, found in environment.description["versions"].items() if other != name}
    return {
        "distribution": name,
        "version": version,
        "files": _hash(environment.versions),
        "requires": others,
        "isolated": {"requirements": list(choice.part.isolated or ()), "versions": list(environment.versions)},
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


def drift(was: Mapping[str, Any], now: Mapping[str, Any], *, explain: bool = False) -> Iterator[Problem]:
    """Give every difference between a lock and the stack as it is.

    Args:
        explain: look through all that is installed for what holds a vendor at another version.
    """
    where = "blueprint.lock"
    if was["python"] != now["python"]:
        yield Problem(where, f"locked for Python {was['python']}, this is {now['python']}", _RELOCK)
    for name in now["engine"]:
        yield from _installed(where, name, was["engine"].get(name, {}), now["engine"][name], explain=explain)
    for slot in sorted({*was["parts"], *now["parts"]}):
        yield from _part(f"{where} [{slot}]", was["parts"].get(slot), now["parts"].get(slot), explain=explain)


def _part(
    where: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None, *, explain: bool
) -> Iterator[Problem]:
    if was is None or now is None:
        found = "the slot was empty" if now else "the slot is empty now"
        yield Problem(where, f"{found}, {(now or was or {})['adapter']!r} was {'added' if now else 'removed'}", _RELOCK)
    elif was["adapter"] != now["adapter"]:
        yield Problem(where, f"locked with adapter {was['adapter']!r}, the blueprint names {now['adapter']!r}", _RELOCK)
    else:
        if was["contract"] != now["contract"]:
            found = f"locked with version {was['contract']} of the contract, this is {now['contract']}"
            yield Problem(where, found, _RELOCK)
        for key, old, new in _differences(was["options"], now["options"]):
            yield Problem(where, f"{key} was {old}, is {new}", _RELOCK)
        old, new = (side.get("isolated", {}).get("requirements") for side in (was, now))
        if old != new:
            yield Problem(where, f"isolated was {_asked(old)}, is {_asked(new)}", _RELOCK)
            return
        yield from _installed(where, now["distribution"], was, now, explain=explain)


def _asked(requirements: list[str] | None) -> str:
    return "false" if requirements is None else json.dumps(requirements) if requirements else "true"


def _installed(
    where: str, name: str, was: Mapping[str, Any], now: Mapping[str, Any], *, explain: bool
) -> Iterator[Problem]:
    if was.get("version") != now["version"]:
        old, new = was.get("version") or "nothing", now["version"] or "nothing"
        todo = f"Run: pip install {name}=={old}, or: stackwright lock" if was.get("version") else _RELOCK
        yield Problem(where, f"{name} was {old}, {new} is installed", todo)
    elif was["files"] != now["files"]:
        found = f"{name} {now['version']} has other files than were locked"
        yield Problem(where, found, f"Reinstall it. {_RELOCK}")
    for vendor, old, new in _differences(was.get("requires", {}), now["requires"]):
        locked = was.get("requires", {}).get(vendor)
        held = "".join(f", {holder}" for holder in holders(vendor, locked)) if locked and explain else ""
        todo = f"Run: pip install {vendor}=={locked}, or: stackwright lock" if locked else _RELOCK
        yield Problem(where, f"{vendor} was {old}, is {new}{held}", todo)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            old, new = (repr(side[key]) if key in side else "not set" for side in (was, now))
            yield key, old, new


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


def _on_disk(package: str) -> list[str]:
    spec = find_spec(package)
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

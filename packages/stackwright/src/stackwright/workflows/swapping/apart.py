"""Options of an adapter that lead away from what a project keeps."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.blueprint import Part
from stackwright.assembly.options import configure
from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.feature_store import OfflineStore, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.registry import Registry

KEEPING: Final = (OnlineStore, OfflineStore, Registry)
"""Contracts of parts that keep something; what others name in the project they only read."""

_NAME: Final = "{name}"


def in_scratch(part: Part, spec: AdapterSpec, project: Path, name: str) -> dict[str, Any]:
    """Return options for a place for trials: what is kept below it, on a server under a name of its own for models.

    Args:
        project: the project; secrets in files are read from there.
        name: a word that no other trial has.

    Raises:
        UsageError: a registry keeps models on a server, and nothing tells ours from those of others.
    """
    found = {key: _absolute(value, project) for key, value in part.options.items()}
    if spec.provides in KEEPING:
        found |= {key: below(value) for key, value in found.items() if isinstance(value, str) and _is_path(spec, key)}
    if spec.provides is not Registry:
        return found
    told_apart = {key: str(text) for key, text in _declared(spec).items() if _NAME in str(text)}
    if not told_apart and any(_is_server(value) for value in part.options.values()):
        said = f"{spec.name!r} keeps models on a server, and says of no option that it tells stacks there apart"
        raise UsageError(part.where, said, "Compare it on a server for trials, or swap without --prove.")
    return found | {key: text.replace(_NAME, name) for key, text in told_apart.items()}


def remove_kept(part: Part, spec: AdapterSpec, project: Path) -> str:
    """Remove what an adapter keeps on a server under options of :func:`in_scratch`.

    Returns:
        What stays there, for people; empty where nothing does.
    """
    remove = getattr(_conformance(spec), "remove", None)
    if remove is None:
        return ""
    stays: str = remove(configure(part, spec, project))
    return stays


def for_kit(part: Part, spec: AdapterSpec, project: Path) -> dict[str, Any]:
    """Return options for the conformance kit: what leads to a server, and nothing that the kit keeps tests apart by."""
    left_out = {key for key, text in _declared(spec).items() if "{" in str(text)}
    kept = {key: value for key, value in part.options.items() if key not in left_out and not _is_path(spec, key)}
    if spec.provides is Registry and not left_out:
        kept = {key: value for key, value in kept.items() if not isinstance(value, str | Mapping)}
    return {key: _absolute(value, project) for key, value in kept.items()}


def _absolute(value: Any, project: Path) -> Any:
    """Return a secret in a file with the whole path of the file, anything else as it is."""
    if isinstance(value, Mapping) and value.keys() == {"file"}:
        return {"file": str(project / Path(str(value["file"])).expanduser())}
    return value


def below(path: str) -> str:
    """Return a path that leads nowhere but down, wherever it led."""
    return str(Path(*(part for part in Path(path).expanduser().parts if part not in ("/", ".."))))


def _is_path(spec: AdapterSpec, key: str) -> bool:
    kind = typing.get_type_hints(spec.config).get(key, Any)
    return Path in (kind, *typing.get_args(kind))


def _declared(spec: AdapterSpec) -> Mapping[str, Any]:
    """Return the options by which an adapter's conformance tests keep their tests apart."""
    options: Mapping[str, Any] = getattr(_conformance(spec), "options", {})
    return options


def _conformance(spec: AdapterSpec) -> Any:
    """Return what the adapter tells its kit, ``None`` where it tells nothing."""
    module, _, name = spec.conformance.partition(":")
    return getattr(import_module(module), name) if module else None


def _is_server(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))

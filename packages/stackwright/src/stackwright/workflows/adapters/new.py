"""A new adapter's package, whose kit runs at once and fails where code is to be written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stackwright.assembly.plan import SLOTS
from stackwright.workflows.adapters.package import AdapterPackage
from stackwright.workflows.outcome import Outcome
from stackwright_interfaces.errors import ProjectError, UsageError, did_you_mean

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def new_adapter(slot: str, name: str, folder: Path | None = None) -> Outcome:
    """Write the package of a new adapter.

    Args:
        slot: what it is for.
        name: the name that a blueprint will use: small letters, digits, hyphens and underscores.
        folder: where; without it ``stackwright-NAME`` here.

    Raises:
        UsageError: there is no such slot, or the name cannot be used.
        ProjectError: the folder is not empty, or cannot be written.
    """
    if slot not in SLOTS:
        todo = did_you_mean(slot, SLOTS) or f"Choose from: {', '.join(SLOTS)}."
        raise UsageError(f"slot {slot!r}", "there is no such slot", todo)
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}", "is not usable", "Use small letters, digits, hyphens and underscores.")
    package = AdapterPackage(slot, name)
    folder = folder or Path(package.distribution)
    files = package.files()
    _write(folder, files)
    data = {"folder": str(folder), "slot": slot, "name": name, "files": [*files], "to_write": package.open_methods}
    next_ = f"Next: pip install -e {folder}, then: stackwright conform {name} --slot {slot}"
    return Outcome(f"Made {folder}; to be written: {', '.join(package.open_methods)}", data, notes=(next_,))


def _write(folder: Path, files: Mapping[str, str]) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(str(folder), "the folder is not empty", "Name a new folder.")
    made = folder.with_name(f".{folder.resolve().name}.new")
    try:
        shutil.rmtree(made, ignore_errors=True)
        for path, text in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, encoding="utf-8")
        made.replace(folder)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise ProjectError(str(folder), f"cannot be written ({error.strerror})", "Choose another folder.") from error

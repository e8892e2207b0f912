"""Where the rows of each view came from: a line an ingestion, so that a prediction can be traced to its files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright.workflows.ledger import file_digest
from stackwright.workflows.rows.csv_rows import File
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import ProjectError
from stackwright_interfaces.feature_store import IngestReport


def note(
    stack: Stack,
    view: FeatureView,
    done: IngestReport,
    rows: int,
    *,
    origin: str,
    digest: str = "",
    files: Sequence[File] = (),
) -> None:
    """Write down an ingestion: who, when, from where, how many rows, as which position, with what content.

    Args:
        rows: how many were handed over.
        origin: the place they came from; holds no secret.
        digest: their hash, where they came from no file.
        files: the files they came from; each is hashed.

    Raises:
        ProjectError: it cannot be written.
    """
    line: dict[str, Any] = {
        "at": stack.clock().isoformat(),
        "who": who(),
        "origin": redact(origin),
        "rows": rows,
        "added": done.added,
        "position": done.position,
    }
    if files:
        line["files"] = [_described(file) for file in files]
    else:
        line["digest"] = f"sha256:{digest}"
    path = _path(stack, view.ref)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as stream:
            stream.write((json.dumps(line, sort_keys=True) + "\n").encode())
            os.fsync(stream.fileno())
    except OSError as error:
        todo = "Free space or allow writing there."
        raise ProjectError(str(path), f"cannot be written ({error.strerror})", todo) from error


def read(stack: Stack, view: str, position: int | None = None) -> list[dict[str, Any]]:
    """Return the ingestions into a view that brought something, oldest first.

    Args:
        view: reference of the view.
        position: pass over those after this position.
    """
    found = []
    with suppress(OSError):
        for text in _path(stack, view).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # a killed writer leaves a torn last line
                line = json.loads(text)
                if line["added"] and (position is None or line["position"] <= position):
                    found.append(line)
    return found


def places(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return the files, or else the origins, that ingestions came from; each once."""
    named = (file["path"] for line in lines for file in line.get("files", [{"path": line["origin"]}]))
    return list(dict.fromkeys(named))


def _described(file: File) -> dict[str, Any]:
    shown = file.shown if "://" in file.shown else str(Path(file.shown).absolute())
    return {"path": shown, "size": file.path.stat().st_size, "sha256": file_digest(file.path)}


def _path(stack: Stack, view: str) -> Path:
    return stack.project.state / "sources" / f"{view}.jsonl"

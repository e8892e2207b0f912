"""The JSON forms of journal lines and runs, and where a long one is kept.

MLflow bounds parameters (6,000 characters) and tags (8,000), and cuts off what is longer. So what fits is written in
place, and what does not is an artifact, named with its size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import RegistryError, UsageError
from stackwright_interfaces.registry import Event, Run
from stackwright_mlflow.server import Server

FORMAT: Final = 1

IN_PLACE: Final = 2500
"""Characters of a document that is written in place; its frame needs the rest of what MLflow keeps."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the journal, as it stands in MLflow.

    Args:
        number: 1, 2, 3, ...
        text: what is stored; holds a nonce, so that no two writers ever store the same.
        event: the line without ``who``, ``why`` and ``evidence``.
        digest: of a published version.
        run: id of the run that holds a published version's files.
        root: path of those files below the server's artifacts.
        rest: ``who``, ``why``, ``evidence`` and ``record``, or where they are kept.
    """

    number: int
    text: str = field(repr=False)
    event: Event
    digest: str = ""
    run: str = ""
    root: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict, repr=False)


def encode(where: str, document: Mapping[str, Any]) -> str:
    """Return a document as JSON text in ASCII; NaN and infinities are kept as Python's ``json`` writes them.

    Raises:
        UsageError: it holds something that JSON has no form for.
    """
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), default=_as_dict)
    except (TypeError, ValueError) as error:
        todo = "Hand over strings, numbers, lists and mappings."
        raise UsageError(where, f"not JSON values ({error})", todo) from error


def write_line(event: Event, nonce: str, rest: Mapping[str, Any], **files: str) -> str:
    """Return the text of a line."""
    return encode(
        "journal",
        {
            "format": FORMAT,
            "nonce": nonce,
            "at": utc("journal", event.at),
            "kind": event.kind,
            "name": event.name,
            "version": event.version,
            "alias": event.alias,
            "before": event.before,
            "after": event.after,
            "rest": rest,
            **files,
        },
    )


def read_line(where: str, number: int, text: str) -> Line:
    """Read a line.

    Raises:
        RegistryError: it is damaged, or of a later format.
    """
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise RegistryError(where, f"format {document['format']!r}, this version reads {FORMAT}")
        names = ("kind", "name", "version", "alias", "before", "after")
        event = Event(at=datetime.fromisoformat(document["at"]), **{name: document[name] for name in names})
        files = {name: str(document.get(name, "")) for name in ("digest", "run", "root")}
        return Line(number=number, text=text, event=event, rest=dict(document["rest"]), **files)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(where, error) from error


def run_to_text(run: Run) -> str:
    """Return the JSON form of a run.

    Raises:
        UsageError: it holds something that JSON has no form for, or a time without a zone.
    """
    where = f"run {run.id!r}"
    times = {"started": utc(where, run.started), "ended": None if run.ended is None else utc(where, run.ended)}
    return encode(where, {"format": FORMAT} | vars(run) | times)


def run_from_document(where: str, document: Mapping[str, Any]) -> Run:
    """Read the JSON form of a run.

    Raises:
        RegistryError: it is damaged, or of a later format.
    """
    try:
        if document["format"] != FORMAT:
            raise RegistryError(where, f"format {document['format']!r}, this version reads {FORMAT}")
        ended = document["ended"]
        times = {
            "started": datetime.fromisoformat(document["started"]),
            "ended": None if ended is None else datetime.fromisoformat(ended),
        }
        return Run(**{name: value for name, value in document.items() if name != "format"} | times)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(where, error) from error


def put_aside(server: Server, text: str, path: str) -> Mapping[str, Any]:
    """Return the document itself if it is short; else store it as an artifact and return where it is kept."""
    if len(text) <= IN_PLACE:
        document: Mapping[str, Any] = json.loads(text)
        return document
    data = text.encode()
    server.upload(path, BytesIO(data), len(data))
    return {"$kept": {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}


def bring_back(server: Server, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document that :func:`put_aside` was given.

    Raises:
        RegistryError: the artifact was altered.
        ArtifactError: the artifact is missing, or too large.
    """
    kept = document.get("$kept")
    if not isinstance(kept, Mapping):
        return document
    with tempfile.TemporaryDirectory(prefix="stackwright-") as folder:
        file = Path(folder) / "document.json"
        server.download(kept["path"], file, at_most=kept["size"])
        data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != kept["sha256"]:
        raise RegistryError(kept["path"], "the artifact was altered", "Restore it from a backup.")
    found: Mapping[str, Any] = json.loads(data)
    return found


def utc(where: str, time: datetime) -> str:
    """Return a time as text, in UTC.

    Raises:
        UsageError: it has no time zone.
    """
    if time.tzinfo is None:
        raise UsageError(where, f"the time {time} has no time zone", "Give UTC: datetime.now(UTC).")
    return time.astimezone(UTC).isoformat()


def damaged(where: str, error: Exception) -> RegistryError:
    """Return the error for something that cannot be read."""
    return RegistryError(where, f"the record is damaged ({error!r})", "Restore it from a backup.")


def _as_dict(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r}")

"""An estimator, or a dictionary that holds one, as bytes and back.

skops stores it as a zip archive: a JSON tree that names the type of every part, and the arrays beside it. Nothing of it
runs when it is read; a part is built only if its type is trusted by skops or allowed by the reader.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from stackwright_interfaces.errors import ArtifactError, TrainingError

_TREE: Final = "schema.json"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ImportError, RecursionError),
    *(ValueError, TypeError, LookupError, AttributeError),
)
"""What skops, zipfile, json and numpy raise over a damaged archive."""


def dump(content: Any, allowed: Collection[str], *, where: str, todo: str) -> bytes:
    """Return an estimator as bytes: the same for the same fit, in any process.

    Args:
        content: a fitted estimator, or a dictionary or list that holds one.
        allowed: types beyond those that skops trusts, of :mod:`stackwright_skops.allowed`.
        where: what an error calls it.
        todo: what to do where it cannot be stored.

    Raises:
        TrainingError: it holds what skops cannot store, or what no reader would allow.
    """
    import skops.io

    try:
        raw = skops.io.dumps(content)
        refused = _refused(raw, allowed)
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(where, f"cannot be stored without pickle ({error})", todo) from error
    if refused:
        raise TrainingError(where, f"keeps {', '.join(refused)}, which no model folder may hold", todo)
    return _canonical(raw)


def load(content: bytes, allowed: Collection[str], where: str) -> Any:
    """Build what :func:`dump` stored. Trees in it are still to be checked.

    Args:
        content: the bytes.
        allowed: the types that it was stored with.
        where: what an error calls them.

    Raises:
        ArtifactError: damaged, or in need of a type that is not allowed; then nothing was built.
    """
    import skops.io

    with damaged(where):
        refused = _refused(content, allowed)
        if refused:
            found = f"needs {', '.join(refused)}, which no model folder may hold"
            raise ArtifactError(where, found, "Do not load it. Train the model again.")
        return skops.io.loads(content, trusted=sorted(allowed))


@contextmanager
def damaged(where: str) -> Iterator[None]:
    """Turn what goes wrong over a damaged archive, or what was built of it, into an :class:`ArtifactError`."""
    try:
        yield
    except _DAMAGED as error:
        todo = "Restore it, or train the model again."
        raise ArtifactError(where, f"damaged, or no model of scikit-learn ({error!r})", todo) from error


def _refused(content: bytes, allowed: Collection[str]) -> list[str]:
    """Return the types that an archive needs and that are not allowed."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(allowed))


def _canonical(raw: bytes) -> bytes:
    """Take out of an archive what differs from process to process: addresses, random names, times, order."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        tree = json.loads(archive.read(_TREE))
        files: dict[str, str] = {}
        _rename(tree, {}, files)
        content = {new: archive.read(old) for old, new in files.items()}
    content[_TREE] = json.dumps(tree, separators=(",", ":")).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            archive.writestr(entry, content[name])
    return written.getvalue()


def _rename(node: Any, ids: dict[int, int], files: dict[str, str]) -> None:
    """Number ids and files by their first mention, in place. Numbers and texts lose their id: they are never shared."""
    if isinstance(node, dict):
        address = node.get("__id__")
        if isinstance(address, int):
            if node.get("__loader__") == "JsonNode":
                del node["__id__"]
            else:
                node["__id__"] = ids.setdefault(address, len(ids) + 1)
        if isinstance(node.get("file"), str):
            ending = node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(node["file"], f"{len(files):06d}.{ending}")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _rename(child, ids, files)

"""A recommender at rest: a folder of arrays, JSON and LightGBM's text, each file with its hash. No pickle.

``recommender.json`` names every other file with size and SHA-256, and says what the recommender is made of;
``catalogue.npz``, ``interactions.npz``, ``features.npz`` and ``retriever-N.npz`` are NumPy arrays without objects;
``ranker.txt`` are the trees. Hashes are checked before a parser sees a byte.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import GOLDEN, MANIFEST, FileEntry, describe_files
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.features import Features
from stackwright_recommender.identifiers import Identifiers
from stackwright_recommender.interactions import Interactions
from stackwright_recommender.pool import Pool
from stackwright_recommender.ranker import Ranker, RankerOptions
from stackwright_recommender.recommender import Recommender
from stackwright_recommender.retrieval import finding
from stackwright_recommender.retrieval.contract import Retriever
from stackwright_recommender.training import Settings, Stages

INDEX: Final = "recommender.json"
FORMAT: Final = 1
_TREES: Final = "ranker.txt"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_AGAIN: Final = "Restore the folder, or train the recommender again."

Arrays = Mapping[str, NDArray[Any]]


def save(recommender: Recommender, folder: Path) -> None:
    """Write a recommender into a new or empty folder. The same recommender writes the same bytes.

    Raises:
        ArtifactError: the folder holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ArtifactError(str(folder), "the folder is not empty", "Name a new folder.")
    stages = recommender.stages
    write_arrays(folder / "catalogue.npz", _catalogue_arrays(recommender.items))
    write_arrays(folder / "interactions.npz", _interaction_arrays(recommender.known, recommender.users))
    write_arrays(folder / "features.npz", {**stages.features.state(), "weights": stages.ranker.weights})
    (folder / _TREES).write_bytes(stages.ranker.text)
    retrievers = []
    for number, retriever in enumerate(stages.pool.retrievers):
        write_arrays(folder / f"retriever-{number}.npz", retriever.state())
        retrievers.append({"is": finding.reference_of(type(retriever)), "options": retriever.options()})
    index = {
        "format": FORMAT,
        "settings": asdict(recommender.settings),
        "retrievers": retrievers,
        "attributes": list(recommender.items.attribute_names),
        "numbers": list(recommender.items.number_names),
        "users": recommender.known.users,
        "items": len(recommender.items),
        "timed": recommender.known.timed,
        "files": {name: asdict(entry) for name, entry in describe_files(folder).items()},
    }
    text = json.dumps(index, indent=1, sort_keys=True, allow_nan=False)
    (folder / INDEX).write_text(f"{text}\n", encoding="utf-8")


def load(
    folder: Path, *, retrievers: Iterable[type[Retriever]] = (), threads: int = 1, cache: Path | None = None
) -> Recommender:
    """Load what :func:`save` wrote.

    Args:
        folder: the folder.
        retrievers: classes of retrievers that are neither ours nor entry points of what is installed: a folder cannot
            have them imported by naming them.
        threads: of LightGBM, for lists; few candidates are best ranked by one.
        cache: where the trees' machine code is kept, if they are asked for long; without it there is none.

    Raises:
        ArtifactError: the folder is incomplete, altered, of another format, or names a retriever that is not given.
        PluginError: a retriever cannot be imported.
    """
    index = _index(folder)
    try:
        arrays = {name: _arrays(folder / f"{name}.npz") for name in ("catalogue", "interactions", "features")}
        items = _catalogue(arrays["catalogue"], index)
        known, users = _interactions(arrays["interactions"], index)
        pool = Pool([
            _retriever(folder, number, entry, items, tuple(retrievers))
            for number, entry in enumerate(index["retrievers"])
        ])  # fmt: skip
        features = Features.restore(pool.signals, items, arrays["features"])
        trees = (folder / _TREES).read_bytes()
        ranker = Ranker(trees, arrays["features"]["weights"], features.parts, threads=threads, cache=cache)
        settings = {**index["settings"], "ranker": RankerOptions(**index["settings"]["ranker"])}
        return Recommender(users, items, known, Stages(pool, features, ranker), Settings(**settings))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ArtifactError(str(folder), f"damaged ({error!r})", _AGAIN) from error


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as ``.npz``; the same arrays give the same bytes.

    Raises:
        ArtifactError: an array holds objects.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise ArtifactError(str(path), f"array {name!r} holds objects", "Keep numbers alone.")
            stored = io.BytesIO()
            np.save(stored, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), stored.getvalue())


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(str(path), f"damaged ({error!r})", _AGAIN) from error


def _index(folder: Path) -> dict[str, Any]:
    """Return the index of a folder whose files are those that it names."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        files = {name: FileEntry(**entry) for name, entry in index["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(str(path), f"cannot be read ({error!r})", _AGAIN) from error
    if index.get("format") != FORMAT:
        raise ArtifactError(str(path), f"format {index.get('format')!r}, this version reads {FORMAT}")
    found = describe_files(folder)
    for name in sorted({*files, *found} - {INDEX, GOLDEN, MANIFEST}):
        if found.get(name) != files.get(name):
            state = "missing" if name not in found else "not of the recommender" if name not in files else "altered"
            raise ArtifactError(str(folder / name), f"the file is {state}", _AGAIN)
    return dict(index)


def _retriever(
    folder: Path, number: int, entry: Mapping[str, Any], items: Catalogue, classes: tuple[type[Retriever], ...]
) -> Retriever:
    reference = entry["is"]
    if not finding.trusted(reference) and reference not in {finding.reference_of(one) for one in classes}:
        found = f"it holds the retriever {reference!r}, which is not installed as an entry point"
        raise ArtifactError(str(folder), found, "Give its class to load: retrievers=[...].")
    retriever = finding.named(reference, entry["options"], classes)
    retriever.restore(_arrays(folder / f"retriever-{number}.npz"), items)
    return retriever


_PLAIN: Final = ("numbers", "place", "area", "group", "price", "since", "until")


def _catalogue_arrays(items: Catalogue) -> dict[str, NDArray[Any]]:
    matrix = items.attributes.tocsr()
    arrays = {name: getattr(items, name) for name in _PLAIN}
    arrays |= {f"attributes_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    for name in ("ids", "areas", "groups"):
        arrays |= _prefixed(name, getattr(items, name).to_arrays())
    return arrays


def _catalogue(arrays: Arrays, index: Mapping[str, Any]) -> Catalogue:
    parts = tuple(arrays[f"attributes_{part}"] for part in ("data", "indices", "indptr"))
    names: dict[str, Any] = {name: Identifiers.from_arrays(_of(name, arrays)) for name in ("ids", "areas", "groups")}
    shape = (len(names["ids"]), len(index["attributes"]))
    columns: dict[str, Any] = {name: arrays[name] for name in _PLAIN}
    return Catalogue(
        attributes=sp.csr_matrix(parts, shape=shape),
        attribute_names=tuple(index["attributes"]),
        number_names=tuple(index["numbers"]),
        **columns,
        **names,
    )


def _interaction_arrays(known: Interactions, users: Identifiers) -> dict[str, NDArray[Any]]:
    arrays = {name: getattr(known, name) for name in ("user", "item", "time", "weight")}
    if known.rating is not None:
        arrays["rating"] = known.rating
    return {**arrays, **_prefixed("users", users.to_arrays())}


def _interactions(arrays: Arrays, index: Mapping[str, Any]) -> tuple[Interactions, Identifiers]:
    columns: dict[str, Any] = {name: arrays[name] for name in ("user", "item", "time", "weight")}
    counts: dict[str, Any] = {"users": index["users"], "items": index["items"], "timed": index["timed"]}
    known = Interactions(**columns, **counts, rating=arrays.get("rating"))
    return known, Identifiers.from_arrays(_of("users", arrays))


def _prefixed(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _of(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}

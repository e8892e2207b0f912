"""What a model is kept as where its class has no ``save``: plain attributes, arrays, estimators of scikit-learn.

``state.json`` holds the attributes as a tree, ``arrays.npz`` the arrays, ``estimator-N.skops`` the estimators. Objects
of classes of the project are kept as class and attributes. Reading builds what the tree says and nothing else; no
pickle. A node that is no plain JSON value is ``{"is": kind, ...}``.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_python import estimators

STATE: Final = "state.json"
ARRAYS: Final = "arrays.npz"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_TODO: Final = "Keep numbers, texts, arrays, lists, dicts and estimators of scikit-learn, or write save and load."


def write(model: Any, folder: Path, owns: Callable[[type], bool], where: str) -> None:
    """Write a model into a folder. The same model gives the same bytes.

    Args:
        owns: whether objects of a class may be kept: it is a class of the project.
        where: what an error calls the model.

    Raises:
        TrainingError: a part of it cannot be kept so; named by its path.
    """
    writer = _Writer(owns)
    try:
        tree = writer.node(model, where)
    except RecursionError as error:
        raise TrainingError(where, "it is nested too deeply", _TODO) from error
    (folder / STATE).write_text(json.dumps(tree, allow_nan=False, separators=(",", ":")), encoding="utf-8")
    if writer.arrays:
        with zipfile.ZipFile(folder / ARRAYS, "w", zipfile.ZIP_STORED) as archive:
            for name, array in writer.arrays.items():
                stored = io.BytesIO()
                np.save(stored, array, allow_pickle=False)
                entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                archive.writestr(entry, stored.getvalue())
    for name, content in writer.estimators.items():
        (folder / name).write_bytes(content)


def read(folder: Path, find: Callable[[str], type]) -> Any:
    """Return the model that :func:`write` wrote.

    Args:
        find: the class of the project that ``module:Class`` names.

    Raises:
        ArtifactError: the files are damaged.
    """
    where = str(folder / STATE)
    try:
        tree = json.loads((folder / STATE).read_text(encoding="utf-8"))
        arrays: dict[str, Any] = {}
        if (folder / ARRAYS).is_file():
            with np.load(folder / ARRAYS, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        return _Reader(folder, arrays, find).value(tree)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, RecursionError) as error:
        raise ArtifactError(where, f"damaged ({error!r})", "Restore the file, or publish the model again.") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ImportError) as error:
        raise ArtifactError(where, f"damaged ({error!r})", "Restore the file, or publish the model again.") from error


class _Writer:
    def __init__(self, owns: Callable[[type], bool]) -> None:
        self._owns = owns
        self._open: set[int] = set()
        self.arrays: dict[str, Any] = {}
        self.estimators: dict[str, bytes] = {}

    def node(self, value: Any, where: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"is": "float", "value": str(value)}
        if isinstance(value, np.generic) or type(value) is np.ndarray:
            return self._array(value, where)
        if id(value) in self._open:
            raise TrainingError(where, "it leads back to itself", _TODO)
        self._open.add(id(value))
        try:
            return self._compound(value, where)
        finally:
            self._open.discard(id(value))

    def _array(self, value: Any, where: str) -> Any:
        if value.dtype.hasobject:
            return {"is": "objects", "shape": list(value.shape), "items": self._items(value.ravel().tolist(), where)}
        name = str(len(self.arrays))
        self.arrays[name] = np.asarray(value)
        return {"is": "array" if isinstance(value, np.ndarray) else "scalar", "name": name}

    def _items(self, values: Any, where: str) -> list[Any]:
        return [self.node(item, f"{where}[{place}]") for place, item in enumerate(values)]

    def _compound(self, value: Any, where: str) -> Any:
        kind = type(value)
        if kind is list:
            return self._items(value, where)
        if kind is tuple:
            return {"is": "tuple", "items": self._items(value, where)}
        if kind is dict:
            return {"is": "dict", "items": [self._items(pair, f"{where}[{pair[0]!r}]") for pair in value.items()]}
        if isinstance(value, pd.Index):
            return {"is": "index", "values": self.node(value.to_numpy(), where), "name": self.node(value.name, where)}
        if kind is pd.Series:
            index, values = self.node(value.index, where), self.node(value.to_numpy(), where)
            return {"is": "series", "values": values, "index": index, "name": self.node(value.name, where)}
        if kind is pd.DataFrame:
            columns = [self.node(value.iloc[:, place], where) for place in range(value.shape[1])]
            return {"is": "frame", "columns": columns, "index": self.node(value.index, where)}
        if estimators.is_estimator(value):
            name = f"estimator-{len(self.estimators)}.skops"
            self.estimators[name] = estimators.dump(value, where)
            return {"is": "estimator", "file": name}
        if self._owns(kind) and hasattr(value, "__dict__"):
            attributes = {name: self.node(item, f"{where}.{name}") for name, item in sorted(vars(value).items())}
            return {"is": "object", "class": f"{kind.__module__}:{kind.__qualname__}", "attributes": attributes}
        raise TrainingError(where, f"a {kind.__module__}.{kind.__qualname__} cannot be kept as it is", _TODO)


class _Reader:
    def __init__(self, folder: Path, arrays: dict[str, Any], find: Callable[[str], type]) -> None:
        self._folder = folder
        self._arrays = arrays
        self._find = find

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        match node["is"]:
            case "float":
                return float(node["value"])
            case "array" | "scalar" as kind:
                array = self._arrays[node["name"]]
                return array if kind == "array" else array[()]
            case "objects":
                return self._objects(node)
            case "tuple":
                return tuple(self.value(node["items"]))
            case "dict":
                return {self.value(key): self.value(item) for key, item in node["items"]}
        return self._object(node)

    def _object(self, node: Any) -> Any:
        match node["is"]:
            case "estimator":
                return self._estimator(node["file"])
            case "object":
                return self._own(node)
            case "index":
                return pd.Index(self.value(node["values"]), name=self.value(node["name"]))
            case "series":
                index = self.value(node["index"])
                return pd.Series(self.value(node["values"]), index=index, name=self.value(node["name"]))
            case "frame":
                columns = [self.value(item) for item in node["columns"]]
                index = self.value(node["index"])
                return pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)
        raise ValueError(f"a node is {node['is']!r}")

    def _objects(self, node: Any) -> Any:
        array = np.empty(len(node["items"]), dtype=object)
        for place, item in enumerate(node["items"]):
            array[place] = self.value(item)
        return array.reshape(node["shape"])

    def _estimator(self, name: str) -> Any:
        path = self._folder / name
        if path.parent != self._folder:
            raise ValueError(f"a file outside of the folder: {name!r}")
        return estimators.load(path.read_bytes(), str(path))

    def _own(self, node: Any) -> Any:
        kind = self._find(node["class"])
        built: Any = object.__new__(kind)
        vars(built).update({name: self.value(item) for name, item in node["attributes"].items()})
        return built

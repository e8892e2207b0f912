"""Where the rows of a fit lie on a Dask cluster: each worker holds consecutive ones, sent there or read there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData, TrainingParts
from stackwright_lightgbm.rows import check_rows
from stackwright_numerics.training_rows import check_classes, unweighted

if TYPE_CHECKING:
    from distributed import Client

_PART_BYTES: Final = 64 << 20
_ROWS: Final = "training rows"

Arrays = dict[str, NDArray[np.float64]]


def scattered(client: Client, data: TrainingData, workers: Sequence[str]) -> dict[str, Any]:
    """Send rows to the workers, and return Dask's arrays over them: inputs, target, and weight where there is one."""
    arrays = _arrays(data)
    rows, width = arrays["inputs"].shape
    parts: dict[str, list[Any]] = {name: [] for name in arrays}
    for worker, start, stop in _shares(rows, width, workers):
        for name, array in arrays.items():
            sent = client.scatter(array[start:stop], workers=[worker], hash=False)
            parts[name].append(_over(sent, array[start:stop].shape))
    return _joined(parts)


def by_reference(client: Client, task: Task, rows: TrainingParts, workers: Sequence[str]) -> dict[str, Any]:
    """Have each worker read its rows, and return Dask's arrays over them, as :func:`scattered` does.

    Raises:
        TrainingError: there are no rows, or values that the task does not allow.
        DataError: rows cannot be read any more.
    """
    width = len(task.signature.inputs)
    shares = list(_shares(len(rows), width, workers))
    if not shares:
        raise TrainingError(_ROWS, "there are none", "Train on a longer span, or check the filters.")
    there = {"pure": False, "allow_other_workers": False}
    held = [client.submit(_read, rows, task, start, stop, workers=[worker], **there) for worker, start, stop in shares]
    seen = client.gather(
        [
            client.submit(_seen, part, workers=[worker], **there)
            for part, (worker, _, _) in zip(held, shares, strict=True)
        ]
    )
    if task.kind is TaskKind.CLASSIFICATION:
        check_classes(np.unique(np.concatenate([part.classes for part in seen])), _ROWS)
    if not any(part.weighs for part in seen):
        raise unweighted(_ROWS)
    parts: dict[str, list[Any]] = {name: [] for name in seen[0].names}
    for part, (worker, start, stop) in zip(held, shares, strict=True):
        for name, found in parts.items():
            array = client.submit(itemgetter(name), part, workers=[worker], **there)
            found.append(_over(array, (stop - start, width) if name == "inputs" else (stop - start,)))
    return _joined(parts)


class _Seen(NamedTuple):
    """What a worker tells of rows that it read."""

    names: tuple[str, ...]
    classes: NDArray[np.float64]
    weighs: bool


def _read(rows: TrainingParts, task: Task, start: int, stop: int) -> Arrays:
    data = rows.read(start, stop)
    check_rows(task, data, f"{_ROWS} from {start:,} on", whole=False)
    return _arrays(data)


def _seen(part: Arrays) -> _Seen:
    weighs = "weight" not in part or bool(part["weight"].any())
    return _Seen(tuple(part), np.unique(part["target"])[:2], weighs)


def _arrays(data: TrainingData) -> Arrays:
    columns = {"inputs": data.inputs, "target": data.target, "weight": data.weight}
    return {name: np.asarray(column, dtype=np.float64) for name, column in columns.items() if column is not None}


def _shares(rows: int, width: int, workers: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Cut rows into equal shares of the workers, and these into parts of some megabytes."""
    step = max(1, _PART_BYTES // max(1, width * np.dtype(np.float64).itemsize))
    edges = [rows * place // len(workers) for place in range(len(workers) + 1)] if workers else []
    for place, worker in enumerate(workers):
        for start in range(edges[place], edges[place + 1], step):
            yield worker, start, min(start + step, edges[place + 1])


def _over(future: Any, shape: tuple[int, ...]) -> Any:
    import dask.array as da
    from dask.delayed import delayed

    return da.from_delayed(delayed(future), shape=shape, dtype=np.float64)


def _joined(parts: dict[str, list[Any]]) -> dict[str, Any]:
    import dask.array as da

    return {name: da.concatenate(found) for name, found in parts.items()}

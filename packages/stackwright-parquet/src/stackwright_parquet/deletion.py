"""Keys that were deleted, remembered for each entity so that no view takes their old rows again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stackwright_interfaces.definitions import Entity
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_parquet import durable
from stackwright_parquet.columns import STAMP, arrow_type, pick
from stackwright_parquet.folder import writing_errors

FOLDER: Final = "_deleted"
DELETED: Final = "__deleted"


@dataclass(frozen=True)
class Deletions:
    """The deleted keys of an entity: ``<path>/_deleted/<entity>.parquet``, with ``k0, k1, ...`` and ``__deleted``.

    Args:
        root: the folder of all views.
        entity: whose keys.
    """

    root: Path
    entity: Entity
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.root / FOLDER / f"{self.entity.name}.parquet")

    @property
    def keys(self) -> list[str]:
        """The names of the key columns."""
        return [f"k{number}" for number in range(len(self.entity.keys))]

    def read(self) -> Any:
        """Return the keys and when they were deleted, or ``None`` where none is.

        Raises:
            FeatureStoreError: the file cannot be read, or holds keys of other types than the entity has now.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file:
                # Not every version has given the last column this name.
                known = pq.read_table(file).rename_columns([*self.keys, DELETED])
        except (OSError, ValueError, pa.ArrowException) as error:
            todo = "Restore it from a backup: without it, deleted rows could come back."
            raise FeatureStoreError(str(self.path), f"cannot be read: {error}", todo) from error
        types = [arrow_type(key.type) for key in self.entity.keys]
        if known.schema.types[:-1] != types:
            before, now = (", ".join(map(str, these)) for these in (known.schema.types[:-1], types))
            found = f"remembers deleted keys of {before}, and those of entity {self.entity.name!r} are {now} now"
            raise FeatureStoreError(str(self.path), found, "Give the entity with the other keys a name of its own.")
        return known

    def named(self, keys: Any) -> Any:
        """Return the keys of a table under the names of the key columns, without those that have a null part.

        Raises:
            DataError: a key is missing or of another type.
        """
        where = f"keys of entity {self.entity.name!r}"
        columns = [pick(keys, key.name, arrow_type(key.type), where) for key in self.entity.keys]
        return pa.table(columns, self.keys).drop_null()

    def remember(self, keys: Any, at: int, lock_timeout: float) -> None:
        """Add keys, durably; of two deletions of one key the later counts.

        Args:
            keys: what :meth:`named` gives.
            at: when they are deleted, microseconds since 1970.
            lock_timeout: seconds to wait for another writer.

        Raises:
            FeatureStoreError: the file cannot be read or written.
        """
        with writing_errors(self.path):
            durable.make_folder(self.path.parent)
            with WriterLock(self.path.with_suffix(".lock")).hold(lock_timeout):
                known = self.read()
                now = keys.append_column(DELETED, pa.array([at] * len(keys), pa.int64()).cast(STAMP))
                both = now if known is None else pa.concat_tables([known, now])
                latest = both.group_by(self.keys).aggregate([(DELETED, "max")])
                with durable.replacing(self.path) as temporary:
                    pq.write_table(latest.rename_columns([*self.keys, DELETED]), temporary)

"""The kit's cases on LMDB, alone and as half of a whole store."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import lmdb

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of, composed_cases_of
from stackwright_lmdb import plugin


def rows_in_the_file(path: Path, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, at a copy of the file, since LMDB opens a file only once in a process."""
    if not path.exists():
        return {}
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    prefix = blake2b(view.encode(), digest_size=16).digest()
    with lmdb.open(str(copy), subdir=False, lock=False, readonly=True) as raw, raw.begin() as transaction:
        entries = {place: value for place, value in transaction.cursor() if place.startswith(prefix)}
    copy.unlink()
    names = {place[17:]: value for place, value in entries.items() if place[16] == 2}
    return {
        names.get(place[17:], place[17:]): value[1 + value[0] :]
        for place, value in entries.items()
        if place[16] in (0, 1)
    }


class InTheFile:
    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_in_the_file(self.config(folder).path, view)


class TestLMDBOnlineStore(InTheFile, cases_of(spec_of(plugin, OnlineStore))):
    pass


class TestLMDBInAStore(InTheFile, composed_cases_of(spec_of(plugin, OnlineStore), ComposedFeatureStore)):
    store_name = "lmdb"

"""Whether the interactions and items that a recommender learned from are there still."""

from __future__ import annotations

from stackwright.workflows.recommending.tables import Tables
from stackwright_interfaces.model import Manifest


def differences(manifest: Manifest, found: Tables) -> list[str]:
    """Return why tables are not those that a version learned from; nothing where they are."""
    then, now = manifest.data, found.fingerprint()
    told = []
    for name, rows, digest in (("interactions", "rows", "sha256"), ("items", "items", "items_sha256")):
        if then.get(digest) == now.get(digest):
            continue
        if then.get(rows) != now.get(rows):
            told.append(f"There are {now.get(rows) or 0:,} {name}; there were {then.get(rows) or 0:,}.")
        else:
            told.append(f"There are as many {name} as then ({now[rows]:,}), and they are others.")
    return told

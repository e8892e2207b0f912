"""Files of a model that answers quantiles: LightGBM learns each of them by trees of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import ArtifactError

FILE: Final = "quantiles.json"


def save(texts: Sequence[tuple[float, str]], folder: Path) -> None:
    """Write ``quantiles.json``, and a text for each share."""
    names = {f"{share:g}": f"quantile-{place}.txt" for place, (share, _) in enumerate(texts)}
    (folder / FILE).write_text(json.dumps(names) + "\n", encoding="utf-8")
    for name, (_, text) in zip(names.values(), texts, strict=True):
        (folder / name).write_bytes(text.encode())


def paths(folder: Path) -> list[Path]:
    """Return the texts of a folder, in the order of their shares.

    Raises:
        ArtifactError: ``quantiles.json`` is damaged, or names what is not beside it.
    """
    where = folder / FILE
    try:
        names = list(json.loads(where.read_text(encoding="utf-8")).values())
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(str(where), f"cannot be read ({error!r})", "Publish the model again.") from error
    found = [folder / f"quantile-{place}.txt" for place in range(len(names))]
    if names != [path.name for path in found] or not names:
        raise ArtifactError(str(where), f"names {names}", "Publish the model again.")
    return found

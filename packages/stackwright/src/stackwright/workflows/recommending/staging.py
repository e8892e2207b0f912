"""A recommender on its way into the registry: its folder, with golden lists and manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.recommender_part import RecommenderPart
from stackwright.workflows.recommending.holding_out import Held
from stackwright_interfaces.model import Manifest, Signature, describe_files
from stackwright_interfaces.recommender import TASK, FittedRecommender
from stackwright_serving import golden_lists

_GOLDEN: Final = 5
_SHOWN: Final = 10


def stage(
    part: RecommenderPart,
    fitted: FittedRecommender,
    folder: Path,
    held: Held,
    data: Mapping[str, Any],
    *,
    threads: int,
    code: Mapping[str, str],
) -> Manifest:
    """Write payload, golden lists and manifest into a new folder.

    Args:
        held: users and items to ask for.
        data: the fingerprint of what it learned from.
        threads: of the fit.
        code: versions that matter to the numbers.
    """
    folder.mkdir()
    fitted.save(folder)
    golden_lists.write(folder, fitted.recommender(), golden_requests(held))
    manifest = Manifest(
        flavour=fitted.flavour,
        files=describe_files(folder),
        signature=Signature(inputs=(), outputs=()),
        task=TASK,
        data=data,
        code=code,
        parameters={
            **fitted.parameters,
            "seed": part.seed,
            "threads": threads,
            "k": part.k,
            "holdout": {"how": part.holdout.how, "share": part.holdout.share, "seed": part.holdout.seed},
        },
    )
    manifest.write(folder)
    return manifest


def golden_requests(held: Held) -> Sequence[dict[str, Any]]:
    """Return requests of every kind: of users, strangers, sessions, candidates, and for what is alike."""
    users = list(held.seen)[:: max(1, len(held.seen) // _GOLDEN)][:_GOLDEN]
    items = sorted(held.users, key=lambda item: (-held.users[item], str(item)))
    asked: list[dict[str, Any]] = [{"user": user, "n": _SHOWN} for user in users]
    asked += [{"n": _SHOWN}, {"session": list(items[:3]), "n": _SHOWN}]
    asked += [{"user": user, "candidates": list(items[:50]), "n": _SHOWN} for user in users[:2]]
    return [*asked, *({"like": item, "n": _SHOWN} for item in items[:2])]

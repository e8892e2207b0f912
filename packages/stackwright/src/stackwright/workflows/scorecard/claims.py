"""What people claim to have done by hand, in ``scorecard.toml``.

For each check that is claimed a table::

[privacy]
reason = "The data protection officer reviewed every column"
date = 2026-02-01
by = "ada"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import ProjectError, did_you_mean

FILE: Final = "scorecard.toml"

_KEYS: Final = ("reason", "date", "by")


@dataclass(frozen=True)
class Claim:
    """A check that was done by hand.

    Args:
        reason: what was done, and where the results are.
        date: when.
        by: who.
    """

    reason: str
    date: date
    by: str = ""


def read_claims(folder: Path, known: Sequence[str], now: datetime) -> Mapping[str, Claim]:
    """Return check → its claim; none where there is no file.

    Raises:
        ProjectError: the file cannot be read, or a claim is of no check, has no reason, or no date that has come.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProjectError(FILE, f"cannot be read ({error})", "Mend it, or remove it.") from error
    return {name: _claim(name, table, known, now) for name, table in document.items()}


def _claim(name: str, table: Any, known: Sequence[str], now: datetime) -> Claim:
    where = f"{FILE} [{name}]"
    if name not in known:
        raise ProjectError(where, "there is no such check", did_you_mean(name, known) or f"Known: {', '.join(known)}.")
    if not isinstance(table, Mapping) or not str(table.get("reason", "")).strip():
        raise ProjectError(where, "no reason is given", 'Add: reason = "what was done, and where the results are"')
    for key in table:
        if key not in _KEYS:
            raise ProjectError(where, f"unknown key {key!r}", did_you_mean(key, _KEYS) or f"Known: {', '.join(_KEYS)}.")
    done = table.get("date")
    day = done.date() if isinstance(done, datetime) else done
    if not isinstance(day, date) or day > now.date():
        found = "no date is given" if done is None else f"date is {done!s}, no day that has come"
        raise ProjectError(where, found, "Add the day it was done: date = 2026-02-01")
    return Claim(str(table["reason"]), day, str(table.get("by", "")))

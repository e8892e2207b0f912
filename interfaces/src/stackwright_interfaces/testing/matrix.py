"""The cases of the feature store's specification, and which store meets which: a page made of a kit's run.

``pytest --matrix matrix.json`` writes what the kit found; ``python -m stackwright_interfaces.testing.matrix
matrix.json`` prints the page. ``stackwright conform`` shows the same of one store.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CASES: Final[Mapping[int, str]] = {
    1: "a row at the label time matches",
    2: "a row a microsecond after it does not",
    3: "a row as old as `max_age` matches",
    4: "a microsecond older is null, and the label row stays",
    5: "without `max_age` any age matches",
    6: "only later rows: null, and the label row stays",
    7: "an unknown key gives nulls",
    8: "two labels of one key and time are both answered",
    9: "rows, order and extra columns of the label frame stay",
    10: "of one event time the later created wins",
    11: "a full tie is settled alike however files are shuffled",
    12: "a newest row that holds null gives null",
    13: "a null key joins nothing",
    14: "a composite key needs all its parts, in any order",
    15: '("a", "bc") is not ("ab", "c")',
    16: "a key of another type is refused",
    17: "naive times are UTC, zones are normalised",
    18: "seconds to nanoseconds agree",
    19: "an empty label frame gives an empty, typed answer",
    20: "an empty source gives typed nulls",
    21: "views of different entities and ages join independently",
    22: "colliding names are refused without a prefix",
    23: "`known_by` passes over rows created after the label",
    24: "a late row changes the answer, but not one pinned by `as_of`",
    25: "windows are exact at the label time",
    26: "an older event does not replace a newer one online",
    27: "of one event the newer created replaces",
    28: "a replay changes nothing",
    29: "of one batch in any order the newest wins",
    30: "materialising an old window again never goes back",
    31: "an expired row is null, and says so",
    32: "null and absent are told apart",
    33: "a newer null wins over an older value",
    34: "doubled keys and their order stay",
    35: "an empty request gives an empty answer",
    36: "a missing key or request field is refused",
    37: "columns come in the order of the service",
    38: "late arrivals are brought online",
    39: "a materialisation that was cut off converges",
    40: "a reader never sees a torn row",
    41: "a deletion reaches both paths, and a replay does not undo it",
    42: "a service stays as it is after its view's next version",
    43: "a new column is null or its default; a changed type needs a version",
    44: "online and offline agree at the same instant",
    45: "transforms give the same on both paths",
}


Found = dict[str, dict[str, dict[str, list[str]]]]
"""Store → case → tests that were ``met``, and reasons of those that were ``unmet``."""


def note(found: Found, store: str, cases: Iterable[int], test: str, reason: str | None) -> None:
    """Note what became of a test.

    Args:
        found: where.
        store: the store that was tried.
        cases: what the test states.
        test: its name.
        reason: why it is not met; empty where it is, ``None`` where it says nothing of this store.
    """
    for case in cases:
        cell = found.setdefault(store, {}).setdefault(str(case), {"met": [], "unmet": []})
        if reason is not None:
            cell["unmet" if reason else "met"].append(reason or test)


@dataclass(frozen=True)
class Matrix:
    """Which store meets which case.

    Args:
        stores: their names.
        rows: a case each: its number, what it says, and a cell a store.
        notes: why cases are not met, a line each.
    """

    stores: list[str]
    rows: list[tuple[str, ...]]
    notes: list[str]

    @classmethod
    def of(cls, found: Found, cases: Iterable[int] = CASES) -> Matrix:
        """Make it of what was found."""
        made = cls(sorted(found), [], [])
        for case in cases:
            cells = [_cell(found[store].get(str(case)), f"{store}, case {case}", made.notes) for store in made.stores]
            made.rows.append((str(case), CASES[case], *cells))
        return made

    @property
    def page(self) -> str:
        """The page, as Markdown."""
        head = [f"| case | | {' | '.join(self.stores)} |", f"|---|---|{'---|' * len(self.stores)}"]
        lines = [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([*head, *lines, "", *(f"- {note}" for note in self.notes)]).rstrip() + "\n"


def _cell(tests: Mapping[str, list[str]] | None, where: str, notes: list[str]) -> str:
    if tests is None:
        return "not run"
    met, unmet = tests["met"], tests["unmet"]
    if not unmet:
        return "yes" if met else "not applicable"
    notes.append(f"{where}: {'; '.join(sorted({*unmet}))}")
    return f"{len(met)} of {len(met) + len(unmet)}" if met else "no"


def main(path: str) -> None:
    """Print the page of a file that ``pytest --matrix`` wrote."""
    found: Found = json.loads(Path(path).read_text(encoding="utf-8"))
    sys.stdout.write(Matrix.of(found).page)


if __name__ == "__main__":
    main(sys.argv[1])

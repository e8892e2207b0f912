"""One harness for all benchmarks: ours and the reference in turn; medians with their spread; a table and JSON."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

RESULTS: Final = Path("bench-results")


@dataclass(frozen=True)
class Measured:
    """Values of several rounds.

    Args:
        median: of all rounds.
        spread: distance between the first and the third quartile.
        rounds: the value of each round, in turn.
    """

    median: float
    spread: float
    rounds: tuple[float, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, values: Sequence[float]) -> Measured:
        """Summarise values."""
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        return cls(statistics.median(values), quartiles[2] - quartiles[0], tuple(values))

    def less(self, other: Measured) -> Measured:
        """Return what this costs over another in the same round, so that what slows a round cancels out."""
        return Measured.of([ours - theirs for ours, theirs in zip(self.rounds, other.rounds, strict=True)])


@dataclass(frozen=True)
class Row:
    """One line of a result.

    Args:
        metric: what was measured.
        unit: of all values; a smaller value is better.
        ours: our cost.
        reference: name and version of what is compared; empty where only a bar is asked for.
        theirs: its cost.
        bar: the greatest cost of ours that is asked for.
        ratio_bar: the greatest ratio that is asked for.
    """

    metric: str
    unit: str
    ours: Measured
    reference: str = ""
    theirs: Measured | None = None
    bar: float | None = None
    ratio_bar: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours by theirs in cost: below one is better than the reference."""
        return None if self.theirs is None or not self.theirs.median else self.ours.median / self.theirs.median

    @property
    def met(self) -> bool | None:
        """Whether every bar is met; ``None`` where none is asked for."""
        asked = []
        if self.bar is not None:
            asked.append(self.ours.median <= self.bar)
        if self.ratio_bar is not None:
            asked.append(self.ratio is not None and self.ratio <= self.ratio_bar)
        return all(asked) if asked else None


def in_turn(works: Mapping[str, Callable[[], float]], rounds: int, warm: int = 1) -> dict[str, Measured]:
    """Run every piece of work once a round, all in turn, so that a busy minute hits all alike.

    Args:
        works: name → what returns its own cost.
        rounds: how often each counts.
        warm: rounds before, which do not count.
    """
    values: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-warm, rounds):
        for name, work in works.items():
            value = work()
            if number >= 0:
                values[name].append(value)
        sys.stderr.write(f"\rround {number + 1} of {rounds} ")
    sys.stderr.write("\n")
    return {name: Measured.of(found) for name, found in values.items()}


def table(rows: Sequence[Row]) -> str:
    """Return the rows for people."""
    lines = [["metric", "ours", "reference", "its value", "ratio", "bar", ""]]
    for row in rows:
        bars = [f"<= {row.bar:g} {row.unit}"] if row.bar is not None else []
        bars += [f"ratio <= {row.ratio_bar:g}"] if row.ratio_bar is not None else []
        lines.append([
            row.metric,
            _shown(row.ours, row.unit),
            row.reference or "-",
            _shown(row.theirs, row.unit) if row.theirs else "-",
            f"{row.ratio:.3g}" if row.ratio is not None else "-",
            ", ".join(bars) or "-",
            {True: "met", False: "MISSED", None: ""}[row.met],
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _shown(value: Measured, unit: str) -> str:
    return f"{value.median:.3g} ({value.spread:.2g}) {unit}"


def report(name: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> None:
    """Print the table and write ``bench-results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    found = [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows]
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"rows": found, "notes": list(notes)}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join([table(rows), *notes, f"Written to {path}"]) + "\n")

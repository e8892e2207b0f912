"""Run the proofs of monitoring, and write what they found into ``docs/proofs.md``: ``nox -s proofs``.

A market takes a minute or two of CPU time; what was found of a seed is kept in ``.nox/proofs`` and taken from there the
next time, as long as the proof is the same. ``--only`` runs a part, the others are shown as they were found last.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import california
import market_shift
import numpy as np
import rising_market

from stackwright_numerics import metrics

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT.parent / "shared" / "data"
KEPT: Final = ROOT / ".nox" / "proofs"
PAGE: Final = ROOT / "docs" / "proofs.md"
PARTS: Final = ("market", "california", "king-county")
SET_UP_BY: Final = 5
"""The first seeds: rule and model were set up by looking at them, so that they count for nothing."""
SEEDS: Final = 20
"""Seeds after them, which count."""

Lines = list[str]


def main() -> None:
    """Run what is asked for, print the page and write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--page", action="store_true", help="run nothing: write the page of what was found before")
    parser.add_argument("--seeds", type=int, default=SET_UP_BY + SEEDS)
    parser.add_argument("--resamples", type=int, default=200)
    options = parser.parse_args()
    wanted = () if options.page else options.only or PARTS
    lines = PAGE_HEAD.splitlines()
    for part, work, shown in (
        ("market", lambda: market(options.seeds), market_lines),
        ("california", lambda: california_found(options.resamples), california_lines),
        ("king-county", king_county_found, king_county_lines),
    ):
        lines += _part(part, work if part in wanted else None, shown)
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    PAGE.write_text(text, encoding="utf-8")


def _part(name: str, work: Callable[[], Any] | None, shown: Callable[[Any], Lines]) -> Lines:
    """Return the lines of a part: of what it finds now, or found last."""
    kept = KEPT / f"{name}.json"
    if work is None and name == "market":
        seen = sorted(_markets().glob("*.json"), key=lambda path: int(path.stem))
        return shown([json.loads(path.read_text(encoding="utf-8")) for path in seen]) if seen else []
    if work is not None:
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(work(), indent=1), encoding="utf-8")
    return shown(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else []


def _markets() -> Path:
    """Return where the markets are kept that this very proof has seen."""
    text = (Path(__file__).parent / "market_shift.py").read_bytes()
    return KEPT / "market" / hashlib.sha256(text).hexdigest()[:12]


def market(seeds: int) -> list[dict[str, Any]]:
    """Let markets pass that were not seen by this proof yet."""
    found = []
    for seed in range(1, seeds + 1):
        kept = _markets() / f"{seed}.json"
        if not kept.exists():
            with tempfile.TemporaryDirectory() as folder:
                one = asdict(market_shift.play(seed, Path(folder) / "project"))
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(one), encoding="utf-8")
            sys.stderr.write(f"market {seed}: found in window {one['detected']}, {one['false']} false\n")
        found.append(json.loads(kept.read_text(encoding="utf-8")))
    return found


def market_lines(found: list[dict[str, Any]]) -> Lines:
    """Return the table of the markets."""
    counted = [one for one in found if one["seed"] > SET_UP_BY]
    in_time = sum(one["detected"] is not None and one["detected"] <= market_shift.WITHIN for one in counted)
    quiet = sum(number < 0 for one in counted for number, _ in one["windows"])
    false = sum(one["false"] for one in counted)
    mended = [one for one in counted if "new" in one["errors"]]
    lines = [
        *MARKET_HEAD.splitlines(),
        "",
        f"Rule and model were set up by looking at seeds 1 to {SET_UP_BY}; they are shown, and count for nothing. "
        f"Others that were run: {len(counted)}, of {SEEDS} that are meant. "
        f"Found within {market_shift.WITHIN} windows: {in_time} of {len(counted)}. "
        f"False alarms before it, of any district: {false} of {quiet} windows "
        f"({false / max(quiet, 1):.1%}; 5 % are allowed{', so that it is missed' if false > 0.05 * quiet else ''}).",
        f"Promoted by the loop: in {len(mended)} of {len(counted)} markets.",
        "",
        "| seed | found in window | false alarms | versions promoted | before | after | old version | new version |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        errors = [
            _signed(one["errors"].get(name), one["asked"].get(name, 0)) for name in ("before", "after", "old", "new")
        ]
        lines.append(
            f"| {one['seed']} | {'-' if one['detected'] is None else one['detected']} | {one['false']} "
            f"| {len(one['promoted'])} | {' | '.join(errors)} |"
        )
    if mended:
        middle = [np.median([one["errors"][name] for one in mended]) for name in ("before", "after", "old", "new")]
        lines.append(f"| median of those that count | | | | {' | '.join(f'{value:+.1%}' for value in middle)} |")
    said = [f"- Seed {one['seed']}, {words}" for one in found for words in one["said"]]
    return [*lines, *(["", "False alarms:", "", *said] if said else [])]


def _signed(value: float | None, n: int) -> str:
    return "-" if value is None or not n else f"{value:+.1%} ({n})"


def california_found(resamples: int) -> dict[str, Any]:
    """Judge the set's windows, and what chance does."""
    sets = california.read(DATA / "nannyml_california")
    windows = california.judged(sets.analysis, sets.reference)
    area = {
        name: metrics.auc(rows["clf_target"], rows["y_pred_proba"])
        for name, rows in (("reference", sets.reference), ("analysis", sets.analysis))
    }
    return {
        "auc": area,
        "windows": [
            {"start": str(window["start"])[:10], "state": window["loss"]["state"], "words": window["loss"]["words"]}
            for window in windows
        ],
        "chance": california.halves(sets.reference, resamples),
    }


def california_lines(found: dict[str, Any]) -> Lines:
    """Return the tables of the California set."""
    chance, area = found["chance"], found["auc"]
    n = chance["resamples"]
    lines = [
        *CALIFORNIA_HEAD.splitlines(),
        "",
        f"AUC of the reference {area['reference']:.3f}, of the analysis {area['analysis']:.3f}. By window:",
        "",
        "| truths told in four weeks from | state | found |",
        "|---|---|---|",
        *(f"| {window['start']} | {window['state']} | {window['words']} |" for window in found["windows"]),
        "",
        f"Of {n} shuffled halves of the reference:",
        "",
        "| rule | alarms | warnings | rate of alarms, at most (95 %) |",
        "|---|---|---|---|",
    ]
    for rule in ("loss", "drift"):
        alarms, warnings = chance[f"{rule} alarms"], chance[f"{rule} warns"]
        lines.append(f"| `{rule}` | {alarms} | {warnings} | {upper(alarms, n):.1%} |")
    return lines


def upper(number: int, n: int, miss: float = 0.05) -> float:
    """Return the upper end of the exact one-sided interval of a share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if number == n else float(beta.ppf(1 - miss, number + 1, n - number))


def king_county_found() -> dict[str, Any]:
    """Let the spring of 2015 pass."""
    with tempfile.TemporaryDirectory() as folder:
        return asdict(rising_market.play(DATA / "king_county", Path(folder) / "project"))


def king_county_lines(found: dict[str, Any]) -> Lines:
    """Return the table of King County."""
    opened = "; ".join(f"{day}: {words}" for day, words in found["opened"]) or "none"
    return [
        *KING_COUNTY_HEAD.splitlines(),
        "",
        f"Learned from {found['trained']:,} sales. Red gates: {', '.join(found['gates']) or 'none'}.",
        "",
        "| two weeks until | state | found |",
        "|---|---|---|",
        *(f"| {end} | {state} | {words} |" for end, state, words in found["windows"]),
        "",
        f"Alert opened {opened}.",
    ]


PAGE_HEAD: Final = """\
# Proofs of monitoring

`nox -s proofs` runs them and writes this page; `tests/proofs` holds them. Smaller likes of them are tests by day.
"""

MARKET_HEAD: Final = """
## A shift that nobody is told of

Each seed is a sample market of 16,000 homes. A model learns from a year of it, answers for a year in which nothing is
planted, then prices of one district fall by a fifth (`harbour`; three times as many homes come to the market there).
Prices of the neighbourhood are none of its inputs: by them a model follows the market by itself, weeks behind it.
Truths come weeks to months after the answers. `watch` judges windows of eight weeks by one rule, the signed median
error by district, of 50 truths at least (against 0, limit 10 %, half of it proven by 95 % intervals that hold for all
districts together; one window opens the alert), and retrains, gates and promotes by itself. The gates `drift` and
`slices` warn, for both tell of the very shift; all others refuse. Windows are counted from 0, the one that holds the
shift. Errors are signed medians in the struck district, number of homes in brackets: sold before the shift; sold after
it, by the version of then; and of what was asked after the loop's first promotion, by that old version and by those
that it promoted.

A version is judged on the newest tenth of the rows, by a fit on what was known before those were asked: with truths
that take three months, that is four months and more ago. What is published is a [refit](blueprint.md#refit) on every
truth known by then. The gate `champion` knows nothing of that: it holds the staler fit against a champion that is a
refit, and refuses some versions that would have been better.

Intervals of 95 % miss by chance in one window of twenty, so 5 % of windows are allowed to alarm; where errors have no
bias, the limit should keep most of these quiet. A model that is not trained for a year is not without: prices rise by
some 2 % a year, in each district by another part.
"""

CALIFORNIA_HEAD: Final = """
## An AUC that falls, known a month late

NannyML's California set: its model's answers and truths. Answers go into a prediction log, truths into a label log 30
days late; windows of four weeks are judged by the usual rules against the reference. The set's rows run along the map,
so that windows differ by region.
"""

KING_COUNTY_HEAD: Final = """
## A market that rises

King County, learned from the sales before 2015-03-01 by a model without the day among its inputs and without scaling by
recent errors. Rule: signed median error against 0, limit 4 %, two windows of two weeks in a row. Each sale is valued
half a day before it closes.
"""

if __name__ == "__main__":
    main()

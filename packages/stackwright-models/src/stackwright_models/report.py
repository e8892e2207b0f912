"""What an evaluation found, as text, as JSON, and as one HTML page without scripts or remote parts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright_models import charts
from stackwright_models.charts import show
from stackwright_models.errors import InvalidParameter
from stackwright_models.scoring import Answers, Truths, errors
from stackwright_numerics.metrics import interval_coverage

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .2rem .75rem; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; display: inline-block; vertical-align: top; }
figcaption { font-size: .85rem; max-width: 28rem; }
"""
_WORSE: Final = 1.25
"""A slice whose loss is this many times that of all rows is pointed out."""


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common.

    Args:
        column: what they have in common.
        label: its value, or the span of its values.
        n: rows.
        loss: of these rows.
        metrics: of these rows.
    """

    column: str
    label: str
    n: int
    loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an evaluation found.

    Args:
        estimator: its text.
        judged_by: which rows judged it.
        truths: of these rows.
        answers: what was said of them.
        metrics: metric → value, over all rows; ``n`` is their number.
        loss: what models are compared by; lower is better.
        losses: ``model``, ``constant`` and ``linear`` → loss.
        interval: 95 % interval of the model's loss, by bootstrap.
        slices: parts of the rows.
        few: slices of fewer rows get no verdict.
        calibration: rows, mean prediction and mean truth of bins of like predictions.
        spans: first day, rows and quartiles of the errors over time.
        flattered: whether the baselines learned from the judged rows.
    """

    estimator: str
    judged_by: str
    truths: Truths = field(repr=False)
    answers: Answers = field(repr=False)
    metrics: Mapping[str, float]
    loss: str
    losses: Mapping[str, float]
    interval: tuple[float, float]
    slices: Sequence[Slice] = ()
    few: int = 30
    calibration: Sequence[tuple[int, float, float]] = ()
    spans: Sequence[tuple[str, int, float, float, float]] = ()
    flattered: bool = False

    @property
    def gains(self) -> dict[str, float]:
        """Baseline → by which fraction the model's loss is lower; negative where it is higher."""
        own = self.losses["model"]
        others = {name: value for name, value in self.losses.items() if name != "model" and value}
        return {name: 1 - own / value for name, value in others.items() if not math.isnan(own / value)}

    @property
    def worst(self) -> list[Slice]:
        """Slices of enough rows whose loss is 1.25 times that of all rows or more, the worst first."""
        limit = _WORSE * self.losses["model"]
        found = [part for part in self.slices if part.n >= self.few and part.loss >= limit > 0]
        return sorted(found, key=lambda part: -part.loss)

    @property
    def findings(self) -> list[str]:
        """What is worth saying, a sentence each."""
        low, high = self.interval
        said = [f"{self.loss} {show(self.losses['model'])} (95 % interval {show(low)} to {show(high)})."]
        for name, gain in self.gains.items():
            word = "better" if gain >= 0 else "worse"
            said.append(f"{abs(gain):.1%} {word} than the {name} baseline ({show(self.losses[name])}).")
        if self.flattered:
            said.append("The baselines learned from the judged rows, fold by fold, which flatters them.")
        coverage = self.metrics.get("interval_coverage")
        if coverage is not None:
            said.append(f"Intervals hold {coverage:.1%} of the truths.")
        few = sum(part.n < self.few for part in self.slices)
        for part in self.worst:
            times = part.loss / self.losses["model"]
            said.append(f"{part.column} = {part.label}: {times:.2f} times the loss of all ({part.n:,} rows).")
        if few:
            said.append(f"{few} of {len(self.slices)} slices have fewer than {self.few} rows and say little.")
        return said

    def coverage(self) -> list[tuple[int, float, float]]:
        """Return rows, median prediction and share of truths in their interval, by fifths of the predictions."""
        lower, upper = self.answers.lower, self.answers.upper
        if lower is None or upper is None:
            return []
        truth, value = self.truths.value, self.answers.value
        parts = np.array_split(np.argsort(value, kind="stable"), min(5, len(value)))
        return [
            (len(part), float(np.median(value[part])), interval_coverage(truth[part], lower[part], upper[part]))
            for part in parts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the rows as JSON values; NaN and infinity are null."""
        document: dict[str, Any] = _finite(
            {
                "estimator": self.estimator,
                "task": self.truths.task,
                "judged_by": self.judged_by,
                "metrics": dict(self.metrics),
                "loss": self.loss,
                "losses": dict(self.losses),
                "gains": self.gains,
                "interval": list(self.interval),
                "slices": [
                    {
                        "column": part.column,
                        "label": part.label,
                        "n": part.n,
                        "loss": part.loss,
                        "metrics": dict(part.metrics),
                    }
                    for part in self.slices
                ],
                "calibration": [list(entry) for entry in self.calibration],
                "coverage": [list(entry) for entry in self.coverage()],
                "spans": [list(entry) for entry in self.spans],
                "findings": self.findings,
            }
        )
        return document

    def save(self, path: Path | str) -> Path:
        """Write the report, and return its path.

        Args:
            path: ends in ``.html`` or ``.json``.

        Raises:
            InvalidParameter: it ends in something else.
        """
        out = Path(path)
        if out.suffix == ".html":
            title = f"Evaluation of {self.estimator[:60]}"
            head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
            body = f"<body><main>{self._repr_html_()}</main></body>"
            text = f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}</html>\n'
        elif out.suffix == ".json":
            text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        else:
            raise InvalidParameter("report", f"suffix {out.suffix!r}", "Give a path that ends in .html or .json.")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        return out

    def __str__(self) -> str:
        return "\n".join([f"{self.truths.task}, {self.metrics['n']:,} rows, by {self.judged_by}", *self.findings])

    def _repr_html_(self) -> str:
        found = "".join(f"<li>{escape(text)}</li>" for text in self.findings)
        parts = [
            f"<h1>Evaluation: {self.truths.task.replace('_', ' ')}, {self.metrics['n']:,} rows</h1>",
            f"<p>By {escape(self.judged_by)}: <code>{escape(self.estimator)}</code></p><ul>{found}</ul>",
            charts.table(("metric", "value"), self.metrics.items()),
            *self._charts(),
        ]
        return f"<div>{''.join(parts)}</div>"

    def _charts(self) -> list[str]:
        losses = [(name, value, "") for name, value in self.losses.items()]
        drawn = [charts.bars("Loss beside the baselines", f"{self.loss} of each; shorter is better.", losses)]
        if self.truths.task == "regression":
            known = np.isfinite(self.answers.value)
            drawn.append(charts.scatter(self.truths.value[known], self.answers.value[known]))
        if self.calibration:
            kind = "share of ones" if self.truths.task == "classification" else "mean truth"
            drawn.append(charts.calibration(self.calibration, kind=kind))
        if self.spans:
            drawn.append(charts.residuals_by_time(self.spans, errors(self.truths, self.answers)[0]))
        if self.coverage():
            entries = [(f"predictions about {show(middle)}", share, f"n {n:,}") for n, middle, share in self.coverage()]
            words = "Share of truths in their interval, by fifths of the predictions."
            drawn.append(charts.bars("Interval coverage", words, entries))
        for column in dict.fromkeys(part.column for part in self.slices):
            entries = [
                (part.label, part.loss, f"n {part.n:,}" + ("" if part.n >= self.few else ", few"))
                for part in self.slices
                if part.column == column and math.isfinite(part.loss)
            ]
            words = f"{self.loss} of each slice; the dashed line is that of all rows."
            drawn.append(charts.bars(f"Slices by {column}", words, entries, mark=self.losses["model"]))
        return drawn


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Small charts as inline SVG: no script, no remote part; the numbers of each lie beside it as a table."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_WIDTH: Final = 460
_HEIGHT: Final = 300
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 12
_BOTTOM: Final = 46
_MOST: Final = 1500
"""Points drawn of a scatter; more would only make the page heavy."""
_ROW: Final = 24
_LETTER: Final = 6.5
"""Width of a letter, so that a label does not run over the edge."""
_ACCENT: Final = "#2b7bba"
_SOFT: Final = 'stroke="currentColor" stroke-opacity=".25"'
_LONGEST: Final = 26


def show(value: Any) -> str:
    """Return a number as a reader wants it: few digits, a dash for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an HTML table; the first cell of each row heads it."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{escape(show(first))}</th>'
        + "".join(f"<td>{escape(show(cell))}</td>" for cell in others)
        + "</tr>"
        for first, *others in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figure(
    title: str,
    description: str,
    drawing: str,
    numbers: str,
    *,
    width: int = _WIDTH,
    height: int = _HEIGHT,
    role: str = "img",
) -> str:
    """Return a drawing with its title, what it shows in words, and its numbers to be opened.

    Args:
        role: ``group`` where the drawing holds links.
    """
    identity = hashlib.sha256(f"{title}{description}{drawing}".encode()).hexdigest()[:12]
    return (
        f'<figure><svg role="{role}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'style="max-width:100%;height:auto" font-family="system-ui, sans-serif" font-size="11" fill="currentColor" '
        f'aria-labelledby="t{identity} d{identity}" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="t{identity}">{escape(title)}</title><desc id="d{identity}">{escape(description)}</desc>'
        f"{drawing}</svg><figcaption>{escape(title)}. {escape(description)}</figcaption>"
        f"<details><summary>Numbers</summary>{numbers}</details></figure>"
    )


@dataclass(frozen=True)
class _Axis:
    """A straight map of values to places; of logarithms where all are positive and the span is wide."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    @classmethod
    def over(cls, values: Floats, start: float, stop: float, *, log: bool = False) -> _Axis:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if low == high:
            low, high = (low * 0.9, high * 1.1) if log else (low - 0.5, high + 0.5)
        return cls(low, high, start, stop, log)

    def at(self, value: float) -> float:
        turned = (value, self.low, self.high)
        here, low, high = (math.log(max(item, 1e-300)) for item in turned) if self.log else turned
        return self.start + (here - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
            inside = [value for value in found if self.low <= value <= self.high]
            return inside[:: max(1, len(inside) // 6)]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 6)
        first = math.ceil(self.low / step)
        return [(first + place) * step for place in range(int((self.high - first * step) / step) + 1)]


def _short(value: float) -> str:
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.4g}"


def _grid(across: _Axis, up: _Axis, labels: tuple[str, str], *, ticks: Sequence[tuple[float, str]] = ()) -> str:
    parts = []
    for value in up.ticks():
        place = up.at(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}" {_SOFT}/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    for value, text in ticks or [(value, _short(value)) for value in across.ticks()]:
        middle = min(across.at(value), _WIDTH - _LETTER * len(text) / 2)
        parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>')
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(labels[0])}</text>')
    turned = f'transform="translate(12 {middle}) rotate(-90)"'
    parts.append(f'<text {turned} text-anchor="middle">{escape(labels[1])}</text>')
    return "".join(parts)


def _axes(across: Floats, up: Floats, *, log: bool) -> tuple[_Axis, _Axis]:
    return (
        _Axis.over(across, _LEFT + 8, _WIDTH - _RIGHT - 8, log=log),
        _Axis.over(up, _HEIGHT - _BOTTOM - 6, _TOP + 6, log=log),
    )


def _line(points: Sequence[tuple[float, float]], style: str) -> str:
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    return f'<polyline points="{path}" fill="none" {style}/>'


def _runs(points: Iterable[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    """Give the points that lie between gaps."""
    for known, run in groupby(points, key=lambda point: point is not None):
        if known:
            yield [point for point in run if point is not None]


def scatter(target: Floats, answer: Floats, *, seed: int = 0) -> str:
    """Return predictions over truths with the line where they agree."""
    together = np.concatenate([target, answer])
    log = bool((together > 0).all() and together.max() > 20 * together.min())
    across, up = _axes(together, together, log=log)
    rows = np.arange(len(target))
    if rows.size > _MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST, replace=False))
    dots = "".join(
        f'<circle cx="{across.at(left):.1f}" cy="{up.at(top):.1f}" r="2" fill="{_ACCENT}" fill-opacity=".35"/>'
        for left, top in zip(target[rows].tolist(), answer[rows].tolist(), strict=True)
    )
    ends = [(across.at(value), up.at(value)) for value in (across.low, across.high)]
    agreement = _line(ends, 'stroke="currentColor" stroke-opacity=".6" stroke-dasharray="4 3"')
    numbers = [
        (f"{place + 1}", int(part.size), float(np.median(target[part])), float(np.median(answer[part])))
        for place, part in enumerate(np.array_split(np.argsort(target, kind="stable"), min(10, len(target))))
    ]
    described = f"{len(target):,} rows" + (f", {_MOST:,} of them drawn" if len(target) > _MOST else "")
    described += "; on the dashed line the prediction is the truth" + ("; logarithmic axes" if log else "")
    return figure(
        "Predicted and true values",
        f"{described}.",
        _grid(across, up, ("truth", "prediction")) + agreement + dots,
        table(("tenth of the truths", "rows", "median truth", "median prediction"), numbers),
    )


def residuals_by_time(spans: Sequence[tuple[str, int, float, float, float]], unit: str) -> str:
    """Return median and quartiles of the errors over spans of time.

    Args:
        spans: name, rows, lower quartile, median, upper quartile of each, in order.
        unit: what the errors are.
    """
    quartiles = np.array([span[2:] for span in spans], dtype=np.float64)
    across, up = _axes(np.arange(len(spans), dtype=np.float64), np.append(quartiles.ravel(), 0.0), log=False)
    low, middle, high = (
        [(across.at(place), up.at(value)) for place, value in enumerate(column)] for column in quartiles.T.tolist()
    )
    outline = " ".join(f"{left:.1f},{top:.1f}" for left, top in [*high, *reversed(low)])
    every = max(1, math.ceil(len(spans) / 5))
    ticks = [(float(place), span[0]) for place, span in enumerate(spans) if place % every == 0]
    drawing = (
        _grid(across, up, ("time", unit), ticks=ticks)
        + f'<polygon points="{outline}" fill="{_ACCENT}" fill-opacity=".2"/>'
        + _line([(_LEFT, up.at(0)), (_WIDTH - _RIGHT, up.at(0))], 'stroke="currentColor" stroke-opacity=".6"')
        + _line(middle, f'stroke="{_ACCENT}" stroke-width="2"')
    )
    described = "The line is the median error of the rows of a span, the band its quartiles; 0 is no error."
    numbers = table(("from", "rows", "lower quartile", "median", "upper quartile"), spans)
    return figure("Errors over time", described, drawing, numbers)


_COLOURS: Final = ("#2b7bba", "#c45a00", "#2a8a57", "#8a4fbf")
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")


def lines(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str) -> str:
    """Return series over the same places; a gap where a value is missing.

    Args:
        labels: what each place is called, in order.
        series: name → a value for each place.
        unit: what the values are.
    """
    drawn = dict(list(series.items())[: len(_COLOURS)])
    known = [value for values in drawn.values() for value in values if value is not None]
    across, up = _axes(np.arange(len(labels), dtype=np.float64), np.array(known, dtype=np.float64), log=False)
    every = max(1, math.ceil(len(labels) / 5))
    ticks = [(float(place), label) for place, label in enumerate(labels) if place % every == 0]
    parts = [_grid(across, up, ("", unit), ticks=ticks)]
    for (name, values), colour, dash in zip(drawn.items(), _COLOURS, _DASHES, strict=False):
        places = [None if value is None else (across.at(place), up.at(value)) for place, value in enumerate(values)]
        style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        parts += [_line(run, style) for run in _runs(places)]
        points = [point for point in places if point is not None]
        parts += [f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>' for left, top in points]
        if points and len(drawn) > 1:
            left, top = points[-1]
            parts.append(f'<text x="{left - 6:.1f}" y="{top - 8:.1f}" text-anchor="end">{escape(name)}</text>')
    numbers = table(("", *drawn), list(zip(labels, *drawn.values(), strict=True)))
    more = f"; {len(series) - len(drawn)} more are not drawn" if len(series) > len(drawn) else ""
    return figure(title, f"{', '.join(drawn)}{more}.", "".join(parts), numbers)


def ranges(title: str, labels: Sequence[str], points: Sequence[Sequence[float | None]], names: tuple[str, str]) -> str:
    """Return values over places, each with its interval as an upright bar; a gap where a value is missing.

    Args:
        labels: what each place is called, in order.
        points: value, lower and upper end of each.
        names: what the places are, and the values.
    """
    known = [value for point in points for value in point if value is not None]
    across, up = _axes(np.arange(len(labels), dtype=np.float64), np.array([*known, 0.0], dtype=np.float64), log=False)
    every = max(1, math.ceil(len(labels) / 8))
    ticks = [(float(place), label) for place, label in enumerate(labels) if place % every == 0]
    parts = [_grid(across, up, names, ticks=ticks)]
    for place, (value, low, high) in enumerate(points):
        left = across.at(place)
        if low is not None and high is not None:
            parts.append(_line([(left, up.at(low)), (left, up.at(high))], f'stroke="{_ACCENT}" stroke-width="2"'))
        if value is not None:
            parts.append(f'<circle cx="{left:.1f}" cy="{up.at(value):.1f}" r="4" fill="{_ACCENT}"/>')
    numbers = table(
        (names[0], names[1], "from", "to"), [(label, *point) for label, point in zip(labels, points, strict=True)]
    )
    return figure(title, "Dots are values; bars say between what they lie.", "".join(parts), numbers)


def calibration(bins: Sequence[tuple[int, float, float]], *, kind: str) -> str:
    """Return mean predictions against mean truths.

    Args:
        bins: rows, mean prediction, mean truth of each bin, in the order of the predictions.
        kind: what the mean truth is called.
    """
    pairs = np.array([entry[1:] for entry in bins], dtype=np.float64)
    log = bool((pairs > 0).all() and pairs.max() > 20 * pairs.min() and kind != "share of ones")
    across, up = _axes(pairs.ravel(), pairs.ravel(), log=log)
    ends = [(across.at(value), up.at(value)) for value in (across.low, across.high)]
    points = [(across.at(left), up.at(top)) for left, top in pairs.tolist()]
    dots = "".join(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{_ACCENT}"/>' for left, top in points)
    drawing = (
        _grid(across, up, ("mean prediction", kind))
        + _line(ends, 'stroke="currentColor" stroke-opacity=".6" stroke-dasharray="4 3"')
        + _line(points, f'stroke="{_ACCENT}" stroke-width="1.5"')
        + dots
    )
    described = "Each point is a bin of rows with like predictions; above the dashed line they are too low."
    rows = [(f"{place + 1}", *entry) for place, entry in enumerate(bins)]
    return figure("Calibration", described, drawing, table(("bin", "rows", "mean prediction", kind), rows))


def bars(title: str, description: str, entries: Sequence[tuple[str, float, str]], *, mark: float | None = None) -> str:
    """Return horizontal bars from zero.

    Args:
        entries: label, value, and a note that is written behind the bar.
        mark: a value to draw a line at.
    """
    values = [value for _, value, _ in entries] + [0.0] + ([] if mark is None else [mark])
    height = _TOP + _ROW * len(entries) + 12
    left = 170
    axis = _Axis.over(np.array(values, dtype=np.float64), left, _WIDTH - 115)
    parts = []
    for place, (label, value, note) in enumerate(entries):
        top = _TOP + _ROW * place
        begin, end = sorted((axis.at(0.0), axis.at(value)))
        short = label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…"
        parts.append(f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{escape(short)}</text>')
        parts.append(
            f'<rect x="{begin:.1f}" y="{top + 3}" width="{max(end - begin, 0.5):.1f}" height="{_ROW - 9}" '
            f'fill="{_ACCENT}" fill-opacity="{1 if value >= 0 else 0.45}"/>'
        )
        parts.append(f'<text x="{end + 5:.1f}" y="{top + 14}">{escape(show(value))} {escape(note)}</text>')
    if mark is not None:
        across, bottom = axis.at(mark), height - 8
        parts.append(
            f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP - 4}" y2="{bottom}" stroke="currentColor" '
            'stroke-dasharray="4 3"/>'
        )
    numbers = table(("", "value", "note"), entries)
    return figure(title, description, "".join(parts), numbers, height=height)

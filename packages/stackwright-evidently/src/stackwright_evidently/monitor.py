"""Evidently's drift and summary presets as one page that opens offline."""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from stackwright_evidently.columns import Comparison, comparison
from stackwright_evidently.plugin import EvidentlyConfig
from stackwright_interfaces.errors import MonitorError
from stackwright_interfaces.feature_store import ArrowStream
from stackwright_interfaces.model import Signature
from stackwright_interfaces.monitor import Monitor, MonitorResult
from stackwright_interfaces.plugin import Context

PAGE: Final = "evidently.html"


class EvidentlyMonitor(Monitor):
    """Renders what Evidently finds; columns that it would stumble over are left out, with the reason."""

    def __init__(self, config: EvidentlyConfig, _context: Context) -> None:
        self._config = config

    def compare(self, reference: ArrowStream, current: ArrowStream, signature: Signature, out: Path) -> MonitorResult:
        """See :meth:`stackwright_interfaces.monitor.Monitor.compare`."""
        compared = comparison(pa.table(reference), pa.table(current), signature, rows=self._config.rows)
        page = out / PAGE
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
        with _quiet():
            compared, report = self._report(compared)
        with _writing(out):
            _write(page, report.html)
        return MonitorResult(page=page, files=(page,), findings=report.findings, skipped=compared.skipped)

    def _report(self, compared: Comparison) -> tuple[Comparison, _Report]:
        """Return Evidently's report, and what it is about: a column that Evidently fails on would spoil it all.

        Raises:
            MonitorError: no column is left.
        """
        if not compared.pairs:
            reasons = "; ".join(f"{name}: {why}" for name, why in compared.skipped.items()) or "the model has no inputs"
            todo = "Report a window that holds rows."
            raise MonitorError("evidently", f"no column can be compared ({reasons})", todo)
        try:
            return compared, _run(compared, summary=self._config.summary)
        except _Failed as failed:
            faults = {name: fault for name, alone in compared.single() if (fault := self._fault(alone))}
            if not faults:
                raise MonitorError("evidently", str(failed)) from failed
        return self._report(compared.leave_out(faults))

    def _fault(self, alone: Comparison) -> str:
        """Return why Evidently fails on a column, or an empty string."""
        try:
            _run(alone, summary=self._config.summary)
        except _Failed as failed:
            return str(failed)
        return ""


class _Failed(Exception):
    """Evidently raised something."""


class _Report(NamedTuple):
    html: str
    findings: dict[str, Any]


def _run(compared: Comparison, *, summary: bool) -> _Report:
    try:
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset, DataSummaryPreset
    except Exception as error:  # a version that does not fit the others raises anything
        todo = "Run: pip install --force-reinstall stackwright-evidently"
        raise MonitorError("evidently", f"cannot be imported ({_words(error)})", todo) from error

    definition = DataDefinition(numerical_columns=compared.numbers, categorical_columns=compared.texts)
    reference = pd.DataFrame({name: pair.reference for name, pair in compared.pairs.items()})
    current = pd.DataFrame({name: pair.current for name, pair in compared.pairs.items()})
    presets = [DataDriftPreset(), DataSummaryPreset()] if summary else [DataDriftPreset()]
    try:
        datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
        snapshot = Report(presets).run(*datasets)
        return _Report(snapshot.get_html_str(as_iframe=False), _findings(snapshot.dict()))
    except Exception as error:
        raise _Failed(f"Evidently failed ({_words(error)})") from error


def _words(error: Exception) -> str:
    """Return an error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _findings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return column → method, value and threshold of Evidently's drift test; a value that is no number is ``None``."""
    found = {}
    for metric in document["metrics"]:
        config = metric.get("config", {})
        if config.get("type") == "evidently:metric_v2:ValueDrift":
            value = float(metric["value"])
            found[config["column"]] = {
                "method": config["method"],
                "value": value if math.isfinite(value) else None,
                "threshold": config["threshold"],
            }
    return found


def _write(page: Path, html: str) -> None:
    temporary = page.with_name(f".{page.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(html, encoding="utf-8")
        temporary.replace(page)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise MonitorError(str(out), found, "Free space, or allow writing there.") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let Evidently neither call home, nor print, nor warn."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("ITERATIVE_DO_NOT_TRACK", "1")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

"""Adapters that run apart, as a stack holds them: each call goes to the process, which is started anew if it died."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import PredictionError, TrainingError
from stackwright_interfaces.feature_store import ArrowStream, Asked, IngestReport, OfflineStore, Watermark
from stackwright_interfaces.model import Manifest, ModelFormat, Predictor, Signature
from stackwright_interfaces.monitor import Monitor, MonitorResult
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import (
    Distribution,
    FittedModel,
    Report,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
    TrainingParts,
)
from stackwright_isolated.calls import Calls, Made
from stackwright_isolated.config import IsolatedConfig
from stackwright_isolated.process import DIED, Launch, Process


class Apart:
    """The process of an adapter, started when it is built and again after it died.

    Args:
        launch: what is started.
        given: the options of the adapter.
        context: the context of the adapter.
    """

    def __init__(self, launch: Launch, given: Mapping[str, Any], context: Context) -> None:
        self._launch = launch
        self._given = given
        self._context = context
        self._lock = threading.Lock()
        self._calls: Calls | None = self._begun()
        self.about = self._calls.about
        self._closed = False

    def _begun(self) -> Calls:
        return Calls(Process(self._launch, self._context), self._given, self._context)

    @property
    def calls(self) -> Calls:
        """The process as it is called.

        Raises:
            StackwrightError: the adapter was closed, or cannot be built again.
        """
        with self._lock:
            if self._closed:
                raise DIED[self._launch.provides](self._launch.where, f"{self._launch.adapter!r} was closed")
            if self._calls is None or not self._calls.process.usable:
                self._calls = self._begun()
            return self._calls

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the adapter."""
        return self.calls.call(0, method, *arguments, **options)

    def close(self) -> None:
        """Close the adapter; its process ends as soon as nothing that it made is in use."""
        with self._lock:
            calls, self._calls, self._closed = self._calls, None, True
        if calls is not None and calls.process.usable:
            calls.call(0, "close")


class IsolatedOfflineStore(OfflineStore):
    """An offline store that runs apart."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart

    def apply(self, views: Sequence[FeatureView]) -> None:
        """Prepare for these views."""
        self._apart.call("apply", list(views))

    def ingest(self, view: FeatureView, rows: ArrowStream) -> IngestReport:
        """Add rows."""
        report: IngestReport = self._apart.call("ingest", view, rows)
        return report

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Answer as of each label."""
        rows: ArrowStream = self._apart.call("join", labels, list(asked), known_by=known_by)
        return rows

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give changed rows in chunks."""
        chunks: Iterator[ArrowStream] = self._apart.call("changes", view, since, until, history=history)
        return chunks

    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Return the last position."""
        mark: Watermark = self._apart.call("watermark", view, at)
        return mark

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Remove the rows of these keys."""
        rows: int = self._apart.call("delete", list(views), keys, at)
        return rows

    def close(self) -> None:
        """End the process."""
        self._apart.close()


class _SQL:
    """The ability to run SQL."""

    _apart: Apart

    def sql(self, query: str, tables: Mapping[str, ArrowStream]) -> ArrowStream:
        """Return the result of one SELECT."""
        rows: ArrowStream = self._apart.call("sql", query, dict(tables))
        return rows


class IsolatedTrainer(Trainer):
    """A trainer that runs apart. What it fitted lives there too, until it is dropped."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        vars(self).update(apart.about["shown"])

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return the parameters worth tuning."""
        space: Mapping[str, Distribution] = self._apart.call("space", task)
        return space

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit; the report is called in the thread that called this."""
        made: Made = self._apart.call(
            "fit", task, train, valid, dict(params), seed=seed, threads=threads, report=report
        )
        return IsolatedModel(made)

    def stops_early(self, task: Task, params: Mapping[str, Any]) -> bool:
        """Tell whether a fit with these parameters ends by what it finds on validation rows."""
        return bool(self._apart.call("stops_early", task, dict(params)))

    def code(self) -> Mapping[str, str]:
        """Return what a fit depends on beside data, options and versions."""
        code: Mapping[str, str] = self._apart.call("code")
        return code

    def close(self) -> None:
        """End the process as soon as no model that it fitted is in use."""
        self._apart.close()


class _Parts:
    """What a trainer apart that takes rows by reference can, too: they are read here, for the rows alone cross."""

    fit: Callable[..., FittedModel]

    def fit_parts(
        self, task: Task, train: TrainingParts, params: Mapping[str, Any], *, seed: int, threads: int,
        report: Report | None = None,
    ) -> FittedModel:  # fmt: skip
        """Fit on all rows.

        Raises:
            TrainingError: a parameter or the data does not allow a fit, or it is no regression or classification.
            DataError: rows cannot be read any more.
        """
        if task.kind not in (TaskKind.REGRESSION, TaskKind.CLASSIFICATION):
            found = f"those of a {task.kind.value} are not read by reference"
            raise TrainingError("training rows", found, "Give them whole.")
        rows = train.read(0, len(train))
        return self.fit(task, rows, None, params, seed=seed, threads=threads, report=report)


class IsolatedModel(FittedModel):
    """A fit's result, in the process that made it."""

    def __init__(self, made: Made) -> None:
        self._made = made
        vars(self).update(made.about["shown"])

    def predictor(self) -> Predictor:
        """Return a predictor over the fitted model."""
        return predictor(self._made.call("predictor"))

    def save(self, folder: Path) -> None:
        """Write the payload into an existing, empty folder."""
        self._made.call("save", folder.absolute())


class IsolatedPredictor(Predictor):
    """A loaded model that runs apart."""

    def __init__(self, made: Made) -> None:
        self._made = made
        vars(self).update(made.about["shown"])
        self._closed = False

    def predict(self, inputs: Any) -> Any:
        """Return a float64 array of n, or n × outputs."""
        if self._closed:
            raise PredictionError("predictor", "it was closed", "Load the model again.")
        return self._made.call("predict", inputs)

    def close(self) -> None:
        """Release the model."""
        if not self._closed:
            self._closed = True
            if self._made.usable:
                self._made.call("close")


class _Contributions:
    """The ability to tell what each input adds."""

    _made: Made

    def contributions(self, inputs: Any) -> Any:
        """Return what the inputs of n rows add to the answers."""
        return self._made.call("contributions", inputs)


class _Portable:
    """The ability to be written down."""

    _made: Made

    def portable(self, signature: Signature) -> Mapping[str, bytes]:
        """Return file → content."""
        files: Mapping[str, bytes] = self._made.call("portable", signature)
        return files


class IsolatedFormat(ModelFormat):
    """A model format that runs apart."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        vars(self).update(apart.about["shown"])

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder."""
        return predictor(self._apart.call("load", folder.absolute(), manifest, threads=threads))

    def close(self) -> None:
        """End the process as soon as no model that it loaded is in use."""
        self._apart.close()


class IsolatedMonitor(Monitor):
    """A reporter that runs apart."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart

    def compare(self, reference: ArrowStream, current: ArrowStream, signature: Signature, out: Path) -> MonitorResult:
        """Write a report."""
        result: MonitorResult = self._apart.call("compare", reference, current, signature, out.absolute())
        return result

    def close(self) -> None:
        """End the process."""
        self._apart.close()


_PARTS: Final[Mapping[str, type]] = {
    "OfflineStore": IsolatedOfflineStore,
    "Trainer": IsolatedTrainer,
    "ModelFormat": IsolatedFormat,
    "Monitor": IsolatedMonitor,
}
_METHODS: Final[Mapping[str, type]] = {
    "SupportsSQL": _SQL,
    "SupportsParts": _Parts,
    "SupportsContributions": _Contributions,
    "SupportsPortable": _Portable,
}
"""Ability → what gives its methods; of others the attributes that are shown say all."""


def build(config: IsolatedConfig, context: Context) -> Any:
    """Start an adapter apart.

    Raises:
        StackwrightError: it cannot be built.
    """
    apart = Apart(config.launch, config.given, context)
    return _able(_PARTS[config.launch.provides], apart.about)(apart)


def build_from_text(text: str, context: Context) -> Any:
    """Start an adapter apart, by the text of its configuration.

    Raises:
        StackwrightError: it cannot be built.
    """
    return build(IsolatedConfig.from_text(text), context)


def predictor(made: Made) -> Predictor:
    """Return a predictor that was made apart."""
    found: Predictor = _able(IsolatedPredictor, made.about)(made)
    return found


def _able(part: type, about: Mapping[str, Any]) -> Any:
    """Return the class of a part with the abilities that were found, and no others."""
    methods = tuple(_METHODS[name] for name in about["abilities"] if name in _METHODS)
    return type(part.__name__, (part, *methods), {"__module__": __name__}) if methods else part

"""The flavour ``python``: a folder with ``model.json``, and what the class of the project or the trainer wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from stackwright_interfaces.errors import ArtifactError, PredictionError, ProjectError, TrainingError
from stackwright_interfaces.model import Manifest, ModelFormat, Predictor, Signature
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.project.hashing import module_hash
from stackwright_interfaces.project.modules import Project
from stackwright_interfaces.trainer import TaskKind
from stackwright_python import state
from stackwright_python.hooks import Hooks
from stackwright_python.plugin import PythonFormatConfig
from stackwright_python.project import loaded
from stackwright_python.rows import Shape

HEAD: Final = "model.json"
ARTIFACTS: Final = "artifacts"
_TODO: Final = "Restore the file, or publish the model again."


class PythonPredictor(Predictor):
    """Predicts with what a class of the project trained.

    Args:
        hooks: the class.
        model: what ``train`` returned.
        signature: inputs and outputs.
        kind: what is predicted.

    Raises:
        TrainingError: neither the class nor the model has a method ``predict`` that fits.
    """

    input = "columns"

    def __init__(self, hooks: Hooks, model: Any, signature: Signature, kind: TaskKind) -> None:
        self._hooks = hooks
        self._shape = Shape(signature, hooks.form)
        self._kind = kind
        self._outputs = len(signature.outputs)
        self._predict: Any = hooks.bound("predict", model)
        if self._predict is None:
            self._predict = _own_predict(hooks, model, kind)

    def predict(self, inputs: Any) -> Any:
        """Return n predictions, for classification probabilities of 1; of several outputs n × outputs.

        Args:
            inputs: input → array of n.

        Raises:
            PredictionError: an input is missing, the class failed, or it did not answer with a finite number a row.
        """
        if self._predict is None:
            raise PredictionError(self._hooks.reference, "used after it was closed")
        rows = self._shape(inputs)
        count = len(rows)
        if not count:
            return np.empty(0) if self._outputs == 1 else np.empty((0, self._outputs))
        with self._hooks.errors("predict", PredictionError):
            answer = self._predict(rows)
        return self._checked(answer, count)

    def _checked(self, answer: Any, count: int) -> Any:
        where = f"{self._hooks.reference}.predict"
        try:
            numbers = np.asarray(() if answer is None else answer, dtype=np.float64)
        except (ValueError, TypeError) as error:
            found = f"returned a {type(answer).__name__} that holds no numbers ({error})"
            raise PredictionError(where, found, "Return one number a row.") from error
        if self._outputs == 1 and numbers.shape == (count, 1):
            numbers = numbers[:, 0]
        if numbers.shape != ((count,) if self._outputs == 1 else (count, self._outputs)):
            found = "nothing" if answer is None else f"shape {numbers.shape}"
            todo = "Return one number a row." if self._outputs == 1 else f"Return {self._outputs} numbers a row."
            raise PredictionError(where, f"returned {found} for {count} rows", todo)
        bad = np.flatnonzero(~np.isfinite(numbers.reshape(count, -1)).all(axis=1))
        if bad.size:
            found = f"returned {numbers[bad[0]]} for row {bad[0]} ({bad.size} of {count} rows)"
            raise PredictionError(where, found, "Return a finite number for every row, missing inputs or not.")
        if self._kind is TaskKind.CLASSIFICATION and ((numbers < 0) | (numbers > 1)).any():
            found = f"returned {numbers[(numbers < 0) | (numbers > 1)][0]:g}"
            raise PredictionError(where, found, "Return the probability of 1, from 0 to 1.")
        return np.array(numbers)

    def close(self) -> None:
        """Let go of the model. Closing twice is allowed."""
        self._predict = None


def _own_predict(hooks: Hooks, model: Any, kind: TaskKind) -> Any:
    """Return the model's own method; a classifier's, which gives classes by ``predict``, is ``predict_proba``."""
    probabilities = getattr(model, "predict_proba", None)
    if kind is TaskKind.CLASSIFICATION and callable(probabilities):
        classes = list(getattr(model, "classes_", (0, 1)))
        if 1 not in classes:
            found = f"returned a {type(model).__name__} of the classes {', '.join(map(repr, classes))}, and none is 1"
            raise TrainingError(f"{hooks.reference}.train", found, "Fit it on the target as it comes: 0 and 1.")
        place = classes.index(1)
        return lambda rows: np.asarray(probabilities(rows))[:, place]
    if not callable(getattr(model, "predict", None)):
        found = f"returned a {type(model).__name__}, which has no method 'predict'"
        todo = "Return a model that has one, or add predict(self, model, inputs) to the class."
        raise TrainingError(f"{hooks.reference}.train", found, todo)
    return model.predict


class PythonFormat(ModelFormat):
    """Loads ``model.json`` and what is beside it, with the project's code as it was when the model was trained."""

    flavour: ClassVar[str] = "python"

    def __init__(self, config: PythonFormatConfig, context: Context | None) -> None:
        del config
        self._folder = Path.cwd() if context is None else context.project

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder whose files were verified against its manifest.

        Args:
            threads: how many a prediction uses is the class's own affair.

        Raises:
            ArtifactError: a file is missing or damaged, or the project's code is not what the model was trained with;
                then nothing of it was run.
        """
        del threads
        check_sizes(folder, manifest)
        head = _read_head(folder / HEAD)
        project = Project(self._folder)
        _check_code(project, head, manifest)
        try:
            hooks = Hooks(project, head["class"], head["config"])
            model = self._model(hooks, project, folder, own=head["own"])
            return PythonPredictor(hooks, model, manifest.signature, TaskKind(manifest.task))
        except (ProjectError, TrainingError) as error:
            raise ArtifactError(error.where, error.found, error.todo) from error
        except ValueError as error:
            raise ArtifactError(str(folder / HEAD), f"does not fit the manifest ({error})", _TODO) from error

    @staticmethod
    def _model(hooks: Hooks, project: Project, folder: Path, *, own: bool) -> Any:
        if own:
            return hooks.read(folder / ARTIFACTS)
        return state.read(folder, lambda reference: _class_of(project, reference))


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Check that every file of the manifest is there whole, before any code sees it.

    Raises:
        ArtifactError: one is not.
    """
    for name, entry in manifest.files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != entry.size:
            found = "is missing" if size is None else f"has {size} bytes, the manifest says {entry.size}"
            raise ArtifactError(str(path), found, _TODO)


def _read_head(path: Path) -> Mapping[str, Any]:
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        texts = isinstance(head["class"], str) and isinstance(head["code"], str)
        if not texts or not isinstance(head["config"], dict) or not isinstance(head["own"], bool):
            raise ValueError("a value of another type")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(str(path), f"damaged ({error!r})", _TODO) from error
    found: Mapping[str, Any] = head
    return found


def _check_code(project: Project, head: Mapping[str, Any], manifest: Manifest) -> None:
    reference = head["class"]
    try:
        code = module_hash(project, reference.partition(":")[0])
    except ProjectError as error:
        raise ArtifactError(error.where, error.found, error.todo) from error
    if code != head["code"] or code != manifest.code.get(reference, code):
        found = f"the code of {reference!r} is not the code that the model was trained with"
        raise ArtifactError(str(project.folder), found, "Restore it, or train the model again.")


def _class_of(project: Project, reference: str) -> type:
    found = loaded(project, reference)
    if not isinstance(found, type):
        raise LookupError(reference)
    return found

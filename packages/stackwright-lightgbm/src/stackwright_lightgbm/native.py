"""Prediction through LightGBM's C library, without the Python package around it.

``import lightgbm`` takes seconds (it brings scikit-learn and pandas along); the library loads in hundredths of one, and
answers a row in microseconds. The functions are those of LightGBM's ``c_api.h``; numbers are the same bits as
``Booster.predict`` gives.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, PluginError, PredictionError

_FLOAT64: Final = 1
_ROW_MAJOR: Final = 1
_PREDICT_NORMAL: Final = 0
_PREDICT_CONTRIB: Final = 3
_ALL_TREES: Final = -1
_FEW: Final = 16
"""Up to so many rows, one call a row costs less than what a call for many sets up."""

_NAMES: Final = {"win32": "lib_lightgbm.dll", "darwin": "lib_lightgbm.dylib"}

_Handle = ctypes.c_void_p
_Doubles = ctypes.POINTER(ctypes.c_double)


@cache
def library() -> ctypes.CDLL:
    """Return LightGBM's C library.

    Raises:
        PluginError: LightGBM is not installed, or its library does not load here.
    """
    path = _library_path()
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        todo = "Install what it needs (on Linux often libgomp1), or install lightgbm again."
        raise PluginError(str(path), f"LightGBM's library does not load ({error})", todo) from error


def _library_path() -> Path:
    spec = find_spec("lightgbm")
    todo = "Run: pip install --force-reinstall lightgbm"
    if spec is None or spec.origin is None:
        raise PluginError("lightgbm", "the package is not installed", todo)
    package = Path(spec.origin).parent
    name = _NAMES.get(sys.platform, "lib_lightgbm.so")
    for folder in (package / "lib", package / "bin", package.parent):
        if (folder / name).is_file():
            return folder / name
    raise PluginError(str(package), f"{name} is not there", todo)


def _last_error() -> str:
    describe = library().LGBM_GetLastError
    describe.restype = ctypes.c_char_p
    return str(describe().decode(errors="replace")).strip()


@cache
def parameter_aliases() -> Mapping[str, list[str]]:
    """Return the canonical name of each parameter that LightGBM knows → its other names."""
    dump = library().LGBM_DumpParamAliases
    length = ctypes.c_int64()
    dump(ctypes.c_int64(0), ctypes.byref(length), None)
    buffer = ctypes.create_string_buffer(length.value)
    dump(ctypes.c_int64(length.value), ctypes.byref(length), buffer)
    aliases: dict[str, list[str]] = json.loads(buffer.value)
    return aliases


class NativeBooster:
    """A loaded LightGBM model with one output; used from one thread at a time.

    Args:
        text: LightGBM's text form. It must come from a trusted place: LightGBM may end the process over a damaged one.
        threads: threads for the prediction of many rows; one row is always predicted by the calling thread.

    Raises:
        ArtifactError: LightGBM refuses the text.
        PluginError: LightGBM's library cannot be used.
    """

    def __init__(self, text: bytes, *, threads: int = 1) -> None:
        self._library = library()
        self._handle = _Handle()
        self._fast = _Handle()
        iterations = ctypes.c_int()
        found = ctypes.byref(iterations), ctypes.byref(self._handle)
        if self._library.LGBM_BoosterLoadModelFromString(ctypes.c_char_p(text), *found):
            raise ArtifactError("LightGBM model", _last_error(), "Publish the model again.")
        width = ctypes.c_int()
        self._library.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(width))
        self.inputs = width.value
        self._options = f"num_threads={threads} verbosity=-1".encode()
        self._row = np.empty(self.inputs)
        self._answer = np.empty(1)
        self._length = ctypes.c_int64()
        self._prepare_single_row()

    @property
    def compiled(self) -> bool:
        """Whether machine code answers in LightGBM's place."""
        return False

    def _prepare_single_row(self) -> None:
        """Bind row, answer and options once: looking them up costs more than the prediction."""
        kind = ctypes.c_int(_PREDICT_NORMAL), ctypes.c_int(0), ctypes.c_int(_ALL_TREES)
        shape = ctypes.c_int(_FLOAT64), ctypes.c_int32(self.inputs)
        options = ctypes.c_char_p(b"num_threads=1 verbosity=-1")
        fast = ctypes.byref(self._fast)
        if self._library.LGBM_BoosterPredictForMatSingleRowFastInit(self._handle, *kind, *shape, options, fast):
            raise ArtifactError("LightGBM model", _last_error(), "Publish the model again.")
        self._predict_row = self._library.LGBM_BoosterPredictForMatSingleRowFast
        self._bound = (
            self._fast,
            self._row.ctypes.data_as(_Doubles),
            ctypes.byref(self._length),
            self._answer.ctypes.data_as(_Doubles),
        )

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the predictions of n rows.

        Args:
            matrix: float64, n × inputs.

        Raises:
            PredictionError: the matrix has another shape, or LightGBM failed.
        """
        rows = self._checked(matrix)
        answer = np.empty(len(rows))
        if len(rows) <= _FEW:
            for place, row in enumerate(rows):
                self._row[:] = row
                self._check(self._predict_row(*self._bound))
                answer[place] = self._answer[0]
        else:
            self._predict_many(np.ascontiguousarray(rows), answer)
        return answer

    def contributions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each input adds to the raw score of n rows, and last the score without any: n × (inputs + 1).

        They are Shapley values of the trees (Lundberg et al., https://arxiv.org/abs/1802.03888); a row takes many times
        as long as its prediction.

        Args:
            matrix: float64, n × inputs.

        Raises:
            PredictionError: the matrix has another shape, or LightGBM failed.
        """
        rows = self._checked(matrix)
        answer = np.empty((len(rows), self.inputs + 1))
        if len(rows):
            self._predict_many(np.ascontiguousarray(rows), answer, _PREDICT_CONTRIB)
        return answer

    def _checked(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.asarray(matrix, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.inputs:
            found = f"an array of shape {rows.shape}, the model takes n × {self.inputs}"
            raise PredictionError("model input", found, "Give the inputs of the model's signature, in order.")
        if not self._handle:
            raise PredictionError("LightGBM model", "used after it was closed")
        return rows

    def _predict_many(
        self, rows: NDArray[np.float64], answer: NDArray[np.float64], what: int = _PREDICT_NORMAL
    ) -> None:
        shape = ctypes.c_int32(rows.shape[0]), ctypes.c_int32(rows.shape[1]), ctypes.c_int(_ROW_MAJOR)
        kind = ctypes.c_int(what), ctypes.c_int(0), ctypes.c_int(_ALL_TREES)
        code = self._library.LGBM_BoosterPredictForMat(
            self._handle,
            rows.ctypes.data_as(_Doubles),
            ctypes.c_int(_FLOAT64),
            *shape,
            *kind,
            ctypes.c_char_p(self._options),
            ctypes.byref(self._length),
            answer.ctypes.data_as(_Doubles),
        )
        self._check(code)

    @staticmethod
    def _check(code: int) -> None:
        if code:
            raise PredictionError("LightGBM model", _last_error())

    def close(self) -> None:
        """Free the model. Closing twice is allowed."""
        if self._fast:
            self._library.LGBM_FastConfigFree(self._fast)
            self._fast.value = None
        if self._handle:
            self._library.LGBM_BoosterFree(self._handle)
            self._handle.value = None

    def __del__(self) -> None:
        if hasattr(self, "_fast"):
            self.close()

"""Machine code of a model's trees: loaded and called through LLVM.

The code is an object file of one function, ``forest_root(rows, answers, first, end)``, as lleaves writes it
(https://lleaves.readthedocs.io): it reads float64 rows one after the other and writes an answer a row. Its addresses
are whole ones (the "large" code model): short ones are cut off silently where its parts come to lie far apart.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

ENTRY: Final = "forest_root"

_ROWS: Final = 16_384
"""Rows a call, over which each tree passes in turn; a quarter as many cost a twentieth more, and more gain nothing."""

_Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)


class MachineCode:
    """A model's trees as a function of this process; any number of threads may call it at once.

    Args:
        code: the object file.
    """

    def __init__(self, code: bytes) -> None:
        import llvmlite.binding as llvm

        llvm.initialize()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            reloc="pic", codemodel="large"
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self._function = _Function(self._engine.get_function_address(ENTRY))

    def predict(self, rows: NDArray[np.float64], threads: int = 1) -> NDArray[np.float64]:
        """Return an answer a row.

        Args:
            rows: float64, n × inputs, in row-major order.
            threads: threads for many rows.
        """
        answer = np.empty(len(rows))
        parts = [(rows[first : first + _ROWS], answer[first : first + _ROWS]) for first in range(0, len(rows), _ROWS)]
        if threads == 1 or len(parts) <= 1:
            for part in parts:
                self._fill(part)
        else:
            with ThreadPoolExecutor(min(threads, len(parts)), thread_name_prefix="trees") as pool:
                list(pool.map(self._fill, parts))
        return answer

    def _fill(self, part: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
        rows, answer = part
        self._function(rows.ctypes.data, answer.ctypes.data, 0, len(rows))

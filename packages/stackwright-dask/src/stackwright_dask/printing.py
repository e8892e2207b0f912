"""Where worker processes print that were started here."""

from __future__ import annotations

import os
from typing import Any

from distributed import WorkerPlugin


class PrintsAside(WorkerPlugin):  # type: ignore[misc] # Dask is typed in part only
    """Has a worker's standard output go to its standard error: ours belongs to what a verb says, as JSON perhaps.

    That is done by descriptor: libraries such as LightGBM print there past Python.
    """

    name = "stackwright-prints-aside"

    def setup(self, worker: Any) -> None:  # noqa: ARG002 -- of Dask's interface
        """Turn the descriptor of a worker that starts."""
        os.dup2(2, 1)

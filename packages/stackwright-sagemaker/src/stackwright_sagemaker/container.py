"""The container's command: SageMaker runs an image with the argument ``serve``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import StackwrightError, StorageError
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.storage import Storage
from stackwright_sagemaker.model_folder import unpack
from stackwright_sagemaker.plugin import SageMakerConfig
from stackwright_sagemaker.server import SageMakerServer

MODEL_DIR: Final = "SM_MODEL_DIR"
"""Variable with the model folder, ``/opt/ml/model`` by default."""

WORK: Final = "STACKWRIGHT_WORK"
"""Variable with a folder where the project may be written to; by default a new one for temporary files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the model folder until SIGTERM; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given != ["serve"]:
        sys.stderr.write("usage: stackwright-sagemaker serve\n")
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="stackwright-", dir=os.environ.get(WORK) or None) as work:
            _serve(Path(os.environ.get(MODEL_DIR) or "/opt/ml/model"), Path(work))
    except (StackwrightError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve(folder: Path, work: Path) -> None:
    app, options = unpack(folder, work)
    cache = work / "cache"
    cache.mkdir()
    os.chdir(work)
    server = SageMakerServer(SageMakerConfig(**options), Context(project=work, cache=cache, storage=_no_storage))
    try:
        server.serve(app, lambda url: print(f"Serving on {url}", file=sys.stderr, flush=True))
    finally:
        server.close()


def _no_storage(url: str) -> Storage:
    raise StorageError(url, "a server opens no storage")


if __name__ == "__main__":
    sys.exit(main())

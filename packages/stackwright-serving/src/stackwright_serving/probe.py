"""Loads a model folder in a child process first: a parser that aborts takes the child with it, not the server.

``python -m stackwright_serving.probe FOLDER MODULE:FACTORY PROJECT [CONFIG]`` verifies the hashes, loads the payload
and checks the golden predictions, of a recommender the golden lists; it prints one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from stackwright_interfaces.errors import ArtifactError, StackwrightError, StorageError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.storage import Storage
from stackwright_serving import golden, golden_lists
from stackwright_serving.model import LoadedModel


def probe(
    folder: Path, factory: str, *, project: Path, timeout: float = 60.0, config: str | None = None
) -> dict[str, Any]:
    """Load a folder in a child process.

    Args:
        folder: the model folder.
        factory: ``"module:callable"`` of the format.
        project: the project folder, whose code a model may need.
        timeout: seconds.
        config: handed to the factory; without it the format must need no configuration.

    Returns:
        ``digest`` and ``difference``, the greatest relative difference from the golden outputs.

    Raises:
        ArtifactError: the child refused the folder, died or did not end.
    """
    command = [sys.executable, "-m", __name__, str(folder), factory, str(project), *([config] if config else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        todo = "Try it again when the machine does less; if that does not help, train the model again."
        raise ArtifactError(str(folder), f"did not load within {timeout:g} s", todo) from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        found = f"the process that loaded it ended with code {done.returncode}: {done.stderr.strip()[-300:]}"
        raise ArtifactError(str(folder), found, "The payload is damaged; train the model again.") from error
    if "where" in answer:
        raise ArtifactError(answer["where"], answer["found"], answer["todo"])
    return answer


def main(arguments: list[str]) -> int:
    """Load and check, and print the answer as one JSON line."""
    folder, (module, _, name), project = Path(arguments[0]), arguments[1].partition(":"), Path(arguments[2])
    config = arguments[3] if len(arguments) > 3 else None
    context = Context(project=project, cache=project, storage=_no_storage)
    try:
        answer = _checked(folder, getattr(import_module(module), name)(config, context))
    except StackwrightError as error:
        answer = {"where": error.where, "found": error.found, "todo": error.todo}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0


def _checked(folder: Path, format_: Any) -> dict[str, Any]:
    manifest = Manifest.read(folder)
    if manifest.task == TASK:
        lists = format_.load(folder, manifest)
        return {"digest": manifest.digest, "difference": golden_lists.check(folder, lists)}
    model = LoadedModel.load(folder, format_)
    return {"digest": model.digest, "difference": golden.check(folder, model)}


def _no_storage(url: str) -> Storage:
    raise StorageError(url, "a model format opened a storage while its model was probed", "Load from the folder alone.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

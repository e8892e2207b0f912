"""The context of an image for SageMaker, and the archive of its model folder, written without a container engine."""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.server import App
from stackwright_sagemaker.model_folder import pack
from stackwright_sagemaker.plugin import SageMakerConfig

ARCHIVE: Final = "model.tar.gz"

_DOCKERFILE: Final = """\
FROM python:{python}-slim
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY requirements.txt wheels/ /opt/program/
RUN pip install --no-cache-dir --find-links /opt/program -r /opt/program/requirements.txt
EXPOSE 8080
ENTRYPOINT ["stackwright-sagemaker"]
CMD ["serve"]
"""


def build(
    app: App,
    project: Path,
    folder: Path,
    *,
    config: SageMakerConfig | None = None,
    requirements: Sequence[str] | None = None,
    wheels: Iterable[Path] = (),
    skipped: Iterable[str] = (),
) -> Path:
    """Write the context of an image, ``model/`` for ``/opt/ml/model``, and ``model.tar.gz`` with the same content.

    Args:
        app: the application.
        project: the project folder.
        folder: must not exist yet.
        config: options of the server.
        requirements: what the image installs; without it the installed versions of this distribution, of the
            application's, and of all that offer stackwright adapters.
        wheels: distributions that no index has.
        skipped: patterns of the project's files to leave out.

    Returns:
        the folder.

    Raises:
        ServerError: the folder exists.
    """
    if folder.exists():
        raise ServerError(str(folder), "exists already", "Remove it, or name another folder.")
    pack(app, project, folder / "model", options=asdict(config or SageMakerConfig()), skipped=skipped)
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for entry in sorted((folder / "model").iterdir()):
            archive.add(entry, entry.name)
    (folder / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy2(wheel, folder / "wheels")
    (folder / "wheels" / ".keep").touch()
    lines = list(requirements) if requirements is not None else _installed(app)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(python=python), encoding="utf-8")
    return folder


def _installed(app: App) -> list[str]:
    offered = {point.dist.name for point in entry_points(group="stackwright") if point.dist is not None}
    package = app.factory.partition(":")[0].partition(".")[0]
    application = packages_distributions().get(package, [package.replace("_", "-")])  # editable ones are not listed
    versions = {name: _version(name) for name in {*offered, *application, "stackwright-sagemaker"}}
    return [f"{name}=={version}" for name, version in sorted(versions.items()) if version]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

"""A new project: the blueprint's files, and its sample data on request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import blueprint as blueprints
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.project import Project, write_json
from stackwright.workflows.outcome import Outcome
from stackwright_interfaces.errors import ProjectError, UsageError, did_you_mean
from stackwright_interfaces.plugin import BlueprintSpec, Progress, Sample, SampleSpec

FILES: Final = ("blueprint.toml", "features.py", "README.md")

_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


def new(
    folder: Path,
    blueprint: str,
    *,
    sample: bool,
    options: Mapping[str, str],
    progress: Progress,
    plugins: Plugins | None = None,
) -> Outcome:
    """Make a project folder.

    Raises:
        PluginError: no such blueprint or sample is installed.
        ProjectError: the folder holds something already.
    """
    plugins = plugins or Plugins()
    spec = plugins.blueprint(blueprint)
    if options and not sample:
        raise UsageError("--set", "options are given, but no sample is asked for", "Add: --sample")
    chosen = _sample(plugins, spec, options) if sample else None
    _copy(spec, folder)
    project = Project.find(folder)
    if chosen is not None:
        generate(project, spec.name, *chosen, progress)
    data = {"project": str(project.folder), "blueprint": spec.name, "sample": sample}
    note = (
        f"Next: stackwright up --project {folder}"
        if sample
        else f"Next: edit features.py, then: stackwright check --project {folder}"
    )
    return Outcome(f"Made {folder} from the blueprint {spec.name!r}", data, notes=(note,))


def _copy(spec: BlueprintSpec, folder: Path) -> None:
    if (folder / blueprints.FILE).exists() or (folder.is_dir() and any(folder.iterdir())):
        raise ProjectError(str(folder), "the folder is not empty", "Name a new folder.")
    made = folder.with_name(f".{folder.resolve().name}.new")
    try:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(_file(spec, name), made / name)
        made.replace(folder)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise ProjectError(str(folder), f"cannot be written ({error.strerror})", "Choose another folder.") from error


def _file(spec: BlueprintSpec, name: str) -> Path:
    return spec.features if name == "features.py" and spec.features is not None else spec.folder / name


def add_sample(
    project: Project,
    blueprint: str,
    options: Mapping[str, str],
    progress: Progress,
    plugins: Plugins | None = None,
) -> None:
    """Make the sample of a project that has none, because making it was cut off say.

    Raises:
        PluginError: no such blueprint or sample is installed.
        UsageError: the blueprint has no sample, or an option is unknown.
    """
    plugins = plugins or Plugins()
    spec = plugins.blueprint(blueprint)
    generate(project, spec.name, *_sample(plugins, spec, options), progress)


def _sample(plugins: Plugins, spec: BlueprintSpec, options: Mapping[str, str]) -> tuple[SampleSpec, dict[str, Any]]:
    if not spec.sample:
        raise UsageError("--sample", f"the blueprint {spec.name!r} has no sample", "Leave --sample out.")
    found = plugins.sample(spec.sample)
    given = {key: _as_default(found, key, value) for key, value in options.items()}
    return found, {**found.options, **spec.sample_options, **given}


def _as_default(spec: SampleSpec, key: str, value: str) -> Any:
    if key not in spec.options:
        todo = did_you_mean(key, spec.options) or f"Known: {', '.join(spec.options)}."
        raise UsageError("--set", f"the sample has no option {key!r}", todo)
    kind = type(spec.options[key])
    try:
        return _TRUTH[value.lower()] if kind is bool else kind(value)
    except (ValueError, KeyError) as error:
        expected = "true or false" if kind is bool else f"a {kind.__name__}"
        raise UsageError("--set", f"{key} is {value!r}", f"Give {expected}.") from error


def generate(
    project: Project, blueprint: str, spec: SampleSpec, options: Mapping[str, Any], progress: Progress
) -> Sample:
    """Write the sample's files into the project, and ``sample.json`` last, so that a cut-off sample is made anew."""
    module, _, name = spec.factory.partition(":")
    shutil.rmtree(project.sample, ignore_errors=True)
    project.sample.mkdir(parents=True)
    made: Sample = getattr(import_module(module), name)(project.sample, blueprint, options, progress)
    document = {
        "views": {view: str(path.relative_to(project.folder)) for view, path in made.views.items()},
        "labels": {target: str(path.relative_to(project.folder)) for target, path in made.labels.items()},
        "late_labels": {target: str(path.relative_to(project.folder)) for target, path in made.late_labels.items()},
        "requests": str(made.requests.relative_to(project.folder)),
        "split": made.split.isoformat(),
        "truth": dict(made.truth),
        "options": dict(options),
    }
    write_json(project.sample / "sample.json", document)
    return made


def load_sample(project: Project) -> Sample | None:
    """Return the project's sample, or ``None`` where it has none.

    Raises:
        ProjectError: what is written of it is damaged.
    """
    path = project.sample / "sample.json"
    if not path.exists():
        return None
    try:
        return _described(project, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        todo = "Delete it, and have the sample made anew: stackwright up DIR --sample."
        raise ProjectError(str(path), f"cannot be read as the description of a sample ({error!r})", todo) from error


def _described(project: Project, document: Mapping[str, Any]) -> Sample:
    def paths(key: str) -> dict[str, Path]:
        return {name: project.folder / item for name, item in document[key].items()}

    return Sample(
        views=paths("views"),
        labels=paths("labels"),
        late_labels=paths("late_labels"),
        requests=project.folder / document["requests"],
        split=datetime.fromisoformat(document["split"]),
        truth=document["truth"],
    )

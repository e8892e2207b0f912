"""Exporting a model: a folder that predicts on its own, for a device that has no stackwright."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.additive import written_down
from stackwright.workflows.versions.resolving import find, refuse_lists
from stackwright_interfaces.errors import ModelError, ProjectError, UsageError
from stackwright_interfaces.model import GOLDEN, Manifest, SupportsAdditive, SupportsPortable
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.trainer import TaskKind

PAYLOADS: Final[Mapping[str, str]] = {"lightgbm": "model.txt", "onnx": "model.onnx"}
"""Flavours that can be exported → their payload, which is its library's own portable form."""

NEEDING: Final[Mapping[str, str]] = {"model.onnx": "onnxruntime and numpy"}
"""Payload → what answers with it, where Python alone does not."""

NAMED: Final = "outputs.json"
"""File of an ONNX model's folder: the outputs of the graph that answer, where these were named."""

ADDITIVE: Final = "model.json"
"""File of a model that is a sum over its inputs."""

PREPARED: Final = "prepared.json"
"""File of a model whose columns, and what answers by them, are written down."""

PROGRAM: Final = "predict.py"
BESIDE: Final[Mapping[str, str]] = {"model.onnx": "graph.py", PREPARED: "prepared.py"}
"""Payload → the program that :data:`PROGRAM` asks for an answer, where it does not answer itself."""

SCHEMA: Final = "schema.json"


def export(stack: Stack, ref: str, out: Path) -> Outcome:
    """Write a version as a folder that predicts with nothing but Python's standard library; of ONNX with onnxruntime.

    It holds the model in its library's own form, or written down, ``schema.json`` (inputs, categories, what
    is done about missing values, steps after the model, intervals, rules), the golden predictions, and ``predict.py``,
    which was run on them before the folder gets its name.

    Args:
        ref: ``NAME@VERSION`` or ``NAME@ALIAS``; a bare name is its newest version.
        out: the folder to make.

    Raises:
        ModelNotFound: there is no such version.
        UsageError: the folder is there already, or models of this flavour or task cannot be exported.
        ProjectError: it cannot be written.
        ModelError: what was exported does not give the golden predictions.
    """
    version = find(stack, ref)
    folder = stack.registry.fetch(version)
    manifest = Manifest.read(folder)
    if manifest.task == TaskKind.TIME_TO_EVENT:
        todo = "Serve it with stackwright."
        raise UsageError(version.ref, "models of times to an event have no portable form", todo)
    if len(manifest.signature.outputs) > 1:
        todo = "Serve it with stackwright, or train it without quantiles."
        raise UsageError(version.ref, "models of several outputs have no portable form", todo)
    payload = _payload(stack, version, manifest, folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(str(out), "is there already", "Name a folder that is not there yet.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as place:
            made = Path(place) / out.name
            made.mkdir()
            for name, content in payload.items():
                (made / name).write_bytes(content)
            _write(stack, version, manifest, folder, made, list(payload))
            told = _checked(version, made, alone=not NEEDING.keys() & payload.keys())
            made.rename(out)
    except OSError as error:
        todo = "Free space or allow writing there."
        raise ProjectError(str(out), f"cannot be written ({error.strerror})", todo) from error
    listed = [(path.name, path.stat().st_size) for path in sorted(out.iterdir())]
    data = {"model": version.ref, "digest": version.digest, "out": str(out), "files": dict(listed)}
    notes = (f"Checked: {told}", f"Try it: python {out / PROGRAM} --check")
    return Outcome(f"Exported {version.ref} to {out}", data, (Table(("file", "bytes"), listed),), notes)


def _payload(stack: Stack, version: ModelVersion, manifest: Manifest, folder: Path) -> Mapping[str, bytes]:
    """Return name → content of the files that hold the model in a portable form, the one that is asked first.

    Raises:
        UsageError: it has none.
    """
    if manifest.flavour in PAYLOADS:
        return {PAYLOADS[manifest.flavour]: (folder / PAYLOADS[manifest.flavour]).read_bytes()}
    refuse_lists(version.ref, manifest, f"Write its lists for the device: stackwright recommend {version.ref} --to OUT")
    predictor = stack.model_format(manifest.flavour).load(folder, manifest)
    try:
        document = written_down(predictor, manifest.signature) if isinstance(predictor, SupportsAdditive) else None
        if document is not None:
            return {ADDITIVE: (json.dumps(document, indent=1) + "\n").encode()}
        if isinstance(predictor, SupportsPortable):
            return predictor.portable(manifest.signature)
    except UsageError as error:
        raise UsageError(version.ref, error.found, error.todo) from error
    finally:
        predictor.close()
    todo = f"Train it with one of: {', '.join(PAYLOADS)}; or a tree, forest or linear model of scikit-learn."
    raise UsageError(version.ref, f"this model of flavour {manifest.flavour!r} has no portable form", todo)


def _write(
    stack: Stack, version: ModelVersion, manifest: Manifest, folder: Path, out: Path, payload: Sequence[str]
) -> None:
    shutil.copyfile(folder / GOLDEN, out / GOLDEN)
    for program in (PROGRAM, *(BESIDE[name] for name in payload if name in BESIDE)):
        text = files("stackwright.portable").joinpath(program).read_text(encoding="utf-8")
        (out / program).write_text(text, encoding="utf-8")
    schema = schema_of(version, manifest)
    if (folder / NAMED).is_file():
        schema["graph_outputs"] = json.loads((folder / NAMED).read_text(encoding="utf-8"))
    schema["files"] = {name: sha256((out / name).read_bytes()).hexdigest() for name in (*payload, GOLDEN)}
    (out / SCHEMA).write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_readme(stack, version, schema), encoding="utf-8")


def schema_of(version: ModelVersion, manifest: Manifest) -> dict[str, Any]:
    """Return what ``predict.py`` must know of a model beside its payload; JSON values."""
    signature = manifest.signature
    return {
        "model": version.ref,
        "digest": version.digest,
        "task": manifest.task,
        "output": signature.outputs[0].name,
        "inputs": [
            {
                "name": item.name,
                "type": str(item.type),
                "description": item.description,
                "missing": signature.missing.get(item.name, "allow"),
                "categories": list(signature.categories[item.name]) if item.name in signature.categories else None,
                "computed": item.name in manifest.transforms,
            }
            for item in signature.inputs
        ],
        "postprocess": [dict(step) for step in manifest.postprocess],
        "intervals": manifest.intervals,
        "rules": dict(manifest.parameters.get("rules", {})),
    }


def _checked(version: ModelVersion, folder: Path, *, alone: bool) -> str:
    """Run the exported program on its golden predictions.

    Args:
        alone: out of reach of every installed package.
    """
    command = [sys.executable, "-I", *(["-S"] if alone else []), PROGRAM, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    if done.returncode:
        found = f"what was exported does not predict alike: {done.stderr.strip()[-300:]}"
        raise ModelError(version.ref, found, "Serve this model with stackwright.")
    return done.stdout.strip()


def _readme(stack: Stack, version: ModelVersion, schema: Mapping[str, Any]) -> str:
    service = {item.ref: item for item in stack.definitions.services}
    steps = {step.name: step for item in service.values() for step in item.transforms}
    lines = [f"# {version.ref}", "", f"Predicts {schema['output']} ({schema['task']}). Digest {version.digest}.", ""]
    lines += ["```sh", "echo '" + json.dumps(_example(schema)) + f"' | python {PROGRAM}"]
    lines += [f"python {PROGRAM} --check   # gives the golden predictions", "```", ""]
    payload = next(iter(schema["files"]))
    lines += [f"It needs Python 3.10 or later, and {NEEDING.get(payload, 'nothing else')}. {_FORMS[payload]}", ""]
    lines += ["| input | type | missing | from |", "|---|---|---|---|"]
    for item in schema["inputs"]:
        made = ", ".join(steps[item["name"]].inputs) if item["computed"] and item["name"] in steps else ""
        origin = f"computed of {made}, before it comes here" if made else item["description"]
        lines.append(f"| {item['name']} | {item['type']} | {item['missing']} | {origin} |")
    return "\n".join(lines) + "\n"


_FORMS: Final[Mapping[str, str]] = {
    "model.txt": "`model.txt` is LightGBM's own text form.",
    "model.onnx": "`model.onnx` is asked by `graph.py`.",
    ADDITIVE: f"`{ADDITIVE}` says what each input adds.",
    PREPARED: f"`{PREPARED}` says how inputs become columns and what answers by these; `prepared.py` follows it.",
}


def _example(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        item["name"]: item["categories"][0] if item["categories"] else ("" if item["type"] == "string" else 1)
        for item in schema["inputs"]
    }

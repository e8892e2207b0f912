"""A model at rest and a model at work: reference, signature, manifest, format, predictor.

A model is a folder: ``manifest.json``, ``golden.jsonl`` and the payload. The manifest names every file with size and
SHA-256. Its *digest* covers payload, schema and definitions, never clock times or metrics: the same data, code and
seed give the same digest. Loading runs no code from the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, Self, runtime_checkable

from stackwright_interfaces.catalogue import canonical, field_from_json, field_to_json
from stackwright_interfaces.errors import ArtifactError, DefinitionError, UsageError
from stackwright_interfaces.types import Field

CONTRACT: Final = 1
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
GOLDEN: Final = "golden.jsonl"

_REF = re.compile(r"(?P<name>[A-Za-z_][\w-]*(?:/[A-Za-z_][\w-]*)?)(?:@(?P<at>[0-9]{1,18}|(?=.*[^0-9])[\w.-]+))?")
_VERSION = re.compile("[0-9]+")


@dataclass(frozen=True)
class ModelRef:
    """``name``, ``name@7`` (a version) or ``name@champion`` (an alias)."""

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises:
            UsageError: it is none.
        """
        match = _REF.fullmatch(text)
        if match is None:
            raise UsageError(f"model {text!r}", "not a model reference", "Write NAME, NAME@VERSION or NAME@ALIAS.")
        at = match["at"]
        if at is None:
            return cls(match["name"])
        return cls(match["name"], version=int(at)) if _VERSION.fullmatch(at) else cls(match["name"], alias=at)

    def __str__(self) -> str:
        at = self.version if self.version is not None else self.alias
        return self.name if at is None else f"{self.name}@{at}"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What goes in and what comes out.

    Args:
        inputs: the model's inputs in order, as the feature service gives them.
        outputs: the outputs in order; the first is the prediction.
        categories: input → known categories, sorted; the code of a category is its place, of an unknown one the number
            of categories, of a missing one NaN.
        missing: input → ``"allow"`` (null goes in as NaN) or ``"refuse"`` (the row is refused); others allow.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: Mapping[str, Literal["allow", "refuse"]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file of the folder."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """``manifest.json``.

    Args:
        flavour: which :class:`ModelFormat` loads the payload, ``"lightgbm"`` say.
        files: relative path → size and hash, of every file but the manifest.
        signature: inputs and outputs.
        task: ``"regression"``, ``"classification"``, ``"ranking"``, ``"time_to_event"`` or ``"recommendation"``.
        target: name of the target.
        service: ``name@version`` of the feature service.
        definitions: name → hash of the meaning of the service, its views and the target.
        transforms: transform → SHA-256 of its code.
        postprocess: steps between the model's number and the answer, in order, ``{"op": "exp"}`` say.
        intervals: conformal table, as ``stackwright_numerics.conformal`` reads it, or ``None``.
        histograms: reference distribution by column, as ``stackwright_numerics.drift`` reads it.
        data: fingerprint of the training set: rows, SHA-256, first and last time asked.
        code: lock and code versions that matter to the numbers.
        parameters: parameters of the fit, with seed and threads.
        format: version of this layout.
    """

    flavour: str
    files: Mapping[str, FileEntry]
    signature: Signature
    task: str
    target: str = ""
    service: str = ""
    definitions: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)
    postprocess: tuple[Mapping[str, Any], ...] = ()
    intervals: Mapping[str, Any] | None = None
    histograms: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """``sha256:`` and the hex SHA-256 of the canonical JSON of the manifest."""
        return "sha256:" + hashlib.sha256(canonical(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document["files"] = {name: asdict(entry) for name, entry in self.files.items()}
        document["signature"] = {
            "inputs": [field_to_json(item) for item in self.signature.inputs],
            "outputs": [field_to_json(item) for item in self.signature.outputs],
            "categories": {name: list(known) for name, known in self.signature.categories.items()},
            "missing": dict(self.signature.missing),
        }
        document["postprocess"] = [dict(step) for step in self.postprocess]
        return document

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read the JSON form.

        Raises:
            ArtifactError: another format, or not a manifest.
        """
        if not isinstance(document, Mapping):
            raise ArtifactError(MANIFEST, "not a manifest", "Publish the model again.")
        if document.get("format") != FORMAT:
            raise ArtifactError(MANIFEST, f"format {document.get('format')!r}, this version reads {FORMAT}")
        try:
            signature = document["signature"]
            return cls(
                **{
                    **document,
                    "files": {name: FileEntry(**entry) for name, entry in document["files"].items()},
                    "signature": Signature(
                        inputs=tuple(field_from_json(item) for item in signature["inputs"]),
                        outputs=tuple(field_from_json(item) for item in signature["outputs"]),
                        categories={name: tuple(known) for name, known in signature["categories"].items()},
                        missing=dict(signature["missing"]),
                    ),
                    "postprocess": tuple(document["postprocess"]),
                }
            )
        except (DefinitionError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(MANIFEST, f"not a manifest ({error!r})", "Publish the model again.") from error

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into a folder whose files it describes."""
        (folder / MANIFEST).write_text(json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``manifest.json`` and verify every file: present, of the right size and hash, and none besides.

        Raises:
            ArtifactError: the folder is not what its manifest says. Nothing of the payload has been parsed.
        """
        try:
            manifest = cls.from_json(json.loads((folder / MANIFEST).read_text()))
        except (OSError, ValueError) as error:
            raise ArtifactError(
                str(folder / MANIFEST), f"cannot be read ({error})", "Publish the model again."
            ) from error
        found = describe_files(folder)
        for name in sorted({*found, *manifest.files}):
            if found.get(name) != manifest.files.get(name):
                state = (
                    "missing"
                    if name not in found
                    else "not in the manifest"
                    if name not in manifest.files
                    else "altered"
                )
                raise ArtifactError(
                    str(folder / name), f"the file is {state}", "Restore it, or publish the model again."
                )
        return manifest


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Return relative path → size and hash of every file below a folder but the manifest; links are not followed.

    Raises:
        ArtifactError: something below the folder is neither a file nor a folder.
    """
    entries: dict[str, FileEntry] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(str(path), "not a plain file", "A model folder holds plain files only.")
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            entries[name] = FileEntry(size=path.stat().st_size, sha256=digest)
    return entries


class Predictor(ABC):
    """A loaded model. Gives the same answer for a row whatever rows come with it; used from one thread at a time.

    Attributes:
        input: ``"matrix"`` (float64, n × inputs, categories as codes, null as NaN) or ``"columns"`` (name → array of
            n, numbers as float64, everything else as objects).
    """

    input: ClassVar[Literal["matrix", "columns"]] = "matrix"

    @abstractmethod
    def predict(self, inputs: Any) -> Any:
        """Return a float64 array of n (one output) or n × outputs.

        Raises:
            PredictionError: the input does not fit, or the model failed.
        """

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What each input adds to a model's raw score, for n rows.

    Args:
        values: float64, n × inputs, in the signature's order.
        base: float64 of n: the raw score where nothing is known of a row. With the values of its row it adds up to the
            raw score.
        link: how the predictor's answer follows from the raw score: ``"identity"``, ``"exp"``, ``"logistic"`` or
            ``"square"`` (which keeps the sign).
    """

    values: Any
    base: Any
    link: Literal["identity", "exp", "logistic", "square"] = "identity"


@runtime_checkable
class SupportsContributions(Protocol):
    """A predictor that tells what each input adds to its answer, by what the model itself is made of."""

    def contributions(self, inputs: Any) -> Contributions:
        """Return what the inputs of n rows, given as to ``predict``, add to its answers.

        Raises:
            PredictionError: the input does not fit, or the model failed.
        """
        ...


@runtime_checkable
class SupportsAdditive(SupportsContributions, Protocol):
    """A predictor of a matrix whose contributions each depend on their own input alone: they can be written down.

    Attributes:
        additive: true.
    """

    additive: bool


@runtime_checkable
class SupportsPortable(Protocol):
    """A predictor that can be written down for a program without its library (``stackwright export``)."""

    def portable(self, signature: Signature) -> Mapping[str, bytes]:
        """Return file → content: ``prepared.json``, and ``model.txt`` beside it where LightGBM's own text answers.

        ``prepared.json`` says how a row becomes columns, and what answers by these; every number is finite.

        * ``texts``: names of the inputs that are taken as texts; others as numbers, categories as their codes.
        * ``keys``: place of an input → its values that are told apart, texts or numbers.
        * ``columns``: each of an ``input``, a place. Of a number ``steps``, in order: ``["fill", x]`` where it is
          missing, ``["missing"]`` (1 where it is, else 0), ``["add", x]``, ``["subtract", x]``, ``["multiply", x]``,
          ``["divide", x]``, ``["clip", low, high]``. Of keys their values: ``usual``, ``others`` (number of a key →
          value), ``unknown`` and ``missing``; ``"nan"`` is NaN, and ``null`` is refused.
        * ``model``: ``{"kind": "lightgbm"}``; ``{"kind": "linear", "coefficients", "intercept", "link"}``; or
          ``{"kind": "trees", "trees", "base", "factor", "share", "link", "single", "takes_missing", "known"}``, whose
          answer is the link of (base + the sum of factor x leaf) / share. A tree is ``feature`` (a column, -1 of a
          leaf), ``threshold`` (a number, at most which goes left; the list of categories that do; or ``null``, and all
          that is not missing does), ``left``, ``right``, ``missing_left`` and ``value``, each a list by node.
          ``single``: columns are compared in single precision. ``known``: column → its categories; others go where
          missing ones go. Links are ``"identity"``, ``"exp"``, ``"logistic"`` and ``"logistic of twice"``.

        * ``after``: steps that are taken with the answer, as above; ``["exp"]`` and ``["expm1"]`` are known too.

        Raises:
            UsageError: it cannot be written down; which part of it cannot.
        """
        ...


class ModelFormat(ABC):
    """Loads one flavour of model folder, whatever trainer made it."""

    flavour: ClassVar[str]

    @abstractmethod
    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder whose files were verified against its manifest.

        Raises:
            ArtifactError: the payload is not what the flavour demands.
        """

"""The gate of named cases: inputs whose answers a team has agreed upon."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from stackwright.workflows.datasets.ready_rows import ReadyRows
from stackwright.workflows.gates.base import Candidate, gate
from stackwright_features.arrow import arrow_type
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import DataError, did_you_mean
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.types import fit

_KEYS: Final = ("name", "inputs", "at", "expected", "tolerance", "low", "high")
_EXACT: Final = 1e-6
_SHOWN: Final = 20


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        inputs: features, or what they are computed from; what is not named is missing.
        at: the asked instant, where the features depend on it.
        low: the least answer that is right.
        high: the greatest.
    """

    name: str
    inputs: Mapping[str, Any]
    at: datetime | None
    low: float
    high: float


@gate(behaviour=True)
def cases(candidate: Candidate, file: str) -> Verdict:
    """Every named case gets an answer within its limits."""
    if not file:
        return Verdict.inapplicable("no file of cases is named")
    path = candidate.stack.project.folder / file
    content, named = read_cases(path)
    service: FeatureService = candidate.stack.service(candidate.part.service)
    asked = datetime.fromisoformat(str(candidate.model.manifest.data["last"]))
    answers = [_answer(candidate, service, case, asked, f"{path}: case {case.name!r}") for case in named]
    found = list(zip(named, answers, strict=True))
    wrong = [(case, answer) for case, answer in found if not case.low <= answer <= case.high]
    listed = [{"case": case.name, "answer": answer, "low": case.low, "high": case.high} for case, answer in wrong]
    evidence = {"file": file, "sha256": content, "cases": len(found), "wrong": listed[:_SHOWN], "n_wrong": len(wrong)}
    if not wrong:
        return Verdict(passed=True, detail=f"{len(found)} cases are right", evidence=evidence)
    case, answer = wrong[0]
    shown = f"{case.name!r} got {answer:,.6g}, wanted {case.low:,.6g} to {case.high:,.6g}"
    return Verdict(passed=False, detail=f"{len(wrong)} of {len(found)} cases are wrong: {shown}", evidence=evidence)


def read_cases(path: Path) -> tuple[str, list[Case]]:
    """Return the SHA-256 of a file of cases, and the cases.

    Raises:
        DataError: it cannot be read, or a case is not complete.
    """
    try:
        content = path.read_bytes()
        document = tomllib.loads(content.decode())
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "Write the cases as TOML: [[case]] ...") from error
    rows = document.get("case", [])
    unknown = [key for key in document if key not in ("common", "case")]
    if unknown or not isinstance(rows, list) or not rows:
        found = f"unknown key {unknown[0]!r}" if unknown else "holds no [[case]]"
        raise DataError(str(path), found, "Write [common] for what all cases share, and a [[case]] for each.")
    common = document.get("common", {})
    return hashlib.sha256(content).hexdigest(), [_case(path, number, row, common) for number, row in enumerate(rows)]


def _case(path: Path, number: int, row: Mapping[str, Any], common: Mapping[str, Any]) -> Case:
    where = f"{path}: case {row.get('name', number)!r}"
    for key in row:
        if key not in _KEYS:
            raise DataError(where, f"unknown key {key!r}", did_you_mean(key, _KEYS) or f"Known: {', '.join(_KEYS)}.")
    limits = {key: row[key] for key in ("expected", "tolerance", "low", "high") if key in row}
    texts = [key for key, value in limits.items() if isinstance(value, bool) or not isinstance(value, int | float)]
    inputs, at = row.get("inputs"), row.get("at")
    if texts or not isinstance(inputs, Mapping) or not isinstance(at, datetime | None):
        found = f"{texts[0]} is {limits[texts[0]]!r}" if texts else "inputs is no table, or at no time"
        raise DataError(where, found, "Write: inputs = { area = 50.0 }, expected = 250000, tolerance = 0.1")
    if not {"expected", "low", "high"} & limits.keys() or ("expected" in limits and {"low", "high"} & limits.keys()):
        raise DataError(
            where, "it does not say which answer is right", "Give expected, with a tolerance; or low, high."
        )
    low, high = limits.get("low", -float("inf")), limits.get("high", float("inf"))
    if "expected" in limits:
        reach = abs(limits["expected"]) * limits.get("tolerance", _EXACT)
        low, high = limits["expected"] - reach, limits["expected"] + reach
    moment = at if at is None or at.tzinfo else at.replace(tzinfo=UTC)
    return Case(str(row.get("name", number)), {**common, **inputs}, moment, float(low), float(high))


def _answer(candidate: Candidate, service: FeatureService, case: Case, asked: datetime, where: str) -> float:
    """Return the answer to a case; what it does not name is missing, what can be computed is."""
    inputs = candidate.model.manifest.signature.inputs
    fields = {field.name: field for field in (*inputs, *service.all_fields)}
    computed = {step.name for step in service.transforms}
    for name in case.inputs:
        if name not in fields:
            raise DataError(where, f"{name!r} is no feature", did_you_mean(name, fields) or f"Of {service.ref}.")
    present = [name for name in fields if name in case.inputs or name not in computed]
    columns = {}
    for name in present:
        given = case.inputs.get(name, fields[name].default if fields[name].has_default else None)
        try:
            value = None if given is None else fit(given, fields[name].type)
        except (ValueError, ArithmeticError) as error:
            raise DataError(where, f"{name} is {given!r}, declared is {fields[name].type}", "Correct it.") from error
        columns[name] = pa.array([value], type=arrow_type(fields[name].type))
    ready = ReadyRows(inputs, service, candidate.stack.project.folder, present)
    return float(candidate.model.predict(ready.columns(pa.table(columns), case.at or asked)).value[0])

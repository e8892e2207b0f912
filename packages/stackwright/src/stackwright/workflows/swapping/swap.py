"""Putting another part into the blueprint: proven first where that is asked for, and with what the old part keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackwright.assembly.project import write_atomically
from stackwright.assembly.stack import Stack
from stackwright.workflows.adapters.conformance import conform
from stackwright.workflows.adapters.kit_run import FAILED, NOT_RUN, PASSED
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.swapping.apart import for_kit
from stackwright.workflows.swapping.candidates import Candidate, candidate, find_place, present, written
from stackwright.workflows.swapping.compare import compared
from stackwright.workflows.swapping.migrating import MOVABLE, migrate
from stackwright.workflows.swapping.moves import Move
from stackwright.workflows.swapping.swaps import Swap, remembered
from stackwright_interfaces.errors import ProjectError, StackwrightError, UsageError

_LEFT: Final[Mapping[str, str]] = {
    "online": "No row was moved. Bring them online from history: stackwright materialize",
    "offline": "No history was moved: the new part begins empty. To move it, swap with --migrate.",
    "registry": "No version was moved: the new registry begins empty. To move them, swap with --migrate.",
}


def swap(
    stack: Stack,
    slot: str,
    adapter: str,
    options: Mapping[str, str] | None = None,
    *,
    prove: bool = False,
    move: bool = False,
) -> Outcome:
    """Put an adapter into a slot of the blueprint; its own lines change, and no other byte.

    Args:
        slot: ``online``, ``offline``, ``registry``, ``trainer``, ``monitor`` or ``server``; ``trainer:MODEL`` where
            there are several models.
        adapter: its name.
        options: option → text. Where none is given and the slot had that adapter before, it is put back as it was.
        prove: only if the conformance kit passes and the comparison finds nothing.
        move: with what the old part keeps, verified; the old place is left as it is.

    Returns:
        An outcome that is not ok where something speaks against it; the blueprint is then as it was.

    Raises:
        UsageError: the slot cannot be swapped, nothing would change, or the part keeps nothing that could be moved.
        BlueprintError: the blueprint would have problems, or cannot be edited.
        Mismatch: what was moved is not the same in the new place; the blueprint is as it was.
    """
    place = find_place(stack, slot)
    if move and place.slot not in MOVABLE:
        raise UsageError("--migrate", f"a {place.slot} keeps nothing that could be moved", "Leave it out.")
    text = stack.project.blueprint.read_bytes().decode()
    keys = written(text, place, stack.project.env)
    known = None if options else remembered(stack.project, text, keys, adapter)
    old, new = present(stack, place), candidate(stack, place, adapter, options or {}, known)
    assert new.edit is not None
    if new.edit.text == text:
        raise UsageError(f"slot {slot!r}", f"is {adapter!r} with these options already", "Name another adapter.")
    done = Swap(place.key, keys, _said(old), _said(new), stack.clock(), who(), new.edit.before, new.edit.after)
    tables: list[Table] = []
    if prove:
        done.refused, tables = _prove(stack, old, new, done)
        if done.refused:
            return _refused(stack, done, tables)
    moved = _move(stack, old, new, done) if move else None
    _write(stack, text, new)
    return _outcome(stack, done, tables, moved, proven=prove)


def _said(part: Candidate) -> dict[str, Any]:
    return {"adapter": part.name, "options": dict(part.options)}


def _prove(stack: Stack, old: Candidate, new: Candidate, done: Swap) -> tuple[str, list[Table]]:
    """Return what speaks against the new part, empty where nothing does, and what there is to see."""
    spec = new.choice.spec
    kit = conform(spec, for_kit(new.choice.part, spec, stack.project.folder), progress=stack.progress)
    failed = [vars(case) for case in kit.cases if case.result in (FAILED, NOT_RUN)]
    done.proof["kit"] = {"counts": dict(kit.counts), "failed": failed}
    if not kit.ok:
        first = next((f"{case['name']}: {case['reason']}" for case in failed), "no case was run")
        return f"{len(failed)} cases of the conformance kit fail, the first: {first}", list(kit.outcome.tables)
    comparison = compared(stack, old, new)
    done.proof["comparison"] = comparison.to_json()
    if comparison.ok:
        return "", list(comparison.tables())
    said = [f"{comparison.differing:,} values differ, the first: {item}" for item in comparison.differences[:1]]
    return " ".join([*said, *comparison.problems]), list(comparison.tables())


def _move(stack: Stack, old: Candidate, new: Candidate, done: Swap) -> Move:
    try:
        moved = migrate(stack, old, new)
    except StackwrightError as error:
        done.refused = str(error)
        done.save(stack.project)
        raise
    done.moved = moved.to_json()
    return moved


def _write(stack: Stack, text: str, new: Candidate) -> None:
    """Write the blueprint, unless somebody else did meanwhile.

    Raises:
        ProjectError: it is not what it was, or cannot be written.
    """
    assert new.edit is not None
    path = stack.project.blueprint
    if path.read_bytes().decode() != text:
        raise ProjectError(path.name, "was changed while the new part was looked at", "Swap again.")
    write_atomically(path, new.edit.text.encode())


def _refused(stack: Stack, done: Swap, tables: list[Table]) -> Outcome:
    path = done.save(stack.project)
    title = f"Not swapped: {done.new['adapter']} is not proven for {done.slot}. The blueprint is as it was"
    data = {"changed": False, "evidence": str(path), **_data(done)}
    return Outcome(title, data, tuple(tables), (done.refused, *_stays(done), f"Evidence: {path}"), ok=False)


def _outcome(stack: Stack, done: Swap, tables: list[Table], moved: Move | None, *, proven: bool) -> Outcome:
    path = done.save(stack.project)
    kind = done.slot.partition(":")[0]
    notes = [f"Before: {done.before.strip()}", f"Now: {done.after.strip()}"]
    if proven:
        passed, asked = done.proof["kit"]["counts"].get(PASSED, 0), done.proof["comparison"]["values"]
        notes.append(f"Proven: {passed} cases of the conformance kit pass, and none of {asked:,} values differs.")
        notes += _stays(done)
    else:
        notes.append(
            "Not proven: neither the kit nor a comparison was run. To prove it: stackwright compare, or --prove."
        )
    if moved is not None:
        notes += [f"Moved and verified: {moved}. The old place is as it was.", *moved.notes]
    elif kind in _LEFT:
        notes.append(_LEFT[kind])
    if kind != "trainer":
        notes.append("What runs keeps the old part until it is started again.")
    if stack.project.lock.exists():
        notes.append("The stack differs from its lock now. If it is meant, run: stackwright lock")
    notes.append(f"Evidence: {path}")
    data = {"changed": True, "evidence": str(path), **_data(done)}
    return Outcome(
        f"Swapped {done.slot}: {done.old['adapter']} for {done.new['adapter']}", data, tuple(tables), tuple(notes)
    )


def _stays(done: Swap) -> list[str]:
    """Return what the trial wrote on a server and could not be removed."""
    stays: list[str] = done.proof.get("comparison", {}).get("stays", [])
    return stays


def _data(done: Swap) -> dict[str, Any]:
    names = ("slot", "old", "new", "proof", "moved", "refused")
    return {name: getattr(done, name) for name in names}

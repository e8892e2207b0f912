"""The object file of a model: lleaves makes a function of each tree, LLVM machine code of them all.

lleaves passes over the rows with a block of trees at a time: adds up a block, and then adds the sum to what is in the
row's answer. LightGBM adds one tree after the other, which ends in other bits. So the answer as it is so far is made
the first summand of a block, in the place of zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from stackwright_lightgbm.machine_code import ENTRY

_TREES: Final = 16
"""Trees of a block: one alone costs a fifth to a half more time a row, many compile slowly and gain nothing."""


def write_object(source: Path, made: Path, *, inlined: bool) -> None:
    """Write the object file of a model.

    Args:
        source: LightGBM's text form.
        made: the file to be written.
        inlined: lay the trees of a block into one function.

    Raises:
        Exception: whatever lleaves or LLVM raise at a model that they do not know.
    """
    from lleaves.compiler.ast import parse_to_ast
    from lleaves.compiler.codegen import gen_forest
    from lleaves.llvm_binding import compile_module_to_asm
    from llvmlite import binding, ir

    forest = parse_to_ast(str(source))
    forest.raw_score = False
    module = ir.Module(name="forest")
    gen_forest(forest, module, fblocksize=_TREES, froot_func_name=ENTRY, use_fp64=True)
    for block in module.get_global(ENTRY).blocks:
        _sum_in_order(block.instructions)
    module.triple = binding.get_process_triple()
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    _optimise(parsed, inlined=inlined)
    compile_module_to_asm(parsed, str(made), fcodemodel="large")


def _sum_in_order(instructions: list[Any]) -> None:
    """Change a block of instructions so that its sums begin with the answer so far, if they end with it.

    Each is a chain of additions, the first of which is to zero, and the last of which is of the answer, as loaded.
    """
    last = [each for each in instructions if each.opname == "fadd" and _opname(each.operands[1]) == "load"]
    if not last:
        return
    begin = next(place for place, each in enumerate(instructions) if each.opname == "call")
    end = instructions.index(last[-1]) + 1
    for addition in last:
        total, answer = addition.operands
        _first_of(total).operands = _first_of(total).operands[0], answer
        for each in instructions[end:]:
            each.replace_usage(addition, total)
    adding = [each for each in instructions[begin:end] if each.opname in ("call", "fadd") and each not in last]
    loading = [each for each in instructions[begin:end] if each.opname not in ("call", "fadd")]
    instructions[begin:end] = [*loading, *adding]


def _first_of(addition: Any) -> Any:
    """Return the first addition of the chain that ends with this one."""
    while _opname(addition.operands[1]) == "fadd":
        addition = addition.operands[1]
    return addition


def _opname(value: Any) -> str:
    name: str = getattr(value, "opname", "")
    return name


def _optimise(module: Any, *, inlined: bool) -> None:
    """Let LLVM optimise a module, as lleaves has it do."""
    from llvmlite import binding

    passes, builder = binding.ModulePassManager(), binding.PassManagerBuilder()
    builder.opt_level = 3
    if inlined:
        builder.inlining_threshold = 1
    builder.populate(passes)
    passes.run(module)

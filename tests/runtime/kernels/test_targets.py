"""The register tile becomes vector code on machines other than this one: written for them, and not run."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numba
import pytest
from llvmlite import ir

from dlc.runtime.kernels import tile

#: A machine: its triple, processor, bits and number of vector registers; what a multiplication and addition looks like.
MACHINES = {
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", 512, 32, r"vfmadd\w+\s.*%zmm"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", 256, 16, r"vfmadd\w+\s.*%ymm"),
    "neon": ("aarch64-unknown-linux-gnu", "neoverse-n1", 128, 32, r"fmla\s+v\d+\.(4s|2d)"),
}
REALS = {"float32": (numba.types.float32, ir.FloatType()), "float64": (numba.types.float64, ir.DoubleType())}
WORD = ir.IntType(64)


def tile_text(real: str, bits: int, registers: int) -> tuple[str, tile.TileShape]:
    """The whole tile as a function of its own, in LLVM's language."""
    kind, number = REALS[real]
    shape = tile.shape_for(kind, bits, registers)
    module = ir.Module("tile")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [WORD] * 8 + [number] * 2), "tile")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    tile.tile_body(builder, shape, shape.height, tile.VECTORS, function.args)
    builder.ret_void()
    return str(module), shape


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_tile_is_vector_code(machine: str, real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    triple, processor, bits, registers, pattern = MACHINES[machine]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite makes no code for {triple}: {error}")
    monkeypatch.setattr(tile, "has_fma", lambda: True)
    text, shape = tile_text(real, bits, registers)
    module = llvm.parse_assembly(text)
    module.triple = triple
    module.verify()
    code = target.create_target_machine(cpu=processor, opt=3).emit_assembly(module)
    blocks = re.split(r"^\.?\w+:|^\s+(?:j\w+|b\.\w+)\s", code, flags=re.MULTILINE)
    loop = next(block for block in blocks if re.search(pattern, block))
    assert len(re.findall(pattern, loop)) == shape.height * tile.VECTORS
    assert not re.search(r"%rsp|\[sp", loop), "the accumulators do not fit into the registers"


def test_without_the_instruction_the_tile_multiplies_and_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile, "has_fma", lambda: False)
    text, _ = tile_text("float32", 128, 16)
    assert "llvm.fma" not in text and "fmul" in text

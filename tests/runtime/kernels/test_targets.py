"""The register tile becomes vector code on machines other than this one: written for them, and not run."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numba
import pytest
from llvmlite import ir

from dlc.runtime.kernels import macro_kernel, table_tile, tile, vectors
from dlc.runtime.kernels.tile_shape import VECTORS, TileShape, shape_for

#: A machine: its triple, processor, bits and number of vector registers; what a multiplication and addition looks like.
MACHINES = {
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", 512, 32, r"vfmadd\w+\s.*%zmm"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", 256, 16, r"vfmadd\w+\s.*%ymm"),
    "neon": ("aarch64-unknown-linux-gnu", "neoverse-n1", 128, 32, r"fmla\s+v\d+\.(4s|2d)"),
}
REALS = {"float32": (numba.types.float32, ir.FloatType()), "float64": (numba.types.float64, ir.DoubleType())}
WORD = ir.IntType(64)
#: A vector that is stored on the stack, or loaded from there.
VECTOR_ON_STACK = r"%rsp\), %[xyz]mm|%[xyz]mm\d+, -?\d*\(%rsp|\b[qv]\d+.*\[sp"


def plain(builder: ir.IRBuilder, shape: TileShape, element: ir.Type, words: list[ir.Value]) -> None:
    one = ir.Constant(element, 1.0)
    tile.tile_body(builder, shape, shape.height, VECTORS, [*words[:14], one, one])


def by_tables(builder: ir.IRBuilder, shape: TileShape, element: ir.Type, words: list[ir.Value]) -> None:
    table_tile.tile_body(builder, shape, element, shape.height, VECTORS, words[:12])


#: The two tiles, whose operands lie evenly or are found through tables.
TILES = {"plain": plain, "by tables": by_tables}


def tile_text(body: str, real: str, bits: int, registers: int) -> tuple[str, TileShape]:
    """The whole tile as a function of its own, in LLVM's language."""
    kind, element = REALS[real]
    shape = shape_for(kind, bits, registers)
    module = ir.Module("tile")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [WORD] * 14), "tile")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    TILES[body](builder, shape, element, list(function.args))
    builder.ret_void()
    return str(module), shape


def optimised(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    passes = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=3))
    passes.getModulePassManager().run(module, passes)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("body", TILES)
def test_the_tile_is_vector_code(body: str, machine: str, real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    triple, processor, bits, registers, pattern = MACHINES[machine]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite makes no code for {triple}: {error}")
    monkeypatch.setattr(vectors, "has_fma", lambda: True)
    text, shape = tile_text(body, real, bits, registers)
    module = llvm.parse_assembly(text)
    module.triple = triple
    module.verify()
    processor_code = target.create_target_machine(cpu=processor, opt=3)
    optimised(module, processor_code)
    code = processor_code.emit_assembly(module)
    blocks = re.split(r"^\.?\w+:|^\s+(?:j\w+|b\.\w+)\s", code, flags=re.MULTILINE)
    loop = next(block for block in blocks if re.search(pattern, block))
    assert len(re.findall(pattern, loop)) == shape.height * VECTORS
    assert not re.search(VECTOR_ON_STACK, loop), "the accumulators do not fit into the registers"


def test_without_the_instruction_the_tile_multiplies_and_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "has_fma", lambda: False)
    text, _ = tile_text("plain", "float32", 128, 16)
    assert "llvm.fma" not in text and "fmul" in text


@pytest.mark.parametrize(("bits", "lines"), [(512, 3), (256, 1)])
def test_memory_is_fetched_step_by_step(bits: int, lines: int) -> None:
    """Many lines at once wait for one another, and so does what is read: a step of the tile fetches a line of what
    comes next, and, with as many as a tile of AVX-512 writes, those of one row of the result.
    """
    text, _ = tile_text("plain", "float32", bits, 32 if bits == 512 else 16)
    (loop,) = re.findall(r"^k:\n(.*?)^store:", text, flags=re.MULTILINE | re.DOTALL)
    assert loop.count("llvm.prefetch") == lines


def value_of(value: ir.Value, numbers: dict[str, int]) -> int:
    """What an address comes to, with these numbers as arguments and zeros in all tables."""
    if isinstance(value, ir.Constant):
        return value.constant
    if isinstance(value, ir.Argument):
        return numbers[value.name]
    assert isinstance(value, ir.Instruction)
    if value.opname == "load":
        return 0
    first, *others = (value_of(operand, numbers) for operand in value.operands)
    return {"sub": lambda x: first - x, "mul": lambda x: first * x, "getelementptr": lambda x: first + x}.get(
        value.opname, lambda *none: first
    )(*others)


@pytest.mark.parametrize(("vectors", "columns", "ends"), [(1, 14, [13]), (2, 12, [15, 27])])
def test_lines_on_which_vectors_of_a_row_end_are_fetched(
    monkeypatch: pytest.MonkeyPatch, vectors: int, columns: int, ends: list[int]
) -> None:
    """The panel before has written to those on which they begin: rows of 14 pixels waited for the others. Of one
    vector its length is told, of two how far apart they are."""
    shape = shape_for(numba.types.float32, 512, 32)
    function = ir.Function(ir.Module("tile"), ir.FunctionType(ir.VoidType(), [WORD] * 12), "tile")
    for number, argument in enumerate(function.args):
        argument.name = f"argument{number}"
    places: list[ir.Value] = []

    def expected(builder, shape, height, vectors, k, places_of):
        places.extend(places_of(ir.Constant(WORD, 0)))
        return lambda step: None

    monkeypatch.setattr(table_tile, "expected", expected)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    table_tile.tile_body(builder, shape, ir.FloatType(), shape.height, vectors, list(function.args))
    second = columns if vectors == 1 else 4 * columns
    numbers = {f"argument{number}": 0 for number in range(12)} | {"argument8": second}
    assert [value_of(place, numbers) for place in places] == [4 * end for end in ends]


def driver_in_python(monkeypatch: pytest.MonkeyPatch, size: int, lanes: int, tall: int) -> None:
    """Have the driver of the tiles run as Python, for tiles of such a shape."""
    numbers = {"itemsize": size, "lanes": lanes, "width": 2 * lanes, "height": tall, "block_memory": 0, "has_masks": 1}
    for name, number in numbers.items():
        monkeypatch.setattr(macro_kernel, name, lambda like, number=number: number)
    monkeypatch.setattr(macro_kernel, "compact", lambda: None)
    monkeypatch.setattr(macro_kernel, "like", lambda number, like: number)
    inner = macro_kernel.in_one_vector.part.function
    monkeypatch.setattr(macro_kernel, "in_one_vector", inner)


@pytest.mark.parametrize(("columns", "in_part"), [(5, True), (16, True), (17, False)])
def test_a_part_of_a_vector_is_written_in_place(monkeypatch: pytest.MonkeyPatch, columns: int, in_part: bool) -> None:
    """With masks; only what sticks out of two vectors is put together elsewhere first."""
    driver_in_python(monkeypatch, size=4, lanes=16, tall=12)
    written, added = [], []
    for name in ("narrow_tile", "full_tile"):
        monkeypatch.setattr(macro_kernel, name, lambda *arguments: written.append(arguments[7]))
    monkeypatch.setattr(macro_kernel, "add_block", lambda *arguments: added.append(arguments))
    place = 1 << 20
    macro_kernel.column_of_tiles.part.function(
        12, columns, 3, 1.0, 12, 0, 3, 1, 0, 0, 32, 0.0, 0, 0, 0, place, 100, -12, 3, 0, 0, 0, 0
    )
    assert (written, len(added)) == (([place], 0) if in_part else ([0], 1))


def test_every_line_of_the_next_panel_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in a line of the cache the panels begin: what one leaves of its last line, the one before has fetched.

    The driver of the tiles is run as Python, with a tile that notes what it is told to fetch.
    """
    size, lanes, tall, steps, panels, apart = 4, 16, 12, 3, 4, 1 << 12
    fetched: set[int] = set()

    def full_tile(rows, a, row_a, column_a, b, row_b, k, *rest):
        coming, row_coming = rest[6:8]
        fetched.update((coming + size * step * row_coming) // tile.LINE for step in range(k))

    driver_in_python(monkeypatch, size, lanes, tall)
    monkeypatch.setattr(macro_kernel, "full_tile", full_tile)
    first = 16
    for panel in range(panels):
        macro_kernel.column_of_tiles.part.function(
            3 * tall, 2 * lanes, steps, 1.0, tall, 0, steps, 1, 0, 0, 2 * lanes, 0.0, 0, 0, 0, 0, 0, -3 * tall, steps,
            steps, 2 * lanes, first + size * 2 * lanes * panel, apart,
        )  # fmt: skip
    for row in range(steps):
        places = range(first + size * row * apart, first + size * (row * apart + 2 * lanes * panels))
        assert {place // tile.LINE for place in places[tile.LINE :]} <= fetched

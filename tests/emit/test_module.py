"""The text of whole modules: readable, deterministic, valid Python, and closed to text of the spec."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from emit.programs import CLASSES, B, axis, in_shard, over, real, small, times

from dlc.compiler.emit import declarations, emit, regions
from dlc.compiler.emit.kernels import decomposed
from dlc.compiler.ir import loops_verify
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Select, Size, op
from dlc.compiler.ir.loops import START, Buffer, Entry, Kernel, Matmul, Operand, Program, Region, Result, Store, Value

HERE = Path(__file__).parent


def text(program: Program, real_type: str = "float32") -> str:
    return emit([program], real_type, "Compiled by dlc from small.dl.", spec="small.dl")[0]  # type: ignore[arg-type]


def functions(module: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(module).body if isinstance(node, ast.FunctionDef)}


def changed(program: Program, **kernels: Kernel) -> Program:
    return replace(program, kernels={**program.kernels, **kernels})


def test_the_program_of_these_tests_is_valid() -> None:
    assert list(loops_verify.verify(small())) == []


@pytest.mark.parametrize("name", ["small.py", "small.pyi"])
def test_modules_read_like_this(name: str, update_golden: bool) -> None:
    module, stub = emit([small()], "float32", "Compiled by dlc from small.dl.", spec="small.dl")
    found = stub if name.endswith("i") else module
    golden = HERE / f"{name}.golden"
    if update_golden:
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


def test_the_same_program_gives_the_same_bytes() -> None:
    assert emit([small(), small()], "float64") == emit([small(), small()], "float64")


def test_lines_are_not_too_long() -> None:
    assert max(map(len, text(small()).splitlines())) <= 120


def test_float64_differs_in_types_and_constants_alone() -> None:
    single, double = text(small()), text(small(), "float64")
    as_single = double.replace("float64", "float32").replace("f64", "f32").replace("0.0\n", "real(0)\n")
    assert as_single.replace("2.0*p", "real(2)*p") == single


# -- kernels ----------------------------------------------------------------------------------------------------------


def test_kernels_that_differ_by_names_alone_are_one_function() -> None:
    b, y = axis("row", B), axis("column", CLASSES)
    zero = Kernel("zero", (in_shard(b, over(y, Store("logits", (b, y), real("c", y)))),), B, ("first",))
    b, y = axis("b", B), axis("y", CLASSES)
    other = Kernel("other", (in_shard(b, over(y, Store("d_logits", (b, y), real("c", y)))),), B, ("second",))
    program = small()
    entry = Entry("forward", (Region(("zero", "other"), B),), (Result("logits", "logits"),))
    module = text(replace(program, kernels={"zero": zero, "other": other}, entries=(entry,)))
    found = functions(module)
    assert list(found) == ["compute_zero", "forward"]
    assert ast.get_docstring(found["compute_zero"]) == "first\nsecond"
    assert "compute_zero(start, stop, c, logits)" in module and "compute_zero(start, stop, c, d_logits)" in module


def test_kernels_of_two_models_are_shared_too() -> None:
    module = emit([small(), replace(small(), name="Other")], "float32")[0]
    assert [name for name in functions(module) if name.startswith("compute_")].count("compute_z") == 1
    assert {"Small_forward_1", "Other_forward_1"} <= set(functions(module))
    assert "class Small(Model)" in module and "class Other(Model)" in module


def test_a_region_stands_once_for_all_entries_that_run_it() -> None:
    program = small()
    again = replace(program.entries[0], name="forward.again")
    module = text(replace(program, entries=(*program.entries, again)))
    assert module.count("Step(forward_1, ") == 2 and module.count("def forward_1(") == 1


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (("x", 3, 1), ("w", 2, 1), "AS_IS, AS_IS, 4, 2, 3, 1.0, address(x, 0, 0), 3, address(w, 0, 0), 2"),
        (("x", 1, 3), ("w", 2, 1), "TRANSPOSED, AS_IS, 4, 2, 3, 1.0, address(x, 0, 0), 3, address(w, 0, 0), 2"),
        (("x", 3, 1), ("w", 1, 3), "AS_IS, TRANSPOSED, 4, 2, 3, 1.0, address(x, 0, 0), 3, address(w, 0, 0), 3"),
    ],
)
def test_strides_become_orders_and_leading_dimensions(a: tuple, b: tuple, expected: str) -> None:
    left, right = (Operand(name, ZERO, Const(row), Const(column)) for name, row, column in (a, b))
    result = Operand("logits", ZERO, Const(2), ONE)
    matmul = Matmul(Const(4), Const(2), Const(3), left, right, result, accumulate=True)
    program = small()
    module = text(replace(program, kernels={**program.kernels, "z": Kernel("z", (matmul,), None)}))
    call = " ".join(module.partition("    gemm_f32(")[2].split()).replace(" )", ")")
    assert call.startswith(f"{expected}, 1.0, address(logits, 0, 0), 2)")


@pytest.mark.parametrize(
    ("offset", "sizes", "expected"),
    [
        (times(START, 6), (Size("B"), Const(2), Const(3)), [START, ZERO, ZERO]),
        (op("add", times(START, 6), Const(4)), (Size("B"), Const(2), Const(3)), [START, ONE, ONE]),
        (op("mul", START, Size("T")), (Size("B"), Size("T")), [START, ZERO]),
        (op("mul", START, op("add", Size("T"), ONE)), (Size("B"), Size("T")), [START, START]),
        (ZERO, (), []),
    ],
)
def test_offsets_are_written_as_subscripts(offset: Expr, sizes: tuple[Expr, ...], expected: list[Expr]) -> None:
    assert decomposed(offset, sizes) == expected


# -- text of the spec -----------------------------------------------------------------------------------------------

NASTY = ('"""', "\\", "'''; import os", "\n    import os", "\r", "\u2028import os", "{x}", "\x00", "\u202eabc", "#")


@pytest.mark.parametrize("nasty", NASTY)
def test_text_of_the_spec_cannot_leave_its_strings(nasty: str) -> None:
    (module, stub), (clean, clean_stub) = with_words(nasty), with_words("plain")
    assert skeleton(module) == skeleton(clean) and skeleton(stub) == skeleton(clean_stub)
    assert "\u202e" not in module and "\x00" not in module and "\u2028" not in module


def with_words(words: str) -> tuple[str, str]:
    """A module in which everything that a spec may say freely is ``words``."""
    program = small()
    kernel = replace(program.kernels["d_c"], formulas=(words, f"{words} x"))
    values = tuple(replace(value, doc=words, bound_set=value.bound_set and words) for value in program.values)
    requirement = replace(program.requirements[0], message=words)
    program = replace(changed(program, d_c=kernel), values=values, doc=words + words, name=f"Small{words}")
    return emit([replace(program, requirements=(requirement,))], "float32", words, spec=words)


def skeleton(module: str) -> list[str]:
    """What kinds of nodes a module has, in order: strings and names may differ."""
    return [type(node).__name__ for node in ast.walk(ast.parse(module))]


@pytest.mark.parametrize(
    "name", ["λ", "x'", "for", "exp", "table", "real", "range", "shard", "start", "compute_z", "power_2", "Ünï"]
)
def test_any_name_of_a_buffer_works(name: str) -> None:
    module = text(renamed(small(), "logits", name))
    assert f'Array("{name}", slot=7' in module
    for function in functions(module).values():
        arguments = [argument.arg for argument in function.args.args]
        assert len(set(arguments)) == len(arguments)
        called = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        assert called.isdisjoint({*arguments, *stored})


def renamed(program: Program, before: str, after: str) -> Program:
    """The program with a buffer renamed everywhere."""
    from dlc.compiler.lower.fusion import with_buffers_renamed

    names = {before: after}
    kernels = {k: replace(old, body=with_buffers_renamed(old.body, names)) for k, old in program.kernels.items()}
    buffers = {names.get(b, b): replace(buffer, id=names.get(b, b)) for b, buffer in program.buffers.items()}

    def entry(old_entry: Entry) -> Entry:
        results = tuple(Result(r.name, names.get(r.buffer, r.buffer)) for r in old_entry.results)
        return replace(old_entry, results=results)

    return replace(program, kernels=kernels, buffers=buffers, entries=tuple(map(entry, program.entries)))


def test_sizes_may_be_formulas() -> None:
    program = small()
    size = op("add", times(B, 2), op("floordiv", Size("λ"), Const(2)))
    value = Value("extra", "input", (size,), ("N",), "real", default=1.5)
    buffers = {**program.buffers, "extra": Buffer("extra", (size,), "real", "input")}
    module = text(replace(program, values=(*program.values, value), buffers=buffers, sizes=("B", "λ")))
    assert 'Input("extra", slot=14, sizes=(lambda n: 2*n["B"] + n["λ"] // 2,), sets=("N",), default=1.5)' in module


def test_conditional_values_are_conditional_expressions() -> None:
    b, y = axis("b", B), axis("y", CLASSES)
    value = Select(op("lt", y, ONE), real("c", y), Const(0.0))
    kernel = Kernel("d_logits", (in_shard(b, over(y, Store("d_logits", (b, y), value))),), B)
    assert "d_logits[b, y] = c[y] if y < 1 else real(0)" in text(changed(small(), d_logits=kernel))


def test_the_extreme_of_an_element_and_something_else_has_the_element_last() -> None:
    b, y = axis("b", B), axis("y", CLASSES)
    value = op("max", real("d_logits", b, y), real("c", y))
    kernel = Kernel("d_logits", (in_shard(b, over(y, Store("d_logits", (b, y), value))),), B)
    assert "d_logits[b, y] = maximum(c[y], d_logits[b, y])" in text(changed(small(), d_logits=kernel))


def test_kernels_are_looked_at_as_often_as_regions_call_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a region must be run by every shard is told from what all the others touch."""
    program = small()
    first, entry, *others = program.entries
    more = replace(entry, regions=tuple(replace(region) for region in entry.regions for _ in range(60)))
    many = replace(program, entries=(first, more, *others))
    calls = sum(len(region.kernels) for one in many.entries for region in one.regions)
    looked: list[str] = []
    real = regions.touched
    monkeypatch.setattr(regions, "touched", lambda kernel: looked.append(kernel.name) or real(kernel))
    monkeypatch.setattr(declarations, "touched", regions.touched)
    text(many)
    assert len(looked) <= 5 * calls

"""The loop language as text, and what its verifier says of programs that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from building import add, at, given, graph, index, mul, total

from dlc.compiler.ir import loops_printer
from dlc.compiler.ir.expr import ZERO, Const, Read, Reduce, Size, fresh, op
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.loops import START, STOP, Buffer, Entry, For, If, Kernel, Let, Program, Region, Result, Store, Var
from dlc.compiler.ir.loops import Update as Next
from dlc.compiler.ir.loops_verify import check, verify
from dlc.compiler.ir.verify import InternalError
from dlc.compiler.lower import lower

B = Size("B")
X, Y = Buffer("x", (B,), "real", "input"), Buffer("y", (B,), "real", "result")


def running(*body: object, split: bool = True, **buffers: Buffer) -> Program:
    """A program of one kernel."""
    kernel = Kernel("k", body, B if split else None, ("y[b] = ..",))  # type: ignore[arg-type]
    entry = Entry("forward", (Region(("k",)),), (Result("y", "y"),))
    return Program("P", ("B",), (), {"x": X, "y": Y, **buffers}, {"k": kernel}, (entry,))


b = fresh(B, "b")
ELEMENT = Read("x", (b,), "real")


def loop(*body: object) -> For:
    return For(b, START, STOP, body)  # type: ignore[arg-type]


GOOD = loop(Let("v", ELEMENT), Store("y", (b,), op("mul", Read("v", (), "real"), Const(2.0))))


def test_a_valid_program_and_its_text() -> None:
    assert list(verify(running(GOOD))) == []
    total_of = (
        Var("s", Const(0.0)),
        For(b, ZERO, B, (If(op("lt", b, Const(3)), (Next("s", op("add", Read("s", (), "real"), ELEMENT)),)),)),
        Store("y", (ZERO,), Read("s", (), "real")),
    )
    assert list(verify(running(*total_of, split=False))) == []
    assert loops_printer.text(running(GOOD)) == (
        "program P\nindex B\n\n"
        "input x[|B|]\nresult y[|B|]\n\n"
        "kernel k split |B|\n    # y[b] = ..\n"
        "    for b in start .. stop\n        let v = x[b]\n        y[b] = v*2\n\n"
        "entry forward\n    region 0: k\n    result y\n"
    )
    lines = loops_printer.text(running(*total_of, split=False)).splitlines()
    assert lines[6:14] == [
        "kernel k", "    # y[b] = ..", "    var s = 0", "    for b < |B|", "        if b < 3",
        "            s <- s + x[b]", "    y[0] = s", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (lambda: running(Store("y", (b,), ELEMENT)), "k: b"),
        (lambda: running(loop(For(b, ZERO, B, (Store("y", (b,), ELEMENT),)))), "is bound by two loops"),
        (lambda: running(loop(Store("z", (b,), ELEMENT))), "k: z is written and is no buffer"),
        (lambda: running(loop(Store("x", (b,), ELEMENT))), "k: x is written and is the caller's"),
        (lambda: running(loop(Store("y", (b, b), ELEMENT))), "k: y is written with 2 subscripts"),
        (lambda: running(loop(Store("y", (b,), b))), "k: y is real and gets"),
        (lambda: running(loop(Store("y", (b,), Read("q", (b,), "real")))), "k: q is read and is neither a buffer nor"),
        (lambda: running(loop(Store("y", (b,), Read("x", (), "real")))), "has 0 subscripts; x has 1 axes"),
        (lambda: running(loop(Store("y", (b,), Read("x", (b,), "int")))), "is read as int; it is real"),
        (lambda: running(loop(Let("v", ELEMENT)), Store("y", (ZERO,), Read("v", (), "real"))), "k: v is read and is"),
        (lambda: running(loop(Let("v", ELEMENT), Let("v", ELEMENT))), "k: v is defined twice"),
        (lambda: running(loop(Let("v", ELEMENT), Next("v", ELEMENT))), "k: v is updated and is no accumulator here"),
        (lambda: running(loop(Var("v", ELEMENT), Next("v", b))), "k: v is real and gets"),
        (lambda: running(loop(If(ELEMENT, ()))), "is real"),
        (lambda: running(loop(Let("v", Reduce("sum", (fresh(B, "c"),), ELEMENT)))), "is not a scalar expression"),
        (lambda: running(loop(Let("v", op("real", Size("C"))))), "k: |C| is bound by nothing"),
        (lambda: running(GOOD, split=False), "is read and is neither a buffer nor a local here"),
        (lambda: running(loop(Let("v", ELEMENT))), "forward returns y and never computes y"),
        (
            lambda: running(loop(Store("y", (b,), Read("w", (b,), "real"))), w=Buffer("w", (B,), "real", "workspace")),
            "forward: k reads w before it is computed",
        ),
        (lambda: replace(running(GOOD), kernels={}), "forward runs k, which is no kernel"),
    ],
)
def test_what_is_wrong_with_a_program(program: Callable[[], Program], problem: str) -> None:
    found = list(verify(program()))
    assert any(problem in one for one in found), found
    with pytest.raises(InternalError, match="after lower: "):
        check(program(), "lower")


def test_lowered_programs_are_valid_and_print() -> None:
    x, w = given("x", "B", 5), given("w", 4, 5, kind="parameter")
    n, i, j = index("b", "B"), index("i", 4), index("j", 5)
    z = whole("z", (n, i), add(total(j, of=mul(at(w, i, j), at(x, n, j)))))
    program = lower({"forward": graph(x, w, z, outputs=["z"], sizes=["B"])})
    check(program, "lower")
    text = loops_printer.text(program)
    assert "parameter w[4,5]\n" in text
    assert "# z[b,i] = sum[j] w[i,j]*x[b,j]\n" in text
    assert "result z\n" in text

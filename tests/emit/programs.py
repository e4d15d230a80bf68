"""Loop programs written by hand, for tests of emission and of the runtime that need no other part of the compiler.

``small()`` is a linear classifier with a squared score as its loss::

    logits[b,y] = x[b,i]*w[i,y] + c[y]
    loss = p * sum[b] logits[b,target[b]]^2

The loss is summed shard by shard, so that one region needs every shard and another reads what they wrote.
"""

from __future__ import annotations

from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, Size, fresh, op
from dlc.compiler.ir.graph import Initialiser, Requirement
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Buffer,
    Entry,
    For,
    If,
    Kernel,
    Let,
    Matmul,
    Operand,
    Program,
    Region,
    Result,
    Store,
    Update,
    Value,
    Var,
)

B = Size("B")
INPUTS, CLASSES = 3, 2


def real(name: str, *subscripts: Expr) -> Read:
    return Read(name, subscripts, "real")


def whole(name: str, *subscripts: Expr) -> Read:
    return Read(name, subscripts, "int")


def axis(hint: str, size: Expr | int) -> Index:
    return fresh(Const(size) if isinstance(size, int) else size, hint)


def over(index: Index, *body) -> For:
    return For(index, ZERO, index.size, tuple(body))


def in_shard(index: Index, *body) -> For:
    return For(index, START, STOP, tuple(body))


def product(rows: Expr, columns: int, inner: int, a: Operand, b: Operand, c: Operand) -> Matmul:
    return Matmul(rows, Const(columns), Const(inner), a, b, c, accumulate=False)


def times(left: Expr, right: int) -> Expr:
    return op("mul", left, Const(right))


def small() -> Program:
    kernels = (_product(), _bias(), _score(), _total(), _adjoint(), _weights(), _bias_gradient())
    buffers = (
        Buffer("x", (B, Const(INPUTS)), "real", "input"),
        Buffer("target", (B,), "int", "input"),
        Buffer("w", (Const(INPUTS), Const(CLASSES)), "real", "parameter"),
        Buffer("c", (Const(CLASSES),), "real", "parameter"),
        Buffer("p", (), "real", "hyper"),
        Buffer("logits", (B, Const(CLASSES)), "real", "result"),
        Buffer("loss.parts", (SHARDS,), "real", "workspace"),
        Buffer("loss", (), "real", "result"),
        Buffer("d_logits", (B, Const(CLASSES)), "real", "workspace"),
        Buffer("d_w", (Const(INPUTS), Const(CLASSES)), "real", "gradient"),
        Buffer("d_c", (Const(CLASSES),), "real", "gradient"),
    )
    logits = Region(("z", "logits"), times(B, INPUTS * CLASSES))
    scores = Region(("z", "logits", "loss.parts"), times(B, INPUTS * CLASSES))
    adjoints = Region(("z", "logits", "loss.parts", "d_logits"), times(B, INPUTS * CLASSES))
    entries = (
        Entry("forward", (scores, Region(("loss",))), (Result("loss", "loss"), Result("logits", "logits")), "loss"),
        Entry("forward.logits", (logits,), (Result("logits", "logits"),)),
        Entry(
            "value_and_grad",
            (adjoints, Region(("loss", "d_w", "d_c"), times(B, INPUTS * CLASSES))),
            (),
            "loss",
            (Result("w", "d_w"), Result("c", "d_c")),
        ),
    )
    values = (
        Value("x", "input", (B, Const(INPUTS)), ("B", "I"), "real", doc="features"),
        Value("target", "input", (B,), ("B",), "int", Const(CLASSES), "Y"),
        Value("w", "parameter", (Const(INPUTS), Const(CLASSES)), ("I", "Y"), "real", initialiser=_glorot()),
        Value("c", "parameter", (Const(CLASSES),), ("Y",), "real", initialiser=Initialiser("constant", (0.5,))),
        Value("p", "hyper", (), (), "real", default=0.5, doc="weight of the loss"),
    )
    return Program(
        "Small",
        ("B",),
        values,
        {buffer.id: buffer for buffer in buffers},
        {kernel.name: kernel for kernel in kernels},
        entries,
        (Requirement(op("add", B, Const(-2)), "a batch needs at least 2 samples"),),
        doc="A linear classifier.",
    )


def _glorot() -> Initialiser:
    return Initialiser("xavier_uniform", (), Const(INPUTS), Const(CLASSES))


def _product() -> Kernel:
    a = Operand("x", times(START, INPUTS), Const(INPUTS), ONE)
    b = Operand("w", ZERO, Const(CLASSES), ONE)
    c = Operand("logits", times(START, CLASSES), Const(CLASSES), ONE)
    rows = op("add", op("neg", START), STOP)
    return Kernel("z", (product(rows, CLASSES, INPUTS, a, b, c),), B, ("z[b,y] = x[b,i]*w[i,y]    small.dl:3",))


def _bias() -> Kernel:
    b, y = axis("b", B), axis("y", CLASSES)
    store = Store("logits", (b, y), op("add", real("logits", b, y), real("c", y)))
    return Kernel("logits", (in_shard(b, over(y, store)),), B, ("logits[b,y] = z[b,y] + c[y]    small.dl:3",))


def _score() -> Kernel:
    b = axis("b", B)
    part, score = real("part"), real("score")
    body = (
        Let("score", real("logits", b, whole("target", b))),
        Update("part", op("add", part, op("mul", score, score))),
    )
    statements = (Var("part", Const(0.0)), in_shard(b, *body), Store("loss.parts", (SHARD,), part))
    return Kernel("loss.parts", statements, B, ("loss = p * sum[b] logits[b,target[b]]^2    small.dl:4",))


def _total() -> Kernel:
    s, total = axis("s", SHARDS), real("total")
    body = (
        Var("total", Const(0.0)),
        over(s, Update("total", op("add", total, real("loss.parts", s)))),
        Store("loss", (), op("mul", real("p"), total)),
    )
    return Kernel("loss", body, None, ("loss = p * sum[b] logits[b,target[b]]^2    small.dl:4",))


def _adjoint() -> Kernel:
    b, y = axis("b", B), axis("y", CLASSES)
    chosen = op("eq", y, whole("target", b))
    slope = op("mul", Const(2.0), real("p"), real("logits", b, y))
    body = (
        Store("d_logits", (b, y), Const(0.0)),
        If(chosen, (Store("d_logits", (b, y), slope),)),
    )
    return Kernel("d_logits", (in_shard(b, over(y, *body)),), B, ("d_logits[b,y] = 2*p*logits[b,y]*[y == target[b]]",))


def _weights() -> Kernel:
    a = Operand("x", START, ONE, Const(INPUTS))
    b = Operand("d_logits", ZERO, Const(CLASSES), ONE)
    c = Operand("d_w", times(START, CLASSES), Const(CLASSES), ONE)
    rows = op("add", STOP, op("neg", START))
    matmul = Matmul(rows, Const(CLASSES), B, a, b, c, accumulate=False)
    return Kernel("d_w", (matmul,), Const(INPUTS), ("d_w[i,y] = x[b,i]*d_logits[b,y]",))


def _bias_gradient() -> Kernel:
    b, y, total = axis("b", B), axis("y", CLASSES), real("total")
    body = (
        Var("total", Const(0.0)),
        over(b, Update("total", op("add", total, real("d_logits", b, y)))),
        Store("d_c", (y,), total),
    )
    return Kernel("d_c", (over(y, *body),), None, ("d_c[y] = sum[b] d_logits[b,y]",))

"""The loop language: what the emitted file says, before spelling.

::

    program   ::= sizes, derived sizes, buffers, kernels, entries
    buffer    ::= id [size, ..] : type, role
    kernel    ::= name, formulas, split, body
    statement ::= For(index, start, stop, body)       for index in range(start, stop)
                | Let(name, value)                     name = value, once
                | Var(name, value)                     an accumulator and its first value
                | Update(name, value)                  the accumulator's next value
                | Store(buffer, subscripts, value)     buffer[subscripts] = value
                | If(cond, body)
                | Matmul(m, n, k, a, b, c, ..)         c = a.b, c + a.b or a term + a.b over strided operands, or by
                                                       Winograd's products
                | System(n, count, matrix, sides, piece) sides = the solutions of the system, through LAPACK
    entry     ::= name, regions, arguments, updates    forward | value_and_grad | vjp
    region    ::= steps that run one after the other in every shard; regions run one after the other
    step      ::= kernel
                | Repeat(index, stop, steps, alone)    the steps for index in range(stop), in this order: a recurrence
                | When(cond, steps)                    the steps, in rounds or for sizes for which cond holds

Scalars are the expressions of the graph language without ``Reduce``.  A ``Read`` with subscripts is an element of a
buffer, and so is the place of a ``Store``: with fewer subscripts than axes, the last one counts through all that are
left, in row-major order.  A ``Read`` without subscripts whose name is bound by Let or Var is that local (so ids of
buffers and names of locals are distinct), and a ``Read`` of a rank-0 buffer is its element.

A kernel that stands in Repeats may use their indices (``over``).  A kernel with a ``split`` runs over any part of
0 .. split-1: its locals ``start`` and ``stop`` bound its outermost loop, so that shards may run parts of it side by
side.  A kernel without split is run by one shard alone, and so is all of a Repeat that is ``alone``.  ``shard`` (the
number of the running shard) is a local everywhere; ``SHARDS`` is the number of shards as a size.
Types stay real, int and bool; the program says which float ``real`` is.
Left out: spelling of names, signatures, and where in the workspace a buffer lies (the runtime plans that by liveness
once the sizes are known).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Read, Size, op
from dlc.compiler.ir.graph import Initialiser, Requirement
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.ways import Gemm

#: parameter: a view of the flat parameter buffer; gradient: a view of the flat gradient buffer, in the same layout;
#: input, cotangent: given by the caller; hyper: a scalar given by the caller, mode: one given by the runtime; state:
#: kept between calls by the caller; result: returned by the entry; workspace: lives from its first to its last region.
Role = Literal["input", "cotangent", "parameter", "hyper", "mode", "state", "gradient", "result", "workspace"]

SHARDS = Size("#shards")
# no tensor of a spec can be called so
START, STOP, SHARD = (Read(name, (), "int") for name in ("#start", "#stop", "#shard"))


@dataclass(frozen=True)
class Buffer:
    """``is_short``: of integers that 32 bits hold, so that there are as many in a vector as numbers."""

    id: str
    sizes: tuple[Expr, ...]
    type: Type
    role: Role
    is_short: bool = False


@dataclass(frozen=True)
class For:
    index: Index
    start: Expr
    stop: Expr
    body: tuple[Statement, ...]

    @property
    def length(self) -> Expr:
        """From the start to the stop, in normal form; negative where the range ends before it begins."""
        return integer(op("add", self.stop, op("neg", self.start)))


@dataclass(frozen=True)
class Let:
    name: str
    value: Expr


@dataclass(frozen=True)
class Var:
    name: str
    value: Expr


@dataclass(frozen=True)
class Update:
    name: str
    value: Expr


@dataclass(frozen=True)
class Store:
    buffer: str
    subscripts: tuple[Expr, ...]
    value: Expr


@dataclass(frozen=True)
class If:
    cond: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Steps:
    """Several indices taken as one, in row-major order: of each its extent and its stride."""

    extents: tuple[Expr, ...]
    strides: tuple[Expr, ...]


@dataclass(frozen=True)
class Operand:
    """A matrix inside ``buffer[*piece]``: element (r, c) stands ``offset + r*row + c*column`` elements from its start.

    ``piece`` are leading subscripts; ``row`` and ``column`` integer expressions, of which one is the constant 1 (or
    that extent of the matrix is 1).  Or they are ``Steps``, without such a restriction: elements may be read in any
    order, and several times, as those of windows that overlap.
    """

    buffer: str
    offset: Expr
    row: Expr | Steps
    column: Expr | Steps
    piece: tuple[Expr, ...] = ()

    @property
    def expressions(self) -> tuple[Expr, ...]:
        """All of its expressions."""
        found = [*self.piece, self.offset]
        for step in (self.row, self.column):
            found += (*step.extents, *step.strides) if isinstance(step, Steps) else (step,)
        return tuple(found)


@dataclass(frozen=True)
class OpenRows:
    """As many rows of tiles as suit samples, a height and a width that the compiler does not know, and the most tiles
    of a block, which come first; ``if_faster``: none where maps and channels, behind the samples, are too few.
    """

    sizes: tuple[Expr, ...]
    if_faster: bool


@dataclass(frozen=True)
class Tiles:
    """A convolution is taken apart into tiles, so many ``rows`` of them at a time, which takes so many ``operations``;
    what is between lies in ``room[#shard]``. It has so many ``taps`` along height and width, and computes them, the
    derivative by them, if it is ``of_taps``.

    Where shards share out the maps of several samples, ``of`` is how many maps there are in all: a shard may compute
    all maps of its share of the samples in their place.
    """

    rows: int | OpenRows
    operations: Expr
    room: str
    taps: tuple[int, int]
    of_taps: bool
    of: Expr | None = None

    @property
    def expressions(self) -> tuple[Expr, ...]:
        """What is written where it is called."""
        rows = self.rows.sizes if isinstance(self.rows, OpenRows) else ()
        return (*rows, SHARD) if self.of is None else (*rows, START, self.of, SHARD)


@dataclass(frozen=True)
class Band:
    """What matters of a product: of row i the columns, or the terms of the inner index, from ``low`` + i to below
    ``high`` + i.  Nobody needs another column; a term elsewhere is zero, if not by what is multiplied, then because
    nobody wants it.
    """

    of: Literal["columns", "inner"]
    low: Expr
    high: Expr


@dataclass(frozen=True)
class Support:
    """Where ``b`` may differ from zero: at a place and a tap with ``low <= place*of_place + tap*of_tap < high``.

    The tap is the outermost of the reduced indices, and the place one of the indices of the columns, ``inside`` columns
    after each other; it counts from ``first``.  A product that is added to ``c`` reads ``b`` nowhere else.
    """

    inside: int
    places: int
    taps: int
    of_place: int
    of_tap: int
    low: int
    high: int
    first: Expr = ZERO

    @property
    def numbers(self) -> tuple[Expr, ...]:
        """All that tells of it."""
        fixed = self.inside, self.places, self.taps, self.of_place, self.of_tap, self.low, self.high
        return (*map(Const, fixed), self.first)

    @property
    def needed(self) -> int:
        """How many pairs of a place and a tap are inside, of ``places * taps``."""
        sums = [place * self.of_place + tap * self.of_tap for place in range(self.places) for tap in range(self.taps)]
        return sum(self.low <= one < self.high for one in sums)

    @property
    def part(self) -> float:
        """Of the products, those that are not with zeros."""
        return self.needed / max(self.places * self.taps, 1)


@dataclass(frozen=True)
class Matmul:
    """``c[m,n] (+)= a[m,k] . b[k,n]``; the column stride of ``c`` is 1.  Either all operands have ``Steps`` for rows
    and columns, or none has.  ``way``: by which implementation, if it is forced; ``label``: which equation it computes;
    ``support``: which products are not with zeros.

    ``term`` is what the product is added to in the place of ``c``; its columns lie side by side, or are one.  It has no
    ``Steps``: rows and columns count through all their indices, and beside ``Steps`` it moves by 1 along one of them.

    ``band`` tells what may be left out; there is none beside ``Steps``.  ``part_of`` is the extent of the index of
    which it computes a part, where only the share tells which.
    """

    m: Expr
    n: Expr
    k: Expr
    a: Operand
    b: Operand
    c: Operand
    accumulate: bool
    way: Gemm = ""
    tiles: Tiles | None = None
    term: Operand | None = None
    band: Band | None = None
    support: Support | None = None
    part_of: Expr | None = None
    label: str = field(default="", compare=False)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """What is multiplied, what is written, and the term."""
        found = (self.a, self.b, self.c)
        return found if self.term is None else (*found, self.term)


@dataclass(frozen=True)
class System:
    """Solve a linear system of ``n`` equations for ``count`` right sides, in place.

    ``matrix[*piece, column, row]`` has its coefficients; one more column is room for the pivots, and all of it is
    overwritten.  ``sides[*piece, .., row]`` has the right sides, one after the other, and then the solutions; these are
    nan if the matrix is singular.
    """

    n: Expr
    count: Expr
    matrix: str
    sides: str
    piece: tuple[Expr, ...] = ()


Statement = For | Let | Var | Update | Store | If | Matmul | System


@dataclass(frozen=True)
class Kernel:
    """``formulas`` are the equations it computes, as text with the place in the spec, for the comment above it;
    ``over`` the indices of Repeats that it uses.
    """

    name: str
    body: tuple[Statement, ...]
    split: Expr | None
    formulas: tuple[str, ...] = field(default=(), compare=False)
    over: tuple[Index, ...] = ()


@dataclass(frozen=True)
class Repeat:
    """The steps for ``index`` = 0, 1, .., ``stop`` - 1, one round after the other."""

    index: Index
    stop: Expr
    steps: tuple[Step, ...]
    alone: bool = False


@dataclass(frozen=True)
class When:
    cond: Expr
    steps: tuple[Step, ...]


Step = str | Repeat | When  # a kernel by its name, or a group of steps


def kernels_of(steps: Iterable[Step]) -> Iterator[str]:
    """The names of the kernels in the steps, in order."""
    for step in steps:
        if isinstance(step, str):
            yield step
        else:
            yield from kernels_of(step.steps)


@dataclass(frozen=True)
class Region:
    """``work`` estimates scalar operations that shards share."""

    steps: tuple[Step, ...]
    work: Expr | None = None

    @property
    def kernels(self) -> tuple[str, ...]:
        """All kernels, in the order in which they stand."""
        return tuple(kernels_of(self.steps))


@dataclass(frozen=True)
class Result:
    """A value that the entry returns: ``name`` as the user knows it."""

    name: str
    buffer: str


@dataclass(frozen=True)
class Entry:
    """``gradients`` maps parameters and inputs to the buffers of their gradients; ``loss`` is a rank-0 result.

    ``over`` are the parameters that a step with these gradients moves.
    ``updates`` maps states to the buffers of their next values, which the caller puts in their place afterwards.
    """

    name: str
    regions: tuple[Region, ...]
    results: tuple[Result, ...]
    loss: str | None = None
    gradients: tuple[Result, ...] = ()
    cotangents: tuple[Result, ...] = ()
    over: tuple[str, ...] = ()
    updates: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Value:
    """What is given under ``name``: an input, a parameter, a hyper-parameter or a state, as the spec declares it."""

    name: str
    role: Role
    sizes: tuple[Expr, ...]
    sets: tuple[str, ...]
    type: Type
    bound: Expr | None = None
    bound_set: str = ""
    initialiser: Initialiser | None = None
    default: float | int | bool | None = None
    doc: str = ""


@dataclass(frozen=True)
class Program:
    """One model or layer, with all its entries; kernels are shared between entries.

    ``derived`` are sizes that follow from ``sizes``: each has a name that expressions use, and its formula;
    where that is negative the size is 0.
    """

    name: str
    sizes: tuple[str, ...]
    values: tuple[Value, ...]
    buffers: Mapping[str, Buffer]
    kernels: Mapping[str, Kernel]
    entries: tuple[Entry, ...]
    requirements: tuple[Requirement, ...] = ()
    doc: str = field(default="", compare=False)
    derived: Mapping[str, Expr] = field(default_factory=dict)
    is_optimizer: bool = False  # its entries are run one after the other; the first state is the parameters


def with_kernels_apart(program: Program) -> Program:
    """Every step of a region in a region of its own, which is divided as the whole was."""
    entries = tuple(
        replace(entry, regions=tuple(Region((step,), region.work) for region in entry.regions for step in region.steps))
        for entry in program.entries
    )
    return replace(program, entries=entries)


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, parents first."""
    for statement in body:
        yield statement
        if isinstance(statement, For | If):
            yield from statements(statement.body)


def expressions(statement: Statement) -> tuple[Expr, ...]:
    """The expressions that stand in the statement itself (not in its body)."""
    match statement:
        case For():
            return (statement.start, statement.stop)
        case Let() | Var() | Update():
            return (statement.value,)
        case Store():
            return (*statement.subscripts, statement.value)
        case If():
            return (statement.cond,)
        case Matmul(m=m, n=n, k=k, tiles=tiles, band=band, support=support):
            found = (m, n, k, *(part for operand in statement.operands for part in operand.expressions))
            found = (*found, band.low, band.high) if band is not None else found
            found = (*found, support.first) if support is not None else found
            return (*found, *tiles.expressions) if tiles is not None else found
        case System(n=n, count=count, piece=piece):
            return (n, count, *piece)
    raise TypeError(type(statement).__name__)


def written(statement: Statement) -> str | None:
    """The buffer that the statement itself writes."""
    match statement:
        case Store():
            return statement.buffer
        case Matmul():
            return statement.c.buffer
        case System():
            return statement.sides
    return None


def room(statement: Statement) -> str | None:
    """The buffer in which the statement keeps what nobody else sees."""
    return statement.tiles.room if isinstance(statement, Matmul) and statement.tiles is not None else None


def in_place(statement: Statement) -> tuple[str, ...]:
    """The buffers that a library routine reads, other than as the elements in ``expressions``."""
    match statement:
        case Matmul():
            return tuple(one.buffer for one in statement.operands if one is not statement.c)
        case System():
            return (statement.matrix, statement.sides)
    return ()

"""Kernels as Python functions, one function for all kernels that differ by names alone.

A kernel takes, in this order: the part of its loop that it runs (``start``, ``stop``), the number of the running
shard, the indices of the rounds around it, the sizes it mentions, and its buffers in the order in which it touches
them, those it writes last.  A scalar that it only reads is passed as a number.  The canonical text (all names replaced
by numbers) tells whether two kernels are the same function, which is then compiled once and called with other views.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dlc.compiler.emit.expressions import Spelling
from dlc.compiler.emit.names import Names, identifier
from dlc.compiler.emit.quotients import factors_of_loops
from dlc.compiler.emit.writer import Writer
from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Size, walk
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Buffer,
    For,
    If,
    Kernel,
    Let,
    Matmul,
    OpenRows,
    Operand,
    Statement,
    Steps,
    Store,
    System,
    Update,
    Var,
    expressions,
    in_place,
    room,
    statements,
    written,
)
from dlc.compiler.ir.scans import Scan, scan
from dlc.compiler.ir.short_rows import is_row_of_an_image, is_short_row, keeps_rows_apart
from dlc.compiler.ir.strided_copies import StridedCopy, strided_copy
from dlc.compiler.ir.transpositions import Transposition, transposition

#: Functions whose loops gain from the widest vectors of the host.
_WIDE = frozenset((
    "exp", "log", "tanh", "sigmoid", "erf", "expm1", "log1p", "softplus", "sin", "cos", "sinh", "cosh",
    "random_uniform_f32", "random_uniform_f64", "random_normal_f32", "random_normal_f64", "random_integer",
))  # fmt: skip
_RUNNING = (START.tensor, STOP.tensor, SHARD.tensor)


@dataclass(frozen=True)
class Signature:
    """What a kernel takes; ``scalars`` are the buffers passed as numbers."""

    running: tuple[str, ...]
    over: tuple[Index, ...]
    sizes: tuple[str, ...]
    buffers: tuple[str, ...]
    scalars: frozenset[str]


def signature(kernel: Kernel, buffers: Mapping[str, Buffer]) -> Signature:
    locals_ = set(local_names(kernel))
    names: dict[str, None] = {}
    sizes: dict[str, None] = {}
    outputs: dict[str, None] = {}
    for statement in statements(kernel.body):
        for node in walk(*_written_expressions(statement, buffers)):
            if isinstance(node, Size):
                sizes[node.name] = None
            elif isinstance(node, Read) and node.tensor not in locals_:
                names[node.tensor] = None
        names.update(dict.fromkeys(in_place(statement)))
        outputs.update((name, None) for name in (written(statement), room(statement)) if name is not None)
    running = tuple(name for name in _RUNNING if name in names)
    reads = [name for name in names if name not in outputs and name not in _RUNNING]
    scalars = frozenset(name for name in reads if not buffers[name].sizes)
    return Signature(running, kernel.over, tuple(sizes), (*reads, *outputs), scalars)


def local_names(kernel: Kernel) -> Iterator[str]:
    for statement in statements(kernel.body):
        if isinstance(statement, Let | Var):
            yield statement.name


def _written_expressions(statement: Statement, buffers: Mapping[str, Buffer]) -> Iterator[Expr]:
    """The expressions that the text of the statement shows."""
    if not isinstance(statement, Matmul):
        yield from expressions(statement)
        if isinstance(statement, For) and (copy := transposition(statement)) is not None:
            yield from copy.steps(buffers[copy.store.buffer].sizes, buffers[copy.source.tensor].sizes)
        return
    if statement.term is not None:
        yield from _steps_of_term(statement.term)
    if isinstance(statement.c.row, Steps):
        for row in _steps(statement):
            yield from (part for index in row for part in index)
        if statement.support is not None:
            yield statement.support.first
        for operand in statement.operands:
            yield from _start(operand, buffers)
        if statement.tiles is not None:
            yield from statement.tiles.expressions
        return
    yield from (statement.m, statement.n, statement.k, statement.c.row)
    if statement.band is not None:
        yield from (statement.band.low, statement.band.high)
    yield _leading(statement.a, statement.m, statement.k)[1]
    yield _leading(statement.b, statement.k, statement.n)[1]
    for operand in statement.operands:
        yield from _start(operand, buffers)


class _KernelNames:
    """Identifiers inside one kernel.  ``plain`` replaces every name by a letter and a number."""

    def __init__(self, module: Names, sign: Signature, kernel: Kernel, plain: bool) -> None:
        self._plain = plain
        self._scope = Names(parent=module)
        self._known: dict[Expr | str, str] = {}
        for name in sign.running:
            self._known[name] = self._fresh(name, "r")
        for index in sign.over:
            self.enter(index)
        for name in sign.sizes:
            self._known[Size(name)] = self._fresh("shards" if Size(name) is SHARDS else name, "s")
        for name in sign.buffers:
            self._known[name] = self._fresh(name, "b")
        self.locals = {name: self._fresh(name, "v") for name in dict.fromkeys(local_names(kernel))}
        self.locals.update({name: self._known[name] for name in sign.running})

    def __call__(self, key: Expr | str) -> str:
        return self._known[key]

    def _fresh(self, name: str, letter: str) -> str:
        return self._scope.fresh(letter if self._plain else name)

    def enter(self, index: Index) -> str:
        """The variable of a loop: as the spec writes it, or, where that is taken, as its index set."""
        small = index.hint[:1].lower() + index.hint[1:]
        wanted = index.hint if self._scope.holds(identifier(small)) else small
        self._known[index] = self._fresh(wanted, "i")
        return self._known[index]

    def leave(self, index: Index) -> None:
        self._scope.release(self._known.pop(index))


class _Body:
    """Writes the statements of a kernel."""

    def __init__(
        self, names: _KernelNames, sign: Signature, buffers: Mapping[str, Buffer], real: str, rounded: frozenset[str]
    ) -> None:
        self._names = names
        self._buffers = buffers
        self._rounded = rounded
        truths = {key: buffers[key].sizes for key in sign.buffers if buffers[key].type == "bool"}
        self.spelling = Spelling(real, names, sign.scalars, names.locals, sizes=truths)
        self.writer = Writer()

    def write(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: Statement) -> None:
        text, line = self.spelling.text, self.writer.line
        match statement:
            case For():
                self._loop(statement)
            case If(cond=cond, body=body):
                with self.writer.block(f"if {text(cond)}:"):
                    self.write(body)
            case Let(name=name, value=value) | Var(name=name, value=value):
                shown = self.spelling.call("rounded", text(value)) if name in self._rounded else text(value)
                line(f"{self._names.locals[name]} = {shown}")
            case Update(name=name, value=value):
                self._assign(self._names.locals[name], Read(name, (), value.type), value)
            case Store(buffer=buffer, subscripts=subscripts, value=value):
                old = Read(buffer, subscripts, value.type)
                self._assign(self.spelling.element(buffer, subscripts), old, _old_last(value, old))
            case Matmul():
                line(self._matmul(statement))
            case System():
                line(self._system(statement))

    def _loop(self, loop: For) -> None:
        if (copy := transposition(loop)) is not None:
            self.writer.line(self._transposed(copy))
            return
        if (strided := strided_copy(loop)) is not None:
            self.writer.line(self._strided(strided))
            return
        if (found := scan(loop)) is not None:
            self._loop(replace(loop, body=(replace(found.store, value=found.value),)))
            self.writer.line(self._scanned(found))
            return
        start = "" if loop.start is Const(0) else f"{self.spelling.text(loop.start)}, "
        stop = self.spelling.text(loop.stop)
        with self.writer.block(f"for {self._names.enter(loop.index)} in range({start}{stop}):"):
            if is_short_row(loop):
                self.writer.line(self.spelling.call("short_row"))
            elif is_row_of_an_image(loop):
                self.writer.line(self.spelling.call("masked_rest"))
            if keeps_rows_apart(loop):
                self.writer.line(self.spelling.call("rows_apart"))
            self.write(loop.body)
        self._names.leave(loop.index)

    def _assign(self, target: str, old: Expr, value: Expr) -> None:
        """``target = value``, as ``target += rest`` where the value is the old one plus something."""
        if isinstance(value, Op) and value.name == "add" and value.args[0] is old:
            rest = value.args[1] if len(value.args) == 2 else Op("add", value.args[1:])
            if old not in set(walk(rest)):
                self.writer.line(f"{target} += {self.spelling.text(rest)}")
                return
        self.writer.line(f"{target} = {self.spelling.text(value)}")

    def _transposed(self, copy: Transposition) -> str:
        """``transpose(target, step, source, step, rows, columns)``"""
        target, source = (self._buffers[name].sizes for name in (copy.store.buffer, copy.source.tensor))
        steps = copy.steps(target, source)
        operands = []
        for name, subscripts, step in (
            (copy.store.buffer, copy.store.subscripts, steps[0]),
            (copy.source.tensor, copy.source.subscripts, steps[1]),
        ):
            *leading, last = map(self.spelling.text, copy.start(subscripts))
            rest = ["0"] * (len(self._buffers[name].sizes) - len(subscripts))
            first = self.spelling.call("address", self._names(name), *leading, *rest, last)
            operands += [first, self.spelling.text(step)]
        return self.spelling.call("transpose", *operands, *map(self.spelling.text, copy.extents))

    def _strided(self, copy: StridedCopy) -> str:
        """``copy_strided(target, source, step, count)``"""
        ends = ((copy.store.buffer, copy.store.subscripts), (copy.source.tensor, copy.source.subscripts))
        firsts = []
        for name, subscripts in ends:
            *leading, last = map(self.spelling.text, copy.start(subscripts))
            rest = ["0"] * (len(self._buffers[name].sizes) - len(subscripts))
            firsts.append(self.spelling.call("address", self._names(name), *leading, *rest, last))
        return self.spelling.call("copy_strided", *firsts, str(copy.step), self.spelling.text(copy.loop.length))

    def _scanned(self, found: Scan) -> str:
        """``running_sum(first, count, step)``"""
        first = self.spelling.call("address", self._names(found.store.buffer), *map(self.spelling.text, found.first))
        count, step = self.spelling.text(found.loop.length), "-1" if found.descends else "1"
        return self.spelling.call(f"running_{found.operator}", first, count, step)

    # -- matrix products ----------------------------------------------------------------------------------------------

    def _matmul(self, product: Matmul) -> str:
        """``gemm(how a, how b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)``: c = alpha*a.b + beta*c; with a term
        d, ``gemm_plus(how a, how b, m, n, k, a, lda, b, ldb, d, its row's and column's step, c, ldc)``; of a band,
        ``gemm_band(how a, how b, m, n, k, a, lda, b, ldb, beta, c, ldc, of what, low, high)``.
        """
        if isinstance(product.c.row, Steps):
            return self._contraction(product)
        text, call = self.spelling.text, self.spelling.call
        m, n, k = (text(extent) for extent in (product.m, product.n, product.k))
        a_order, a_step = _leading(product.a, product.m, product.k)
        b_order, b_step = _leading(product.b, product.k, product.n)
        beta = "1.0" if product.accumulate else "0.0"
        a, b, c = (self._address(operand) for operand in (product.a, product.b, product.c))
        for name in (a_order, b_order):
            self.spelling.used.add(name)
        steps = (text(a_step), text(b_step), text(product.c.row))
        suffix = {"float32": "f32", "float64": "f64"}[self.spelling.real]
        gemm = f"gemm_{product.way}" if product.way else "gemm"
        if product.term is not None:
            factors = (a_order, b_order, m, n, k, a, steps[0], b, steps[1])
            return call(f"{gemm}_plus_{suffix}", *factors, *self._term(product.term), c, steps[2])
        if (band := product.band) is not None:
            of = {"columns": "COLUMNS", "inner": "INNER"}[band.of]
            self.spelling.used.add(of)
            factors = (a_order, b_order, m, n, k, a, steps[0], b, steps[1], beta)
            return call(f"{gemm}_band_{suffix}", *factors, c, steps[2], of, text(band.low), text(band.high))
        gemm = f"{gemm}_{suffix}"
        return call(gemm, a_order, b_order, m, n, k, "1.0", a, steps[0], b, steps[1], beta, c, steps[2])

    def _contraction(self, product: Matmul) -> str:
        """``contract(rows, columns, reduced, a, b, c, accumulate)``: of every index its extent and its strides; with a
        term d, ``contract_plus(rows, columns, reduced, a, b, d, its row's and column's step, c)``.  A support follows.

        In tiles: ``winograd(.., rows of tiles, room)``, or ``winograd_taps`` if taps are what it computes; a share of
        maps, ``winograd_share(.., its first one, how many there are, rows of tiles, room)``.
        """
        suffix = {"float32": "f32", "float64": "f64"}[self.spelling.real]
        function = "contract" if product.tiles is None else "winograd"
        if product.term is not None:
            function = f"{function}_plus"
        elif product.tiles is not None and product.tiles.of_taps:
            function = f"{function}_taps"
        elif product.tiles is not None and product.tiles.of is not None:
            function = f"{function}_share"
        lists = [[f"({', '.join(map(self.spelling.text, index))})" for index in part] for part in _steps(product)]
        a, b, c = (self._address(operand) for operand in (product.a, product.b, product.c))
        written = (f"({', '.join(part)}{',' * (len(part) == 1)})" for part in lists)
        if product.term is None:
            operands = (a, b, c, "True" if product.accumulate else "False")
        else:
            operands = (a, b, *self._term(product.term), c)
        if product.tiles is None:
            numbers = product.support.numbers if product.support is not None else ()
            support = (f"({', '.join(map(self.spelling.text, numbers))})",) if numbers else ()
            return self.spelling.call(f"{function}_{suffix}", *written, *operands, *support)
        shard = self.spelling.text(SHARD)
        room = self.spelling.call("address", self._names(product.tiles.room), shard, "0")
        rows = self._rows(product.tiles.rows)
        share = () if product.tiles.of is None else map(self.spelling.text, (START, product.tiles.of))
        return self.spelling.call(f"{function}_{suffix}", *written, *operands, *share, rows, room)

    def _term(self, term: Operand) -> tuple[str, ...]:
        return self._address(term), *map(self.spelling.text, _steps_of_term(term))

    def _rows(self, rows: int | OpenRows) -> str:
        if isinstance(rows, int):
            return str(rows)
        function = "rows_if_faster" if rows.if_faster else "rows_of_tiles"
        return self.spelling.call(function, *map(self.spelling.text, rows.sizes))

    def _system(self, system: System) -> str:
        """``gesv(n, count, matrix, sides)``: the right sides become the solutions."""
        gesv = {"float32": "gesv_f32", "float64": "gesv_f64"}[self.spelling.real]
        operands = []
        for name in (system.matrix, system.sides):
            inside = len(self._buffers[name].sizes) - len(system.piece)
            subscripts = [*map(self.spelling.text, system.piece), *["0"] * inside]
            operands.append(self.spelling.call("address", self._names(name), *subscripts))
        return self.spelling.call(gesv, *map(self.spelling.text, (system.n, system.count)), *operands)

    def _address(self, operand: Operand) -> str:
        subscripts = [self.spelling.text(part) for part in _start(operand, self._buffers)] or ["0"]
        return self.spelling.call("address", self._names(operand.buffer), *subscripts)


def _old_last(value: Expr, old: Expr) -> Expr:
    """An extreme of an element and something else, the element last: if that came first and were no number, it would
    stay, of which LLVM makes a store under a mask that takes five times as long.
    """
    if isinstance(value, Op) and value.name in ("max", "min") and value.args[0] is old:
        return Op(value.name, (*value.args[1:], old))
    return value


def _steps_of_term(term: Operand) -> tuple[Expr, Expr]:
    assert not isinstance(term.row, Steps) and not isinstance(term.column, Steps)
    return term.row, term.column


def _steps(product: Matmul) -> tuple[list[tuple[Expr, Expr, Expr]], ...]:
    """Of rows, columns and reduced indices the extent and the strides in the operands that have them: a and c, b and c,
    a and b.
    """
    a, b, c = product.a, product.b, product.c
    pairs = ((a.row, c.row), (b.column, c.column), (a.column, b.row))
    found = []
    for one, other in pairs:
        assert isinstance(one, Steps) and isinstance(other, Steps)
        found.append(list(zip(one.extents, one.strides, other.strides, strict=True)))
    return tuple(found)


def _start(operand: Operand, buffers: Mapping[str, Buffer]) -> list[Expr]:
    """The subscripts of a matrix's first element."""
    inside = buffers[operand.buffer].sizes[len(operand.piece) :]
    return [*operand.piece, *decomposed(operand.offset, inside)]


def _leading(operand: Operand, rows: Expr, columns: Expr) -> tuple[str, Expr]:
    """Whether an operand's rows (``AS_IS``) or its columns (``TRANSPOSED``) are contiguous, and their distance."""
    assert not isinstance(operand.row, Steps) and not isinstance(operand.column, Steps)
    row, column = known(operand.row), known(operand.column)
    if column == 1 and (row != 1 or known(rows) != 1):
        return "AS_IS", operand.row
    if row == 1 or known(rows) == 1:
        return "TRANSPOSED", operand.column
    if known(columns) == 1:
        return "AS_IS", operand.row
    raise ValueError(f"neither the rows nor the columns of an operand in {operand.buffer} are contiguous")


def decomposed(offset: Expr, sizes: tuple[Expr, ...]) -> list[Expr]:
    """Subscripts whose row-major position is ``offset``; the last ones may exceed their axes."""
    strides: list[Polynomial] = []
    step = Polynomial.constant(1)
    for size in reversed(sizes):
        strides.insert(0, step)
        step = step * polynomial(size)
    rest = polynomial(offset)
    subscripts: list[Expr] = []
    for stride in strides:
        whole, rest = rest.divide(stride)
        subscripts.append(whole.expression())
    return subscripts


# -- functions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """An emitted kernel: its name, its text from ``def`` on, what it imports, and the formulas above it."""

    name: str
    head: str
    body: tuple[str, ...]
    used: frozenset[str]
    formulas: tuple[str, ...]

    @property
    def is_wide(self) -> bool:
        return bool(self.used & _WIDE)


class Functions:
    """The kernels of a module, each different one once.

    ``names`` holds those of the module; ``imported`` only what a kernel may use of it, so that a tensor may be called
    as another kernel is.
    """

    def __init__(self, names: Names, imported: Names, real: str) -> None:
        self._names, self._imported = names, imported
        self._real = real
        self._by_text: dict[tuple[str, tuple[str, ...]], str] = {}
        self.functions: dict[str, Function] = {}

    def add(self, kernel: Kernel, buffers: Mapping[str, Buffer]) -> str:
        """The name of the function that is this kernel."""
        sign = signature(kernel, buffers)
        key = self._written(kernel, sign, buffers, plain=True)[:2]
        if key in self._by_text:
            self._mention(self._by_text[key], kernel)
            return self._by_text[key]
        name = self._names.fresh(f"compute_{kernel.name}")
        self._by_text[key] = name
        arguments, body, used = self._written(kernel, sign, buffers, plain=False)
        self.functions[name] = Function(name, f"def {name}({arguments}):", body, used, kernel.formulas)
        return name

    def _written(
        self, kernel: Kernel, sign: Signature, buffers: Mapping[str, Buffer], plain: bool
    ) -> tuple[str, tuple[str, ...], frozenset[str]]:
        """The parameters, the statements, and the names that they use of the module."""
        names = _KernelNames(self._imported, sign, kernel, plain)
        body = _Body(names, sign, buffers, self._real, frozenset(factors_of_loops(kernel.body)))
        body.write(kernel.body)
        sizes = [names(Size(size)) for size in sign.sizes]
        arguments = (*map(names, sign.running), *map(names, sign.over), *sizes, *map(names, sign.buffers))
        return ", ".join(arguments), tuple(body.writer.written), frozenset(body.spelling.used)

    def _mention(self, name: str, kernel: Kernel) -> None:
        """Add the formulas of another kernel that is the same function."""
        known_function = self.functions[name]
        more = tuple(formula for formula in kernel.formulas if formula not in known_function.formulas)
        if more:
            self.functions[name] = replace(known_function, formulas=(*known_function.formulas, *more))

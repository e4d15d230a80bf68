"""How a kernel is computed and why: its products, its loops, and whether shards share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dlc.compiler.analysis.counting import Count, Product
from dlc.compiler.analysis.values import UnknownError, whole
from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Select, free_indices, reads, walk
from dlc.compiler.ir.loops import (
    For,
    If,
    Kernel,
    Matmul,
    Program,
    Region,
    Repeat,
    Statement,
    Step,
    Store,
    System,
    Update,
    statements,
)
from dlc.compiler.ir.printer import expression_text
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.ways import OPEN, Ways
from dlc.compiler.lower.nests import volume
from dlc.compiler.lower.winograd_blocks import products_of

#: Which implementation computes op(A).op(B), and why: of (the forced one or '', ta, tb, m, n, k, lda, ldb, ldc,
#: whether a term is added).
Chooser = Callable[[str, bool, bool, int, int, int, int, int, int, bool], tuple[str, str]]


@dataclass(frozen=True)
class Choice:
    """A part of a kernel: ``what`` it is, the implementation (``way``), and the rule that decided."""

    what: str
    way: str
    why: str = ""


@dataclass(frozen=True)
class Share:
    is_shared: bool
    why: str


def choices(kernel: Kernel, count: Count, choose: Chooser, ways: Ways = OPEN) -> tuple[Choice, ...]:
    """The parts of a kernel: products one by one, and its loops together; ``ways`` are those it was lowered with."""
    found = list(dict.fromkeys(_product(product, choose, ways) for product in count.products))
    found += [Choice("linear system", "LAPACK", "gesv") for s in statements(kernel.body) if isinstance(s, System)]
    found += _loops(kernel, ways)
    return tuple(found)


def _product(product: Product, choose: Chooser, ways: Ways) -> Choice:
    m, n, k = product.m, product.n, product.k
    if product.taps is not None:
        tall, broad = product.taps
        enough = "--conv winograd" if ways.conv else f"{tall}x{broad} taps, and enough channels"
        fewer = f"{products_of(tall, broad)} multiplications in the place of {4 * tall * broad}"
        way, why = "Winograd's products", f"{enough}: {fewer}"
    elif product.is_tabled:
        way, why = "tile", "factors are read where they lie, through tables of offsets"
    else:
        way, why = choose(product.way, *product.transposed, m, n, k, *product.steps, product.has_term)
    times = "" if product.times <= 1 else f", {round(product.times):,} times"
    return Choice(f"product {m} x {k} x {n}{times}", way, why)


def _loops(kernel: Kernel, ways: Ways) -> Iterator[Choice]:
    loops = [statement for statement in statements(kernel.body) if isinstance(statement, For)]
    has_product = any(isinstance(statement, Matmul) for statement in statements(kernel.body))
    if not loops and has_product:
        return
    count = len(kernel.formulas)
    fused = f"{count} equations share loops" if count > 1 else ""
    if has_product and fused:
        fused += ", the products among them: what lies between stays in the cache"
    yield Choice("loop nest", "fused loops" if fused else "loops", fused)
    scattered = [s for s in statements(kernel.body) if isinstance(s, Store) and _scatters(s)]
    if scattered:
        yield Choice(f"scatter to {scattered[0].buffer}", "loops", "the place is data: no vectors, one shard writes")
    for indices in dict.fromkeys(_sums_of_products(kernel.body, ())):
        yield _why_loops(indices, ways)


def _scatters(store: Store) -> bool:
    """Whether data tells where to store."""
    return any(isinstance(node, Read) and node.subscripts for part in store.subscripts for node in walk(part))


def _sums_of_products(body: Iterable[Statement], around: tuple[Index, ...]) -> Iterator[tuple[Index, ...]]:
    """The loops of every sum of products of two tensors that loops compute."""
    for statement in body:
        match statement:
            case For(index=index, body=inner):
                yield from _sums_of_products(inner, (*around, index))
            case If(body=inner):
                yield from _sums_of_products(inner, around)
            case Update(value=value) | Store(value=value):
                factors = _added_product(value)
                if factors is None:
                    continue
                free = [set(free_indices(factor)) for factor in factors]
                if free[0] - free[1] and free[1] - free[0] and free[0] & free[1]:
                    yield tuple(index for index in around if index in free[0] | free[1])


def _why_loops(indices: tuple[Index, ...], ways: Ways) -> Choice:
    multiplications = volume(indices)
    what = f"product of {multiplications:,} multiplications"
    if any(known(index.size) is None for index in indices):
        what += " (sizes that are open count as 64)"
    if ways.gemm == "loops":
        return Choice(what, "loops", "--gemm loops")
    if multiplications < ways.loops_below:
        return Choice(what, "loops", f"fewer than {ways.loops_below:,}: a call would take longer")
    return Choice(what, "loops", "its factors or its conditions are not those of a matrix product")


def _added_product(value: Expr) -> tuple[Expr, Expr] | None:
    """The factors of ``total + f*g``, where both read tensors."""
    if isinstance(value, Select):
        value = value.yes
    if not (isinstance(value, Op) and value.name == "add"):
        return None
    for term in value.args:
        factors = guarded_product(term).factors
        if len(factors) == 2:
            left, right = factors
            if any(read.subscripts for read in reads(left)) and any(read.subscripts for read in reads(right)):
                return left, right
    return None


# -- shards -----------------------------------------------------------------------------------------------------------


def sharing(region: Region, program: Program, sizes: Mapping[str, int], least: int, shards: int) -> dict[str, Share]:
    """For each kernel of a region, whether shards run parts of it side by side; ``least`` is the work of a region from
    which waking the threads pays.
    """
    try:
        work = whole(region.work, sizes) if region.work is not None else None
    except UnknownError:
        work = None
    found: dict[str, Share] = {}
    for name, alone in _kernels(region.steps, False):
        split = program.kernels[name].split
        if split is None and not any(isinstance(s, For | Matmul) for s in program.kernels[name].body):
            found[name] = Share(False, "one shard: it is one number")
        elif split is None:
            found[name] = Share(False, "one shard: its parts would write to the same elements, or need each other's")
        elif alone:
            found[name] = Share(False, "one shard: a round needs what others would compute in the round before")
        elif work is not None and work < least:
            found[name] = Share(False, f"one thread: {work:,} steps of work in the region, fewer than {least:,}")
        elif shards == 1:
            found[name] = Share(False, "one processor")
        else:
            found[name] = Share(True, f"{shards} shards along {expression_text(split, {})}")
    return found


def _kernels(steps: Iterable[Step], alone: bool) -> Iterator[tuple[str, bool]]:
    for step in steps:
        if isinstance(step, str):
            yield step, alone
        else:
            yield from _kernels(step.steps, alone or (isinstance(step, Repeat) and step.alone))

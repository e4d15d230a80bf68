"""What holds of the tensors of a graph before a kernel is drafted: what is proved of sizes and of integers that are
read, where elements are needed and where they may differ from zero, and which equations are matrix products.

Nothing is decided here: ``drafting`` asks, and decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Select, Solve, reads
from dlc.compiler.ir.forms import made_of, window_sizes
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.safety import needs_more
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower import omission, scatter
from dlc.compiler.lower.contractions import Contraction, contraction
from dlc.compiler.lower.layouts import Packer
from dlc.compiler.lower.masks import EVERYWHERE, given, needed, zeros
from dlc.compiler.lower.products import Plan, plan
from dlc.compiler.lower.scatter import Facts


class Premises:
    """``sizes`` are those in memory, to which drafting adds what it makes; ``facts`` are the polynomials that are not
    negative where an expression is computed, ``windows`` the open sizes that count as small, ``shapes`` the sizes
    of tensors wherever they lie, ``zeros`` where tensors may differ from zero.
    """

    def __init__(
        self,
        graph: Graph,
        sizes: dict[str, tuple[Expr, ...]],
        formulas: Mapping[str, Expr],
        ways: Ways,
        times: Mapping[str, frozenset[int]],
    ) -> None:
        self.graph, self.sizes, self.formulas, self.ways = graph, sizes, formulas, ways
        self.facts, self._bounds = _facts(graph), bounds_of(graph)
        self.shapes = {key: tensor.sizes for key, tensor in graph.tensors.items()}
        self.windows = made_of(window_sizes(graph.facts), formulas)
        self._places = needed(graph, self._reads_all, times)
        self.zeros = {key: zeros(graph, tensor) for key, tensor in graph.tensors.items()}

    def is_product(self, tensor: Tensor, *read: Tensor) -> bool:
        """Whether a tensor is a matrix product, all of which is needed; what it reads may be new: ``read``."""
        self.sizes.update({one.id: one.sizes for one in read})
        if self._places.get(tensor.id, EVERYWHERE).at(tensor.equations[0].subscripts):
            return False
        product = self.contraction(tensor, tensor.equations[0])
        found = plan(product, Packer(self.sizes, str, formulas=self.formulas), self.ways) if product else None
        return found is not None

    def contraction(self, tensor: Tensor, equation: Equation, over: tuple[Index, ...] = ()) -> Contraction | None:
        """The equation as a matrix product; where its implementation is forced, however small it is."""
        if self.ways.gemm == "loops":
            return None
        return contraction(tensor, equation, self._needs_more, frozenset(over), self.ways.smallest)

    def needed(self, tensor: Tensor, equation: Equation) -> list[Polynomial]:
        """What is not negative where elements of an equation are needed."""
        return self._told(self._places.get(tensor.id, EVERYWHERE).at(equation.subscripts))

    def mattering(self, found: Plan) -> tuple[Polynomial, ...]:
        """What holds of the indices of a product wherever an element is needed, and a term of it differs from 0."""
        product = found.product
        facts = list(self.needed(product.tensor, product.equation))
        for factor in (found.left.layout.read, found.right.layout.read):
            facts += self._told(self._zero_outside(factor))
        return tuple(facts)

    def _zero_outside(self, factor: Read) -> list[Polynomial]:
        """What is not negative where a factor may differ from zero."""
        return self.zeros.get(factor.tensor, EVERYWHERE).at(factor.subscripts)

    def _told(self, facts: list[Polynomial]) -> list[Polynomial]:
        """The facts that can be looked at before anything is computed."""
        values = [(fact, fact.expression()) for fact in facts]
        return [fact for fact, value in values if len(given(self.graph, value)) == len(reads(value))]

    def _reads_all(self, tensor: Tensor, equation: Equation) -> bool:
        """Whether the kernel of an equation reads more than its conditions say."""
        value = equation.value
        if not isinstance(value, Reduce):
            return isinstance(value, Solve)
        if omission.omitted(equation, value) or scatter.places(equation, value):
            return True
        return self.contraction(tensor, equation) is not None

    def _needs_more(self, value: Expr, some: Sequence[Expr], every: Sequence[Expr]) -> bool:
        return needs_more(value, self.sizes, some, every, self.graph.facts, self._bounds)


def beside_copies(graph: Graph) -> dict[str, frozenset[str]]:
    """What the readers of copies with other borders read besides: that is where the copies should be made."""
    made = {name: tensor.equations for name, tensor in graph.tensors.items() if tensor.equations}
    copies = {name for name, equations in made.items() if all(map(_copies, equations))}
    found: dict[str, frozenset[str]] = {}
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            together = frozenset(read.tensor for read in reads(equation.value))
            found.update({name: found.get(name, frozenset()) | together for name in together & copies})
    return found


def _copies(equation: Equation) -> bool:
    value = equation.value
    return isinstance(value, Select) and isinstance(value.yes, Read) and isinstance(value.no, Const)


def _facts(graph: Graph) -> Facts:
    """What the sizes are required to fulfil, and what integer tensors declare of the reads in an expression."""

    def facts(expression: Expr) -> list[Polynomial]:
        found = list(graph.facts)
        for read in reads(expression):
            tensor = graph.tensors.get(read.tensor)
            if tensor is not None and tensor.bound is not None:
                element = polynomial(read)
                found += [element, polynomial(tensor.bound) - element - 1]
        return found

    return facts

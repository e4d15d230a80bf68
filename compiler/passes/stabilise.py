"""Keep exponentials from overflowing, and differences of them from cancelling, without being asked.

A quantity built from exponentials is kept as a mantissa and a scale, ``value = top/bottom * exp(scale)``:

    exp(u)                1, scale u
    a*b, a/b, a^n         scales add, subtract, multiply by n
    sum[j] a[j]           m = max[j] scale[j];  sum[j] a[j]*exp(scale[j] - m), scale m
    1 + exp(u)            1, scale softplus(u)
    sigmoid(u)            1, scale -softplus(-u)

It is used where it matters: a quotient by such a quantity subtracts its scale inside the numerator, where it cancels
exactly, and a logarithm gives ``log(top/bottom) + scale``.  Tensors are seen through: the logarithm of an element of a
softmax, computed by a layer of its own, is the element before it minus a logarithm of a sum.  The maximum is a
constant for derivatives, since the value does not depend on it.  It is kept finite, so that a row that is all -inf, or
a mask that leaves nothing, gives what the mathematics says and no nan of its own.

Products of exponentials become one.  A table of patterns rewrites what loses digits: ``log(1 + x)``, ``exp(x) - 1``,
``1 - sigmoid(x)``, ``2*sigmoid(x) - 1``, and the variance ``E[x²] - E[x]²`` (see ``ir/precise.py``).
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.conditions import conjunction, guarded, is_zero
from dlc.compiler.ir.costs import is_light
from dlc.compiler.ir.expr import TRUE, Const, Expr, Index, Op, Read, Reduce, Select, free_indices, op, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined, unique, whole
from dlc.compiler.ir.linear import Linear
from dlc.compiler.ir.magnitude import never_positive
from dlc.compiler.ir.precise import precise
from dlc.compiler.ir.products import guarded_product, product
from dlc.compiler.ir.rewriting import rename_bound, substitute
from dlc.compiler.ir.scaled import (
    GREATEST,
    Scaled,
    by_factors,
    divided,
    exponent_of,
    exponential,
    finite,
    greatest_of,
    has_terms,
    hyperbolic,
    is_softplus,
    is_some,
    logarithm,
    sigmoid,
)
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.ir.sums import rules_of

NAME = "stabilise"

_ONE = Const(1.0)


def run(graph: Graph) -> Graph:
    stabiliser = _Stabiliser(graph)
    for name in graph.ordered:
        stabiliser.visit(graph.tensors[name])
    made, stable = stabiliser.made, stabiliser.result
    result = graph.with_tensors(tensor for name in graph.tensors for tensor in (*made[name], stable[name]))
    return _without_unread(result, graph)


def _without_unread(result: Graph, before: Graph) -> Graph:
    """Without the tensors made for a mantissa or a scale that was not asked for in the end."""
    needed = list(before.tensors)
    seen = set(needed)
    while needed:
        for equation in result.tensors[needed.pop()].equations:
            new = [node.tensor for node in reads(equation.value) if node.tensor not in seen]
            seen.update(new)
            needed.extend(new)
    return result.with_tensors(tensor for tensor in result.tensors.values() if tensor.id in seen)


class _Stabiliser:
    """``result`` has, for each tensor, what comes of it; ``made`` the tensors that hold its mantissa and its scale."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.held = graph.held
        self.names: dict[str, object] = dict(graph.tensors)
        self.result: dict[str, Tensor] = {}
        self.made: dict[str, list[Tensor]] = {name: [] for name in graph.tensors}
        self.values: dict[str, Equation] = {}  # of tensors with one equation: the stable one; of what holds parts, too
        self.of_tensor: dict[str, Scaled | None] = {}
        self.parts: dict[tuple[str, str], str] = {}  # a tensor and one of scale, top, bottom -> what holds that
        self.looked_through: set[str] = set()  # the tensors whose definitions are being looked at
        self.simplified = Simplifier(rules_of(graph))
        self._stable: dict[Expr, Expr] = {}
        self._scaled: dict[Expr, Scaled | None] = {}

    def visit(self, tensor: Tensor) -> None:
        equations = tuple(self._stable_equation(equation) for equation in tensor.equations)
        self.result[tensor.id] = tensor if equations == tensor.equations else replace(tensor, equations=equations)
        if len(equations) == 1 and equations[0].is_whole and tensor.id not in self.held:
            self.values[tensor.id] = equations[0]

    def _stable_equation(self, equation: Equation) -> Equation:
        value = self.stable(equation.value)
        return equation if value is equation.value else replace(equation, value=self.simplified(value))

    # -- values -----------------------------------------------------------------------------------------------------

    def stable(self, node: Expr) -> Expr:
        """The value, computed without overflow on the way."""
        if node.type != "real" and not node.children:
            return node
        if node not in self._stable:
            self._stable[node] = self._made_stable(node)
        return self._stable[node]

    def _made_stable(self, node: Expr) -> Expr:
        match node:
            case Op(name="log", args=(arg,)):
                scaled = self.scaled(arg)
                if scaled is not None and scaled.scale:
                    return logarithm(scaled)
            case Op(name="div", args=(over, under)):
                quotient = self._stable_quotient(over, under)
                if quotient is not None:
                    return quotient
            case Op(name="mul"):
                combined = self._stable_product(node)
                if combined is not None:
                    return combined
        children = tuple(self.stable(child) for child in node.children)
        rebuilt = node if children == node.children else node.rebuild(children)
        return precise(rebuilt, self.definition)

    def definition(self, node: Expr) -> Expr:
        """What an element of a tensor is computed from, one step back."""
        if not isinstance(node, Read) or node.tensor not in self.values:
            return node
        return inlined(self.values[node.tensor], node.subscripts)

    def _stable_quotient(self, over: Expr, under: Expr) -> Expr | None:
        tangent = self._tangent(over, under)
        if tangent is not None:
            return tangent
        below = self.scaled(under)
        if below is None or below.bounded or not below.scale:
            return None
        if below.is_pure and self.scaled(over) is None and not is_softplus(below.scale):
            return None  # x/exp(u) is what it is
        below = below.unguarded
        above = self.shifted(over, -below.scale)
        return divided(product((above, below.bottom)), below.top)

    def _tangent(self, over: Expr, under: Expr) -> Expr | None:
        """(exp(a) - exp(b)) / (exp(a) + exp(b)) = tanh((a - b)/2), and exp(a) / (exp(a) + exp(b)) = sigmoid(a - b)"""
        if isinstance(over, Op) and isinstance(under, Op) and (over.name, under.name) == ("sinh", "cosh"):
            if over.args == under.args:
                return op("tanh", self.stable(over.args[0]))
        below = self._exponents(under)
        if below is None or [sign for sign, _ in below] != [1, 1]:
            return None
        a, b = (exponent for _, exponent in below)
        above = self._exponents(over)
        if above is not None and sorted(sign for sign, _ in above) == [-1, 1]:
            plus, minus = (next(e for sign, e in above if sign == wanted) for wanted in (1, -1))
            for first, second in ((a, b), (b, a)):
                if not (plus - first) and not (minus - second):
                    return op("tanh", (first - second).times(0.5).expression())
        numerator = self.scaled(over)
        if numerator is None or not numerator.is_pure:
            return None
        for first, second in ((a, b), (b, a)):
            if not (numerator.scale - first):
                return op("sigmoid", (first - second).expression())
        return None

    def _exponents(self, node: Expr) -> list[tuple[int, Linear]] | None:
        """The signs and exponents of a sum of two bare exponentials, of which one may be 1."""
        if isinstance(node, Read):
            return self._exponents_of_element(node)
        if not (isinstance(node, Op) and node.name == "add" and len(node.args) == 2):
            return None
        result: list[tuple[int, Linear]] = []
        for term in node.args:
            sign = -1 if isinstance(term, Op) and term.name == "neg" else 1
            bare = term.args[0] if sign < 0 and isinstance(term, Op) else term
            if isinstance(bare, Const) and abs(bare.value) == 1:
                result.append((sign if bare.value > 0 else -sign, Linear()))
                continue
            scaled = self.scaled(bare)
            if scaled is None or not scaled.is_pure or scaled.bounded:
                return None
            result.append((sign, scaled.scale))
        return result

    def _exponents_of_element(self, node: Read) -> list[tuple[int, Linear]] | None:
        """Those of the short sum that an element stands for."""
        if node.tensor in self.looked_through:
            return None  # in a recurrence: an earlier element of what is looked at
        defined = self.definition(node)
        if not (isinstance(defined, Op) and defined.name == "add"):
            return None
        self.looked_through.add(node.tensor)
        result = self._exponents(defined)
        self.looked_through.remove(node.tensor)
        return result

    def _stable_product(self, node: Op) -> Expr | None:
        """exp(a)*exp(b) = exp(a + b), where that needs no more exponentials."""
        parts = [(arg, self.scaled(arg)) for arg in node.args]
        chosen = [(arg, s) for arg, s in parts if s is not None and s.scale and not s.bounded and s.guard is TRUE]
        if len(chosen) < 2:
            return None
        depends = [set(free_indices(arg)) for arg, _ in chosen]
        if set().union(*depends) not in depends:
            return None
        exponent = Linear.collected(part for _, s in chosen for part in s.scale.terms)
        others = [self.stable(arg) for arg, s in parts if not any(arg is other for other, _ in chosen)]
        return product((*others, *(s.mantissa for _, s in chosen), exponential(exponent)))

    # -- mantissa and scale -------------------------------------------------------------------------------------------

    def scaled(self, node: Expr) -> Scaled | None:
        """Mantissa and scale of what is built from exponentials; None for anything else."""
        if node.type != "real":
            return None
        if node not in self._scaled:
            self._scaled[node] = self._made_scaled(node)
        return self._scaled[node]

    def _made_scaled(self, node: Expr) -> Scaled | None:
        match node:
            case Op(name="exp", args=(arg,)):
                return Scaled(Linear.of(self.stable(arg)))
            case Op(name="sigmoid", args=(arg,)):
                return sigmoid(self.stable(arg))
            case Op(name="cosh" | "sinh"):
                assert isinstance(node, Op)
                return self.scaled(hyperbolic(node))
            case Op(name="mul"):
                return self._scaled_product(node)
            case Op(name="div", args=(over, under)):
                return self._scaled_quotient(node, over, under)
            case Op(name="neg", args=(arg,)):
                scaled = self.scaled(arg)
                return scaled and replace(scaled, top=op("neg", scaled.top))
            case Op(name="sqrt", args=(arg,)):
                return self._scaled_power(arg, 0.5)
            case Op(name="pow", args=(arg, Const(value=value))):
                return self._scaled_power(arg, float(value))
            case Op(name="add"):
                return self._scaled_terms(node)
            case Select():
                return self._scaled_choice(node)
            case Reduce(op="sum"):
                return self._scaled_sum(node)
            case Reduce(op="prod"):
                return self._scaled_prod(node)
            case Read():
                return self._scaled_element(node)
        return None

    def _scaled_product(self, node: Op) -> Scaled | None:
        parts = [self.scaled(arg) for arg in node.args]
        if not any(parts):
            return None
        kept = [part or Scaled(Linear(), self.stable(arg)) for part, arg in zip(parts, node.args, strict=True)]
        return Scaled(
            Linear.collected(term for part in kept for term in part.scale.terms),
            product(part.top for part in kept),
            product(part.bottom for part in kept),
            conjunction(part.guard for part in kept),
            all(part.bounded for part in parts if part is not None),
            conjunction((*(part.some for part in kept), *map(is_some, node.args))),
        )

    def _scaled_quotient(self, node: Op, over: Expr, under: Expr) -> Scaled | None:
        tangent = self._tangent(over, under)
        if tangent is not None:
            return self.scaled(tangent)
        above, below = self.scaled(over), self.scaled(under)
        if above is None and below is None:
            return None
        above = above or Scaled(Linear(), self.stable(over))
        below = (below or Scaled(Linear(), self.stable(under))).unguarded
        bounded = above.bounded or (bool(below.scale) and (not below.is_pure or is_softplus(below.scale)))
        top, bottom = product((above.top, below.bottom)), product((above.bottom, below.top))
        return Scaled(above.scale - below.scale, top, bottom, above.guard, bounded, above.some)

    def _scaled_power(self, base: Expr, exponent: float) -> Scaled | None:
        scaled = self.scaled(base)
        if scaled is None or exponent <= 0:
            return None

        def power(x: Expr) -> Expr:
            if x is _ONE:
                return x
            return op("sqrt", x) if exponent == 0.5 else op("pow", x, exponent_of(exponent))

        scale = scaled.scale.times(exponent)
        return Scaled(scale, power(scaled.top), power(scaled.bottom), scaled.guard, scaled.bounded, scaled.some)

    def _scaled_terms(self, node: Op) -> Scaled | None:
        stable = op("add", *map(self.stable, node.args))
        changed = precise(stable, self.definition)
        if changed is not stable:
            return self.scaled(changed)
        parts = [self.scaled(arg) for arg in node.args]
        found = [part for part in parts if part is not None]
        if not found or (len(found) < len(parts) and all(part.bounded for part in found)):
            return None
        kept = [part or Scaled(Linear(), self.stable(arg)) for part, arg in zip(parts, node.args, strict=True)]
        if len(kept) == 2 and all(part.is_pure for part in kept):
            for one, other in (kept, kept[::-1]):
                if not one.scale:
                    return Scaled(Linear.of(op("softplus", other.scale.expression())))
        scales = [part.scale for part in kept]
        if all(part.guard is TRUE and not (part.scale - scales[0]) for part in kept):
            some = TRUE if any(part.some is TRUE for part in kept) else op("or", *(part.some for part in kept))
            return Scaled(scales[0], op("add", *(part.mantissa for part in kept)), some=some)
        # what is not there does not count: its scale may be far above that of the others
        exponents = [guarded(part.present, part.scale.expression(), Const(-GREATEST)) for part in kept]
        top = exponents[0]
        for exponent in exponents[1:]:
            top = op("max", top, exponent)
        greatest = Linear.of(op("stop", finite(top)))
        terms = (guarded(p.present, product((p.mantissa, exponential(p.scale - greatest)))) for p in kept)
        return Scaled(greatest, op("add", *terms))

    def _scaled_choice(self, node: Select) -> Scaled | None:
        yes, no = self.scaled(node.yes), self.scaled(node.no)
        cond = self.stable(node.cond)
        if is_zero(node.no):
            return yes and replace(yes, guard=conjunction((cond, yes.guard)))
        if yes is None and no is None:
            return None
        a = (yes or Scaled(Linear(), self.stable(node.yes))).unguarded
        b = (no or Scaled(Linear(), self.stable(node.no))).unguarded
        scale = Linear.of(Select(cond, a.scale.expression(), b.scale.expression()))
        return Scaled(scale, Select(cond, a.mantissa, b.mantissa), bounded=a.bounded and b.bounded)

    def _scaled_sum(self, node: Reduce) -> Scaled | None:
        body = self.scaled(node.body)
        if body is None:
            return None
        body = replace(body, guard=body.present, some=TRUE)
        inner, outer = body.scale.parted(node.indices)
        if not inner:
            total = Reduce("sum", node.indices, guarded(body.guard, body.mantissa))
            return Scaled(outer, total, some=has_terms(node, outer, body.guard))
        parts = by_factors(inner, node.indices, body.guard) if self._is_product(node) else []
        greatest = [greatest_of(node, *part) for part in parts or [(inner, body.guard)]]
        shifts = [exponential(part - Linear.of(most)) for part, most in greatest]
        terms = guarded(body.guard, product((body.mantissa, *shifts)))
        scale = Linear.collected(term for _, most in greatest for term in Linear.of(most).terms)
        some = has_terms(node, outer, body.guard, greatest[0][1])
        return Scaled(outer + scale, Reduce("sum", node.indices, terms), some=some)

    def _is_product(self, node: Reduce) -> bool:
        """Whether two factors have exponentials of their own, none of which overflows: feature maps such as 1 + elu."""
        _, factors = guarded_product(node.body)
        found = [scaled.scale for factor in factors if (scaled := self.scaled(factor)) is not None and scaled.scale]
        return len(found) == 2 and all(never_positive(scale.expression(), self.definition) for scale in found)

    def _scaled_prod(self, node: Reduce) -> Scaled | None:
        body = self.scaled(node.body)
        if body is None or not body.scale:
            return None
        body = body.unguarded
        mantissa = _ONE if body.is_pure else Reduce("prod", node.indices, body.mantissa)
        return Scaled(Linear.of(Reduce("sum", node.indices, body.scale.expression())), mantissa, bounded=body.bounded)

    # -- elements of tensors ------------------------------------------------------------------------------------------

    def _scaled_element(self, node: Read) -> Scaled | None:
        tensor = self.graph.tensors.get(node.tensor)  # none: what holds a mantissa or a scale, a number like others
        if tensor is None or len(tensor.equations) != 1 or not tensor.equations[0].is_whole or tensor.id in self.held:
            return None
        equation = tensor.equations[0]
        if tensor.id not in self.of_tensor:
            self.of_tensor[tensor.id] = None  # in a recurrence: its own elements are numbers like others
            if not _adds_to_itself(equation.value, tensor.id):
                self.of_tensor[tensor.id] = self.scaled(equation.value)
        scaled = self.of_tensor[tensor.id]
        if scaled is None or not scaled.scale:
            return None
        place = dict(zip(equation.indices, node.subscripts, strict=True))
        guard = substitute(rename_bound(scaled.guard), place)
        some = substitute(rename_bound(scaled.some), place)

        def element(part: str, value: Expr) -> Expr:
            """A part: copied if it is light, else read from a tensor that holds the part."""
            if is_light(value, place):
                return substitute(rename_bound(value), place)
            return self._element_of(tensor, equation, part, guarded(scaled.guard, value), place)

        scale = Linear.of(element("scale", scaled.scale.expression()))
        return Scaled(scale, element("top", scaled.top), element("bottom", scaled.bottom), guard, scaled.bounded, some)

    def _element_of(self, tensor: Tensor, equation: Equation, part: str, value: Expr, place: dict[Index, Expr]) -> Expr:
        """An element of the tensor that holds the part, which is made when it is first asked for."""
        axes = tuple(index for index in equation.indices if index in free_indices(value))
        if (tensor.id, part) not in self.parts:
            name = unique(f"{tensor.id}.{part}", self.names)
            self.names[name] = name
            self.parts[tensor.id, part] = name
            held = whole(name, axes, self.simplified(value), equation.span)
            self.made[tensor.id].append(held)
            self.values[name] = held.equations[0]
        return Read(self.parts[tensor.id, part], tuple(place[axis] for axis in axes), "real")

    # -- products with an exponential -------------------------------------------------------------------------------

    def shifted(self, node: Expr, shift: Linear) -> Expr:
        """node * exp(shift), the shift taken into the exponentials of the node."""
        match node:
            case Reduce(op="sum") if self.scaled(node) is not None:
                return Reduce("sum", node.indices, self.shifted(node.body, shift))
            case Op(name="add", args=args) if self.scaled(node) is not None:
                return op("add", *(self.shifted(arg, shift) for arg in args))
            case Op(name="neg", args=(arg,)):
                return op("neg", self.shifted(arg, shift))
            case Select(cond=cond, yes=yes, no=no) if self.scaled(node) is not None:
                return Select(self.stable(cond), self.shifted(yes, shift), self.shifted(no, shift))
            case Const() if is_zero(node):
                return node
        scaled = self.scaled(node)
        if scaled is None:
            return product((self.stable(node), exponential(shift)))
        value = product((scaled.mantissa, exponential(scaled.scale + shift)))
        return guarded(scaled.guard, value)


# -- recurrences --------------------------------------------------------------------------------------------------


def _adds_to_itself(value: Expr, name: str) -> bool:
    """Whether the elements of the tensor of this name are sums of others, or of multiples: where an exponential beside
    them overflows, they do too from there on, and a scale would only compute the recurrence again.  Of what recurs in
    another way, such as elements divided by their sum, the scale keeps more."""
    return isinstance(value, Op) and value.name == "add" and any(_is_multiple(arg, name) for arg in value.args)


def _is_multiple(node: Expr, name: str) -> bool:
    """Whether it is elements of the tensor, times something, added up."""
    if isinstance(node, Read):
        return node.tensor == name
    parts = [child for child in node.children if any(read.tensor == name for read in reads(child))]
    if isinstance(node, Op) and (node.name in ("neg", "mul") or (node.name == "div" and parts == [node.args[0]])):
        return len(parts) == 1 and _is_multiple(parts[0], name)
    is_sum = isinstance(node, Select) or (isinstance(node, Reduce) and node.op == "sum")
    return is_sum and bool(parts) and all(_is_multiple(part, name) for part in parts)

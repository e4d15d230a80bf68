"""The graph language as text, in the notation of `.dl` files: what golden tests pin and ``--print-after`` shows.

Every index variable is named after its hint and its range.  The first range met under a letter has the plain letter,
another range gets a number (``i`` runs over ``I``, ``i2`` over ``I2``), and two indices over one range are told apart
by primes; the header lists the ranges.  Ids never show, so the text depends on the structure of the graph alone.

Conversions from integers to reals are not spelled, as in the language: an integer beside a real is a real.

Expressions are graphs, and as a tree some are too long to be read, or even written.  Of a long equation, what occurs
several times has a name: ``y[i] = e1/(1 + e1) where e1 = exp(x[i])``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from dlc.compiler.ir.expr import (
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    Size,
    Solve,
    free_indices,
    identity_of,
    walk,
)
from dlc.compiler.ir.graph import Equation, Graph, Initialiser, Tensor

_KEYWORDS = frozenset(("and", "else", "false", "if", "in", "index", "inf", "mod", "not", "or", "pi", "state", "true"))
_PI = 3.141592653589793
_LONG, _SHORT = 400, 5  # nodes of an equation whose repeated parts get names, and of a part that gets none

# Binding strength, weakest first: the levels of the language's grammar.
_CHOICE, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _MINUS, _POWER, _ATOM = range(10)

_COMPARISONS = {"lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_QUOTIENTS = {"div": "/", "floordiv": " // ", "mod": " mod "}


# -- names of indices -----------------------------------------------------------------------------------------------


class Naming:
    """Gives each range of index variables a letter of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken) | _KEYWORDS
        self._letters: dict[tuple[str, Expr], str] = {}

    def letter(self, hint: str, size: Expr) -> str:
        """The name, without primes, of the index variables over ``size`` that are hinted so."""
        stem = hint.rstrip("'")
        stem = (stem[:1].lower() + stem[1:]) or "i"
        if (stem, size) not in self._letters:
            self._letters[stem, size] = self._unused(stem)
        return self._letters[stem, size]

    def _unused(self, stem: str) -> str:
        number, name = 2, stem
        base = f"{stem}_" if stem[-1].isdigit() else stem
        while name in self._taken:
            name, number = f"{base}{number}", number + 1
        self._taken.add(name)
        return name

    def extend(self, names: Mapping[Index, str], indices: Iterable[Index]) -> dict[Index, str]:
        """``names`` with names for ``indices`` that differ from those in use, by primes."""
        result = dict(names)
        for index in indices:
            name = self.letter(index.hint, index.size)
            while name in result.values():
                name += "'"
            result[index] = name
        return result

    @property
    def ranges(self) -> dict[str, Expr]:
        """The index sets in use and their sizes, in the order in which they were met."""
        return {set_name(letter): size for (_, size), letter in self._letters.items()}

    def holds(self, set_name: str, size: Expr) -> bool:
        """Whether the set called so has that size, which it then has from now on if it was not known."""
        letter = set_name[:1].lower() + set_name[1:]
        if letter in self._taken:
            return self._letters.get((letter, size)) == letter
        return self.letter(letter, size) == letter


def set_name(index_name: str) -> str:
    """The index set that an index variable of that name runs over."""
    return index_name[:1].upper() + index_name[1:]


# -- expressions ----------------------------------------------------------------------------------------------------


def expression_text(expression: Expr, names: Mapping[Index, str], naming: Naming | None = None) -> str:
    """The expression as text; ``names`` names its free indices, bound ones are named apart from them."""
    return _Printer(naming or Naming()).text(expression, dict(names), _CHOICE)


def equation_text(tensor: Tensor, equation: Equation, naming: Naming | None = None) -> str:
    """``tensor[subscripts] = value``, of a long value ``.. where`` its repeated parts are what they are."""
    naming = naming or Naming(_scalars_read(equation))
    names = naming.extend({}, equation.indices)
    printer = _Printer(naming)
    repeated = _repeated(equation)
    if not repeated:
        value = printer.text(equation.value, names, _CHOICE)
        return f"{printer.element(tensor.id, equation.subscripts, names)} = {value}"
    taken = {node.tensor for node in walk(equation.value) if isinstance(node, Read)}
    free = (name for number in itertools.count(1) if (name := f"e{number}") not in taken)
    short = dict(zip(repeated, free, strict=False))
    shortened = _Printer(naming, short)
    written = shortened.text(equation.value, names, _CHOICE)
    if isinstance(equation.value, Reduce):
        names = naming.extend(names, equation.value.indices)
    parts = (f"{name} = {shortened.definition(node, names)}" for node, name in short.items())
    return f"{printer.element(tensor.id, equation.subscripts, names)} = {written} where {', '.join(parts)}"


def _repeated(equation: Equation) -> list[Expr]:
    """What a long equation has several times, small parts first."""
    lengths: dict[Expr, int] = {}  # as trees
    nodes = list(walk(equation.value))
    for node in nodes:
        lengths[node] = 1 + sum(lengths[child] for child in node.children)
    if lengths[equation.value] <= _LONG:
        return []
    bound = set(equation.indices)
    bound.update(equation.value.indices if isinstance(equation.value, Reduce) else ())
    uses = Counter(child for node in nodes for child in node.children)
    return [
        node
        for node in nodes
        if uses[node] > 1
        and lengths[node] > (_SHORT if node.type == "real" else _LONG // 8)
        and isinstance(node, Op | Select)
        and bound.issuperset(free_indices(node))
    ]


def _scalars_read(equation: Equation) -> list[str]:
    return [node.tensor for node in walk(equation.value) if isinstance(node, Read) and not node.subscripts]


class _Printer:
    """``text(node, names, level)``: parentheses stand where the node binds weaker than ``level`` asks for.

    ``last`` says that nothing stands to the right in the same product, where a reduction needs no parentheses;
    ``tight`` leaves out the spaces around ``+`` and ``-``, as subscripts are written.
    """

    def __init__(self, naming: Naming, short: Mapping[Expr, str] | None = None) -> None:
        self.naming = naming
        self.short = short or {}  # names of parts that are written elsewhere

    def definition(self, node: Expr, names: dict[Index, str]) -> str:
        """A part that has a name, in full."""
        return self._written_out(node, names, tight=False)[0]

    def text(self, node: Expr, names: dict[Index, str], level: int, last: bool = True, tight: bool = False) -> str:
        written, strength, is_open = self._spell(node, names, tight)
        if strength < level or (is_open and not last):
            return f"({written})"
        return written

    def element(self, tensor: str, subscripts: Iterable[Expr], names: dict[Index, str]) -> str:
        written = ",".join(self.text(subscript, names, _CHOICE, tight=True) for subscript in subscripts)
        return f"{tensor}[{written}]" if written else tensor

    def _spell(self, node: Expr, names: dict[Index, str], tight: bool) -> tuple[str, int, bool]:
        """The text, its binding strength, and whether a factor written after it would fall into a reduction."""
        return (self.short[node], _ATOM, False) if node in self.short else self._written_out(node, names, tight)

    def _written_out(self, node: Expr, names: dict[Index, str], tight: bool) -> tuple[str, int, bool]:
        match node:
            case Const():
                return _constant(node.value)
            case Size(name=name):
                return f"|{name}|", _ATOM, False
            case Index():
                return names.get(node, f"{node.hint}?"), _ATOM, False
            case Read():
                return self.element(node.tensor, node.subscripts, names), _ATOM, False
            case Select():
                return self._select(node, names, tight)
            case Reduce():
                return self._reduce(node, names)
            case Solve():
                return self._solve(node, names), _ATOM, False
            case Op():
                return self._operator(node, names, tight)
        raise TypeError(type(node).__name__)

    def _reduce(self, node: Reduce, names: dict[Index, str]) -> tuple[str, int, bool]:
        inner = self.naming.extend(names, node.indices)
        bound = ",".join(inner[index] for index in node.indices)
        condition, body = _condition_of(node)
        if condition is not None:
            bound += f" : {self.text(condition, inner, _CHOICE)}"
        if node.op in ("any", "all"):
            return f"{node.op}[{bound}] ({self.text(body, inner, _CHOICE)})", _PRODUCT, True
        return f"{node.op}[{bound}] {self.text(body, inner, _PRODUCT)}", _PRODUCT, True

    def _solve(self, node: Solve, names: dict[Index, str]) -> str:
        inner = self.naming.extend(names, node.indices)
        bound = ",".join(inner[index] for index in node.indices)
        matrix, vector = (self.text(part, inner, _CHOICE) for part in (node.matrix, node.vector))
        return f"solve[{bound}]({matrix}, {vector})[{self.text(node.position, names, _CHOICE, tight=True)}]"

    def _select(self, node: Select, names: dict[Index, str], tight: bool) -> tuple[str, int, bool]:
        if isinstance(node.no, Const) and node.no.value == 0 and node.type != "bool":
            bracket = f"[{self.text(node.cond, names, _CHOICE)}]"
            if isinstance(node.yes, Const) and node.yes.value == 1:
                return bracket, _ATOM, False
            factors, is_open = self._factors(_factors_of(node.yes), names, tight, first=False)
            return f"{bracket}*{factors}", _PRODUCT, is_open
        yes = self.text(node.yes, names, _OR, tight=tight)
        cond = self.text(node.cond, names, _OR)
        no = self.text(node.no, names, _CHOICE, tight=tight)
        return f"{yes} if {cond} else {no}", _CHOICE, False

    def _operator(self, node: Op, names: dict[Index, str], tight: bool) -> tuple[str, int, bool]:
        name, args = node.name, node.args
        if name == "add":
            return self._sum(args, names, tight), _SUM, False
        if name == "mul":
            factors, is_open = self._factors(args, names, tight, first=True)
            return factors, _PRODUCT, is_open
        if name == "neg":
            return self._negation(args[0], names, tight)
        if name == "real" and args[0].type != "bool":
            return self._spell(args[0], names, tight)
        if name in _QUOTIENTS:
            left = self.text(args[0], names, _PRODUCT, last=False, tight=tight)
            return f"{left}{_QUOTIENTS[name]}{self.text(args[1], names, _POWER, tight=tight)}", _PRODUCT, False
        if name in _COMPARISONS:
            left, right = (self.text(arg, names, _SUM) for arg in args)
            return f"{left} {_COMPARISONS[name]} {right}", _COMPARE, False
        if name == "and":
            return self._conjunction(args, names), _AND, False
        if name == "or":
            return " or ".join(self.text(arg, names, _AND) for arg in args), _OR, False
        if name == "not":
            return f"not {self.text(args[0], names, _NOT)}", _NOT, False
        if name == "pow":
            return f"{self.text(args[0], names, _ATOM)}^{self.text(args[1], names, _POWER)}", _POWER, False
        listed = ", ".join(self.text(arg, names, _CHOICE) for arg in args)
        return (f"[{listed}]" if name == "real" else f"{name}({listed})"), _ATOM, False

    def _negation(self, arg: Expr, names: dict[Index, str], tight: bool) -> tuple[str, int, bool]:
        """The sign of a product or quotient of reals may stand before it."""
        written, strength, is_open = self._spell(arg, names, tight)
        if strength >= _MINUS:
            return f"-{written}", _MINUS, is_open
        if strength == _PRODUCT and not (isinstance(arg, Op) and arg.name in ("floordiv", "mod")):
            return f"-{written}", _PRODUCT, is_open
        return f"-({written})", _MINUS, False

    def _sum(self, terms: tuple[Expr, ...], names: dict[Index, str], tight: bool) -> str:
        plus, minus = ("+", "-") if tight else (" + ", " - ")
        written = self.text(terms[0], names, _PRODUCT, tight=tight)
        for term in terms[1:]:
            text = self.text(term, names, _PRODUCT, tight=tight)
            written += minus + text[1:] if text.startswith("-") else plus + text
        return written

    def _factors(
        self, factors: tuple[Expr, ...], names: dict[Index, str], tight: bool, first: bool
    ) -> tuple[str, bool]:
        """A chain of factors, and whether it ends in a reduction.

        Only the first of a product (``first``: the chain starts it) may be a quotient or have a sign without
        parentheses, only the last may be a reduction; a guard chains anywhere.
        """
        written: list[str] = []
        is_open = False
        for number, factor in enumerate(factors):
            text, strength, opens = self._spell(factor, names, tight)
            last = number == len(factors) - 1
            chains = (first and number == 0) or isinstance(factor, Reduce | Select)
            closed = strength < (_PRODUCT if chains else _POWER) or (opens and not last)
            written.append(f"({text})" if closed else text)
            is_open = opens and not closed
        return "*".join(written), is_open

    def _conjunction(self, args: tuple[Expr, ...], names: dict[Index, str]) -> str:
        """Comparisons that share a side are chained: ``0 <= i < n``."""
        parts: list[str] = []
        end: Expr | None = None
        for arg in args:
            if not (isinstance(arg, Op) and arg.name in ("lt", "le")):
                parts.append(self.text(arg, names, _NOT))
                end = None
                continue
            if arg.args[0] is end:
                parts[-1] += f" {_COMPARISONS[arg.name]} {self.text(arg.args[1], names, _SUM)}"
            else:
                parts.append(self.text(arg, names, _COMPARE))
            end = arg.args[1]
        return " and ".join(parts)


def _factors_of(node: Expr) -> tuple[Expr, ...]:
    return node.args if isinstance(node, Op) and node.name == "mul" else (node,)


def _condition_of(node: Reduce) -> tuple[Expr | None, Expr]:
    """A reduction over a guarded body, whose other branch is the identity, is written ``max[j : cond] body``.

    A guarded sum is written with a bracket instead: both mean the same, and brackets are what deltas are made of.
    """
    body = node.body
    if node.op == "sum" or not isinstance(body, Select) or not isinstance(body.no, Const):
        return None, body
    return (body.cond, body.yes) if body.no is identity_of(node.op, body.type) else (None, body)


def _constant(value: float | int | bool) -> tuple[str, int, bool]:
    if isinstance(value, bool):
        return ("true" if value else "false"), _ATOM, False
    text = "pi" if value == _PI else repr(value)
    text = text.removesuffix(".0") if isinstance(value, float) else text
    return text, (_MINUS if text.startswith("-") else _ATOM), False


# -- graphs ---------------------------------------------------------------------------------------------------------


def text(graph: Graph) -> str:
    """The whole graph: header with index sets, what is given, the equations, the roots."""
    naming = Naming(tensor.id for tensor in graph.tensors.values() if not tensor.sizes)
    for name in graph.sizes:
        naming.holds(name, Size(name))
    given = [_given_line(tensor, naming) for tensor in graph.tensors.values() if tensor.kind != "computed"]
    requirements = [f"require {expression_text(r.value, {}, naming)} >= 0  # {r.message}" for r in graph.requirements]
    equations = [
        line for tensor in graph.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor, naming)
    ]
    header = [f"graph {graph.name}", *_range_lines(naming)]
    blocks = [header, given, requirements, equations, list(_root_lines(graph))]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def tensor_lines(tensor: Tensor, naming: Naming | None = None) -> list[str]:
    """The equations of a computed tensor; a type other than real stands behind them."""
    mark = "" if tensor.type == "real" else f"  # {tensor.type}"
    return [equation_text(tensor, equation, naming) + mark for equation in tensor.equations]


def _range_lines(naming: Naming) -> list[str]:
    sets = [name if size is Size(name) else f"{name} = {_size_text(size)}" for name, size in naming.ranges.items()]
    return ["index " + ", ".join(sets)] if sets else []


def _size_text(size: Expr) -> str:
    return expression_text(size, {})


def _given_line(tensor: Tensor, naming: Naming) -> str:
    word = {"parameter": "param"}.get(tensor.kind, tensor.kind)
    axes = ",".join(_axis(tensor, axis, naming) for axis in range(tensor.rank))
    line = f"{word} {tensor.id}[{axes}]" if axes else f"{word} {tensor.id}"
    if tensor.derivative is not None:
        return f"{line} = {tensor.derivative.of} by {tensor.derivative.wrt}"
    if tensor.bound is not None:
        named = tensor.bound_set and naming.holds(tensor.bound_set, tensor.bound)
        line += f" in {tensor.bound_set if named else _size_text(tensor.bound)}"
    elif tensor.type != "real":
        line += f" : {tensor.type}"
    if tensor.initialiser is not None:
        line += f" ~ {_initialiser_text(tensor.initialiser)}"
    if tensor.default is not None:
        line += f" = {_constant(tensor.default)[0]}"
    return line


def _axis(tensor: Tensor, axis: int, naming: Naming) -> str:
    """The set of an axis, or its size where the set's name means another size in this graph."""
    size = tensor.sizes[axis]
    name = tensor.sets[axis].rstrip("'") if axis < len(tensor.sets) else ""
    if name.isidentifier() and naming.holds(name, size):
        return name
    return _size_text(size)


def _initialiser_text(initialiser: Initialiser) -> str:
    numbers = ", ".join(_constant(value)[0] for value in initialiser.arguments)
    fans = [
        f"{name}={_size_text(size)}"
        for name, size in (("fan_in", initialiser.fan_in), ("fan_out", initialiser.fan_out))
        if size is not None
    ]
    written = f"{initialiser.name}({numbers})" if numbers else initialiser.name
    return f"{written}  # {', '.join(fans)}" if fans else written


def _root_lines(graph: Graph) -> Iterator[str]:
    for output in graph.outputs:
        yield f"output {output.name}" + (f" = {output.tensor}" if output.tensor != output.name else "")
    for gradient in graph.gradients:
        yield f"gradient {gradient.tensor} = {gradient.adjoint}"
    for objective in graph.objectives:
        named = f" = {objective.loss}" if objective.loss != objective.name else ""
        over = f" over {', '.join(objective.over)}" if objective.over else ""
        yield f"minimize {objective.name}{named}{over}"
    for update in graph.updates:
        yield f"update {update.state} <- {update.value}"

"""Random well-typed specs, for properties that every spec must have.

A spec is a tree of small nodes that can be written in several ways: as it stands, with the operands of sums and
products exchanged, or with other names for its sets.  Every read stays in range and every index variable is bound, so
the compiler has no reason to refuse one.  What it computes is bounded: values stay moderate, whatever the sizes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import strategies as st

SETS = "BTD"
INPUTS: dict[str, str] = {"x": "BT", "u": "TD", "v": "D", "s": ""}
PARAMETERS: dict[str, str] = {"w": "DD", "m": "TT", "p": "D"}
RENAMED = {"B": "Quantity", "T": "R", "D": "P1"}
_FUNCTIONS = ("tanh", "sigmoid", "sin", "cos", "erf", "softplus", "relu", "abs", "soft")
_CURVES = (*(f"{name}({{0}})" for name in _FUNCTIONS), "exp(tanh({0}))", "(-{0})", "sqrt(1 + {0}^2)")
_REDUCTIONS = ("sum", "mean", "max", "min", "logsumexp", "prod")
_HELPERS = """fn soft(x) = x / sqrt(1 + x^2)

layer Softmax(x[J]) -> y[J]:
    y[j] = exp(x[j]) / sum[j'] exp(x[j'])

layer Scan(x[K];; a = 0.5) -> y[K]:
    y[k] = x[k] + (a*y[k-1] if k > 0 else 0)
"""


@dataclass(frozen=True)
class Node:
    """``template`` with {0}, {1}, .. for its parts; ``commutes``: the first two may be exchanged."""

    template: str
    parts: tuple[Node, ...] = ()
    commutes: bool = False

    def text(self, exchanged: bool = False) -> str:
        texts = [part.text(exchanged) for part in self.parts]
        if exchanged and self.commutes:
            texts[:2] = texts[1::-1]
        return self.template.format(*texts)


@dataclass(frozen=True)
class Spec:
    """``equations`` of tensors ``y0``, ``y1``, .. over ``axes``; all are outputs."""

    equations: tuple[tuple[str, Node], ...]
    axes: tuple[str, ...]

    def text(self, exchanged: bool = False) -> str:
        def shape(axes: str) -> str:
            return f"[{','.join(_primed(axes))}]" if axes else ""

        data = ", ".join([*(f"{name}{shape(axes)}" for name, axes in INPUTS.items()), "z[B] in D"])
        parameters = ", ".join(f"{name}{shape(axes)} ~ normal(0, 1)" for name, axes in PARAMETERS.items())
        outputs = ", ".join(f"y{number}{shape(axes)}" for number, axes in enumerate(self.axes))
        body = "\n".join(f"    {left} = {value.text(exchanged)}" for left, value in self.equations)
        return f"{_HELPERS}\nlayer Random({data}; {parameters}) -> {outputs}:\n{body}\n"

    def renamed(self) -> str:
        """The same spec with other names for its sets and their variables."""

        def change(match: re.Match[str]) -> str:
            name, primes = match[1], match[2]
            new = RENAMED.get(name.upper())
            if new is None:
                return match[0]
            return (new if name.isupper() else new[0].lower() + new[1:]) + primes

        helpers, _, rest = self.text().partition("layer Random")
        return helpers + "layer Random" + re.sub(r"(?<![\w.])([A-Za-z]\w*)('*)", change, rest)


def _primed(axes: str) -> list[str]:
    return [axis + "'" * axes[:place].count(axis) for place, axis in enumerate(axes)]


class _Author:
    """Writes one spec with the choices of hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.known: dict[str, str] = {**INPUTS, **PARAMETERS}

    def choose(self, *options: object) -> object:
        return self.draw(st.sampled_from(options))

    def spec(self) -> Spec:
        equations: list[tuple[str, Node]] = []
        shapes: list[str] = []
        for number in range(self.draw(st.integers(1, 3))):
            name = f"y{number}"
            axes = str(self.choose("", "B", "T", "D", "BT", "TD", "BD", "TB", "BTD", "DT"))
            equations += self.tensor(name, axes)
            self.known[name] = axes
            shapes.append(axes)
        return Spec(tuple(equations), tuple(shapes))

    def tensor(self, name: str, axes: str) -> list[tuple[str, Node]]:
        scope = [axis.lower() for axis in axes]
        left = f"{name}[{','.join(scope)}]" if scope else name
        if "T" in axes and self.draw(st.integers(0, 2)) == 0:
            return [(left, self.recurrence(name, scope))]
        return [(left, self.value(scope, 3))]

    def recurrence(self, name: str, scope: list[str]) -> Node:
        """A tensor that reads itself one or two steps before or behind."""
        step, guard = self.choose(("t-1", "t > 0"), ("t+1", "t+1 < |T|"), ("t-2", "t > 1"))  # type: ignore[misc]
        places = [step if axis == "t" else axis for axis in scope]
        before = Node(f"{name}[{','.join(places)}]")
        if "d" in scope and self.draw(st.booleans()):
            inner = [step if axis == "t" else "d'" if axis == "d" else axis for axis in scope]
            before = Node("(w[d,d']*{0}/|D|)", (Node(f"{name}[{','.join(inner)}]"),))
        before = Node(str(self.choose("tanh({0})", "0.5*{0}", "{0}*sigmoid({1})")), (before, self.value(scope, 1)))
        form = str(self.choose("{0} + ({1} if GUARD else 0)", "{0} + [GUARD]*({1})")).replace("GUARD", guard)
        return Node(form, (self.value(scope, 2), before))

    def value(self, scope: list[str], depth: int) -> Node:
        """A real expression whose variables are among ``scope``."""
        if depth == 0:
            return self.leaf(scope)
        kind = self.draw(st.integers(0, 9))
        if kind <= 1:
            template = str(self.choose("({0} + {1})", "({0} * {1})", "max({0}, {1})", "min({0}, {1})"))
            return Node(template, (self.value(scope, depth - 1), self.value(scope, depth - 1)), True)
        if kind == 2:
            template = str(self.choose("({0} - {1})", "({0} / (1 + {1}^2))", "(stop({0}) - {1})"))
            return Node(template, (self.value(scope, depth - 1), self.value(scope, depth - 1)))
        if kind <= 4:
            inner = self.value(scope, depth - 1)
            shape = str(
                self.choose(*(f"{name}({{0}})" for name in _FUNCTIONS), "exp(tanh({0}))", "(-{0})", "sqrt(1+{0}^2)")
            )
            return Node(shape, (inner,))
        if kind == 5:
            cond = self.condition(scope)
            form = f"({{0}} if {cond} else {{1}})" if self.draw(st.booleans()) else f"([{cond}]*{{0}} + {{1}})"
            return Node(form, (self.value(scope, depth - 1), self.value(scope, depth - 1)))
        if kind <= 7:
            return self.reduction(scope, depth)
        if kind == 8:
            return self.contraction(scope)
        return self.call(scope)

    def leaf(self, scope: list[str]) -> Node:
        fitting = [n for n, axes in self.known.items() if all(any(v[0] == a.lower() for v in scope) for a in axes)]
        if not fitting or self.draw(st.integers(0, 5)) == 0:
            numbers = ("0.5", "2", "-1.5", *(f"{v}/(1 + {v})" for v in scope))
            return Node(str(self.choose(*numbers)))
        name = str(self.choose(*fitting))
        return Node(self.element(name, scope))

    def element(self, name: str, scope: list[str]) -> str:
        places = []
        for axis in self.known[name]:
            variable = str(self.choose(*(v for v in scope if v[0] == axis.lower())))
            shifts = ("{0}", "{0}", "{0}", "pad({0}-1)", "clamp({0}+1)", "wrap({0}+2)", "|{1}|-1-{0}")
            place = str(self.choose(*shifts)).format(variable, axis)
            if axis == "D" and any(v[0] == "b" for v in scope) and self.draw(st.integers(0, 4)) == 0:
                place = f"z[{next(v for v in scope if v[0] == 'b')}]"
            places.append(place)
        return f"{name}[{','.join(places)}]" if places else name

    def fresh(self, axis: str, scope: list[str]) -> str:
        return axis.lower() + "'" * (1 + max((v.count("'") for v in scope if v[0] == axis.lower()), default=-1))

    def reduction(self, scope: list[str], depth: int) -> Node:
        op = str(self.choose(*_REDUCTIONS))
        axis = str(self.choose(*SETS))
        variable = self.fresh(axis, scope)
        guard = ""
        same = [v for v in scope if v[0] == variable[0]]
        if same and op != "mean" and op not in ("max", "min", "logsumexp") and self.draw(st.booleans()):
            guard = f" : {variable} {self.choose('<=', '<', '!=')} {same[0]}"
        elif same and op in ("max", "min", "logsumexp", "mean") and self.draw(st.booleans()):
            guard = f" : {variable} <= {same[0]}"
        inner = self.value([*scope, variable], depth - 1)
        body = "tanh({0})" if op == "prod" else "({0})"
        scale = f"/|{axis}|" if op == "sum" else ""
        return Node(f"(({op}[{variable}{guard}] {body}){scale})", (inner,))

    def contraction(self, scope: list[str]) -> Node:
        """A product that is summed over an index variable that nothing binds."""
        axis = str(self.choose("T", "D"))
        matrix, vector = ("m", "m") if axis == "T" else ("w", "v")
        bound = [v for v in scope if v[0] == axis.lower()]
        new = self.fresh(axis, scope)
        if not bound and axis == "D":
            return Node("({0} * {1})/|D|", (Node(f"p[{new}]"), Node(f"v[{new}]")), True)
        if not bound:
            return Node("({0} * {1})/|T|^2", (Node(f"m[{new},{new}']"), Node(f"m[{new}',{new}]")), True)
        left, right = (
            Node(f"{matrix}[{bound[-1]},{new}]"),
            f"{vector}[{new}]" if axis == "D" else f"m[{new},{bound[0]}]",
        )
        return Node(f"({{0}} * {{1}})/|{axis}|", (left, Node(right)), True)

    def condition(self, scope: list[str]) -> str:
        options = ["s > 0.25"]
        options += [f"{v} > 0" for v in scope] + [f"{v} mod 2 == 0" for v in scope]
        options += [f"{a} <= {b}" for a in scope for b in scope if a != b and a[0] == b[0]]
        first = str(self.choose(*options))
        if self.draw(st.integers(0, 3)) == 0:
            return f"{first} {self.choose('and', 'or')} not s < -1"
        return first

    def call(self, scope: list[str]) -> Node:
        name, capital = str(self.choose("Softmax", "Scan")), str(self.choose("T", "D"))
        others = [v for v in scope if v[0] == capital.lower()]
        vectors = {"T": ["x", "m"], "D": ["v", "p", "w", "u"]}[capital]
        fitting = []
        for one in vectors:
            axes = self.known[one]
            if axes.endswith(capital) and all(any(v[0] == a.lower() for v in scope) for a in axes[:-1]):
                fitting.append(one)
        if not fitting or not others:
            return self.leaf(scope)
        chosen = str(self.choose(*fitting))
        places = [str(self.choose(*(v for v in scope if v[0] == a.lower()))) for a in self.known[chosen][:-1]]
        return Node(f"{name}({chosen}[{','.join([*places, capital])}])[{others[0]}]")


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    return _Author(draw).spec()


def sizes() -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({name: st.integers(1, 4) for name in SETS})

"""Random expressions over the index variables in scope, of what a spec has defined so far."""

from __future__ import annotations

from hypothesis import strategies as st
from properties.specs import INPUTS, PARAMETERS, SETS, Line, Node

_FUNCTIONS = ("tanh", "sigmoid", "sin", "cos", "erf", "softplus", "relu", "abs", "soft")
_CURVES = (*(f"{name}({{0}})" for name in _FUNCTIONS), "exp(tanh({0}))", "(-{0})", "sqrt(1+{0}^2)")
_BOTH_WAYS = ("({0} + {1})", "({0} * {1})", "max({0}, {1})", "min({0}, {1})")
_ONE_WAY = ("({0} - {1})", "({0} / (1 + {1}^2))", "(stop({0}) - {1})")
_REDUCTIONS = ("sum", "mean", "max", "min", "logsumexp", "prod")


class Expressions:
    """What the choices make of what is known."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.known: dict[str, str] = {**INPUTS, **PARAMETERS}  # what a leaf may read, and over which sets
        self.forms: dict[str, str] = {}  # how it is read, where that is not name[place,place]
        self.lines: list[Line] = []

    # -- choices -------------------------------------------------------------------------------------------------

    def choose(self, *options: str) -> str:
        return self.draw(st.sampled_from(options))

    def one_in(self, number: int) -> bool:
        return self.draw(st.integers(1, number)) == number

    # -- expressions ---------------------------------------------------------------------------------------------

    def value(self, scope: list[str], depth: int) -> Node:
        """A real expression whose variables are among ``scope``."""
        if depth == 0:
            return self.leaf(scope)
        kind = self.draw(st.integers(0, 9))
        if kind <= 1:
            return Node(self.choose(*_BOTH_WAYS), (self.value(scope, depth - 1), self.value(scope, depth - 1)), True)
        if kind == 2:
            return Node(self.choose(*_ONE_WAY), (self.value(scope, depth - 1), self.value(scope, depth - 1)))
        if kind <= 4:
            return Node(self.choose(*_CURVES), (self.value(scope, depth - 1),))
        if kind == 5:
            cond = self.condition(scope)
            form = f"({{0}} if {cond} else {{1}})" if self.draw(st.booleans()) else f"([{cond}]*{{0}} + {{1}})"
            return Node(form, (self.value(scope, depth - 1), self.value(scope, depth - 1)))
        if kind <= 7:
            return self.reduction(scope, depth)
        return self.contraction(scope) if kind == 8 else self.call(scope)

    def leaf(self, scope: list[str]) -> Node:
        fitting = [n for n, axes in self.known.items() if all(any(v[0] == a.lower() for v in scope) for a in axes)]
        if not fitting or self.one_in(6):
            numbers = ["0.5", "2", "-1.5", *(f"{v}/(1 + {v})" for v in scope)]
            numbers += [whole for v in scope for whole in _whole(v)]
            return Node(self.choose(*numbers))
        return Node(self.element(self.choose(*fitting), scope))

    def element(self, name: str, scope: list[str]) -> str:
        axes = self.known[name]
        places = [self.choose(*(v for v in scope if v[0] == axis.lower())) for axis in axes]
        if name in self.forms:
            return self.forms[name].format(*places)
        return at(name, [self.place(axis, at, scope) for axis, at in zip(axes, places, strict=True)])

    def place(self, axis: str, variable: str, scope: list[str]) -> str:
        if axis == "D" and self.one_in(5):
            chosen = [f"z[{v}]" for v in scope if v[0] == "b"] + [f"(k[{v}] mod |D|)" for v in scope if v[0] == "t"]
            new = _fresh("D", scope)
            return self.choose(*chosen, f"argmax[{new}] v[{new}]", f"argmin[{new}] w[{variable},{new}]")
        shifts = ("{0}", "{0}", "{0}", "pad({0}-1)", "clamp({0}+1)", "wrap({0}+2)", "|{1}|-1-{0}")
        if axis == "T":
            shifts = (*shifts, "pad({0} + k[{0}])", "clamp(k[{0}])")
        return self.choose(*shifts).format(variable, axis)

    def reduction(self, scope: list[str], depth: int) -> Node:
        op, axis = self.choose(*_REDUCTIONS), self.choose(*SETS)
        variable = _fresh(axis, scope)
        guard = self.guard(op, axis, variable, scope)
        inner = self.value([*scope, variable], depth - 1)
        body = "tanh({0})" if op == "prod" else "({0})"
        scale = f"/|{axis}|" if op == "sum" else ""
        return Node(f"(({op}[{variable}{guard}] {body}){scale})", (inner,))

    def guard(self, op: str, axis: str, variable: str, scope: list[str]) -> str:
        """What leaves an element, unless nothing is a number."""
        same = [v for v in scope if v[0] == variable[0]]
        options = [f" : {variable} <= {same[0]}"] if same else []
        if op in ("sum", "prod"):
            options += [f" : {variable} {sign} {same[0]}" for sign in ("<", "!=") if same]
            options += [f" : on[{variable}]"] if axis == "B" else []
            options += [f" : z[{variable}] == {v}" for v in scope if axis == "B" and v[0] == "d"]
            options += [f" : k[{variable}] > 0"] if axis == "T" else []
        return self.choose("", *options)

    def contraction(self, scope: list[str]) -> Node:
        """A product that is summed over an index variable that nothing binds."""
        axis = self.choose("T", "D")
        matrix = "m" if axis == "T" else "w"
        bound = [v for v in scope if v[0] == axis.lower()]
        new = _fresh(axis, scope)
        if not bound and axis == "D":
            return Node("({0} * {1})/|D|", (Node(f"p[{new}]"), Node(f"v[{new}]")), True)
        if not bound:
            return Node("({0} * {1})/|T|^2", (Node(f"m[{new},{new}']"), Node(f"m[{new}',{new}]")), True)
        right = f"v[{new}]" if axis == "D" else f"m[{new},{bound[0]}]"
        return Node(f"({{0}} * {{1}})/|{axis}|", (Node(f"{matrix}[{bound[-1]},{new}]"), Node(right)), True)

    def condition(self, scope: list[str]) -> str:
        options = ["s > 0.25", "any[d'''] (v[d'''] > 0.5)"]
        options += [f"{v} > 0" for v in scope] + [f"{v} mod 2 == 0" for v in scope]
        options += [f"{a} <= {b}" for a in scope for b in scope if a != b and a[0] == b[0]]
        options += [f"on[{v}]" for v in scope if v[0] == "b"] + [f"k[{v}] // 2 == 1" for v in scope if v[0] == "t"]
        options += [f"z[{a}] == {b}" for a in scope for b in scope if a[0] == "b" and b[0] == "d"]
        options += [f"all[t'''] (x[{v},t'''] < 1)" for v in scope if v[0] == "b"]
        first = self.choose(*options)
        return f"{first} {self.choose('and', 'or')} not s < -1" if self.one_in(4) else first

    def call(self, scope: list[str]) -> Node:
        """An element of what a layer makes of a vector."""
        layer, capital = self.choose("Softmax", "Scan", "Norm"), self.choose("T", "D")
        others = [v for v in scope if v[0] == capital.lower()]
        fitting = []
        for one in {"T": ["x", "m"], "D": ["v", "p", "w", "u"]}[capital]:
            axes = self.known[one]
            if axes.endswith(capital) and all(any(v[0] == a.lower() for v in scope) for a in axes[:-1]):
                fitting.append(one)
        if not fitting or not others:
            return self.leaf(scope)
        if layer == "Norm":
            self.lines.append(Line(f"norm{len(self.lines)} =", Node("Norm()")))
            layer = f"norm{len(self.lines) - 1}"
        chosen = self.choose(*fitting)
        places = [self.choose(*(v for v in scope if v[0] == a.lower())) for a in self.known[chosen][:-1]]
        return Node(f"{layer}({at(chosen, [*places, capital])})[{others[0]}]")


def at(name: str, places: list[str] | str) -> str:
    return f"{name}[{','.join(places)}]" if places else name


def _fresh(axis: str, scope: list[str]) -> str:
    return axis.lower() + "'" * (1 + max((v.count("'") for v in scope if v[0] == axis.lower()), default=-1))


def _whole(variable: str) -> list[str]:
    """Numbers that are made of integers."""
    return {
        "t": [f"(k[{variable}] // 2 + {variable} mod 3)/3", f"[k[{variable}] > {variable}]", f"sign(k[{variable}])"],
        "b": [f"z[{variable}]/|D|", f"[on[{variable}]]"],
        "d": [f"{variable}^2/(1 + {variable}^2)"],
    }[variable[0]]

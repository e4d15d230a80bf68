"""Writes random specs with the choices of hypothesis.

Every read stays in range and every index variable is bound, so the compiler has no reason to refuse a spec.  What it
computes is bounded: values stay moderate, whatever the sizes.  Places (`argmax`) and conditions are those of inputs,
not of what is computed from them, so that rounding decides nothing.
"""

from __future__ import annotations

from hypothesis import strategies as st
from properties.specs import INPUTS, PARAMETERS, SETS, Line, Node, Spec

_FUNCTIONS = ("tanh", "sigmoid", "sin", "cos", "erf", "softplus", "relu", "abs", "soft")
_CURVES = (*(f"{name}({{0}})" for name in _FUNCTIONS), "exp(tanh({0}))", "(-{0})", "sqrt(1+{0}^2)")
_BOTH_WAYS = ("({0} + {1})", "({0} * {1})", "max({0}, {1})", "min({0}, {1})")
_ONE_WAY = ("({0} - {1})", "({0} / (1 + {1}^2))", "(stop({0}) - {1})")
_REDUCTIONS = ("sum", "mean", "max", "min", "logsumexp", "prod")
_SHAPES = ("", "B", "T", "D", "BT", "TD", "BD", "TB", "BTD", "DT")
_STEPS = (("t-1", "t > 0"), ("t+1", "t+1 < |T|"), ("t-2", "t > 1"))


class Author:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.known: dict[str, str] = {**INPUTS, **PARAMETERS}  # what a leaf may read, and over which sets
        self.forms: dict[str, str] = {}  # how it is read, where that is not name[place,place]
        self.lines: list[Line] = []
        self.outputs: list[tuple[str, str]] = []

    # -- choices -------------------------------------------------------------------------------------------------

    def choose(self, *options: str) -> str:
        return self.draw(st.sampled_from(options))

    def one_in(self, number: int) -> bool:
        return self.draw(st.integers(1, number)) == number

    # -- the whole -----------------------------------------------------------------------------------------------

    def spec(self) -> Spec:
        for number in range(self.draw(st.integers(1, 3))):
            kinds = {
                "plain": self.plain, "guarded": self.guarded, "rows": self.rows, "pair": self.pair,
                "earlier": self.earlier, "grid": self.grid, "cell": self.cell, "depth": self.depth,
                "decoded": self.decoded, "random": self.random, "group": self.group, "parts": self.parts,
                "grad": self.gradient, "solve": self.solution,
            }  # fmt: skip
            kinds[self.choose(*["plain"] * 5, *["guarded"] * 2, *list(kinds)[2:])](f"y{number}")
        return Spec(tuple(self.lines), tuple(self.outputs))

    def line(self, left: str, value: Node, sign: str = "=") -> None:
        self.lines.append(Line(f"{left} {sign}", value))

    def output(self, name: str, axes: str, known: str | None = None, form: str = "") -> None:
        """``known`` are the axes over which later lines may read it."""
        self.outputs.append((name, axes))
        self.known[name] = axes if known is None else known
        if form:
            self.forms[name] = form

    # -- tensors -------------------------------------------------------------------------------------------------

    def plain(self, name: str) -> None:
        axes = self.choose(*_SHAPES)
        self.line(_at(name, axes.lower()), self.value(list(axes.lower()), 3))
        self.output(name, axes)

    def guarded(self, name: str) -> None:
        """A tensor that reads itself one or two steps before or behind, under a guard."""
        axes = self.choose(*(shape for shape in _SHAPES if "T" in shape))
        scope = list(axes.lower())
        step, guard = self.draw(st.sampled_from(_STEPS))
        before = Node(_at(name, [step if axis == "t" else axis for axis in scope]))
        if "d" in scope and self.draw(st.booleans()):
            inner = [step if axis == "t" else "d'" if axis == "d" else axis for axis in scope]
            before = Node("(w[d,d']*{0}/|D|)", (Node(_at(name, inner)),))
        before = Node(self.choose("tanh({0})", "0.5*{0}", "{0}*sigmoid({1})"), (before, self.value(scope, 1)))
        form = self.choose("{0} + ({1} if GUARD else 0)", "{0} + [GUARD]*({1})").replace("GUARD", guard)
        self.line(_at(name, scope), Node(form, (self.value(scope, 2), before)))
        self.output(name, axes)

    def rows(self, name: str) -> None:
        """A first row, and each from the one before it; or a last one, and the one behind it."""
        rest = self.choose("", "B", "D", "BD").lower()
        first, here, there = self.draw(st.sampled_from([("0", "t", "t+1"), ("|T|", "t+1", "t")]))
        before = Node(_at(name, [here, *rest]))
        if "d" in rest and self.draw(st.booleans()):
            before = Node("(w[d,d']*{0}/|D|)", (Node(_at(name, [here, *rest]).replace("d]", "d']")),))
        if self.one_in(3):  # under the operators that pick one
            before = Node("max({0}, {1})", (before, self.value(["t", *rest], 1)), True)
        self.line(_at(name, [first, *rest]), self.value(list(rest), 1))
        value = Node(self.choose("tanh({0} + {1})", "(0.5*{0} + {1})"), (before, self.value(["t", *rest], 2)))
        self.line(_at(name, [there, *rest]), value)
        self.output(name, "N" + rest.upper(), "T" + rest.upper())

    def pair(self, name: str) -> None:
        """Two tensors in one cycle; the second may read what the first is in the same step."""
        rest = self.choose("", "D").lower()
        other, now = f"h_{name}", self.choose("t", "t+1")
        self.line(_at(name, ["0", *rest]), self.value(list(rest), 1))
        self.line(_at(other, ["0", *rest]), self.value(list(rest), 1))
        mine, its = Node(_at(name, [now, *rest])), Node(_at(other, ["t", *rest]))
        step = (Node(_at(name, ["t", *rest])), its, self.value(["t", *rest], 1))
        self.line(_at(name, ["t+1", *rest]), Node("sigmoid({0})*{1} + {2}", step))
        self.line(_at(other, ["t+1", *rest]), Node("tanh({0}*{1} + {2})", (mine, its, self.value(["t", *rest], 1))))
        self.output(name, "N" + rest.upper(), "T" + rest.upper())

    def earlier(self, name: str) -> None:
        rest = self.choose("", "B").lower()
        past = self.choose(
            "(sum[t' : t' < t] m[t,t']*{0})/|T|", "(sum[t' : t' < t] tanh({0}))/|T|", "(sum[t'] [t' < t]*{0}^2)/9"
        )
        before = Node(past, (Node("tanh({0})", (Node(_at(name, ["t'", *rest])),)),))
        self.line(_at(name, ["t", *rest]), Node("({0} + {1})", (self.value(["t", *rest], 2), before), True))
        self.output(name, "T" + rest.upper())

    def grid(self, name: str) -> None:
        one, two = self.draw(st.sampled_from([("b", "t"), ("t", "d"), ("t", "b")]))
        above, left = Node(f"{name}[{one}-1,{two}]"), Node(f"{name}[{one},{two}-1]")
        form = self.choose(
            f"{{0}} + (tanh({{1}}) if {one} > 0 else 0) + (0.5*{{2}} if {two} > 0 else 0)",
            f"{{0}} + (max({{1}}, {{2}}) if {one} > 0 and {two} > 0 else 0)/2",
        )
        self.line(f"{name}[{one},{two}]", Node(form, (self.value([one, two], 1), above, left)))
        self.output(name, (one + two).upper())

    def cell(self, name: str) -> None:
        """A layer with parameters of its own, step by step, for each sample or for one."""
        self.line(f"cell_{name}", Node("Cell()"))
        rest = self.choose("", "B").lower()
        self.line(_at(name, ["0", *rest, "d"]), self.value([*rest, "d"], 1))
        self.line(_at(name, ["t+1", *rest, "D"]), Node(f"cell_{name}(u[t,D], {_at(name, ['t', *rest, 'D'])})"))
        self.output(name, f"N{rest.upper()}D", f"T{rest.upper()}D")

    def depth(self, name: str) -> None:
        self.line(f"blocks_{name}[L]", Node("Block()"))
        rest = self.choose("", "T").lower()
        self.line(_at(f"h_{name}", ["0", *rest, "d"]), self.value([*rest, "d"], 1))
        below = _at(f"h_{name}", ["l", *rest, "D"])
        self.line(_at(f"h_{name}", ["l+1", *rest, "D"]), Node(f"blocks_{name}[l]({below})"))
        self.line(_at(name, [*rest, "d"]), Node(_at(f"h_{name}", ["|L|", *rest, "d"])))
        self.output(name, rest.upper() + "D")

    def decoded(self, name: str) -> None:
        """Integers that follow each other, and what they choose."""
        best = self.choose("argmax[d] (w[c_{0}[t],d] + u[t,d])", "argmin[d] w[d,c_{0}[t]]", "(c_{0}[t] + k[t]) mod |D|")
        self.line(f"c_{name}[0]", Node(self.choose("argmax[d] v[d]", "0")))
        self.line(f"c_{name}[t+1]", Node(best.format(name)))
        self.line(f"{name}[t]", Node(f"({{0}} + u[t, c_{name}[t] mod |D|])", (self.value(["t"], 2),)))
        self.output(name, "T")

    def random(self, name: str) -> None:
        axes = self.choose("T", "D", "BT", "TD").lower()
        laws = ("uniform(0, 1)", "normal(0, 1)", "normal({0}, 0.5)", "normal({0}, exp(tanh({0})))")
        law = Node(self.choose(*laws), (self.value(list(axes), 1),))
        self.line(_at(f"r_{name}", axes), law, "~")
        self.line(_at(f"n_{name}", "bT"), Node("Noisy(x[b,T])"))
        self.known |= {f"r_{name}": axes.upper(), f"n_{name}": "BT"}
        self.plain(name)

    def group(self, name: str) -> None:
        """Two axes as one."""
        self.line(f"{name}[(b,t)]", self.value(["b", "t"], 2))
        self.output(name, "Q", "BT", f"{name}[({{0}},{{1}})]")

    def parts(self, name: str) -> None:
        """Behind each other, or each beside the other."""
        first, second = self.draw(st.sampled_from([("t", "|T| + t"), ("2*t", "2*t + 1")]))
        rest = self.choose("", "D").lower()
        for place in (first, second):
            self.line(_at(name, [place, *rest]), self.value(["t", *rest], 2))
        self.output(name, f"E{rest.upper()}", f"T{rest.upper()}", _at(name, ["|T|-1+{0}", *["{1}"][: len(rest)]]))

    def gradient(self, name: str) -> None:
        by, axes = self.draw(st.sampled_from([("v", "d"), ("p", "d"), ("u", "td"), ("w", "dd'")]))
        places = ["t", "d"] if axes == "td" else ["d", "d'"] if axes == "dd'" else ["d"]
        self.line(f"e_{name}", Node("{0} + {1}", (self.value([], 2), Node(f"sum[d'',d'''] sin({_inner(by)})"))))
        self.line(_at(name, places), Node(f"grad(e_{name}, {_at(by, places)})"))
        self.output(name, "".join(place[0].upper() for place in places))

    def solution(self, name: str) -> None:
        self.line(f"a_{name}[d,d']", Node("(w[d,d'] + 9*[d == d'])"))
        self.line(f"q_{name}[d]", self.value(["d"], 2))
        self.line(f"{name}[D]", Node(f"solve(a_{name}[D,D'], q_{name}[D])"))
        self.output(name, "D")

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
        return _at(name, [self.place(axis, at, scope) for axis, at in zip(axes, places, strict=True)])

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
        return Node(f"{layer}({_at(chosen, [*places, capital])})[{others[0]}]")


def _at(name: str, places: list[str] | str) -> str:
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


def _inner(name: str) -> str:
    """Something that depends on every element."""
    return {"v": "v[d'']*v[d''']", "p": "p[d'']*v[d''']", "u": "u[0,d'']*v[d''']", "w": "w[d'',d''']"}[name]


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    return Author(draw).spec()


def sizes() -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({name: st.integers(1, 4) for name in SETS})

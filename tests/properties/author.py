"""Writes random specs with the choices of hypothesis.

Every read stays in range and every index variable is bound, so the compiler has no reason to refuse a spec.  What it
computes is bounded: values stay moderate, whatever the sizes.  Places (`argmax`) and conditions are those of inputs,
not of what is computed from them, so that rounding decides nothing.
"""

from __future__ import annotations

from hypothesis import strategies as st
from properties.expressions import Expressions, at
from properties.specs import SETS, Line, Node, Spec

_SHAPES = ("", "B", "T", "D", "BT", "TD", "BD", "TB", "BTD", "DT")
_STEPS = (("t-1", "t > 0"), ("t+1", "t+1 < |T|"), ("t-2", "t > 1"))


class Author(Expressions):
    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__(draw)
        self.outputs: list[tuple[str, str]] = []

    # -- the whole -----------------------------------------------------------------------------------------------

    def spec(self) -> Spec:
        for number in range(self.draw(st.integers(1, 3))):
            kinds = {
                "plain": self.plain, "guarded": self.guarded, "rows": self.rows, "pair": self.pair,
                "earlier": self.earlier, "grid": self.grid, "cell": self.cell, "depth": self.depth,
                "decoded": self.decoded, "random": self.random, "group": self.group, "parts": self.parts,
                "grad": self.gradient, "solve": self.solution, "convolved": self.convolved, "pooled": self.pooled,
                "attention": self.attention, "gates": self.gates, "gated": self.gated,
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
        self.line(at(name, axes.lower()), self.value(list(axes.lower()), 3))
        self.output(name, axes)

    def guarded(self, name: str) -> None:
        """A tensor that reads itself one or two steps before or behind, under a guard."""
        axes = self.choose(*(shape for shape in _SHAPES if "T" in shape))
        scope = list(axes.lower())
        step, guard = self.draw(st.sampled_from(_STEPS))
        before = Node(at(name, [step if axis == "t" else axis for axis in scope]))
        if "d" in scope and self.draw(st.booleans()):
            inner = [step if axis == "t" else "d'" if axis == "d" else axis for axis in scope]
            before = Node("(w[d,d']*{0}/|D|)", (Node(at(name, inner)),))
        before = Node(self.choose("tanh({0})", "0.5*{0}", "{0}*sigmoid({1})"), (before, self.value(scope, 1)))
        form = self.choose("{0} + ({1} if GUARD else 0)", "{0} + [GUARD]*({1})").replace("GUARD", guard)
        self.line(at(name, scope), Node(form, (self.value(scope, 2), before)))
        self.output(name, axes)

    def rows(self, name: str) -> None:
        """A first row, and each from the one before it; or a last one, and the one behind it."""
        rest = self.choose("", "B", "D", "BD").lower()
        first, here, there = self.draw(st.sampled_from([("0", "t", "t+1"), ("|T|", "t+1", "t")]))
        before = Node(at(name, [here, *rest]))
        if "d" in rest and self.draw(st.booleans()):
            before = Node("(w[d,d']*{0}/|D|)", (Node(at(name, [here, *rest]).replace("d]", "d']")),))
        if self.one_in(3):  # under the operators that pick one
            before = Node("max({0}, {1})", (before, self.value(["t", *rest], 1)), True)
        self.line(at(name, [first, *rest]), self.value(list(rest), 1))
        value = Node(self.choose("tanh({0} + {1})", "(0.5*{0} + {1})"), (before, self.value(["t", *rest], 2)))
        self.line(at(name, [there, *rest]), value)
        self.output(name, "N" + rest.upper(), "T" + rest.upper())

    def pair(self, name: str) -> None:
        """Two tensors in one cycle; the second may read what the first is in the same step."""
        rest = self.choose("", "D").lower()
        other, now = f"h_{name}", self.choose("t", "t+1")
        self.line(at(name, ["0", *rest]), self.value(list(rest), 1))
        self.line(at(other, ["0", *rest]), self.value(list(rest), 1))
        mine, its = Node(at(name, [now, *rest])), Node(at(other, ["t", *rest]))
        step = (Node(at(name, ["t", *rest])), its, self.value(["t", *rest], 1))
        self.line(at(name, ["t+1", *rest]), Node("sigmoid({0})*{1} + {2}", step))
        self.line(at(other, ["t+1", *rest]), Node("tanh({0}*{1} + {2})", (mine, its, self.value(["t", *rest], 1))))
        self.output(name, "N" + rest.upper(), "T" + rest.upper())

    def earlier(self, name: str) -> None:
        rest = self.choose("", "B").lower()
        past = self.choose(
            "(sum[t' : t' < t] m[t,t']*{0})/|T|", "(sum[t' : t' < t] tanh({0}))/|T|", "(sum[t'] [t' < t]*{0}^2)/9"
        )
        before = Node(past, (Node("tanh({0})", (Node(at(name, ["t'", *rest])),)),))
        self.line(at(name, ["t", *rest]), Node("({0} + {1})", (self.value(["t", *rest], 2), before), True))
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
        self.line(at(name, ["0", *rest, "d"]), self.value([*rest, "d"], 1))
        self.line(at(name, ["t+1", *rest, "D"]), Node(f"cell_{name}(u[t,D], {at(name, ['t', *rest, 'D'])})"))
        self.output(name, f"N{rest.upper()}D", f"T{rest.upper()}D")

    def depth(self, name: str) -> None:
        self.line(f"blocks_{name}[L]", Node("Block()"))
        rest = self.choose("", "T").lower()
        self.line(at(f"h_{name}", ["0", *rest, "d"]), self.value([*rest, "d"], 1))
        below = at(f"h_{name}", ["l", *rest, "D"])
        self.line(at(f"h_{name}", ["l+1", *rest, "D"]), Node(f"blocks_{name}[l]({below})"))
        self.line(at(name, [*rest, "d"]), Node(at(f"h_{name}", ["|L|", *rest, "d"])))
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
        self.line(at(f"r_{name}", axes), law, "~")
        self.line(at(f"n_{name}", "bT"), Node("Noisy(x[b,T])"))
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
            self.line(at(name, [place, *rest]), self.value(["t", *rest], 2))
        self.output(name, f"E{rest.upper()}", f"T{rest.upper()}", at(name, ["|T|-1+{0}", *["{1}"][: len(rest)]]))

    def gradient(self, name: str) -> None:
        by, axes = self.draw(st.sampled_from([("v", "d"), ("p", "d"), ("u", "td"), ("w", "dd'")]))
        places = ["t", "d"] if axes == "td" else ["d", "d'"] if axes == "dd'" else ["d"]
        self.line(f"e_{name}", Node("{0} + {1}", (self.value([], 2), Node(f"sum[d'',d'''] sin({_inner(by)})"))))
        self.line(at(name, places), Node(f"grad(e_{name}, {at(by, places)})"))
        self.output(name, "".join(place[0].upper() for place in places))

    def solution(self, name: str) -> None:
        self.line(f"a_{name}[d,d']", Node("(w[d,d'] + 9*[d == d'])"))
        self.line(f"q_{name}[d]", self.value(["d"], 2))
        self.line(f"{name}[D]", Node(f"solve(a_{name}[D,D'], q_{name}[D])"))
        self.output(name, "D")

    def convolved(self, name: str) -> None:
        """A convolution of the channels b, or of each by itself, with steps of one or two, and maybe holes."""
        image = self.image(name)
        down, hole = self.draw(st.booleans()), self.choose("j - 1", "2*j - 2", "1 - j", "j")
        row, axes = ("2*h", "BHD") if down else ("t", "BTD")
        places = f"pad({row} + {hole}), {self.choose('pad(d + jp - 1)', 'clamp(d + jp)', 'd')}"
        joint = "f[b,b',j,j']" if self.draw(st.booleans()) else "g[b,j]*g[b,j']"
        channel = "b'" if "b'" in joint else "b"
        product = Node(f"{joint}*{image}[{channel},{places}]/3".replace("jp", "j'"))
        shift = Node("0.5*{0}", (self.value(["b", "d"] if down else ["b", "t", "d"], 1),))
        summed = "sum[b',j,j'] " if channel == "b'" else "sum[j,j'] "
        self.line(at(name, axes.lower()), Node(f"({summed}{{0}}) + {{1}}", (product, shift)))
        self.output(name, axes, "BTD", f"{name}[{{0}},{{1}}{'//2' if down else ''},{{2}}]")

    def pooled(self, name: str) -> None:
        """Windows of three or two by any number, in steps of two."""
        image = self.image(name)
        place, inside = "2*h + j - 1", "2*h + j >= 1 and 2*h + j - 1 < |T|"
        window = self.choose(
            f"max[j : {inside}] {image}[b,{place},d]", f"min[j] {image}[b,clamp({place}),d]",
            f"mean[j] {image}[b,pad({place}),d]", f"max[l,j] {image}[b,clamp(2*h + l),clamp(d + j - 1)]",
        )  # fmt: skip
        self.line(at(name, "bhd"), Node(window))
        self.output(name, "BHD", "BTD", f"{name}[{{0}},{{1}}//2,{{2}}]")

    def image(self, name: str) -> str:
        self.line(at(f"i_{name}", "btd"), self.value(list("btd"), 2))
        return f"i_{name}"

    def attention(self, name: str) -> None:
        """Scores of two sequences under a mask, their softmax or something like it, and what it weighs."""
        rest = self.choose("", "B").lower()
        for letter in "qkv":
            self.line(at(f"{letter}_{name}", [*rest, "t", "d"]), self.value([*rest, "t", "d"], 1))
        mask = self.choose(
            "t' <= t", "t' >= t", "t' <= t and t' > t - 2", "t' - t < 2 and t - t' < 2", "t' != t or t == 0",
            "t' <= t and (k[t'] > 0 or t' == t)", "t' < |T|",
        )  # fmt: skip
        query, key = (Node(at(f"{one}_{name}", [*rest, place, "d'"])) for one, place in (("q", "t"), ("k", "t'")))
        scores, weighed = at(f"s_{name}", [*rest, "t", "t'"]), at(f"v_{name}", [*rest, "t'", "d"])
        self.line(scores, Node("tanh((sum[d'] {0}*{1})/|D|)", (query, key)))
        form = self.choose(f"(exp({scores}) if {mask} else 0)", f"[{mask}]*exp({scores})")
        self.line(at(f"e_{name}", [*rest, "t", "t'"]), Node(form))
        some, all_ = at(f"e_{name}", [*rest, "t", "t'"]), at(f"e_{name}", [*rest, "t", "t''"])
        whole = self.choose(f"sum[t'] {some}/(sum[t''] {all_})*{weighed}", f"(sum[t'] {some}*{weighed})/(1 + |T|)")
        self.line(at(name, [*rest, "t", "d"]), Node(whole))
        self.output(name, f"{rest.upper()}TD")

    def gates(self, name: str) -> None:
        """Products that have a factor in common."""
        rest = self.choose("B", "T", "BT").lower()
        self.line(at(f"a_{name}", [*rest, "d"]), self.value([*rest, "d"], 1))
        common = at(f"a_{name}", [*rest, "d'"])
        products = [Node(f"({weight}[d,d']*{common}/|D|)") for weight in ("w", "w1", "w2")]
        self.line(at(name, [*rest, "d"]), Node("sigmoid({0})*tanh({1}) + {2}", tuple(products)))
        self.output(name, f"{rest.upper()}D")

    def gated(self, name: str) -> None:
        """The same, step by step."""
        rest = self.choose("", "B").lower()
        self.line(at(name, ["0", *rest, "d"]), self.value([*rest, "d"], 1))
        before, same = at(name, ["t", *rest, "d'"]), at(name, ["t", *rest, "d"])
        first, second = (f"({weight}[d,d']*{before}/|D|)" for weight in ("w1", "w2"))
        step = Node(f"sigmoid({first} + {{0}})*{same} + tanh({second} + {{1}})", (
            self.value(["t", *rest, "d"], 1), self.value(["t", *rest, "d"], 1)
        ))  # fmt: skip
        self.line(at(name, ["t+1", *rest, "d"]), step)
        self.output(name, f"N{rest.upper()}D", f"T{rest.upper()}D")


def _inner(name: str) -> str:
    """Something that depends on every element."""
    return {"v": "v[d'']*v[d''']", "p": "p[d'']*v[d''']", "u": "u[0,d'']*v[d''']", "w": "w[d'',d''']"}[name]


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    return Author(draw).spec()


def sizes() -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({name: st.integers(1, 4) for name in SETS})

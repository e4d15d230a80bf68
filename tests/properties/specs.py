"""Random well-typed specs, for properties that every spec must have: what one is, and the ways to write it.

A spec is a tree of small nodes that can be written in several ways: as it stands, with the operands of sums and
products exchanged, or with other names for its sets.  `author` writes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SETS = "BTD"
#: Sets that some tensors need, with their sizes.
DERIVED = {"N": "|T| + 1", "E": "2*|T|", "Q": "|B|*|T|", "L": "2", "M": "|L| + 1", "J": "3", "H": "(|T| + 1)//2"}
INPUTS: dict[str, str] = {"x": "BT", "u": "TD", "v": "D", "s": ""}
PARAMETERS: dict[str, str] = {"w": "DD", "m": "TT", "p": "D", "w1": "DD", "w2": "DD"}
#: The kernels of convolutions, which nothing else reads.
KERNELS: dict[str, str] = {"f": "BBJJ", "g": "BJ"}
WHOLE = "z[B] in D, k[T] : int, on[B] : bool"
RENAMED = {"B": "Quantity", "T": "R", "D": "P1"}
_HELPERS = """fn soft(x) = x / sqrt(1 + x^2)

layer Softmax(x[J]) -> y[J]:
    y[j] = exp(x[j]) / sum[j'] exp(x[j'])

layer Scan(x[K];; a = 0.5) -> y[K]:
    y[k] = x[k] + (a*y[k-1] if k > 0 else 0)

layer Norm(x[J]; gain[J] = 1) -> y[J]:
    mu = mean[j] x[j]
    y[j] = gain[j]*(x[j] - mu) / sqrt(1 + mean[j'] (x[j'] - mu)^2)

layer Cell(x[I], h[J]; a[J,I] ~ xavier_uniform, c[J,J'] ~ xavier_uniform) -> y[J]:
    y[j] = tanh(a[j,i]*x[i]/|I| + c[j,j']*h[j']/|J|)

layer Block(x[J]; a[J,J'] ~ xavier_uniform, c[J] = 0) -> y[J]:
    y[j] = x[j] + tanh(a[j,j']*x[j']/|J| + c[j])

layer Noisy(x[J]) -> y[J]:
    e[j] ~ uniform(0, 1)
    y[j] = x[j]*[e[j] > 0.3] if train else x[j]
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
class Line:
    """``left`` ends with its sign, `y0[b,t] =` or `r[t] ~`."""

    left: str
    value: Node

    def text(self, exchanged: bool = False) -> str:
        return f"    {self.left} {self.value.text(exchanged)}"


@dataclass(frozen=True)
class Spec:
    """``outputs`` have a name and axes, of the sets and of those derived from them."""

    lines: tuple[Line, ...]
    outputs: tuple[tuple[str, str], ...]

    def text(self, exchanged: bool = False) -> str:
        data = ", ".join([*(_declared(name, axes) for name, axes in INPUTS.items()), WHOLE])
        moved = (PARAMETERS | KERNELS).items()
        parameters = ", ".join(f"{_declared(name, axes)} ~ normal(0, 1)" for name, axes in moved)
        outputs = ", ".join(_declared(name, axes) for name, axes in self.outputs)
        sizes = "index " + ", ".join(f"{name} = {size}" for name, size in DERIVED.items())
        body = "\n".join(line.text(exchanged) for line in self.lines)
        return f"{_HELPERS}\nlayer Random({data}; {parameters}) -> {outputs}:\n    {sizes}\n{body}\n"

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


def _declared(name: str, axes: str) -> str:
    primed = [axis + "'" * axes[:place].count(axis) for place, axis in enumerate(axes)]
    return f"{name}[{','.join(primed)}]" if axes else name

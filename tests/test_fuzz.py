"""No text, however wrong, gives anything but diagnostics: the whole way of `dlc check`, from bytes to graphs.

What is tried: random bytes, words of the language in any order, small random definitions, and specs of the standard
library with a few places changed.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dlc.compiler import compilation, files
from dlc.compiler.diagnostics import CompileError, Diagnostic, render_all
from dlc.compiler.options import Options
from dlc.compiler.source import Source
from dlc.compiler.sources import Spec

ROOT = Path(__file__).parent.parent
TEXTS = tuple(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("specs/**/*.dl")))
TEXTS += tuple(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("tests/errors/*.dl")))
WORD = re.compile(r"[^\W\d]\w*'*|\d+\.?\d*|[^\w\s]+|\n *| +")
WORDS = tuple(sorted({word for text in TEXTS for word in WORD.findall(text)}))
BLOCKS = tuple(block for text in TEXTS for block in re.split(r"\n(?=\S)", text) if re.match(r"layer|model|fn", block))

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
MANY = settings(max_examples=20_000, derandomize=False, deadline=None, suppress_health_check=SLOW)


def diagnostics_of(content: bytes) -> list[Diagnostic]:
    """What `dlc check` says of a file with this content."""
    try:
        source = files.decode(content, "fuzz.dl")
    except CompileError as error:
        return list(error.diagnostics)
    return compilation.problems(Spec(Path("fuzz.dl"), source))


def survives(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    found = diagnostics_of(content)
    rendered = render_all(found)
    assert not found or rendered
    assert render_all(diagnostics_of(content)) == rendered, "two runs say different things"


def cut(text: str) -> list[str]:
    """The text in words; joined they are the text."""
    words, end = [], 0
    for match in WORD.finditer(text):
        words += [text[end : match.start()], match.group()]
        end = match.end()
    return [word for word in [*words, text[end:]] if word]


def kind_of(word: str) -> str:
    """Names of sets, other names, numbers, and each sign by itself: what may stand in the place of what."""
    if word[0].isalpha():
        return "set" if word[0].isupper() else "name"
    return "number" if word[0].isdigit() else "operator" if word in ("+", "-", "*", "/") else word


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A definition, or a few, of real specs, with words replaced, doubled, swapped or left out."""
    chosen = draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=2))
    words = cut("\n\n".join(block.rstrip() for block in chosen) + "\n")
    for _ in range(draw(st.integers(1, 5))):
        place, other = draw(st.integers(0, len(words) - 1)), draw(st.integers(0, len(words) - 1))
        change = draw(st.sampled_from(("replace", "move", "double", "drop", "swap", "alike", "alike", "alike")))
        changed_words(words, change, place, other, draw(st.sampled_from(WORDS)))
        if not words:
            return ""
    return "".join(words)


def changed_words(words: list[str], change: str, place: int, other: int, word: str) -> None:
    match change:
        case "alike":
            alike = [one for one in words if kind_of(one) == kind_of(words[place]) and one != words[place]]
            words[place] = alike[other % len(alike)] if alike else words[place]
        case "replace":
            words[place] = word
        case "move":
            words[place] = words[other]
        case "double":
            words.insert(place, words[place])
        case "drop":
            del words[place]
        case "swap":
            words[place], words[other] = words[other], words[place]


# -- small definitions that parse, and mean whatever they mean ---------------------------------------------------------

TENSORS = {"x": ("I",), "a": ("I", "J"), "b": ("J", "I"), "z": ("I",), "n": (), "w": ("I", "J"), "c": ("J",), "p": ()}
SIGNATURE = "x[I], a[I,J], b[J,I], z[I] in J, n : int; w[I,J] ~ normal(0, 1), c[J] = 0; p = 2, K = 3"
SUBSCRIPTS = ("{}", "{}", "{}", "{}", "{}", "0", "1", "n", "p", "z[{}]", "|I|", "{}+1", "2*{}", "({},{})", "pad({}-1)",
              "clamp(n)", "wrap({}+n)", "{} // 2", "{} mod 2")  # fmt: skip
ANYTHING = ("i", "j", "k", "i'", "I", "J", "K", "I'")
FUNCTIONS = ("exp", "log", "relu", "Softmax", "LogSoftmax", "Softplus", "Linear", "max", "sign", "stop", "f", "inst")
REDUCTIONS = ("sum", "max", "mean", "prod", "logsumexp", "argmax", "any", "all")
OPERATORS = (" + ", " - ", "*", "/", "^", " // ", " mod ", " < ", " == ", " and ", " or ", " in ")


def expressions(draw: random.Random, depth: int, bound: tuple[str, ...] = ()) -> str:
    """An expression in which most index variables are those that are bound around it."""
    kind = draw.choice(("read", "read", "number", "operator", "operator", "call", "reduction", "iverson", "if", "sum"))
    if depth <= 0:
        kind = draw.choice(("read", "read", "number"))

    def inner(more: tuple[str, ...] = ()) -> str:
        return expressions(draw, depth - 1, (*bound, *more))

    match kind:
        case "read":
            return read(draw, bound)
        case "number":
            return draw.choice((*bound, "0", "1", "2.5", "|J|", "p", "n", "pi", "true", "train", "inf"))
        case "operator":
            return f"({inner()}{draw.choice(OPERATORS if draw.random() < 0.3 else OPERATORS[:4])}{inner()})"
        case "call":
            return call(draw, inner)
        case "reduction":
            names = ("i", "j", "k", "i'", "j'", "i''", "k'")
            free = [name for name in names if name not in bound or draw.random() < 0.03]
            indices = tuple(draw.sample(free, min(len(free), draw.choice((1, 1, 2)))))
            condition = f" : {inner(indices)} > 0" if draw.random() < 0.3 else ""
            head = f"{','.join(indices)}{condition}" if draw.random() < 0.9 else ".."
            return f"({draw.choice(REDUCTIONS)}[{head}] {inner(indices if head != '..' else ('I', 'J'))})"
        case "iverson":
            return f"[{inner()} {draw.choice(('<', '==', '>='))} {inner()}]"
        case "if":
            return f"({inner()} if {inner()} > 0 else {inner()})"
    return f"(-{inner()}*{inner()} + {inner()})"


def read(draw: random.Random, bound: tuple[str, ...]) -> str:
    name = draw.choice((*TENSORS, *TENSORS, "y", "h", "g"))
    axes = TENSORS.get(name, ("I",))
    if draw.random() < 0.03:
        axes = draw.choice(((*axes, "J"), axes[1:]))
    subscripts = ",".join(subscript(draw, axis, bound) for axis in axes)
    return f"{name}[{subscripts}]" if axes else name


def subscript(draw: random.Random, axis: str, bound: tuple[str, ...]) -> str:
    fitting = [name for name in bound if name.rstrip("'").upper() == axis] if draw.random() < 0.8 else []
    name = draw.choice(fitting or bound or ("0", "1")) if draw.random() < 0.98 else draw.choice(ANYTHING)
    written = draw.choice(SUBSCRIPTS) if draw.random() < 0.3 else "{}"
    return written.format(*(name,) * written.count("{}"))


def call(draw: random.Random, inner: Callable[[], str]) -> str:
    groups = draw.choice(("{}", "{}", "{}", "{}, {}", "{}; w, c", "{};; {}", "{}; {}", "{}, beta=2", "", "I=3"))
    arguments = groups.format(*(inner() for _ in range(groups.count("{}"))))
    subscripts = draw.choice(("", "", "[0]", "[i]", ".y", ".w[i,j]"))
    return f"{draw.choice(FUNCTIONS)}({arguments}){subscripts}"


def variables_of(left: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(re.findall(r"(?<!\|)\b[ijkIJ]\b(?!\|)", left)))


def definition(seed: int) -> str:
    """A layer with a signature of every kind of tensor, whose equations are random."""
    draw = random.Random(seed)
    lefts = ("h[i]", "h[|I| + j]", "h[2*i]", "h[2*i + 1]", "h[I]", "h[(i,j)]", "h[0]", "h[|I|]", "h[i,j]", "h", "g[k]")
    chosen = [*draw.sample(lefts, draw.choice((0, 1, 1, 2))), draw.choice(("y[i]", "y[i]", "y[i]", "y[I]", "y[j]"))]
    lines = [f"    {left} = {expressions(draw, draw.randint(1, 4), variables_of(left))}" for left in chosen]
    if draw.random() < 0.5:
        lines.append(f"    inst = {draw.choice(('Linear(I=3)', 'Softplus()', 'Linear()', 'Linear(I=I)', 'f(1)'))}")
    if draw.random() < 0.5:
        lines.append(f"    index {draw.choice(('K', 'J', 'L', 'I'))} = {expressions(draw, 1)}")
    draw.shuffle(lines)
    uses = "use nn.activations: Softmax, LogSoftmax, Softplus\nuse nn.linear: Linear\n"
    helper = f"fn f(x) = {draw.choice(('x^2', 'x', 'f(x)', '3', 'max(x, 0)'))}\n"
    return f"{uses}{helper}layer F({SIGNATURE}) -> y[I]:\n" + "\n".join(lines) + "\n"


DEFINITIONS = st.integers(0, 2**32).map(definition)
MIXED = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)
SPACED = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


@FEW
@given(st.binary(max_size=80))
@example(b"\xff\xfe")
@example(b"layer F(x) -> y:\n    y = x\0")
def test_any_bytes(content: bytes) -> None:
    render_all(diagnostics_of(content))
    survives(content.decode("latin-1"))


@FEW
@given(MIXED | SPACED)
def test_any_words(text: str) -> None:
    survives(text)


@FEW
@given(mutated())
def test_changed_specs(text: str) -> None:
    survives(text)


@FEW
@given(DEFINITIONS)
def test_random_definitions(text: str) -> None:
    survives(text)


@pytest.mark.fuzz
@MANY
@given(mutated() | DEFINITIONS | MIXED)
def test_anything_for_long(text: str) -> None:
    """Also that what has no error becomes loops, with derivatives by every input, or is refused."""
    survives(text)
    with contextlib.suppress(CompileError):
        compilation.programs(Spec(Path("fuzz.dl"), Source("fuzz.dl", text)), Options.of(wrt="*"))


FOUND = (
    "layer F(a[I,J]) -> y[J]:\n    index K = [a[i,K] == 2.5]\n    y[j] = 1\n",
    "layer F(x[I], a[I,J]) -> y[I]:\n    index K = a[(i,J),0]\n    y[i] = x[i]\n",
)
"""Specs that once broke the compiler."""


@pytest.mark.parametrize("text", FOUND)
def test_what_was_found(text: str) -> None:
    survives(text)

"""Files that use each other."""

from __future__ import annotations

from dlc.compiler import semantics
from tests.semantics.spec_texts import LINEAR, codes_of, errors_of, graph_of, library, parsed

USES = """use nn.linear: Linear
model M(x[B,D]) -> l:
    index D = 2
    fc = Linear(I=1)
    l = sum[b] fc(x[b,D])[0]
"""


def test_a_name_is_looked_up_where_it_was_written() -> None:
    """The layer of the library calls its own `scaled`, not the one of the file that uses it."""
    loader = library(lib="fn scaled(x) = 3*x\nlayer Tripled(x[I]) -> y[I]:\n    y[i] = scaled(x[i])\n")
    text = "use lib: Tripled\nfn scaled(x) = 5*x\nlayer F(x[I]) -> y[I]:\n    y[I] = scaled(Tripled(x[I]))\n"
    graph = graph_of(text, "F", loader)
    assert "3" in repr(graph.tensors["Tripled.y"].equations[0].value)


def test_unknown_module() -> None:
    assert codes_of("use nn.linaer: Linear\n" + USES.partition("\n")[2], loader=library(nn__linear=LINEAR)) == ["DL033"]


def test_unknown_name_in_a_module_is_said_once() -> None:
    (problem,) = errors_of(USES.replace("Linear", "Linaer"), loader=library(nn__linear=LINEAR))
    assert problem.code == "DL034" and "Linear" in (problem.help or "")


def test_circle() -> None:
    loader = library(
        a="use b: G\nlayer F(x[I]) -> y[I]:\n    y[I] = x[I]\n", b="use a: F\nlayer G(x[I]) -> y[I]:\n    y[I] = x[I]\n"
    )
    (problem,) = errors_of("use a: F\nlayer H(x[I]) -> y[I]:\n    y[I] = F(x[I])\n", loader=loader)
    assert problem.code == "DL035" and "a -> b -> a" in problem.message


def test_errors_of_used_files_are_reported() -> None:
    loader = library(nn__linear="layer Linear(x[J] -> y[I]:\n    y[i] = x[i]\n")
    assert all(code < "DL030" for code in codes_of(USES, loader=loader))


def test_errors_inside_a_layer_show_the_call() -> None:
    loader = library(nn__linear="layer Linear(x[J]; w[I,J] ~ zeros) -> y[I]:\n    y[i] = w[i,j]*x[j+1]\n")
    (problem,) = errors_of(USES, loader=loader)
    assert problem.code == "DL055"
    assert any("in this call of `Linear`" in label.text for label in problem.secondary)


def test_check_reports_every_definition() -> None:
    file = parsed("layer F(x[I]) -> y[I]:\n    y[i] = xx[i]\nlayer G(x[I]) -> y[I]:\n    y[i] = x[j]\n")
    assert [problem.code for problem in semantics.check(file, library())] == ["DL030", "DL031"]


def test_definitions() -> None:
    both = parsed(f"{LINEAR}model M(x[B]) -> l:\n    l = sum[b] x[b]\n")
    assert [item.name.text for item in semantics.definitions(both)] == ["M"]
    assert [item.name.text for item in semantics.definitions(parsed(LINEAR))] == ["Linear"]

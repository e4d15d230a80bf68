"""Properties of every spec, tried on random ones.

What the finished graphs compute is what the reference interpreter makes of the spec as semantics gives it, with every
optional pass on, off, or any of them; names of sets and the order of operands change nothing; a vector-Jacobian
product is linear in its cotangent and agrees with differences; and compiled kernels agree with the interpreter.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from properties.author import sizes, specs
from properties.checks import (
    QUIET,
    agrees_with_differences,
    compiled_problem,
    is_linear_in_its_cotangent,
    names_and_order_change_nothing,
    passes_keep_the_meaning,
    problem_of_passes,
    problems,
    some_specs,
)
from properties.specs import Line, Node, Spec

from dlc.compiler import pipeline

FEW = settings(max_examples=20, deadline=None, suppress_health_check=QUIET)
MANY = settings(max_examples=20_000, derandomize=False, deadline=None, suppress_health_check=QUIET)
INTERPRETED, COMPILED = 2_000, 200  # specs tried by the slow tests

CASES = {
    "passes": passes_keep_the_meaning,
    "linear": lambda spec, known, off, seed: is_linear_in_its_cotangent(spec, known, seed),
    "differences": lambda spec, known, off, seed: agrees_with_differences(spec, known, seed),
    "names": lambda spec, known, off, seed: names_and_order_change_nothing(spec, known, seed),
}
WHOLE = Spec((Line("y0 =", Node("2", (), False)),), (("y0", ""),))  # has no derivatives
GIVEN = (specs(), sizes(), st.sets(st.sampled_from(pipeline.OPTIONAL)), st.integers(0, 999))


@pytest.mark.parametrize("case", CASES)
@FEW
@given(*GIVEN)
@example(WHOLE, {"B": 1, "T": 1, "D": 1}, set(), 0)
def test_property(case: str, spec: Spec, known: dict[str, int], off: set[str], seed: int) -> None:
    CASES[case](spec, known, off, seed)


@pytest.mark.fuzz
@pytest.mark.parametrize("case", CASES)
@MANY
@given(*GIVEN)
def test_property_for_long(case: str, spec: Spec, known: dict[str, int], off: set[str], seed: int) -> None:
    CASES[case](spec, known, off, seed)


def test_some_compiled(tmp_path: Path) -> None:
    for number, chosen in enumerate(some_specs(3)):
        assert not compiled_problem((number, chosen, str(tmp_path)))


@pytest.mark.slow
def test_passes_keep_the_meaning_of_many(tmp_path: Path) -> None:
    assert not problems(problem_of_passes, INTERPRETED, tmp_path)


@pytest.mark.slow
def test_many_compiled(tmp_path: Path) -> None:
    assert not problems(compiled_problem, COMPILED, tmp_path)

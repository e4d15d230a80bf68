"""Names of a spec become ASCII identifiers that clash with nothing."""

from __future__ import annotations

import builtins
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.compiler.emit.names import Names, identifier


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", "x"),
        ("fc1.w", "fc1_w"),
        ("x'", "x_prime"),
        ("x''", "x_prime_prime"),
        ("θ", "theta"),
        ("Σ", "Sigma"),
        ("λ", "lambda"),
        ("ς", "sigma"),
        ("ά", "alpha"),
        ("h₁", "h1"),
        ("é", "e"),
        ("loss.parts.2", "loss_parts_2"),
        ("2x", "t2x"),
        ("", "t"),
        ("_", "t"),
        ("__class__", "class"),
        ("名", "u540d"),
    ],
)
def test_the_spelling_is_what_a_reader_expects(name: str, expected: str) -> None:
    assert identifier(name) == expected


@pytest.mark.parametrize("name", ["lambda", "λ", "for", "match", "True", "range", "np", "self", "__class__"])
def test_words_of_python_are_marked(name: str) -> None:
    found = Names().fresh(name)
    assert found.isidentifier() and not keyword.iskeyword(found) and found not in vars(builtins) and found != "np"


def test_names_that_look_alike_are_told_apart() -> None:
    names = Names(["exp"])
    assert [names.fresh(n) for n in ("fc1.w", "fc1_w", "fc1'w", "exp")] == ["fc1_w", "fc1_w_2", "fc1_prime_w", "exp_2"]


def test_a_released_name_may_be_given_again() -> None:
    names = Names()
    first = names.fresh("i")
    assert names.fresh("i") == "i_2"
    names.release(first)
    assert names.fresh("i") == "i"


def test_a_child_scope_avoids_the_names_of_its_parent_only() -> None:
    parent = Names(["gemm"])
    assert Names(parent=parent).fresh("x") == Names(parent=parent).fresh("x") == "x"
    assert Names(parent=parent).fresh("gemm") == "gemm_2"


@given(st.lists(st.text(max_size=80), max_size=12))
def test_any_names_give_different_ascii_identifiers(wanted: list[str]) -> None:
    names = Names(["real", "t"])
    found = [names.fresh(name) for name in wanted]
    assert len(set(found)) == len(found)
    for name in found:
        assert name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
        assert name not in vars(builtins) and name not in ("real", "t", "np") and not name.startswith("__")

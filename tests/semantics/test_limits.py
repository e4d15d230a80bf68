"""Specs made to exhaust the compiler are refused, quickly."""

from __future__ import annotations

import time

import pytest

from tests.semantics.spec_texts import codes_of

FUNCTION = "layer F(x[I]) -> y[I]:\n    y[i] = f0(x[i])\n"


def doubling(count: int, body: str) -> str:
    return "".join(f"fn f{k}(x) = {body.replace('f(', f'f{k + 1}(')}\n" for k in range(count)) + f"fn f{count}(x) = x\n"


CASES = {
    "layers_that_call_layers_twice": (
        "".join(f"layer L{k}(x[I]) -> y[I]:\n    y[I] = L{k + 1}(x[I]) + L{k + 1}(2*x[I])\n" for k in range(40))
        + "layer L40(x[I]) -> y[I]:\n    y[I] = x[I]\n",
        "L0",
        "DL125",
    ),
    "functions_that_call_functions_twice": (doubling(30, "f(x+1)*f(x+2)") + FUNCTION, "F", "DL125"),
    "sums_of_sums": (
        f"fn f0(x) = {'+'.join(['x'] * 3000)}\nlayer F(x[I]) -> y[I]:\n    y[i] = f0(f0(f0(x[i])))\n",
        "F",
        "DL124",
    ),
    "deep_functions": (
        f"fn f1(x) = {'exp(' * 30}x{')' * 30}\nfn f0(x) = {'f1(' * 30}x{')' * 30}\n{FUNCTION}",
        "F",
        "DL124",
    ),
    "deep_layers": (
        "".join(f"layer L{k}(x[I]) -> y[I]:\n    y[I] = L{k + 1}(x[I])\n" for k in range(60))
        + "layer L60(x[I]) -> y[I]:\n    y[I] = x[I]\n",
        "L0",
        "DL126",
    ),
    "recursion": ("layer F(x[I]) -> y[I]:\n    y[I] = F(x[I])\n", "F", "DL096"),
    "recursive_function": ("fn g(x) = g(x) + 1\nlayer F(x[I]) -> y[I]:\n    y[i] = g(x[i])\n", "F", "DL096"),
    "huge_size": ("model F(x[I]) -> y[K]:\n    index I = 4000000000, K = |I|*|I|\n    y[k] = x[0]\n", "F", "DL128"),
    "huge_tensor": ("model F(x[I]) -> y[I,I]:\n    index I = 4000000000\n    y[i,i'] = x[i]*x[i']\n", "F", "DL072"),
    "many_axes": (
        f"layer F(x[I]) -> s:\n    y[{','.join(['i' + chr(39) * k for k in range(17)])}] = 1\n    s = x[0]\n",
        "F",
        "DL127",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    text, definition, code = CASES[name]
    start = time.perf_counter()
    assert codes_of(text, definition) == [code]
    assert time.perf_counter() - start < 20

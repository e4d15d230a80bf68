"""Every pass, alone and in the order of the compiler, keeps what a graph means."""

from __future__ import annotations

from types import ModuleType

import pytest
from passes.corpus import Model, corpus, derivative, finish, models, through
from passes.random_graphs import random_model

from dlc.compiler.ir.forms import is_extracted
from dlc.compiler.ir.printer import text
from dlc.compiler.passes import (
    borders,
    cse,
    dce,
    deltas,
    diagonals,
    extract,
    factor,
    first,
    fuse,
    lift,
    narrow,
    prefix,
    residues,
    simplify,
    sink,
    stabilise,
)

# fuse takes extracted graphs
ANYWHERE = (simplify, stabilise, extract, narrow, cse, dce, deltas, diagonals, factor, first, prefix, residues, borders)
FORWARD = (simplify, stabilise, extract, narrow, cse, dce)
AFTERWARDS = finish()


@pytest.fixture(scope="module")
def known() -> list[Model]:
    return list(corpus())


@pytest.mark.parametrize("step", (*ANYWHERE, lift, sink), ids=lambda step: step.NAME)
def test_a_pass_keeps_the_meaning(step: ModuleType, known: list[Model]) -> None:
    for model in known:
        through(model, step)


def test_fuse_keeps_the_meaning(known: list[Model]) -> None:
    for model in known:
        through(model, extract, fuse)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_the_whole_way(model: Model) -> None:
    forward = through(model, *FORWARD)
    for last in (through(forward, *AFTERWARDS), through(derivative(forward), *AFTERWARDS)):
        assert not is_extracted(last.graph)


def test_stabilise_changes_what_is_stable_no_more() -> None:
    for model in models():
        once = stabilise.run(simplify.run(model.graph))
        assert text(stabilise.run(once)) == text(once), model.name


@pytest.mark.parametrize("step", [simplify, deltas, extract, cse, dce, diagonals], ids=lambda step: step.NAME)
def test_a_second_run_changes_nothing(step: ModuleType, known: list[Model]) -> None:
    for model in known:
        once = step.run(simplify.run(model.graph))
        assert text(step.run(once)) == text(once), model.name


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs(seed: int) -> None:
    go_through_everything(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_random_graphs(block: int) -> None:
    for seed in range(25 + 40 * block, 25 + 40 * (block + 1)):
        go_through_everything(seed)


def go_through_everything(seed: int) -> None:
    model = random_model(seed)
    for step in ANYWHERE:
        through(model, step, tolerance=1e-9)
    forward = through(model, *FORWARD, tolerance=1e-9)
    through(forward, fuse, tolerance=1e-9)
    last = through(derivative(forward), *AFTERWARDS, tolerance=1e-8)
    assert not is_extracted(last.graph)

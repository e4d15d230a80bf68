"""Whether programs compute what their graphs say, asked of the two interpreters, and what a test asks of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from building import graph

from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Size
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.loops import For, Program, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower import lower


def agree(
    made: Graph,
    program: Program,
    given: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    shards: int = 2,
    tolerance: float = 1e-12,
) -> None:
    """Every root of the graph is what the only entry of the program computes."""
    (entry,) = program.entries
    found, wanted = loops_reference.run(program, entry.name, given, sizes, shards), evaluate(made, given, sizes)
    for root in made.roots:
        np.testing.assert_allclose(found[root], wanted[root], tolerance, tolerance, err_msg=root)


def drawn(made: Graph, sizes: Mapping[str, int], seed: int = 3) -> dict[str, np.ndarray]:
    """Normal numbers for all that the graph is given, at these sizes."""
    draw = np.random.default_rng(seed).normal
    numbers = {Size(name): Const(value) for name, value in sizes.items()}
    return {
        tensor.id: draw(size=[known(substitute(size, numbers)) or 0 for size in tensor.sizes])
        for tensor in made.of_kind("input", "parameter", "cotangent")
    }


def agreeing(*tensors: Tensor, sizes: Mapping[str, int], shards: int = 2, outputs: Sequence[str] = ()) -> Program:
    """The program of all computed tensors, or of those that are asked for, run on random inputs by so many shards."""
    wanted = outputs or [tensor.id for tensor in tensors if tensor.kind == "computed"]
    made = graph(*tensors, outputs=wanted, sizes=list(sizes))
    program = lower({"forward": made})
    agree(made, program, drawn(made, sizes), sizes, shards)
    return program


def loops_in(program: Program) -> list[str]:
    """The hints of the indices of all loops, in order."""
    kernels = program.kernels.values()
    return [one.index.hint for kernel in kernels for one in statements(kernel.body) if isinstance(one, For)]

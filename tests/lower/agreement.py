"""Programs that have been found to compute what their graphs say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from building import graph

from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Size, substitute
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.ir.loops import For, Program, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower


def agreeing(*tensors: Tensor, sizes: Mapping[str, int], shards: int = 2) -> Program:
    """The program of all computed tensors, run on random inputs by so many shards."""
    made = graph(*tensors, outputs=[t.id for t in tensors if t.kind == "computed"], sizes=list(sizes))
    draw = np.random.default_rng(3).normal
    numbers = {Size(name): Const(value) for name, value in sizes.items()}
    arrays = {
        tensor.id: draw(size=[known(substitute(size, numbers)) or 0 for size in tensor.sizes])
        for tensor in tensors
        if tensor.kind == "input"
    }
    program = lower({"forward": made})
    found, wanted = loops_reference.run(program, "forward", arrays, sizes, shards), evaluate(made, arrays, sizes)
    for output in made.outputs:
        np.testing.assert_allclose(found[output.tensor], wanted[output.tensor], rtol=1e-12)
    return program


def loops_in(program: Program) -> list[str]:
    """The hints of the indices of all loops, in order."""
    kernels = program.kernels.values()
    return [one.index.hint for kernel in kernels for one in statements(kernel.body) if isinstance(one, For)]

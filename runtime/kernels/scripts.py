"""Scripts: what happens between regions in a training step, as data, so that many steps are one compiled call.

A *script* is a vector of instructions, four words each: what is done, and with which addresses and counts. One
function, compiled once for a host, follows a script once for every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from dlc.runtime.kernels.compilation import FLAGS, intrinsic, own_cache, types
from dlc.runtime.kernels.frames import put
from dlc.runtime.kernels.loading import python_function
from dlc.runtime.kernels.parallel import run_steps
from dlc.runtime.kernels.primitives import call
from dlc.runtime.kernels.views import f32_at, f64_at
from dlc.runtime.kernels.views import size as word

#: TAKE to, from, bytes of a sample: gathers the samples of this step.  RUN steps, their count, table.
#: COPY to, from, bytes.  CLEAR to: eight bytes.  COUNT at: one more.  ADD to, from, bytes of a real.
#: LOSS to, from, bytes of a real: recorded step by step; one that is not finite ends the run before what follows.
TAKE, RUN, COPY, CLEAR, COUNT, ADD, LOSS = range(7)
_WIDTH = 4

Instruction = tuple[int, ...]


@intrinsic
def copy_bytes(typing_context, to, source, count):
    """memmove."""

    def codegen(context, builder, sig, args):
        pointer = ir.IntType(8).as_pointer()
        call(builder, "memmove", pointer, [builder.inttoptr(a, pointer) for a in args[:2]] + [args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _follow(script, count, order, batch, steps, number):
    """Follow `count` instructions for that many steps, whose first has a number.

    `order` is the address of the numbers of the samples, `batch` for each step.
    """
    for step in range(steps):
        for line in range(count):
            at = script + 8 * _WIDTH * line
            what, to, source, size = word(at, 0), word(at, 1), word(at, 2), word(at, 3)
            if what == TAKE:
                for place in range(batch):
                    sample = word(order, step * batch + place)
                    copy_bytes(to + place * size, source + sample * size, size)
            elif what == RUN:
                run_steps(to, source, size)
            elif what == COPY:
                copy_bytes(to, source, size)
            elif what == CLEAR:
                put(to, 0, 0)
            elif what == COUNT:
                put(to, 0, word(to, 0) + 1)
            elif what == ADD:
                if size == 4:
                    f32_at(to, 1)[0] += f32_at(source, 1)[0]
                else:
                    f64_at(to, 1)[0] += f64_at(source, 1)[0]
            elif size == 4:
                single = f32_at(source, 1)[0]
                f32_at(to, number + step + 1)[number + step] = single
                if not np.isfinite(single):
                    return
            else:
                double = f64_at(source, 1)[0]
                f64_at(to, number + step + 1)[number + step] = double
                if not np.isfinite(double):
                    return


@cache
def _run() -> Callable[..., Any]:
    """Compiled or loaded when a script is first run: most processes have none."""
    with own_cache():
        return python_function("void(int64, int64, int64, int64, int64, int64)", _follow, **FLAGS)


class Script:
    """Instructions for one step, whose addresses point into what the caller keeps."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        rows = [(*row, *[0] * (_WIDTH - len(row))) for row in instructions]
        self._words = np.array(rows, np.int64).reshape(len(rows), _WIDTH)

    def run(self, order: np.ndarray[Any, Any], batch: int, steps: int, number: int) -> None:
        """Make steps on samples `order`, until a loss is not finite; `number` is that of the first step."""
        _run()(self._words.ctypes.data, len(self._words), order.ctypes.data, batch, steps, number)

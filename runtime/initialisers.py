"""How parameters start.

Every parameter draws from a generator of its own, seeded by the model's seed and the parameter's name: its values
depend neither on the other parameters nor on their order.  Numbers are drawn as float64 and then rounded, so that a
float32 and a float64 model of one seed start from the same point.

Fan-in and fan-out come from the compiler, which reads them off the equations that use the parameter: the number of
products summed into one output element, and the number of output elements that one input element reaches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.runtime.errors import ParameterError

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Draw:
    """What an initialiser needs: the numbers of the spec, the generator, and the shape of the parameter."""

    generator: np.random.Generator
    shape: tuple[int, ...]
    arguments: tuple[float, ...] = ()
    fans: tuple[int | None, int | None] = (None, None)

    def uniform(self, bound: float) -> Vector:
        return self.generator.uniform(-bound, bound, self.shape)

    def normal(self, deviation: float) -> Vector:
        return deviation * self.generator.standard_normal(self.shape)

    @property
    def fan_in(self) -> int:
        return _known(self.fans[0], "fan-in")

    @property
    def fan_out(self) -> int:
        return _known(self.fans[1], "fan-out")

    @property
    def gain(self) -> float:
        """The factor that a ``xavier`` or ``kaiming`` initialiser may be given."""
        return self.arguments[0] if self.arguments else 1.0


def _known(fan: int | None, what: str) -> int:
    if fan is None:
        raise ParameterError(f"its {what} depends on a size that only the inputs tell: set it with another initialiser")
    return max(1, fan)


def uniform(draw: Draw) -> Vector:
    """``uniform(a, b)``: evenly in a <= w < b."""
    low, high = draw.arguments
    return draw.generator.uniform(low, high, draw.shape)


def normal(draw: Draw) -> Vector:
    """``normal(m, s)``: with mean m and standard deviation s."""
    mean, deviation = draw.arguments
    return mean + draw.normal(deviation)


def xavier_uniform(draw: Draw) -> Vector:
    """Evenly in +-gain*sqrt(6 / (fan_in + fan_out)).  Glorot and Bengio 2010, eq. 16."""
    return draw.uniform(draw.gain * math.sqrt(6 / (draw.fan_in + draw.fan_out)))


def xavier_normal(draw: Draw) -> Vector:
    """With variance gain^2 * 2 / (fan_in + fan_out).  Glorot and Bengio 2010, eq. 12."""
    return draw.normal(draw.gain * math.sqrt(2 / (draw.fan_in + draw.fan_out)))


def kaiming_uniform(draw: Draw) -> Vector:
    """Evenly in +-sqrt(6 / fan_in), which has variance 2 / fan_in.  He et al. 2015, eq. 10."""
    return draw.uniform(draw.gain * math.sqrt(6 / draw.fan_in))


def kaiming_normal(draw: Draw) -> Vector:
    """With variance 2 / fan_in, for layers followed by relu.  He et al. 2015, eq. 10."""
    return draw.normal(draw.gain * math.sqrt(2 / draw.fan_in))


def zeros(draw: Draw) -> Vector:
    return np.zeros(draw.shape)


def ones(draw: Draw) -> Vector:
    return np.ones(draw.shape)


def constant(draw: Draw) -> Vector:
    """``= value`` in the spec."""
    (value,) = draw.arguments
    return np.full(draw.shape, float(value))


INITIALISERS: dict[str, Callable[[Draw], Vector]] = {
    rule.__name__: rule
    for rule in (
        uniform,
        normal,
        xavier_uniform,
        xavier_normal,
        kaiming_uniform,
        kaiming_normal,
        zeros,
        ones,
        constant,
    )
}


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of the parameter ``name``: Philox, seeded by both."""
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4)]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed % (1 << 64), *words])))

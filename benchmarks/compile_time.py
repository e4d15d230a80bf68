"""How long compiling takes, of models that differ in depth or length alone: a recurrence is one loop, however long.

python -m benchmarks.compile_time
python -m benchmarks.compile_time --turns 5

A time is that of a fresh process with empty caches: from the text of the spec to the first loss and gradients, so
Numba's compilation is in it. The two models of a pair take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SPECS = Path(__file__).parent / "workloads"


@dataclass(frozen=True)
class Pair:
    """The same model twice: with fixed sizes or hyper-parameters ``small`` and ``large``."""

    title: str
    spec: str
    small: Mapping[str, int]
    large: Mapping[str, int]


PAIRS = (
    Pair("LSTM of 4 layers: 10 and 1,000 steps", "deep_lstm.dl", {"T": 10}, {"T": 1000}),
    Pair("Transformer: 2 and 24 blocks", "deep_transformer.dl", {"L": 2}, {"L": 24}),
)

_CHILD = """
import sys, time
import numpy as np
import dlc

spec, sizes = sys.argv[1], dict(word.split("=") for word in sys.argv[2:])
sizes = {name: int(value) for name, value in sizes.items()}
rng = np.random.default_rng(0)
begun = time.perf_counter()
module = dlc.compile(spec, sizes=sizes)
model = getattr(module, module.__all__[0])()
known = {"B": 2, "T": 10, "D": 64 if "lstm" in spec else 32, "V": 32, **sizes}
given = {"x": rng.normal(size=(known["B"], known["T"], known["D"])).astype("float32")}
given["z"] = rng.integers(0, known["V"], (known["B"], known["T"]))
if "n" in model.inputs:
    given["n"] = np.full(known["B"], known["T"])
model.value_and_grad(**given)
first = time.perf_counter() - begun
begun = time.perf_counter()
model.value_and_grad(**given)
print(first - (time.perf_counter() - begun))
"""


def seconds(spec: str, sizes: Mapping[str, int]) -> float:
    """From the text of the spec to the first gradients, less the time that a step takes once all is compiled."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DLC_CACHE_DIR": f"{folder}/dlc", "NUMBA_CACHE_DIR": f"{folder}/numba"}
        words = [f"{name}={value}" for name, value in sizes.items()]
        command = [sys.executable, "-c", _CHILD, str(_SPECS / spec), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_time", description=str(__doc__).splitlines()[0])
    parser.add_argument("--turns", type=int, default=3, help="compilations of each model (default 3)")
    turns = parser.parse_args(arguments).turns
    for pair in PAIRS:
        times = [(seconds(pair.spec, pair.small), seconds(pair.spec, pair.large)) for _ in range(turns)]
        small, large = (statistics.median(column) for column in zip(*times, strict=True))
        ratios = sorted(after / before for before, after in times)
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"{pair.title}: {small:.1f} s and {large:.1f} s, ratio {statistics.median(ratios):.2f} ({spread})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What was measured of the machine: kept, read, part of what compiled code depends on, and done without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.compiler import cli
from dlc.compiler.ir.ways import OPEN
from dlc.runtime import host
from dlc.runtime.host import DEFAULTS, Speeds, Thresholds
from dlc.runtime.kernels.crossovers import crossover, parallel_work

SPEEDS = Speeds({"float32": 2e10, "float64": 1e10}, 1e10, 1.5e10, 4e10, 2e-6, 2)
CHOSEN = Thresholds(blas_from=1000, blas_transposed_from=2000, loops_below=64, parallel_work=4096)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(host, "thresholds", host.thresholds.__wrapped__)
    return tmp_path / "cache"


def test_what_is_kept_is_known() -> None:
    assert host.known_speeds() is None and host.thresholds() == DEFAULTS
    path = host.keep(SPEEDS, CHOSEN)
    assert (host.known_speeds(), host.thresholds()) == (SPEEDS, CHOSEN)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    host.forget()
    assert host.known_speeds() is None and host.thresholds() == DEFAULTS
    host.forget()


def test_speeds_alone_leave_the_defaults() -> None:
    """So that a prediction, which measures them, changes nothing of what is compiled."""
    assert "thresholds" not in json.loads(host.keep(SPEEDS, DEFAULTS).read_text())
    assert host.thresholds() == DEFAULTS


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"speeds": 3, "thresholds": {"blas": 3}}', '{"thresholds": {"blas_from": "x"}}']
)
def test_a_file_that_cannot_be_read_is_none(text: str) -> None:
    host.keep(SPEEDS, CHOSEN).write_text(text)
    assert host.known_speeds() is None and host.thresholds() == DEFAULTS


def test_thresholds_that_make_no_sense_are_none() -> None:
    host.keep(SPEEDS, Thresholds(blas_from=-1))
    assert host.thresholds() == DEFAULTS


def test_the_compiler_has_the_same_default() -> None:
    assert DEFAULTS.loops_below == OPEN.loops_below


USE = """
import sys
import dlc
from dlc.runtime.execution import PARALLEL_WORK
from dlc.runtime.kernels.choice import BLAS_FROM
from dlc.runtime.kernels_fingerprint import fingerprint, machine
module = dlc.compile(sys.argv[1])
print(PARALLEL_WORK, BLAS_FROM, fingerprint() == machine(), "loops below 64 multiplications" in module.__doc__)
"""
SPEC = "layer Sum(x[B]) -> y:\n    y = sum[b] x[b]\n"


def test_thresholds_are_part_of_what_is_compiled(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "sum.dl").write_text(SPEC)
    command = [sys.executable, "-c", USE, str(tmp_path / "sum.dl")]

    def printed() -> str:
        found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ})
        return found.stdout or found.stderr

    assert printed() == f"{DEFAULTS.parallel_work} {DEFAULTS.blas_from} True False\n"
    host.keep(SPEEDS, CHOSEN)
    assert printed() == "4096 1000 False True\n"


def test_a_crossover_holds_for_all_larger_sizes() -> None:
    sizes = [1, 2, 3, 4]
    assert crossover(sizes, [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 1.0, 1.0]) == 2
    assert crossover(sizes, [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 1.0]) == 4
    assert crossover(sizes, [1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 3.99]) is None


def test_work_that_pays_for_a_fork_is_a_power_of_two_within_bounds() -> None:
    found = [parallel_work(fork) for fork in (0.0, 1e-6, 1.1e-6, 1e-4, 10.0)]
    assert found == sorted(found) and found[1] == found[2]
    assert all(work & (work - 1) == 0 for work in found)
    assert (found[0], found[-1]) == (1 << 12, 1 << 22)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.main(["tune", "--show"]) == 0
    assert capsys.readouterr().out.startswith("nothing was measured yet\nproducts are loops below 2,048")
    monkeypatch.setattr(host, "measured_speeds", lambda: SPEEDS)
    monkeypatch.setattr(host, "measured_thresholds", lambda _: CHOSEN)
    assert cli.main(["tune"]) == 0
    told = capsys.readouterr().out
    assert "float32: 20.0 GFLOP/s by one thread\n" in told and "loops below 64 multiplications" in told
    assert cli.main(["tune", "--show"]) == 0
    assert capsys.readouterr().out == told[: told.index("kept in")]
    assert cli.main(["tune", "--reset"]) == 0
    assert host.known_speeds() is None
    assert cli.main(["tune", "--reset", "--show"]) == 2

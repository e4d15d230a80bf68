"""`dlc explain` as a user meets it: sizes, choices, tables and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlc.compiler import analysis, cli, performance
from dlc.compiler.diagnostics import CompileError
from dlc.compiler.options import Options
from dlc.runtime import profiling
from dlc.runtime.kernels import choice
from dlc.runtime.kernels.choice import implementation, reason

SPEC = """
layer Windows(x[B,H], k[P]) -> y[B,M]:
    index M = |H| - |P| + 1
    y[b,m] = sum[p] x[b,m+p]*k[p]
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "windows.dl"
    path.write_text(SPEC)
    return str(path)


def test_sizes_that_are_not_given_are_assumed_so_that_they_fit(spec: str) -> None:
    (found,) = performance.explain(spec, Options.of(), {"B": 7})
    sizes = found.setting.sizes
    assert sizes["B"] == 7 and sizes["H"] >= sizes["P"]
    assert set(found.setting.assumed) == {"H", "P"}
    (found,) = performance.explain(spec, Options.of(), {"P": 100, "B": 1})
    assert found.setting.sizes["H"] >= 100


@pytest.mark.parametrize(
    ("sizes", "code"), [({"C": 3}, "DL928"), ({"M": 3}, "DL928"), ({"P": 9, "H": 3}, "DL929"), ({"B": 0}, "DL911")]
)
def test_sizes_that_cannot_be(spec: str, sizes: dict[str, int], code: str) -> None:
    with pytest.raises(CompileError) as caught:
        performance.explain(spec, Options.of(), sizes)
    assert [problem.code for problem in caught.value.diagnostics] == [code]


def test_the_command(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", spec, "--size", "B=5", "--size", "H=9", "--size", "P=2"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Windows   float32   B = 5, H = 9, P = 2\n")
    assert "assumed" not in text
    assert "y[b,m] = sum[p] x[b,m+p]*k[p]    windows.dl:4" in text
    assert cli.main(["explain", spec, "--json"]) == 0
    (plain,) = json.loads(capsys.readouterr().out)
    assert plain["assumed"] == ["B", "H", "P"]
    assert [one["name"] for one in plain["entries"]] == ["forward", "vjp"]


@pytest.mark.parametrize("size", ["B", "B=", "B=0", "B=x", "=3"])
def test_a_size_of_the_wrong_form(spec: str, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", spec, "--size", size]) == 2
    assert "such as B=64" in capsys.readouterr().err


def test_an_unknown_size_is_said(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", spec, "--size", "Bb=4"]) == 1
    assert "error[DL928]" in capsys.readouterr().err


RECURRENCE = """
layer Run(x[B,T,D]; u[D,D'] ~ normal(0, 1)) -> last[B,D]:
    h[b,0,d] = 0
    h[b,t+1,d] = tanh(u[d,d']*h[b,t,d'] + x[b,t,d])
    last[b,d] = h[b,|T|,d]
"""


def test_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kernel of every entry has its time, also those that run in turn in a recurrence."""
    monkeypatch.setenv("DLC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(profiling, "SECONDS", 0.02)
    (tmp_path / "run.dl").write_text(RECURRENCE)
    (found,) = performance.profile(tmp_path / "run.dl", Options.of(), {"B": 8, "T": 6, "D": 16})
    assert [entry.name for entry in found.entries] == ["forward", "vjp"]
    for entry in found.entries:
        assert all(row.measured and row.measured_alone and row.measured > 0 for row in entry.rows)
        assert sum(row.measured_alone or 0 for row in entry.rows) == pytest.approx(entry.measured_alone)
    lines = analysis.as_text(found).splitlines()
    assert "of its roofline" in lines[4] and lines[3].startswith("forward: measured ")
    json.loads(analysis.as_json([found]))
    assert cli.main(["profile", str(tmp_path / "run.dl"), "--size", "Q=3"]) == 1
    assert "error[DL928]" in capsys.readouterr().err


SHAPES = [
    (False, False, 64, 64, 64),
    (False, True, 2, 50, 50),
    (False, False, 1, 9, 9),
    (False, False, 9, 1, 9),
    (True, False, 9, 1, 9),
    (False, False, 700, 700, 700),
    (True, False, 1000, 1000, 1000),
    (False, True, 200, 2000, 2000),
    (False, False, 40, 40, 3),
    (False, False, 100, 100, 12),
    (True, False, 9, 40, 1),
    (False, False, 0, 4, 4),
    (False, False, 4, 4, 0),
]
WORDS = {
    choice.NOTHING: "nothing",
    choice.SCALE: "zeros",
    choice.DOTS: "scalar products",
    choice.ROWS: "scalar products",
    choice.SUMS_OF_A: "sums of rows",
    choice.SUMS_OF_B: "sums of rows",
    choice.OUTER: "outer product",
    choice.BLAS: "BLAS",
    choice.TILE: "tile",
}


@pytest.mark.parametrize(("ta", "tb", "m", "n", "k"), SHAPES)
def test_what_is_told_is_what_is_chosen(ta: bool, tb: bool, m: int, n: int, k: int) -> None:
    lda, ldb, ldc = m if ta else k, k if tb else n, n
    for size in (4, 8):
        way, why = reason(size, "", ta, tb, m, n, k, lda, ldb, ldc)
        assert way == WORDS[implementation(ta, tb, m, n, k, size, lda, ldb, ldc)]
        assert why


def test_rows_that_overlap_are_no_matter_for_blas() -> None:
    assert reason(4, "", False, False, 1000, 1000, 1000, 1, 1000, 1000) == (
        "tile",
        "BLAS cannot say it: rows that overlap, or more than 32 bits",
    )


def test_a_shallow_product_is_taken_by_blas_and_one_step_by_a_loop() -> None:
    assert reason(4, "", False, False, 100, 100, 12, 12, 100, 100)[0] == "BLAS"
    assert reason(4, "", False, False, 100, 100, 12, 12, 100, 100, True)[0] == "tile"
    assert reason(4, "", False, False, 100, 90, 12, 12, 90, 90)[0] == "tile"
    assert reason(4, "", True, False, 100, 90, 1, 100, 90, 90) == ("outer product", "k is 1")
    assert reason(4, "", True, True, 100, 90, 1, 100, 1, 90) == ("outer product", "k is 1")
    assert reason(4, "", True, True, 100, 90, 1, 100, 2, 90)[0] == "BLAS"

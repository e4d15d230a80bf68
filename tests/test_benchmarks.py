"""The benchmarks: every workload computes what its formula in PyTorch does, at small sizes, and the report tells it."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import handwritten
from benchmarks.__main__ import cases_of, main, parsed
from benchmarks.exact import error_of, judged
from benchmarks.growth import GROWTHS
from benchmarks.implementations import IMPLEMENTATIONS, comparable, made
from benchmarks.report import text, write
from benchmarks.results import Result, exponent
from benchmarks.turns import TOLERANCE, Measurement, Row, Settings, measure
from benchmarks.workload import GROUPS, Case, Named, Workload, load, names

CASES = [case for name in names() for case in load(name).cases]
# Sizes are made no larger than these; kernels, strides and other options stay as they are.
MOST = {"batch": 3, "channels": 4, "maps": 6, "height": 9, "width": 8, "length": 6, "heads": 2, "features": 5}
MOST |= {"classes": 7, "elements": 33, "vocabulary": 11, "rows": 6, "layers": 3, "hidden": 10}


def small(case: Case) -> dict[str, int]:
    return {size: min(value, MOST.get(size, value)) for size, value in case.sizes.items()}


SMALL = {(case.workload, *small(case).items()): case for case in reversed(CASES)}


def results(name: str, case: Case, length: int | None = None) -> list[Any]:
    workload, sizes = load(case.workload), small(case)
    if length is not None and "length" in sizes:
        sizes["length"] = length
    found = made(name, workload, sizes, workload.numbers(**sizes), threads=1)()
    return comparable(name, workload, [np.asarray(value).astype(np.float64) for value in found])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what was compiled is kept, for cases that differ in sizes which no module knows."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL.values(), ids=lambda case: case.title)
def test_a_workload_computes_its_formula(case: Case, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CACHE_DIR", str(compiled))
    found = results("dlc", case)
    assert all(np.isfinite(array).all() for array in found)
    pytest.importorskip("torch", reason="values are compared with PyTorch: pip install -e '.[reference]'")
    wanted = results("torch", case)
    assert len(found) == len(wanted)
    assert max(map(error_of, found, wanted)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(handwritten.__path__)])
def test_a_kernel_that_is_written_by_hand_computes_the_formula(name: str) -> None:
    if name not in names():
        assert name == "parts"
        return
    pytest.importorskip("torch", reason="values are compared with PyTorch: pip install -e '.[reference]'")
    case = load(name).cases[0]
    of_blocks = 70
    assert max(map(error_of, results("numba", case, of_blocks), results("torch", case, of_blocks))) < TOLERANCE


def test_results_are_judged_by_exact_ones_and_by_what_rounding_does_to_them() -> None:
    torch = pytest.importorskip("torch", reason="exact values are PyTorch's: pip install -e '.[reference]'")
    case = load("mlp").cases[0]
    found, sensitivity = judged(load("mlp"), small(case), threads=1)
    assert max(map(error_of, results("torch", case), found)) < 1e-5
    assert 1e-7 < sensitivity < 1e-4

    def kinks(torch: Any, n: Named, s: Any) -> Any:
        return 1 + torch.relu(n.x - n.c).sum()

    x = np.linspace(1, 2, 50, dtype=np.float32)
    near = {"x": x, "c": np.nextafter(x, np.float32(0))}
    formula = Workload("kinks", "", "step", "", "", {}, lambda: near, ["x"], kinks)
    found, sensitivity = judged(formula, {}, threads=1)
    assert torch.get_default_dtype() == torch.float32
    np.testing.assert_array_equal(found[1], 1)
    assert sensitivity == 1


def test_every_workload_has_a_group_and_labels_that_differ() -> None:
    assert {case.group for case in CASES} == set(GROUPS)
    assert len({case.title for case in CASES}) == len(CASES)
    for case in CASES:
        assert set(load(case.workload).fixed.values()) <= set(case.sizes)


def row(name: str, *turns: float, agrees: bool = True) -> Row:
    return Row(name, turns[0], min(turns), 9.0, 1.5, 3 << 20, 1e-7, agrees, turns)


def result(label: str, group: str, *rows: Row) -> Result:
    return Result(Case("mlp", label, group, {"batch": 64}), Measurement("jax", rows))


def test_ratios_are_medians_within_rounds() -> None:
    """The machine is twice as slow in the second round, for both."""
    found = result("", "table", row("dlc", 1.0, 2.0, 1.0), row("torch", 3.0, 6.0, 8.0), row("jax", 2.0, 4.0, 0.5))
    assert found.ratios == {"torch": 3.0, "jax": 2.0}
    assert found.best == ("jax", 2.0)


def test_what_is_written_by_hand_is_no_peer() -> None:
    found = result("", "table", row("dlc", 1.0), row("torch", 3.0), row("numba", 0.5))
    assert found.best == ("torch", 3.0)
    assert "written by hand in Numba: geometric mean 0.50" in text([found], Settings())


def test_the_report_has_a_line_for_each_case_and_the_mean_of_each_group() -> None:
    first = result("small", "table", row("dlc", 1.0), row("torch", 4.0))
    second = result("large", "table", row("dlc", 2.0), row("torch", 0.5, agrees=False))
    report = text([first, second, result("", "step", row("torch", 1.0))], Settings())
    assert "| mlp small | 1.00 s | 4.00 | **4.00** torch | 3 MiB | 3 MiB | 9.00 s |\n" in report
    assert "first result: torch.compile" not in report
    assert "medians over 7 rounds, in each of which everybody works for 0.3 s" in report
    assert "geometric mean 1.00, dlc is the slower one in 1 of 2" in report
    assert "| torch | 500.00 ms | 500.00 ms | 0.25 | 3 MiB | 9.00 s | 1.50 s | **1e-07** |" in report
    assert report.count("Beside the fastest peer") == 1


def test_the_report_tells_where_a_formula_is_ill_conditioned() -> None:
    case, rows = Case("mlp", "", "step", {}), (row("dlc", 1.0), row("torch", 2.0))
    remark = "rounding what is given moves exact results by 1e-02"
    assert remark in text([Result(case, Measurement("float64", rows, tolerance=4e-2))], Settings())
    assert remark not in text([Result(case, Measurement("float64", rows))], Settings())


def test_the_report_shows_how_time_grows_where_that_was_drawn(tmp_path: Path) -> None:
    found = [result("", "table", row("dlc", 1.0))]
    write(tmp_path, found, Settings())
    assert "growth.png" not in (tmp_path / "README.md").read_text(encoding="utf-8")
    (tmp_path / "growth.png").write_bytes(b"drawn")
    write(tmp_path, found, Settings())
    assert "![growth](growth.png)" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_plot_has_a_bar_for_each_peer(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib: pip install -e '.[data]'")
    from benchmarks.plot import draw

    assert draw(tmp_path, [result("", "step", row("torch", 1.0))]) == []
    assert draw(tmp_path, [result("", "step", row("dlc", 1.0), row("dlc.call", 1.0))]) == []
    found = draw(tmp_path, [result("", "table", row("dlc", 1.0), row("torch", 4.0), row("jax", 0.1))])
    assert [(tmp_path / name).stat().st_size > 1000 for name in found] == [True]


def test_exponents_of_growth(tmp_path: Path) -> None:
    assert exponent({8: 4.0, 2: 2.0, 4: 1.0}) == pytest.approx(2)
    assert np.isnan(exponent({8: 4.0}))
    for growth in GROWTHS:
        assert all(growth.size in case.sizes for case in load(growth.workload).cases)
    pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib: pip install -e '.[data]'")
    from benchmarks.plot import draw_growth

    lines = {name: {1: 1.0, 10: 5.0 + place, 100: 100.0} for place, name in enumerate(IMPLEMENTATIONS)}
    draw_growth(tmp_path / "growth.png", [(growth, lines) for growth in GROWTHS[:3]])
    assert (tmp_path / "growth.png").stat().st_size > 1000


def test_what_is_no_workload_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["no_such_workload"])
    assert "there is no workload no_such_workload" in capsys.readouterr().err


@pytest.mark.slow
def test_what_compiles_is_measured_in_a_second_process() -> None:
    case = Case("linear_regression", "", "table", {"batch": 4, "features": 3})
    by_hand = "numba"
    found = measure(case, ["dlc", by_hand], Settings(rounds=1, seconds=0.01, patience=0.0, cold=True))
    assert not found.problems
    rows = {row.name: row for row in found.rows}
    assert rows["dlc"].second is not None and rows[by_hand].second is None
    assert all(row.agrees and row.first > 0 for row in rows.values())


def test_sizes_that_are_asked_for_make_cases_equal() -> None:
    cases = cases_of(parsed(["mlp", "--batch", "5", "6", "--group", "table", "variant"]))
    assert [case.title for case in cases] == ["mlp batch 5", "mlp batch 6"]
    assert [case.sizes for case in cases] == [{"batch": 5}, {"batch": 6}]

"""Verdicts on claims: what `dlc verify` says of the specs in `claims/`, pinned in `.verdicts` files beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc
from dlc.compiler import cli
from dlc.compiler.diagnostics import render_all

FOLDER = Path(__file__).parent / "claims"
CASES = sorted(path.stem for path in FOLDER.glob("*.dl"))


def told(name: str) -> str:
    """The verdicts as the command line lists them, each failure behind its line."""
    from dlc.compiler.verification import listed, summary

    verdicts = dlc.verify(f"{name}.dl")
    lines = []
    for verdict, line in zip(verdicts, listed(verdicts), strict=True):
        lines.append(line)
        if verdict.failure is not None:
            lines.append(render_all([verdict.failure]))
    return "\n".join([*lines, summary(verdicts)]) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_verdicts(name: str, update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    text = told(name)
    golden = FOLDER / f"{name}.verdicts"
    if update_golden:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_golden_has_its_source() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.verdicts")) == CASES


TRUE = "layer Double(x[I]) -> y[I]:\n    y[i] = 2*x[i]\n    check y[i] == x[i] + x[i]\n"
FALSE = TRUE.replace("x[i] + x[i]", "x[i]^2")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command_verifies_the_specs_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "true.dl").write_text(TRUE)
    (folder / "none.dl").write_text("layer Same(x[I]) -> y[I]:\n    y[i] = x[i]\n")
    assert cli.main(["verify"]) == cli.DONE
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 claim: ")
    assert cli.main(["verify", "none.dl"]) == cli.DONE


def test_command_fails_where_a_claim_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "false.dl").write_text(FALSE)
    assert cli.main(["verify", "false.dl"]) == cli.DIAGNOSTICS
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "1 claim: 0 proved, 0 tested, 1 failed"
    assert "error[DL940]: this claim fails at i = 0: the left side is 2, the right 1" in printed.err


def test_command_goes_on_after_a_spec_with_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.dl").write_text(TRUE.replace("2*x[i]", "2*z[i]"))
    (folder / "b.dl").write_text(TRUE)
    assert cli.main(["verify", "."]) == cli.DIAGNOSTICS
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("1 claim: ")
    assert "error[DL030]" in printed.err


def test_sizes_and_hyper_parameters_that_are_fixed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fixed.dl").write_text(
        "layer Scaled(x[I];; k = 2) -> y[I]:\n    y[i] = k*x[i]\n    check sum[i] y[i] == 9*mean[i] x[i]\n"
    )
    assert cli.main(["verify", "fixed.dl"]) == cli.DIAGNOSTICS
    assert cli.main(["verify", "fixed.dl", "-D", "I=3", "-D", "k=3"]) == cli.DONE
    assert cli.main(["verify", "fixed.dl", "-D", "J=3"]) == cli.DIAGNOSTICS
    assert "error[DL914]" in capsys.readouterr().err


def test_a_spec_that_is_wrong_and_claims_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.dl").write_text("layer A(a[I]) -> y[I]:\n    y[i] = sum[i] a[i]\n")
    assert cli.main(["verify", "wrong.dl"]) == cli.DIAGNOSTICS
    assert "DL053" in capsys.readouterr().err


def test_equal_seeds_give_equal_verdicts(folder: Path) -> None:
    (folder / "false.dl").write_text(FALSE)
    assert dlc.verify("false.dl", seed=3) == dlc.verify("false.dl", seed=3)
    first, second = (dlc.verify("false.dl", seed=seed)[0].outcome for seed in (1, 2))
    assert first == second == "failed"


def test_points_that_are_wanted(folder: Path) -> None:
    (folder / "some.dl").write_text(
        "layer Log(x[I]) -> y[I]:\n    y[i] = log(x[i])\n    check sum[i] y[i] == log(prod[i] x[i])\n"
        "    check log(prod[i] abs(x[i])) == sum[i] log(abs(x[i]))\n"
    )
    verdict = dlc.verify("some.dl", points=7)[1]
    assert (verdict.outcome, verdict.points) == ("tested", 7)

"""Where a name or a path leads: the order of the folders, what is refused, and what is proposed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlc.compiler import library

SPEC = "layer Double(x[I]) -> y[I]:\n    y[i] = 2*x[i]\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Three places, each with the module `nn.linear`; DLC_PATH names the first two, and an empty entry."""
    made = {name: tmp_path / name for name in ("first", "second", "beside")}
    for folder in made.values():
        (folder / "nn").mkdir(parents=True)
        (folder / "nn" / "linear.dl").write_text(SPEC)
    monkeypatch.setenv("DLC_PATH", os.pathsep.join([str(made["first"]), "", str(made["second"])]))
    return made


def test_beside_the_file_comes_first(folders: dict[str, Path]) -> None:
    assert library.find_module("nn.linear", beside=folders["beside"]) == folders["beside"] / "nn" / "linear.dl"


def test_the_spec_path_is_searched_in_order(folders: dict[str, Path]) -> None:
    assert library.find_module("nn.linear") == folders["first"] / "nn" / "linear.dl"
    (folders["first"] / "nn" / "linear.dl").unlink()
    assert library.find_module("nn.linear") == folders["second"] / "nn" / "linear.dl"


def test_the_standard_library_comes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    standard, own = tmp_path / "standard", tmp_path / "own"
    for folder in (standard, own):
        folder.mkdir()
        (folder / "both.dl").write_text(SPEC)
    (standard / "one.dl").write_text(SPEC)
    monkeypatch.setattr(library, "standard_library", lambda: standard)
    monkeypatch.setenv("DLC_PATH", str(own))
    assert library.find_module("both") == own / "both.dl"
    assert library.find_module("one") == standard / "one.dl"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "nn.", ".linear", "nn..linear", "../nn.linear", "nn/linear", "nn.linear\0", "a b"]
)
def test_what_is_no_module_name_is_not_looked_up(name: str, folders: dict[str, Path]) -> None:
    assert library.find_module(name, beside=folders["beside"]) is None


def test_a_folder_is_not_a_module(folders: dict[str, Path]) -> None:
    (folders["beside"] / "own.dl").mkdir()
    assert library.find_module("own", beside=folders["beside"]) is None


def test_an_argument_is_a_path_or_a_name(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders["beside"])
    path = Path("nn/linear.dl")
    assert library.find_argument("nn/linear.dl") == path
    assert library.find_argument(path.absolute()) == path.absolute()
    assert library.find_argument("nn.linear") == path
    assert library.find_argument("nn") == Path("nn")  # a folder: whoever reads it says so
    assert library.find_argument("nn/conv.dl") is None
    assert library.find_argument("conv") is None
    assert library.find_argument("conv\0.dl") is None
    assert library.find_argument("c" * 5000) is None


def test_candidates_of_a_module(folders: dict[str, Path]) -> None:
    (folders["beside"] / "nn" / "conv.dl").write_text(SPEC)
    (folders["beside"] / "nn" / "not-a-name.dl").write_text(SPEC)
    found = library.module_candidates("nn.linaer", beside=folders["beside"])
    assert {"nn.linear", "nn.conv"} <= set(found)
    assert not [name for name in found if "not-a-name" in name]
    assert found == tuple(sorted(set(found)))


def test_candidates_of_an_argument(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders["beside"])
    assert library.argument_candidates("nn/linaer.dl") == (str(Path("nn/linear.dl")),)
    assert library.argument_candidates("nowhere/linear.dl") == ()
    assert "nn.linear" in library.argument_candidates("nn.linaer")


def test_every_module_of_the_standard_library_is_found_by_its_name() -> None:
    for name in library.standard_modules():
        assert library.find_module(name) == library.standard_library().joinpath(*name.split(".")).with_suffix(".dl")
    count = len(list(library.standard_library().rglob("*.dl")))
    assert len(library.standard_modules()) == count

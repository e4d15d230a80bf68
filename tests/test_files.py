"""Reading and writing: every way in which it fails is a diagnostic, and a file is replaced whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlc.compiler import files
from dlc.compiler.diagnostics import CompileError


def code_of(path: Path) -> str:
    with pytest.raises(CompileError) as caught:
        files.read_spec(path)
    (diagnostic,) = caught.value.diagnostics
    return f"{diagnostic.code} {diagnostic.message}"


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.dl"
    path.write_bytes("\ufeffx = Σ\r\ny\n".encode())
    assert files.read_spec(path).text == "x = Σ\ny\n"


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dl"
    assert code_of(path) == f"DL902 `{path}` cannot be read: no such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    assert code_of(tmp_path) == f"DL902 `{tmp_path}` cannot be read: is a directory"


@pytest.mark.parametrize(
    ("content", "line", "byte"), [(b"a\nb\xffc", 2, "ff"), (b"\x7fELF\0\xff", 1, "00"), (b"\n\n\xe2\x82", 3, "e2")]
)
def test_what_is_not_text(tmp_path: Path, content: bytes, line: int, byte: str) -> None:
    path = tmp_path / "a.dl"
    path.write_bytes(content)
    assert code_of(path) == f"DL903 `{path}` is not UTF-8 text: line {line} has the byte 0x{byte}"


def test_a_file_without_an_end() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero")
    assert code_of(Path("/dev/zero")) == "DL904 `/dev/zero` is larger than 4 MiB, the limit for a spec"


def test_a_misspelt_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("network.dl").write_text("")
    with pytest.raises(CompileError) as caught:
        files.find_argument("netwrok.dl")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.help) == ("DL901", "did you mean `network.dl`?")


def test_writing_keeps_permissions_and_links(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write_text(link, "new\n")
    assert target.read_bytes() == b"new\n"
    assert target.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_writing_makes_folders_and_respects_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a" / "b", "")
    finally:
        os.umask(mask)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o640


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "below"):
        with pytest.raises(CompileError) as caught:
            files.write_text(path, "text")
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["DL905"]
    assert sorted(os.listdir(tmp_path)) == ["file"]

"""Every way to misspell a file, with what is said about it: `errors/NAME.dl` beside `errors/NAME.golden`."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.source import Source
from dlc.compiler.syntax import errors_statements, errors_words
from dlc.compiler.syntax.parse import parse, parse_text
from dlc.compiler.syntax.words import MAX_ERRORS, MAX_FILE

FOLDER = Path(__file__).parent / "errors"
CASES = sorted(path.stem for path in FOLDER.glob("*.dl"))
OF_WHOLE_FILES = {"DL026"}


def refusal(text: str) -> CompileError:
    with pytest.raises(CompileError) as caught:
        parse_text(text)
    return caught.value


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in refusal(text).diagnostics]


@pytest.mark.parametrize("name", CASES)
def test_rendered_errors(name: str, update_golden: bool) -> None:
    text = (FOLDER / f"{name}.dl").read_text(encoding="utf-8")
    with pytest.raises(CompileError) as caught:
        parse(Source(f"{name}.dl", text))
    rendered = caught.value.render()
    golden = FOLDER / f"{name}.golden"
    if update_golden:
        golden.write_text(rendered, encoding="utf-8")
    assert rendered == golden.read_text(encoding="utf-8")


def test_every_golden_has_its_source() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.golden")) == CASES


def error_classes() -> list[type[Diagnostic]]:
    modules = (errors_statements, errors_words)
    members = [member for module in modules for _, member in inspect.getmembers(module, inspect.isclass)]
    return [one for one in members if issubclass(one, Diagnostic) and one is not Diagnostic]


def test_codes_are_distinct_and_in_range() -> None:
    numbers = [int(kind.code[2:]) for kind in error_classes()]
    assert len(set(numbers)) == len(numbers)
    assert all(1 <= number <= 29 for number in numbers)


def test_every_code_is_pinned_by_a_golden_file() -> None:
    rendered = "".join((FOLDER / f"{name}.golden").read_text(encoding="utf-8") for name in CASES)
    missing = {kind.code for kind in error_classes() if f"error[{kind.code}]" not in rendered}
    assert missing <= OF_WHOLE_FILES


def test_all_lines_report_in_one_run() -> None:
    lines = ["layer F(x) -> y:", "    y = = 1", "    z = x", "    u = (1", "    v = 2 x", "", "layr G(x):", "    y = 1"]
    found = refusal("\n".join([*lines, "    y = 1 +", ""]))
    assert [diagnostic.span.line for diagnostic in found.diagnostics if diagnostic.span] == [2, 4, 5, 7, 9]


def test_a_failed_line_has_one_error() -> None:
    assert codes("layer F(x) -> y:\n    y = ! ! && 2 x\n") == ["DL012"]


def test_too_many_errors_end_the_report() -> None:
    found = codes("layer F(x) -> y:\n" + "    y = = 1\n" * 200)
    assert len(found) == MAX_ERRORS + 1
    assert found[-1] == "DL026"
    assert codes("!\n" * 100)[-1] == "DL026"


def test_limits_of_length() -> None:
    assert codes("#" * (MAX_FILE + 1)) == ["DL021"]
    assert parse_text("#" * MAX_FILE).items == ()
    assert codes(f"index {'I' * 200}\n") == ["DL021"]
    assert codes(f"index I = {'1' * 100_000}\n") == ["DL021"]
    assert codes(f"index I = 0{'.1' * 50_000}\n") == ["DL003"]


def test_byte_order_mark_and_line_ends() -> None:
    assert parse_text("\ufeffindex I\r\nindex J\r\n") == parse_text("index I\nindex J\n")


def test_null_bytes_are_refused_by_name() -> None:
    assert "U+0000" in refusal("index I\0\n").render()

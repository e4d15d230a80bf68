"""The examples in the documents are what they say: specs without an error, or with the error that is named.

A block fenced with `dl` is a file that `dlc check` accepts; one with `dl error` is refused, with `dl error DL050` for
that reason.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from dlc.compiler import compilation, driver
from dlc.compiler.diagnostics import render_all
from dlc.compiler.source import Source
from dlc.compiler.sources import Spec

ROOT = Path(__file__).parent.parent
DOCUMENTS = (*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md")
BLOCK = re.compile(r"^```dl(?P<mark>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<file>[^)#]*)(?:#(?P<heading>[^)]+))?\)")


class Example(NamedTuple):
    document: str
    line: int
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def examples() -> list[Example]:
    found = []
    for path in DOCUMENTS:
        content = path.read_text(encoding="utf-8")
        for block in BLOCK.finditer(content):
            line = content.count("\n", 0, block.start()) + 1
            found.append(Example(path.name, line, block["mark"].strip(), block["text"]))
    return found


@pytest.mark.parametrize("example", examples(), ids=str)
def test_example(example: Example) -> None:
    found = compilation.problems(Spec(Path("example.dl"), Source("example.dl", example.text)))
    kind, _, code = example.mark.partition(" ")
    assert kind in ("", "error")
    if not kind:
        assert not found, render_all(found)
        return
    assert found
    assert not code or code in [one.code for one in found], render_all(found)


def test_the_kernel_on_the_first_page_is_what_the_compiler_writes(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    spec = next(block["text"] for block in BLOCK.finditer(page))
    (tmp_path / "softmax.dl").write_text(spec, encoding="utf-8")
    kernel = re.search(r"^```python\n(@kernel\n.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    assert kernel is not None
    assert kernel[1] in driver.print_stages(tmp_path / "softmax.dl", "python")


def test_there_are_examples_of_both_kinds() -> None:
    marks = [example.mark for example in examples() if example.document == "language.md"]
    assert marks.count("") > 15
    assert sum(mark.startswith("error") for mark in marks) > 10


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.finditer(without_code(path.read_text(encoding="utf-8"))):
        target = path.parent / link["file"] if link["file"] else path
        assert target.exists(), link.group()
        if link["heading"]:
            assert link["heading"] in headings(target.read_text(encoding="utf-8")), link.group()


def without_code(content: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", content, flags=re.MULTILINE | re.DOTALL))


def headings(content: str) -> list[str]:
    """The anchors that a page has for its headings."""
    lines = re.findall(r"^#+ (.+)$", without_code(content), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]

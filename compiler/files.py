"""Files in and out: what stands in a spec, and what is written for the user, with a diagnostic for everything that can
go wrong.

`read_argument` and `read_spec` give the text of a spec found by `library`; `write_text` replaces a file in one step,
so that nobody ever sees half of it. A text is UTF-8; `\\r\\n` is read as `\\n`, and a byte order mark is dropped.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dlc.compiler import library
from dlc.compiler.diagnostics import CompileError, Diagnostic, suggestion
from dlc.compiler.source import Source, Span

LARGEST_SPEC = 4 * 1024 * 1024
"""Bytes; a spec is written by people, and one of this size is some other file."""


@dataclass(frozen=True)
class SpecNotFound(Diagnostic):
    """A SPEC of the command line, or a path given to the Python interface, leads to no file."""

    code = "DL901"
    title = "spec not found"
    name: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"no spec is called `{self.name}`"

    @property
    def help(self) -> str | None:
        return suggestion(self.name, self.candidates) or (
            "give the path of a .dl file, or the name of a spec of the standard library, such as models.lenet"
        )


@dataclass(frozen=True)
class UnreadableFile(Diagnostic):
    """The file is there, but the system does not let it be read (or it is a folder)."""

    code = "DL902"
    title = "file cannot be read"
    path: str
    reason: str

    @property
    def message(self) -> str:
        return f"`{self.path}` cannot be read: {self.reason}"


@dataclass(frozen=True)
class NotText(Diagnostic):
    """A spec is UTF-8 text; this file is not."""

    code = "DL903"
    title = "file is not UTF-8 text"
    path: str
    line: int
    byte: int

    @property
    def message(self) -> str:
        return f"`{self.path}` is not UTF-8 text: line {self.line} has the byte 0x{self.byte:02x}"


@dataclass(frozen=True)
class FileTooLarge(Diagnostic):
    """A file longer than any spec."""

    code = "DL904"
    title = "file is too large"
    path: str

    @property
    def message(self) -> str:
        return f"`{self.path}` is larger than {LARGEST_SPEC // 1024 // 1024} MiB, the limit for a spec"


@dataclass(frozen=True)
class UnwritableFile(Diagnostic):
    """The system refuses what was to be written."""

    code = "DL905"
    title = "file cannot be written"
    path: str
    reason: str

    @property
    def message(self) -> str:
        return f"`{self.path}` cannot be written: {self.reason}"


def find_argument(argument: str | os.PathLike[str]) -> Path:
    """The path that a SPEC means; raises `CompileError` (DL901) if there is none."""
    path = library.find_argument(argument)
    if path is None:
        raise CompileError(SpecNotFound(None, os.fspath(argument), library.argument_candidates(argument)))
    return path


def read_argument(argument: str | os.PathLike[str]) -> tuple[Path, Source]:
    """The path that a SPEC means, and what stands there; raises `CompileError` (DL901 to DL904)."""
    path = find_argument(argument)
    return path, read_spec(path)


def read_spec(path: Path, span: Span | None = None) -> Source:
    """The text of a file; raises `CompileError` (DL902 to DL904). `span` is the place of the `use` that asks for it."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_SPEC + 1)
    except OSError as error:
        raise CompileError(UnreadableFile(span, str(path), reason(error))) from error
    if len(content) > LARGEST_SPEC:
        raise CompileError(FileTooLarge(span, str(path)))
    return decode(content, str(path), span)


def decode(content: bytes, name: str, span: Span | None = None) -> Source:
    """The bytes of a spec as text; raises `CompileError` (DL903) for what is not UTF-8 or has a NUL, as no text has."""
    nul = content.find(0)
    if nul >= 0:
        raise CompileError(_not_text(content, name, nul, span))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CompileError(_not_text(content, name, error.start, span)) from error
    return Source(name, text.replace("\r\n", "\n"))


def write_text(path: Path, text: str) -> None:
    """Replace the file in one step, keeping its permissions; raises `CompileError` (DL905)."""
    target = Path(os.path.realpath(path))  # a symbolic link stays one: the file it points to is replaced
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode if target.exists() else 0o666 & ~_umask()
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder", str(path))
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(temporary, mode & 0o7777)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CompileError(UnwritableFile(None, str(path), reason(error))) from error


def reason(error: OSError) -> str:
    """What the system says, as the end of a sentence."""
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]


def _not_text(content: bytes, name: str, offset: int, span: Span | None) -> NotText:
    # 0xEF 0xBB 0xBF of a byte order mark is not in the way: it has no line end
    return NotText(span, name, content.count(b"\n", 0, offset) + 1, content[offset])


def _umask() -> int:
    """The process's umask: it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Names of a spec as Python identifiers: plain ASCII, never a keyword, never a name that is already taken.

A spec may call a tensor ``θ``, ``x'`` or ``fc1.w``.  The generated file writes ``theta``, ``x_prime`` and ``fc1_w``;
what is still alike afterwards is told apart by a number.  The spelling is chosen for the reader: the name itself is
kept in the declarations, as a string.
"""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

#: Beyond this a name no longer helps the reader.
_LONGEST = 48

_RESERVED = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self", "np"))
_MARKS = {"'": "_prime_", "′": "_prime_", "+": "_plus", "-": "_minus", "∂": "d_", "∇": "grad_"}
_SUBSCRIPTS = {ord(sign): str(digit) for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")}


def identifier(name: str) -> str:
    """The nearest ASCII identifier, which may be a keyword or taken: see ``Names``."""
    spelled = "".join(map(_spelled, unicodedata.normalize("NFC", name.translate(_SUBSCRIPTS))))
    spelled = re.sub(r"__+", "_", re.sub(r"[^A-Za-z0-9_]", "_", spelled)).strip("_")[:_LONGEST].rstrip("_")
    return spelled if spelled[:1].isalpha() else f"t{spelled}"


def _spelled(character: str) -> str:
    if character.isascii():
        return _MARKS.get(character, character)
    if character in _MARKS:
        return _MARKS[character]
    letter = _letter(character)
    if letter:
        return letter
    plain = unicodedata.normalize("NFKD", character)
    return "".join(c for c in plain if c.isascii() and c.isalnum()) or f"_u{ord(character):x}_"


def _letter(character: str) -> str:
    """``theta`` for θ, ``Sigma`` for Σ: the last word of the character's name, if it is a letter of another script."""
    name = unicodedata.name(character, "")
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)(?: WITH .*)?", name)
    if found is None:
        return ""
    word = found[2].lower().replace("lamda", "lambda")
    return word.capitalize() if found[1] == "CAPITAL" else word


class Names:
    """Identifiers that differ from each other.  A child scope sees the names of its parents as taken."""

    def __init__(self, taken: Iterable[str] = (), parent: Names | None = None) -> None:
        self._taken = set(taken)
        self._parent = parent

    def fresh(self, name: str) -> str:
        """An identifier for ``name`` that is not taken, which is taken from now on."""
        base = identifier(name)
        if base in _RESERVED or keyword.iskeyword(base):
            base += "_"
        found, number = base, 2
        while self.holds(found):
            found, number = f"{base.rstrip('_')}_{number}", number + 1
        self._taken.add(found)
        return found

    def release(self, name: str) -> None:
        """The name may be given again: its scope has ended."""
        self._taken.discard(name)

    def holds(self, name: str) -> bool:
        return name in self._taken or name in _RESERVED or (self._parent is not None and self._parent.holds(name))

"""Reductions that ask for what they cannot give.  DL075."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.semantics.errors import SemanticDiagnostic


@dataclass(frozen=True)
class OneIndexOnly(SemanticDiagnostic):
    code = "DL075"
    title = "position over several indices"
    kind: str

    @property
    def message(self) -> str:
        return f"`{self.kind}` gives a position along one index"

    @property
    def help(self) -> str | None:
        return f"nest two, or flatten the axes first: `flat[(h,w)] = x[h,w]`, then `{self.kind}[s] flat[s]`"

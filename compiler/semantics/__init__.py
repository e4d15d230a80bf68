"""From AST to graph: names, index sets, ranks, sizes and types are resolved, layers are instantiated and inlined."""

from dlc.compiler.semantics import rules
from dlc.compiler.semantics.checking import check
from dlc.compiler.semantics.elaborate import definitions, elaborate, used_optimizers
from dlc.compiler.semantics.exports import functions
from dlc.compiler.semantics.modules import Loader
from dlc.compiler.semantics.written import written_sums

__all__ = ["Loader", "check", "definitions", "elaborate", "functions", "rules", "used_optimizers", "written_sums"]
